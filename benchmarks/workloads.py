"""The work that is done, the least that plain asyncio must do for it, and what is measured of it.

Each workload checks its answer.
"""

import asyncio
import math
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any, NamedTuple

from benchmarks.subjects import Advance

Sleep = Callable[[float], Awaitable[object]]


class Given(NamedTuple):
    """What a workload is done with."""

    size: int
    sleep: Sleep
    advance: Advance | None
    now: Callable[[], float] | None
    """Reads the clock; the floor has none."""
    enter: Callable[[], AbstractAsyncContextManager[Any]]
    """Makes a block, for workloads that enter blocks themselves."""

    def check_passed(self, began: float, seconds: float) -> None:
        """Raise unless that much virtual time has passed; some peers let it drift a little."""
        passed = seconds if self.now is None else self.now() - began
        assert math.isclose(passed, seconds, rel_tol=0.01), f"{passed} s passed in place of {seconds} s"

    def began(self) -> float:
        """Return what the clock shows before the work."""
        return 0.0 if self.now is None else self.now()


Workload = Callable[[Given], Awaitable[None]]


async def soon(_: float) -> None:
    """Do what `asyncio.sleep` does, with `call_soon` in place of `call_later`: a sleep with no clock behind it."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    handle = loop.call_soon(_wake, future)
    try:
        await future
    finally:
        handle.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.set_result(None)


def loop_without_timers() -> asyncio.AbstractEventLoop:
    """Make a loop on which a timeout sets no timer, as no timer is needed for work that ends in time."""
    loop = asyncio.new_event_loop()
    no_timer = asyncio.TimerHandle(0, print, (), loop)
    setattr(loop, "call_at", lambda *_args, **_kwargs: no_timer)  # noqa: B010
    return loop


async def sleeps_in_a_row(given: Given) -> None:
    """One task sleeps for a second, again and again."""
    began = given.began()
    for _ in range(given.size):
        await given.sleep(1)
    given.check_passed(began, given.size)


async def own_sleeps(given: Given) -> None:
    """Many tasks, each with its own sleep: 17 s, 34 s, 51 s and so on, with 5,000 of them up to a day."""
    began, woken = given.began(), []

    async def one(num: int) -> None:
        await given.sleep(17 * (num + 1))
        woken.append(num)

    await asyncio.gather(*map(one, range(given.size)))
    assert woken == list(range(given.size))
    given.check_passed(began, 17 * given.size)


async def timeouts(given: Given) -> None:
    """One operation of a second after the other, by turns under `timeout` and `wait_for`; each ends in time."""
    began = given.began()
    for _ in range(given.size // 2):
        async with asyncio.timeout(5):
            await given.sleep(1)
        await asyncio.wait_for(given.sleep(1), 5)
    given.check_passed(began, given.size // 2 * 2)


async def advances(given: Given) -> None:
    """Set a timer for a second and advance the clock by as much, again and again."""
    assert given.advance is not None
    loop = asyncio.get_running_loop()
    called: list[int] = []
    for num in range(given.size):
        loop.call_later(1, called.append, num)
        await given.advance(1)
    assert called == list(range(given.size)), f"{len(called)} of {given.size} timers were called, or out of order"


async def rounds(given: Given) -> None:
    """Call as many callbacks, each in a round of the loop."""
    called: list[int] = []
    for num in range(given.size):
        called.append(num)
        await asyncio.sleep(0)
    assert called == list(range(given.size))


async def ticking(given: Given) -> None:
    """Many tasks tick every second for 100 s."""
    began, ticks = given.began(), 0

    async def one() -> None:
        nonlocal ticks
        for _ in range(100):
            await given.sleep(1)
            ticks += 1

    await asyncio.gather(*(one() for _ in range(given.size)))
    assert ticks == 100 * given.size
    given.check_passed(began, 100)


def dominos(tasks: int) -> Workload:
    """Make a workload: so many tasks take steps by turns, in the order of the dominos."""

    async def work(given: Given) -> None:
        from machinery import test_helpers as thp

        order: list[int] = []
        async with thp.future_dominos(expected=given.size) as futs:

            async def one(first: int) -> None:
                for num in range(first, given.size, tasks):
                    await futs[num + 1]
                    order.append(num)

            started = [asyncio.create_task(one(first)) for first in range(tasks)]
            futs.begin()
            await futs.finished.wait()
            await asyncio.gather(*started)
        assert order == list(range(given.size))

    return work


def bare_futures(tasks: int) -> Workload:
    """Make the floor of the dominos: a future for each step, set with `call_soon` by whoever took the one before."""

    async def work(given: Given) -> None:
        loop = asyncio.get_running_loop()
        order: list[int] = []
        futures = [loop.create_future() for _ in range(given.size + 1)]

        async def one(first: int) -> None:
            for num in range(first, given.size, tasks):
                await futures[num]
                order.append(num)
                loop.call_soon(futures[num + 1].set_result, None)

        started = [asyncio.create_task(one(first)) for first in range(tasks)]
        loop.call_soon(futures[0].set_result, None)
        await asyncio.gather(*started)
        assert order == list(range(given.size))

    return work


async def empty_blocks(given: Given) -> None:
    """Enter and leave a block, again and again."""
    for _ in range(given.size):
        async with given.enter():
            pass


def blocks_with_a_sleep(seconds: float) -> Workload:
    """Make a workload: a block with one sleep, again and again."""

    async def work(given: Given) -> None:
        for _ in range(given.size):
            async with given.enter():
                began = given.began()
                # Looked up anew in each block: one of the peers replaces it.
                await (asyncio.sleep if given.now else given.sleep)(seconds)
                given.check_passed(began, seconds)

    return work


async def beside_idle_connections(given: Given) -> None:
    """Sleep again and again, beside a hundred connections on which nothing comes."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for _ in range(100):
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            loop.add_reader(ours, theirs.recv, 1)
            stack.callback(loop.remove_reader, ours)
        await sleeps_in_a_row(given)


