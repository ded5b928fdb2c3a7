"""A block keeps nothing alive that could go without it."""

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop
from tests.reports.reading import report_of

MANY = 100_000
PER_ROUND = 10_000


async def fail() -> None:
    """Fail."""
    raise ValueError("handled")


async def in_virtual_time(measure: Callable[[], None]) -> None:
    """Let many tasks fail in a block of virtual time."""
    async with thp.mocked_call_later():
        for _ in range(MANY // PER_ROUND):
            for _ in range(PER_ROUND):
                with pytest.raises(ValueError, match="handled"):
                    await asyncio.create_task(fail())
            await asyncio.sleep(1)
            measure()


async def awaiting_a_domino(measure: Callable[[], None]) -> None:
    """Let many tasks fail that have awaited a domino."""

    async def take_and_fail() -> None:
        await futs[1]
        raise ValueError("handled")

    async with thp.future_dominos(expected=1) as futs:
        futs.begin()
        await futs[1]
        for _ in range(MANY // PER_ROUND):
            for _ in range(PER_ROUND):
                with pytest.raises(ValueError, match="handled"):
                    await asyncio.create_task(take_and_fail())
            measure()


@pytest.mark.proves("R3")
@pytest.mark.parametrize("body", [in_virtual_time, awaiting_a_domino])
def test_memory_does_not_grow_with_failures_that_were_handled(
    body: Callable[[Callable[[], None]], Coroutine[object, object, None]],
) -> None:
    """After the first round it stays as it is."""
    allocated: list[int] = []

    def measure() -> None:
        gc.collect()
        allocated.append(sys.getallocatedblocks())

    asyncio.run(body(measure))

    # Much less than one block for each task.
    assert allocated[-1] - allocated[1] < MANY // 100


@pytest.mark.proves("R3", "R4")
async def test_failures_that_are_not_kept_are_counted() -> None:
    """Ten are told, and so is one that nobody has read."""
    kept = []

    async def take_and_fail(futs: thp.FutureDominos, num: int) -> None:
        await futs[num]
        raise ValueError(num)

    async def body() -> None:
        async with thp.future_dominos(expected=2) as futs:
            futs.begin()
            kept.append(asyncio.create_task(take_and_fail(futs, 1)))
            await asyncio.wait(kept)
            for _ in range(1000):
                with pytest.raises(ValueError, match="2"):
                    await asyncio.create_task(take_and_fail(futs, 2))
            await thp.wait_all_tasks_blocked()
            raise KeyError

    with pytest.raises(KeyError) as caught:
        await body()
    report = "\n".join(report_of(caught.value))

    assert "ValueError(1)" in report
    assert "and 991 more" in report
    assert kept[0].exception() is not None


@pytest.mark.proves("R3")
@on_every_loop
@pytest.mark.parametrize("block", [None, thp.mocked_call_later, lambda: thp.future_dominos(expected=0)])
def test_asyncio_tells_of_a_forgotten_failure_as_early_as_without_a_block(
    run: Run, block: Callable[[], AbstractAsyncContextManager[object]] | None
) -> None:
    """At once, when the last reference goes."""

    async def main() -> None:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
        async with contextlib.nullcontext() if block is None else block():
            task = asyncio.create_task(fail())
            await asyncio.wait([task])
            assert told == []
            del task
            assert told == ["Task exception was never retrieved"]

    run(main())


@pytest.mark.proves("R3")
@pytest.mark.parametrize("dominos", [False, True])
@pytest.mark.parametrize("error", [None, ValueError, asyncio.CancelledError])
async def test_a_task_that_has_ended_is_freed_in_the_block(dominos: bool, error: type[BaseException] | None) -> None:
    """As soon as nobody else holds it."""
    block: AbstractAsyncContextManager[Any] = thp.future_dominos(expected=1) if dominos else thp.mocked_call_later()

    async def run(held: Any) -> None:
        await (held[1] if dominos else asyncio.sleep(1))
        if error is not None:
            raise error

    async with block as held:
        if dominos:
            held.begin()
        task = asyncio.create_task(run(held))
        await asyncio.wait([task])
        assert task.cancelled() or type(task.exception()) is (error or type(None))
        task_or_none = weakref.ref(task)
        del task
        gc.collect()

        assert task_or_none() is None
