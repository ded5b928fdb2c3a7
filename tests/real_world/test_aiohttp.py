"""An aiohttp server and client, on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("aiohttp")

from aiohttp import ClientSession, ClientTimeout, web

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@asynccontextmanager
async def shop(*, keepalive_timeout: float = 75) -> AsyncIterator[str]:
    """Run a server that answers after as many seconds as the path says; give its address."""

    async def wait(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.match_info["seconds"]))
        assert request.transport is not None
        return web.Response(text=str(request.transport.get_extra_info("peername")[1]))

    app = web.Application()
    app.router.add_get("/{seconds}", wait)
    runner = web.AppRunner(app, keepalive_timeout=keepalive_timeout)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_the_total_timeout_strikes_exactly_when_the_server_is_too_slow(run: Run) -> None:
    """An answer after 29 seconds is in time for a timeout of 30, one after 31 is not."""

    async def body() -> None:
        async with (
            thp.mocked_call_later(),
            shop() as address,
            ClientSession(timeout=ClientTimeout(total=30)) as session,
        ):
            began = time.time()
            async with session.get(f"{address}/29") as response:
                assert response.status == 200
            assert time.time() - began == 29
            with pytest.raises(TimeoutError):
                await session.get(f"{address}/31")
            # aiohttp rounds the deadline of a long timeout up to a whole second of the loop.
            assert time.time() - began == 29 + 30

    run(body())


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_answers_come_in_the_order_of_their_delays(run: Run) -> None:
    """Requests that wait an hour, two and three together take three hours."""
    order: list[tuple[float, float]] = []

    async def body() -> None:
        async with thp.mocked_call_later(), shop() as address, ClientSession(timeout=ClientTimeout()) as session:

            async def ask(hours: float) -> None:
                async with session.get(f"{address}/{hours * 3600}"):
                    order.append((hours, time.time()))

            await asyncio.gather(*map(ask, (3, 1, 2)))

    run(body())

    assert order == [(1, 3600), (2, 7200), (3, 10800)]


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_the_server_keeps_a_connection_alive_for_as_long_as_it_says(run: Run) -> None:
    """A connection is used again after 14 seconds of silence, and after 16 no more: the server keeps it for 15."""

    async def body() -> None:
        async with thp.mocked_call_later(), shop(keepalive_timeout=15) as address, ClientSession() as session:

            async def ask_after(seconds: float) -> str:
                await asyncio.sleep(seconds)
                async with session.get(f"{address}/0") as response:
                    return await response.text()

            first = await ask_after(0)
            assert await ask_after(14) == first
            assert await ask_after(16) != first

    run(body())