Program = Callable[[int], None]
"""Runs a workload of a size, with a loop and a block of its own."""


def once(program: Program, size: int) -> None:
    """Run one program."""
    program(size)


def suite(program: Program, size: int) -> None:
    """Run many small programs in a row, like the tests of a suite."""
    for _ in range(size):
        program(2)


def in_threads(program: Program, size: int) -> None:
    """Run as many programs at the same time, in threads."""
    threads = [threading.Thread(target=program, args=(100,)) for _ in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


BEST = "best peer"


class Row(NamedTuple):
    """A workload with its floor, and the peers that can do it."""

    title: str
    size: int
    peers: tuple[str, ...]
    work: Workload
    goal: Mapping[str, float] = {}
    """At most how many times as much as these it is to take."""
    floor: Workload | None = None
    """What plain asyncio does in its place; by default the same work, with `soon` for its sleeps."""
    floor_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    small: int = 20
    counted: tuple[int, int] = (300, 900)
    """The two sizes of which the difference in instructions is taken."""
    in_block: bool = True
    """Whether the workload is done in a block, and does not enter any itself."""
    arrange: Callable[[Program, int], None] = once


def _blocks_with_a_sleep(duration: str, seconds: float, peers: tuple[str, ...]) -> Row:
    title = f"100 blocks with a sleep of {duration}"
    return Row(title, 100, peers, blocks_with_a_sleep(seconds), {BEST: 1.0}, counted=(20, 80), in_block=False)


def _steps(size: int, tasks: int, *peers: str) -> Row:
    title = f"{size:,} ordered steps, {'one task' if tasks == 1 else f'{tasks} tasks'}"
    goal = {"floor": 1.0, "trio": 0.5}
    return Row(title, size, peers, dominos(tasks), goal, bare_futures(tasks), counted=(size, 3 * size), in_block=False)


_LOOPS = ("asyncio-time-travel", "async-solipsism", "aiotools")
_BLOCKS = ("aiotools", "aiofastforward")
ROWS = {
    "row": Row(
        "10,000 one-second sleeps in a row",
        10_000,
        ("aiotools", "async-solipsism", "trio", "machinery-collection", "looptime"),
        sleeps_in_a_row,
        {BEST: 0.90},
    ),
    "own": Row(
        "5,000 tasks, each its own sleep up to a day",
        5_000,
        (*_LOOPS, "trio", "looptime"),
        own_sleeps,
        {BEST: 0.92},
        counted=(1_000, 2_000),
    ),
    "timeouts": Row(
        "2,000 operations under `timeout` or `wait_for` that end in time",
        2_000,
        (*_LOOPS, "trio"),
        timeouts,
        {BEST: 0.92},
        floor_loop=loop_without_timers,
    ),
    "advance": Row(
        "5,000 advances by 1 s, one timer each",
        5_000,
        ("aiofastforward", "trio", "machinery-collection"),
        advances,
        {BEST: 0.9},
        rounds,
    ),
    "ticking": Row(
        "1,000 tasks ticking for 100 s",
        1_000,
        (*_LOOPS, "trio", "machinery-collection"),
        ticking,
        {BEST: 0.75},
        counted=(20, 60),
    ),
    "steps-100-10": _steps(100, 10, "trio", "machinery-collection"),
    "steps-1000-1": _steps(1_000, 1, "trio"),
    "steps-1000-10": _steps(1_000, 10, "trio"),
    "blocks": Row(
        "1,000 empty blocks on one loop", 1_000, _BLOCKS, empty_blocks, {BEST: 1.3}, counted=(20, 80), in_block=False
    ),
    "hour": _blocks_with_a_sleep("an hour", 3_600, _LOOPS),
    "month": _blocks_with_a_sleep("30 days", 30 * 86_400, ("aiotools",)),
    "suite": Row(
        "1,000 tests, each a block with two sleeps on its own loop",
        1_000,
        (*_LOOPS, "trio"),
        sleeps_in_a_row,
        {BEST: 1.0},
        counted=(20, 60),
        arrange=suite,
    ),
    "idle": Row("10,000 sleeps beside 100 idle connections", 10_000, _LOOPS, beside_idle_connections, {BEST: 1.0}),
    "threads": Row(
        "100 blocks with 100 sleeps in 100 threads",
        100,
        (*_LOOPS, "trio"),
        sleeps_in_a_row,
        {BEST: 1.0},
        small=2,
        counted=(5, 15),
        arrange=in_threads,
    ),
}
