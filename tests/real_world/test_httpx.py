"""httpx against uvicorn, on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

import httpx
import uvicorn

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop

Send = Callable[[dict[str, object]], Awaitable[None]]


async def wait(scope: dict[str, str], receive: object, send: Send) -> None:
    """Answer after as many seconds as the path says."""
    await asyncio.sleep(float(scope["path"].strip("/")))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def service() -> AsyncIterator[str]:
    """Run the application in a server of its own; give its address."""
    server = uvicorn.Server(uvicorn.Config(wait, port=0, lifespan="off", log_level="critical", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for this
        await asyncio.sleep(0.1)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_the_read_timeout_strikes_exactly_when_the_server_is_too_slow(run: Run) -> None:
    """An answer after 4.9 seconds is in time for the usual timeout of 5, one after 5.1 is not."""

    async def body() -> None:
        async with thp.mocked_call_later(), service() as address, httpx.AsyncClient(trust_env=False) as client:
            began = time.time()
            assert (await client.get(f"{address}/4.9")).text == "ok"
            assert time.time() - began == pytest.approx(4.9)
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"{address}/5.1")
            assert time.time() - began == pytest.approx(4.9 + 5)

    run(body())


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_requests_wait_for_a_connection_of_the_pool(run: Run) -> None:
    """With one connection, three requests of ten minutes each end after ten, twenty and thirty minutes."""
    ended: list[float] = []

    async def body() -> None:
        limits = httpx.Limits(max_connections=1)
        async with (
            thp.mocked_call_later(),
            service() as address,
            httpx.AsyncClient(timeout=None, limits=limits, trust_env=False) as client,
        ):
            began = time.time()

            async def ask() -> None:
                await client.get(f"{address}/600")
                ended.append(round(time.time() - began))

            await asyncio.gather(ask(), ask(), ask())

    run(body())

    assert ended == [600, 1200, 1800]
