"""Dominos beside dominos, inside virtual time and around it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator

import pytest

from machinery import test_helpers as thp


async def fall(futs: thp.FutureDominos, called: list[object], name: str, *nums: int) -> None:
    """Write down the dominos of a row as they fall."""
    for num in nums:
        await futs[num]
        called.append((name, num))


async def at(delay: float, called: list[object]) -> None:
    """Write down the time at which this goes on."""
    await asyncio.sleep(delay)
    called.append(asyncio.get_running_loop().time())


class TestSeveralRows:
    """Each keeps its own order."""

    @pytest.mark.proves("D9")
    async def test_rows_side_by_side_fall_each_in_its_order(self) -> None:
        """In one task for each."""
        async with thp.future_dominos(expected=5) as left, thp.future_dominos(expected=3) as right:
            called: dict[str, list[object]] = {"left": [], "right": []}
            async with asyncio.TaskGroup() as tasks:
                for num in (4, 2, 5, 1, 3):
                    tasks.create_task(fall(left, called["left"], "left", num))
                for num in (3, 2, 1):
                    tasks.create_task(fall(right, called["right"], "right", num))
                left.begin()
                right.begin()
            await asyncio.gather(left.finished.wait(), right.finished.wait())

        assert called == {
            "left": [("left", num) for num in (1, 2, 3, 4, 5)],
            "right": [("right", num) for num in (1, 2, 3)],
        }

    @pytest.mark.proves("D9")
    async def test_rows_can_wait_for_each_other(self) -> None:
        """Each goes on only when the other has."""
        async with thp.future_dominos(expected=3) as left, thp.future_dominos(expected=3) as right:
            called: list[object] = []

            async def step_by_step() -> None:
                for num in (1, 2, 3):
                    await fall(left, called, "left", num)
                    await fall(right, called, "right", num)

            left.begin()
            right.begin()
            await step_by_step()

        assert called == [(name, num) for num in (1, 2, 3) for name in ("left", "right")]

    @pytest.mark.proves("D9")
    async def test_a_row_that_has_not_begun_does_not_hold_up_another(self) -> None:
        """Whichever of them is the inner one."""
        async with (
            thp.future_dominos(expected=2) as outer,
            thp.future_dominos(expected=2) as middle,
            thp.future_dominos(expected=2) as inner,
        ):
            called: list[object] = []
            waiting = [
                asyncio.create_task(fall(outer, called, "outer", 1, 2)),
                asyncio.create_task(fall(inner, called, "inner", 1, 2)),
            ]
            middle.begin()
            await fall(middle, called, "middle", 1, 2)
            inner.begin()
            await inner.finished.wait()
            outer.begin()
            await asyncio.gather(*waiting)

        assert called == [(name, num) for name in ("middle", "inner", "outer") for num in (1, 2)]

    @pytest.mark.proves("D9")
    async def test_an_inner_row_ends_in_the_middle_of_an_outer_one(self) -> None:
        """And the outer one goes on."""
        called: list[object] = []
        async with thp.future_dominos(expected=4) as outer:
            outer.begin()
            await fall(outer, called, "outer", 1, 2)
            async with thp.future_dominos(expected=2) as inner:
                inner.begin()
                await fall(inner, called, "inner", 1, 2)
            await fall(outer, called, "outer", 3, 4)

        assert called == [("outer", 1), ("outer", 2), ("inner", 1), ("inner", 2), ("outer", 3), ("outer", 4)]

    @pytest.mark.proves("D9")
    async def test_rows_need_not_be_left_in_the_reverse_order(self) -> None:
        """Two tasks each have one, and the one that came first leaves first."""
        called: list[object] = []
        first_is_left = asyncio.Event()

        async def first(second_is_entered: asyncio.Event) -> None:
            async with thp.future_dominos(expected=1) as futs:
                await second_is_entered.wait()
                futs.begin()
                await fall(futs, called, "first", 1)
            first_is_left.set()

        async def second(entered: asyncio.Event) -> None:
            async with thp.future_dominos(expected=1) as futs:
                entered.set()
                await first_is_left.wait()
                futs.begin()
                await fall(futs, called, "second", 1)

        entered = asyncio.Event()
        await asyncio.gather(first(entered), second(entered))

        assert called == [("first", 1), ("second", 1)]

    @pytest.mark.proves("D9")
    async def test_each_loop_has_rows_of_its_own(self) -> None:
        """Another thread runs another loop at the same time."""
        called: dict[str, list[object]] = {"here": [], "there": []}

        async def row(name: str) -> None:
            async with thp.future_dominos(expected=50) as futs:
                futs.begin()
                await fall(futs, called[name], name, *range(1, 51))

        def run_there() -> None:
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(row("there"))

        there = threading.Thread(target=run_there)
        there.start()
        await row("here")
        there.join()

        assert called == {name: [(name, num) for num in range(1, 51)] for name in ("here", "there")}


@contextlib.asynccontextmanager
async def both(outside: str, *, expected: int) -> AsyncGenerator[tuple[thp.FutureDominos, thp.MockedCallLater]]:
    """Open dominos and virtual time, one of them outside the other."""
    if outside == "time":
        async with thp.mocked_call_later() as m, thp.future_dominos(expected=expected) as futs:
            yield futs, m
    else:
        async with thp.future_dominos(expected=expected) as futs, thp.mocked_call_later() as m:
            yield futs, m


either_way_round = pytest.mark.parametrize("outside", ["time", "dominos"])


class TestVirtualTime:
    """Both ways round."""

    @pytest.mark.proves("D9", "T8")
    @either_way_round
    async def test_dominos_fall_before_the_clock_moves(self, outside: str) -> None:
        """All of them that can do, one after the other."""
        called: list[object] = []
        async with both(outside, expected=3) as (futs, _), asyncio.TaskGroup() as tasks:
            tasks.create_task(at(0.1, called))
            tasks.create_task(fall(futs, called, "row", 1, 2, 3))
            futs.begin()

        assert called == [("row", 1), ("row", 2), ("row", 3), 0.1]

    @pytest.mark.proves("D9", "T8")
    @either_way_round
    async def test_a_domino_that_waits_for_somebody_who_sleeps_falls_when_that_one_comes(self, outside: str) -> None:
        """Time goes by for as long as no domino can fall."""
        called: list[object] = []

        async def sleeper() -> None:
            await at(3600, called)
            await fall(futs, called, "sleeper", 2)
            await at(60, called)

        async with both(outside, expected=3) as (futs, m):
            task = asyncio.create_task(sleeper())
            third = asyncio.create_task(fall(futs, called, "third", 3))
            futs.begin()
            await fall(futs, called, "first", 1)
            await asyncio.gather(task, third)

        assert called == [("first", 1), 3600.0, ("sleeper", 2), ("third", 3), 3660.0]
        assert m.called_times == [3600.0, 3660.0]

    @pytest.mark.proves("D9", "T9")
    @either_way_round
    async def test_dominos_fall_while_time_is_added(self, outside: str) -> None:
        """Each at the time at which its turn comes."""
        called: list[object] = []

        async def task() -> None:
            for num in (1, 2, 3):
                await at(1, called)
                await fall(futs, called, "row", num)

        async with both(outside, expected=3) as (futs, m):
            running = asyncio.create_task(task())
            futs.begin()
            await m.add(2.5)
            assert called == [1.0, ("row", 1), 2.0, ("row", 2)]
            await m.add(0.5)
            assert called == [1.0, ("row", 1), 2.0, ("row", 2), 3.0, ("row", 3)]
            await running

    @pytest.mark.proves("D4", "D9")
    @either_way_round
    async def test_a_timeout_for_a_domino_strikes_in_virtual_time(self, outside: str) -> None:
        """The domino stands on and falls later."""
        async with both(outside, expected=2) as (futs, m):
            futs.begin()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(futs[2], 3600)
            assert (m.called_times, futs[2].done()) == ([3600.0], False)
            await futs[1]
            await futs[2]

    @pytest.mark.proves("D9")
    async def test_time_passes_for_a_while_in_the_middle_of_a_row(self) -> None:
        """The row goes on without it."""
        called: list[object] = []
        async with thp.future_dominos(expected=3) as futs:
            futs.begin()
            await fall(futs, called, "row", 1)
            async with thp.mocked_call_later():
                await at(60, called)
                await fall(futs, called, "row", 2)
                await at(60, called)
            await fall(futs, called, "row", 3)

        assert called == [("row", 1), 60.0, ("row", 2), 120.0, ("row", 3)]

    @pytest.mark.proves("D9")
    async def test_rows_come_and_go_while_time_passes(self) -> None:
        """The clock goes on without them."""
        called: list[object] = []
        async with thp.mocked_call_later() as m:
            for name in ("one", "two"):
                await at(60, called)
                async with thp.future_dominos(expected=2) as futs:
                    futs.begin()
                    await fall(futs, called, name, 1, 2)
            await m.add(60)
            called.append(m.called_times)

        assert called == [60.0, ("one", 1), ("one", 2), 120.0, ("two", 1), ("two", 2), [60.0, 120.0]]
