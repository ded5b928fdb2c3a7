"""The same workloads for Trio, which is no asyncio and so needs them written again."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio.testing


async def sleeps_in_a_row(size: int) -> None:
    """One task sleeps for a second, again and again."""
    for _ in range(size):
        await trio.sleep(1)
    assert trio.current_time() == size


async def own_sleeps(size: int) -> None:
    """Many tasks, each with its own sleep."""
    woken: list[int] = []

    async def one(num: int) -> None:
        await trio.sleep(17 * (num + 1))
        woken.append(num)

    async with trio.open_nursery() as nursery:
        for num in range(size):
            nursery.start_soon(one, num)
    assert woken == list(range(size))


async def timeouts(size: int) -> None:
    """One operation of a second after the other, under a timeout; each ends in time."""
    for _ in range(size):
        with trio.fail_after(5):
            await trio.sleep(1)
    assert trio.current_time() == size


async def advances(size: int) -> None:
    """Advance the clock by a second, again and again; there are no bare timers, so a task sleeps for each."""
    clock: Any = trio.lowlevel.current_clock()
    clock.autojump_threshold = math.inf
    called: list[int] = []

    async def one() -> None:
        for num in range(size):
            await trio.sleep(1)
            called.append(num)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(size):
            clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
    assert called == list(range(size))


async def ticking(size: int) -> None:
    """Many tasks tick every second for 100 s."""
    ticks = 0

    async def one() -> None:
        nonlocal ticks
        for _ in range(100):
            await trio.sleep(1)
            ticks += 1

    async with trio.open_nursery() as nursery:
        for _ in range(size):
            nursery.start_soon(one)
    assert ticks == 100 * size


def sequence(tasks: int) -> Callable[[int], Awaitable[None]]:
    """Make a workload: so many tasks take steps by turns, in the order of a `Sequencer`."""

    async def work(size: int) -> None:
        order: list[int] = []
        step = trio.testing.Sequencer()

        async def one(first: int) -> None:
            for num in range(first, size, tasks):
                async with step(num):
                    order.append(num)

        async with trio.open_nursery() as nursery:
            for first in range(tasks):
                nursery.start_soon(one, first)
        assert order == list(range(size))

    return work


WORK: dict[str, Callable[[int], Awaitable[None]]] = {
    "row": sleeps_in_a_row,
    "own": own_sleeps,
    "timeouts": timeouts,
    "advance": advances,
    "ticking": ticking,
    "dominos": sequence(1),
    "suite": sleeps_in_a_row,
    "threads": sleeps_in_a_row,
    **{f"steps-{size}-{tasks}": sequence(tasks) for size in (100, 1_000) for tasks in (1, 10)},
}


def run(row: str, size: int) -> None:
    """Do a workload as a program."""
    trio.run(WORK[row], size, clock=trio.testing.MockClock(autojump_threshold=0))
