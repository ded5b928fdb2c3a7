"""Libraries that have taken `monotonic` out of `time`: their pools and schedulers keep virtual time."""

import asyncio
import time

import pytest

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@on_every_loop
@pytest.mark.proves("N1")
def test_a_connection_of_aiohttps_pool_is_closed_when_it_has_been_idle_for_too_long(run: Run) -> None:
    """It is used again after 14 virtual seconds, but not after 16."""
    pytest.importorskip("aiohttp")
    from aiohttp import ClientSession, TCPConnector, web

    async def tell_port(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.Response(text=str(request.transport.get_extra_info("peername")[1]))

    async def body() -> None:
        app = web.Application()
        app.router.add_get("/", tell_port)
        runner = web.AppRunner(app, keepalive_timeout=3600)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with (
            thp.mocked_call_later(),
            ClientSession(connector=TCPConnector(keepalive_timeout=15)) as session,
        ):

            async def ask() -> str:
                async with session.get(address) as response:
                    return await response.text()

            ports = [await ask()]
            for pause in (14, 16):
                await asyncio.sleep(pause)
                ports.append(await ask())
        await runner.cleanup()
        assert ports[0] == ports[1] != ports[2]

    run(body())


@on_every_loop
@pytest.mark.proves("N1")
def test_the_scheduler_of_psycopgs_pool_calls_at_the_time_that_was_asked_for(run: Run) -> None:
    """It waits until its own clock has reached a time, so it would never call anything if that did not move."""
    pytest.importorskip("psycopg_pool")
    from psycopg_pool.sched_async import AsyncScheduler

    async def body() -> None:
        called: list[float] = []

        async def call() -> None:
            called.append(time.time())

        async with thp.mocked_call_later(), asyncio.timeout(86_400):
            scheduler = AsyncScheduler()
            for delay in (3600, 60, 7200):
                await scheduler.enter(delay, call)
            await scheduler.enter(7200.5, None)
            await scheduler.run()
            assert called == [60, 3600, 7200]
            assert time.time() == 7200.5

    run(body())


@pytest.mark.proves("N2", "N4")
async def test_the_clock_of_freezegun_is_left_alone() -> None:
    """What it has put into modules stays there, and its own names for the real functions are not replaced."""
    freezegun = pytest.importorskip("freezegun")
    real = time.time, time.monotonic

    with freezegun.freeze_time("2026-01-01"):
        frozen = time.time()
        async with thp.mocked_call_later():
            await asyncio.sleep(5)
            assert time.time() == time.monotonic() == 5
            assert freezegun.api.real_time is real[0]
        assert time.time() == frozen

    assert (time.time, time.monotonic) == real
