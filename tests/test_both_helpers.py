"""Promises that both helpers keep: they leave nothing behind, and work in strict settings."""

import asyncio
import contextlib
import gc
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import pytest

from machinery import test_helpers as thp
from tests.dominos import fall
from tests.loops import Run, on_every_loop


async def dominos() -> None:
    """Open a row and leave it cleanly."""
    async with thp.future_dominos(expected=2) as futs:
        await fall(futs, 1, 2)


async def missing_dominos() -> None:
    """Leave a row with the assertion that something is missing."""
    async with thp.future_dominos(expected=2) as futs:
        asyncio.ensure_future(futs[2])
        await fall(futs, 1)


async def failing_dominos() -> None:
    """Leave a row by an exception."""
    async with thp.future_dominos(expected=2) as futs:
        await fall(futs, 1)
        raise ValueError("body")


async def cancelled_dominos() -> None:
    """Leave a row by being cancelled."""
    async with thp.future_dominos(expected=2) as futs:
        asyncio.get_running_loop().call_soon(running_task().cancel)
        await futs[1]


async def virtual_time() -> None:
    """Open virtual time and leave it cleanly, with a timer pending."""
    async with thp.mocked_call_later():
        await asyncio.sleep(3600)
        asyncio.get_running_loop().call_later(3600, int).cancel()


async def failing_virtual_time() -> None:
    """Leave virtual time by an exception."""
    async with thp.mocked_call_later():
        await asyncio.sleep(3600)
        raise ValueError("body")


async def cancelled_virtual_time() -> None:
    """Leave virtual time by being cancelled."""
    async with thp.mocked_call_later():
        asyncio.get_running_loop().call_later(60, running_task().cancel)
        await asyncio.sleep(3600)


async def everything() -> None:
    """Open all of it, within each other."""
    async with (
        thp.mocked_call_later(),
        thp.future_dominos(expected=1) as outer,
        thp.mocked_call_later(),
        thp.future_dominos(expected=2) as inner,
    ):
        await asyncio.sleep(3600)
        await fall(inner, 1, 2)
        await fall(outer, 1)


def running_task() -> asyncio.Task[object]:
    """Return the task that asks."""
    task = asyncio.current_task()
    assert task is not None
    return task


Block = Callable[[], Awaitable[None]]
BLOCKS: list[Block] = [
    dominos,
    missing_dominos,
    failing_dominos,
    cancelled_dominos,
    virtual_time,
    failing_virtual_time,
    cancelled_virtual_time,
    everything,
]
every_block = pytest.mark.parametrize("block", BLOCKS)


async def end(block: Block) -> None:
    """Run a block that may end in any way."""
    with contextlib.suppress(AssertionError, ValueError, asyncio.CancelledError):
        await block()


def attributes(*owners: object) -> list[Mapping[str, object]]:
    """Return what can be found on these objects."""
    return [dict(vars(owner)) for owner in owners]


class TestNothingIsLeft:
    """After a block everything is as before."""

    @pytest.mark.proves("B6")
    @every_block
    @on_every_loop
    def test_nothing_stays_replaced(self, run: Run, block: Block) -> None:
        """In `time` and `asyncio`, on the loop, on its class and on its selector."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            selector = getattr(loop, "_selector", object)
            before = attributes(time, asyncio, asyncio.tasks, asyncio.events, type(loop), type(selector))
            on_loop, on_selector = set(vars(loop)), set(vars(selector))
            await end(block)
            assert attributes(time, asyncio, asyncio.tasks, asyncio.events, type(loop), type(selector)) == before
            assert (set(vars(loop)), set(vars(selector))) == (on_loop, on_selector)

        run(main())

    @pytest.mark.proves("B6")
    @every_block
    async def test_a_thousand_blocks_leave_nothing_in_memory(self, block: Block) -> None:
        """Neither objects of our classes nor timers or callbacks."""

        def kept() -> Counter[str]:
            gc.collect()
            kinds = [asyncio.Handle if isinstance(each, asyncio.Handle) else type(each) for each in gc.get_objects()]
            return Counter(
                kind.__name__ for kind in kinds if str(kind.__module__).startswith(("machinery.", "asyncio."))
            )

        await end(block)
        before = kept()
        for _ in range(1000):
            await end(block)
        await asyncio.sleep(0)
        # What other tests have left may go meanwhile, and a few things may come.
        assert {kind: count for kind, count in (kept() - before).items() if count >= 100} == {}

    @pytest.mark.proves("B1")
    @every_block
    async def test_no_logger_is_changed(self, block: Block) -> None:
        """Neither the root, nor those of the library, inside a block and after it."""

        def loggers() -> list[Mapping[str, object]]:
            known = [
                logging.getLogger(),
                *(logging.getLogger(name) for name in ("machinery", "machinery.test_helpers", "asyncio")),
            ]
            settings = ("level", "handlers", "filters", "propagate", "disabled")
            return [{setting: str(vars(logger)[setting]) for setting in settings} for logger in known]

        before = loggers()
        inside: list[object] = []
        asyncio.get_running_loop().call_soon(lambda: inside.append(loggers()))
        await end(block)

        assert (inside, loggers()) == ([before], before)


SCRIPT = """
import asyncio, gc, logging

from machinery import test_helpers as thp


async def main():
    loop = asyncio.get_running_loop()
    assert loop.get_debug()
    loop.slow_callback_duration = 60
    async with thp.mocked_call_later() as m, thp.future_dominos(expected=4) as futs:
        called = []

        async def even():
            await futs[2]
            await asyncio.sleep(60)
            called.append(2)
            await futs[4]

        task = loop.create_task(even())
        futs.begin()
        await futs[1]
        loop.call_later(1, called.append, 1)
        futs[3].set_exception(ValueError("unread"))
        await asyncio.wait_for(task, 3600)
        await m.add(60)
        assert called == [1, 2], called

    try:
        async with thp.future_dominos(expected=2) as futs:
            waiting = asyncio.ensure_future(futs[2])
            await asyncio.sleep(0)
    except AssertionError:
        await asyncio.wait([waiting])


asyncio.run(main())
gc.collect()
print("done")
"""


class TestStrictness:
    """Debug mode, warnings as errors, and no private names."""

    @pytest.mark.proves("B4")
    @every_block
    def test_debug_mode_of_the_loop_is_no_obstacle(self, block: Block) -> None:
        """Each block ends as it does elsewhere."""
        with asyncio.Runner(loop_factory=asyncio.new_event_loop, debug=True) as runner:
            runner.get_loop().slow_callback_duration = 60
            runner.run(end(block))

    @pytest.mark.proves("B4")
    def test_debug_mode_and_warnings_as_errors_say_nothing(self) -> None:
        """In an interpreter that was started with both."""
        ran = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT],
            env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
            capture_output=True,
            text=True,
        )

        assert (ran.stdout, ran.stderr) == ("done\n", "")
