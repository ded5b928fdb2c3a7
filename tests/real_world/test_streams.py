"""Streams of items: aiostream, janus and reactivex."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("aiostream")
pytest.importorskip("janus")
pytest.importorskip("reactivex")

import janus
import reactivex
from aiostream import pipe, stream
from reactivex import operators
from reactivex.scheduler.eventloop import AsyncIOScheduler

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@on_every_loop
@pytest.mark.proves("T0")
def test_aiostream_spaces_out_and_gives_up(run: Run) -> None:
    """Items come an hour apart, and one that takes longer than the timeout between items ends the stream."""
    seen: list[tuple[int, float]] = []

    async def body() -> None:
        async def ever_slower() -> AsyncIterator[int]:
            for number in range(1, 10):
                await asyncio.sleep(number * 3600)
                yield number

        async with thp.mocked_call_later():
            items = stream.iterate(ever_slower()) | pipe.timeout(3.5 * 3600)
            with pytest.raises(TimeoutError):
                async with items.stream() as streamer:
                    async for item in streamer:
                        seen.append((item, time.time()))
            assert time.time() == (1 + 2 + 3 + 3.5) * 3600

    run(body())

    assert seen == [(1, 3600), (2, 3 * 3600), (3, 6 * 3600)]


@on_every_loop
@pytest.mark.proves("T12")
def test_a_queue_of_janus_joins_a_thread_and_a_task(run: Run) -> None:
    """A thread that puts items while it really works is not overtaken by the timeout of the task that gets them."""
    got: list[int] = []

    async def body() -> None:
        queue: janus.Queue[int] = janus.Queue()

        def produce() -> None:
            for item in range(3):
                time.sleep(0.01)
                queue.sync_q.put(item)

        async with thp.mocked_call_later():
            producing = asyncio.create_task(asyncio.to_thread(produce))
            for _ in range(3):
                got.append(await asyncio.wait_for(queue.async_q.get(), 5))
            await producing
            await queue.aclose()
            assert time.time() == 0

    run(body())

    assert got == [0, 1, 2]


@on_every_loop
@pytest.mark.proves("T0", "T9")
def test_reactivex_throttles_in_virtual_time(run: Run) -> None:
    """Of items every 20 minutes, a window of an hour lets through each third."""
    seen: list[tuple[int, float]] = []

    async def body() -> None:
        async with thp.mocked_call_later() as m:
            scheduler = AsyncIOScheduler(asyncio.get_running_loop())
            subscription = (
                reactivex.interval(1200, scheduler=scheduler)
                .pipe(operators.buffer_with_count(3))
                .subscribe(lambda items: seen.append((items[-1], time.time())))
            )
            await m.add(3 * 3600)
            subscription.dispose()
            await m.add(3600)

    run(body())

    assert seen == [(2, 3600), (5, 7200), (8, 10800)]
