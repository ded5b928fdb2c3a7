"""What keeps a pace: aiolimiter, aiojobs, and async-timeout."""

import asyncio
import time

import pytest

pytest.importorskip("aiolimiter")
pytest.importorskip("aiojobs")
pytest.importorskip("async_timeout")

import aiojobs
import async_timeout
from aiolimiter import AsyncLimiter

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@on_every_loop
@pytest.mark.proves("T0", "T2")
def test_a_rate_limit_lets_through_as_many_as_it_may(run: Run) -> None:
    """Four calls a minute: the first four at once, then one every fifteen seconds."""
    times: list[float] = []

    async def body() -> None:
        async with thp.mocked_call_later(precision=1):
            limiter = AsyncLimiter(4, 60)

            async def call() -> None:
                async with limiter:
                    times.append(time.time())

            await asyncio.gather(*(call() for _ in range(8)))

    run(body())

    assert times == [0, 0, 0, 0, 15, 30, 45, 60]


@on_every_loop
@pytest.mark.proves("T0")
def test_a_scheduler_of_jobs_runs_some_at_a_time_and_closes_in_time(run: Run) -> None:
    """With two at a time six jobs of an hour take three; one that does not end is given up in the end."""
    ended: list[float] = []

    async def body() -> None:
        async def job() -> None:
            await asyncio.sleep(3600)
            ended.append(time.time())

        async def stubborn() -> None:
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    await asyncio.sleep(60)
                    raise

        async with thp.mocked_call_later():
            scheduler = aiojobs.Scheduler(limit=2, close_timeout=10, exception_handler=lambda *args: None)
            for _ in range(6):
                await scheduler.spawn(job())
            await asyncio.sleep(3 * 3600 + 1)
            await scheduler.spawn(stubborn())
            await asyncio.sleep(1)
            began = time.time()
            await scheduler.close()
            assert time.time() - began == 10

    run(body())

    assert ended == [3600, 3600, 7200, 7200, 10800, 10800]


@on_every_loop
@pytest.mark.proves("T0")
def test_a_timeout_that_is_put_off_strikes_later(run: Run) -> None:
    """A timeout of ten seconds, put off by an hour, strikes after an hour and ten seconds."""

    async def body() -> None:
        async with thp.mocked_call_later():
            with pytest.raises(TimeoutError):
                async with async_timeout.timeout(10) as timeout:
                    await asyncio.sleep(9)
                    timeout.reschedule(time.time() + 1 + 3600)
                    await asyncio.sleep(1e9)
            assert time.time() == 3610

    run(body())
