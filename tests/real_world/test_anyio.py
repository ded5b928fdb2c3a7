"""Anyio on the loop that is there."""

import math
import time

import pytest

pytest.importorskip("anyio")

import anyio
import anyio.to_thread

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop
from tests.programs import PYTHON


@on_every_loop
@pytest.mark.proves("T0")
def test_scopes_strike_at_their_deadlines(run: Run) -> None:
    """`move_on_after` and `fail_after` end what takes too long, the inner one first, and nothing else."""
    order: list[object] = []

    async def body() -> None:
        async with thp.mocked_call_later():
            with anyio.move_on_after(3600) as outer:
                with anyio.move_on_after(60) as inner:
                    await anyio.sleep(30)
                    order.append(anyio.current_time())
                    await anyio.sleep_forever()
                order.append(anyio.current_time())
                await anyio.sleep(math.inf)
            order.append(anyio.current_time())
            assert inner.cancelled_caught
            assert outer.cancelled_caught
            with pytest.raises(TimeoutError), anyio.fail_after(0.5):
                await anyio.Event().wait()
            order.append(anyio.current_time())

    run(body())

    assert order == [30, 60, 3600, 3600.5]


@on_every_loop
@pytest.mark.proves("T0", "T6")
def test_a_task_group_ends_with_its_slowest_task(run: Run) -> None:
    """Tasks go through a limiter two at a time: four hours of work take two."""
    order: list[object] = []

    async def body() -> None:
        limiter = anyio.CapacityLimiter(2)

        async def work(name: str) -> None:
            async with limiter:
                await anyio.sleep(3600)
            order.append((name, time.time()))

        async with thp.mocked_call_later():
            async with anyio.create_task_group() as tasks:
                for name in "abcd":
                    tasks.start_soon(work, name)
            order.append(time.time())

    run(body())

    assert order == [("a", 3600), ("b", 3600), ("c", 7200), ("d", 7200), 7200]


@on_every_loop
@pytest.mark.proves("T12")
def test_threads_and_processes_are_not_overtaken(run: Run) -> None:
    """Work that takes real time ends before a deadline of five virtual seconds."""

    async def body() -> None:
        async with thp.mocked_call_later():
            with anyio.fail_after(5):
                await anyio.to_thread.run_sync(time.sleep, 0.05)
                done = await anyio.run_process([*PYTHON, "-c", "print('done')"])
            assert done.stdout.strip() == b"done"
            assert time.time() == 0

    run(body())


@on_every_loop
@pytest.mark.proves("W1", "T7")
def test_its_own_way_to_wait_for_blocked_tasks_works(run: Run) -> None:
    """`anyio.wait_all_tasks_blocked`, which looks at all tasks every 0.1 seconds, sees what ours sees."""
    order: list[object] = []

    async def body() -> None:
        async def work() -> None:
            for step in range(3):
                await anyio.lowlevel.checkpoint()
                order.append(step)
            await anyio.sleep(3600)

        async with thp.mocked_call_later(), anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await thp.wait_all_tasks_blocked()
            order.append("blocked")
            await anyio.wait_all_tasks_blocked()
            assert time.time() < 1
            tasks.cancel_scope.cancel()

    run(body())

    assert order == [0, 1, 2, "blocked"]
