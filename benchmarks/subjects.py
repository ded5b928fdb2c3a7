"""What is measured: ours, and each peer with what it needs, how its loop is made and how its block is entered."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Advance = Callable[[float], Awaitable[object]]


@contextlib.asynccontextmanager
async def plain() -> AsyncGenerator[None]:
    """Enter nothing: the loop itself keeps the time."""
    yield


@contextlib.asynccontextmanager
async def mocked_call_later(**options: Any) -> AsyncGenerator[Advance]:
    """Enter virtual time, ours or that of the package whose interface ours has."""
    from machinery import test_helpers as thp

    async with thp.mocked_call_later(**options) as m:
        yield m.add


@contextlib.asynccontextmanager
async def virtual_clock() -> AsyncGenerator[None]:
    """Enter the virtual clock of aiotools."""
    from aiotools import VirtualClock

    with VirtualClock().patch_loop():
        yield


@contextlib.asynccontextmanager
async def fast_forward() -> AsyncGenerator[Advance]:
    """Enter aiofastforward."""
    from aiofastforward import FastForward

    with FastForward(asyncio.get_running_loop()) as forward:
        yield forward


def solipsist_loop() -> asyncio.AbstractEventLoop:
    """Make a loop of async-solipsism."""
    import async_solipsism

    loop: asyncio.AbstractEventLoop = async_solipsism.EventLoop()
    return loop


def time_travel_loop() -> asyncio.AbstractEventLoop:
    """Make a loop of asyncio-time-travel."""
    from asyncio_time_travel import TimeTravelLoop

    loop: asyncio.AbstractEventLoop = TimeTravelLoop()
    return loop


def looptime_loop(**options: Any) -> asyncio.AbstractEventLoop:
    """Make a loop of looptime."""
    import looptime

    loop: asyncio.AbstractEventLoop = looptime.new_event_loop(start=0, **options)
    return loop


def loop_time() -> float:
    """Read the clock of the running loop."""
    return asyncio.get_running_loop().time()


def wall_time() -> float:
    """Read the wall clock, which the block has replaced."""
    return time.time()


class Subject(NamedTuple):
    """Something that makes asyncio's time virtual."""

    needs: tuple[str, ...] = ()
    new_loop: Callable[..., asyncio.AbstractEventLoop] = asyncio.new_event_loop
    enter: Callable[..., AbstractAsyncContextManager[Any]] = plain
    clock: Callable[[], float] = loop_time


def run(subject: Subject, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of a subject."""
    with contextlib.closing(subject.new_loop()) as loop:
        # One of the peers looks for its loop here.
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)


OURS = "ours"
FLOOR = "floor"
TRIO = "trio"
SUBJECTS = {
    OURS: Subject(enter=mocked_call_later),
    # Without typing_extensions, which it does not ask for, this release cannot be imported.
    "aiotools": Subject(("aiotools", "typing_extensions"), enter=virtual_clock),
    "async-solipsism": Subject(("async-solipsism",), new_loop=solipsist_loop),
    "asyncio-time-travel": Subject(("asyncio-time-travel",), new_loop=time_travel_loop),
    "aiofastforward": Subject(("aiofastforward",), enter=fast_forward),
    "looptime": Subject(("looptime",), new_loop=looptime_loop),
    "machinery-collection": Subject(("machinery-collection",), enter=mocked_call_later, clock=wall_time),
    # Its workloads are in with_trio.py: it is no asyncio.
    TRIO: Subject(("trio",)),
}
