"""Nested virtual time, and timers that outlive their block."""

import asyncio
import math
import time

import pytest

from machinery import test_helpers as thp
from tests.state import state_of


class TestWhatIsPending:
    """Timers that have not fired when the block is left."""

    @pytest.mark.proves("T16")
    async def test_timers_keep_the_rest_of_their_delay(self) -> None:
        """The surrounding time is virtual too, so the times are exact."""
        loop = asyncio.get_running_loop()
        fired: list[tuple[str, float]] = []

        def fire(name: str) -> None:
            fired.append((name, time.time()))

        async with thp.mocked_call_later(start_time=1000) as outer:
            async with thp.mocked_call_later() as inner:
                loop.call_later(5, fire, "later")
                loop.call_at(4, fire, "at")
                loop.call_later(4, fire, "at the same time, set after it")
                loop.call_later(math.inf, fire, "never")
                loop.call_at(1e308, fire, "hardly ever")
                loop.call_later(2, fire, "inside")
                await inner.add(3)
            after_leaving = outer.pending
            await asyncio.sleep(10)

        assert after_leaving == [1001, 1001, 1002, 1e308]
        assert fired == [("inside", 2), ("at", 1001), ("at the same time, set after it", 1001), ("later", 1002)]
        assert inner.called_times == [2]

    @pytest.mark.proves("T16", "T3")
    @pytest.mark.parametrize(("delay", "rest"), [(0.2, 0.1), (0.27, 0.17), (7.3, 7.2)])
    async def test_what_is_left_of_a_delay_has_no_noise_of_a_large_clock(self, delay: float, rest: float) -> None:
        """It would make a timer late by a tick."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later() as outer:
            async with thp.mocked_call_later(start_time=1_700_000_000) as inner:
                loop.call_later(delay, int)
                await inner.add(0.1)
            after_leaving = outer.pending
            await asyncio.sleep(10)

        assert after_leaving == [rest]
        assert outer.called_times[0] == math.ceil(round(10 * rest, 6)) / 10

    @pytest.mark.proves("T16")
    async def test_a_sleeping_task_wakes_in_the_time_around_the_block(self) -> None:
        """A task that was started inside may go on outside."""

        async def sleep(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return time.time()

        async with thp.mocked_call_later(start_time=1000):
            async with thp.mocked_call_later():
                task = asyncio.ensure_future(sleep(5))
                await asyncio.sleep(2)

            assert await task == 1003

    @pytest.mark.proves("T16")
    async def test_a_timer_goes_on_in_real_time_after_the_outermost_block(self) -> None:
        """It is neither early nor lost."""
        loop = asyncio.get_running_loop()
        soon, too_early = asyncio.Event(), asyncio.Event()
        async with thp.mocked_call_later(precision=0.01):
            loop.call_later(100.03, soon.set)
            far = loop.call_later(160, too_early.set)
            await asyncio.sleep(100)
        await asyncio.wait_for(soon.wait(), 30)
        far.cancel()

        assert not too_early.is_set()

    @pytest.mark.proves("T16")
    async def test_a_timer_that_outlives_its_block_can_be_cancelled(self) -> None:
        """With the handle from inside the block."""
        loop = asyncio.get_running_loop()
        fired: list[str] = []
        async with thp.mocked_call_later() as outer:
            async with thp.mocked_call_later():
                timer = loop.call_later(5, fired.append, "fired")
                other = loop.call_later(5, fired.append, "other")
            timer.cancel()
            timer.cancel()
            pending = outer.pending
            await outer.add(10)
            other.cancel()

        assert timer.cancelled()
        assert pending == [5]
        assert fired == ["other"]

    @pytest.mark.proves("T16")
    async def test_what_is_overdue_fires_soon(self) -> None:
        """A timer that was due at the very moment of leaving is not lost."""
        loop = asyncio.get_running_loop()
        fired: list[str] = []
        async with thp.mocked_call_later():
            loop.call_later(0, fired.append, "now")
            loop.call_later(-5, fired.append, "past")
        await asyncio.sleep(0.01)

        assert sorted(fired) == ["now", "past"]

    @pytest.mark.proves("T16")
    async def test_a_failing_callback_is_reported_outside_as_well(self) -> None:
        """The exception handler of the loop is called once."""
        loop = asyncio.get_running_loop()
        reported: list[object] = []
        loop.set_exception_handler(lambda _, context: reported.append(repr(context["exception"])))
        try:
            async with thp.mocked_call_later():
                async with thp.mocked_call_later():
                    loop.call_later(1, lambda: 1 / 0)
                await asyncio.sleep(2)
        finally:
            loop.set_exception_handler(None)

        assert reported == ["ZeroDivisionError('division by zero')"]


class TestBlocksInBlocks:
    """Nested blocks."""

    @pytest.mark.proves("T17")
    async def test_the_inner_clock_is_seen_inside_and_the_outer_one_afterwards(self) -> None:
        """Three deep, each with a clock of its own."""
        loop = asyncio.get_running_loop()
        seen: list[float] = []

        def look() -> None:
            assert time.time() == time.monotonic() == loop.time()
            seen.append(time.time())

        async with thp.mocked_call_later(start_time=100):
            await asyncio.sleep(1)
            look()
            async with thp.mocked_call_later(start_time=200, precision=0.5):
                look()
                await asyncio.sleep(0.3)
                async with thp.mocked_call_later(start_time=300):
                    await asyncio.sleep(0.3)
                    look()
                look()
            look()
            await asyncio.sleep(1)
            look()

        assert seen == [101, 200, 300.3, 200.5, 101, 102]

    @pytest.mark.proves("T17")
    async def test_each_block_counts_its_own_callbacks(self) -> None:
        """What fires inside is not in the outer block's `called_times`."""
        async with thp.mocked_call_later() as outer:
            await asyncio.sleep(1)
            async with thp.mocked_call_later() as inner:
                await asyncio.sleep(2)
                await asyncio.sleep(2)
            await asyncio.sleep(3)

        assert (outer.called_times, inner.called_times) == ([1, 4], [2, 4])

    @pytest.mark.proves("T15", "T17", "B6")
    @pytest.mark.parametrize("first", [0, 1], ids=["the outer one first", "the inner one first"])
    async def test_blocks_of_two_tasks_may_be_left_in_any_order(self, first: int) -> None:
        """Whichever is left first, the clock of the other is seen, and then the real one."""
        loop = asyncio.get_running_loop()
        before = state_of(loop)
        blocks = [thp.mocked_call_later(start_time=100), thp.mocked_call_later(start_time=200)]
        for block in blocks:
            await block.__aenter__()
        seen = [time.time()]

        await blocks[first].__aexit__(None, None, None)
        seen.append(time.time())
        await asyncio.sleep(1)
        seen.append(loop.time())
        await blocks[1 - first].__aexit__(None, None, None)

        remaining = 100 * (2 - first)
        assert seen == [200, remaining, remaining + 1]
        assert state_of(loop) == before

    @pytest.mark.proves("T16", "T17")
    async def test_timers_of_a_block_that_is_left_first_go_on_in_the_other(self) -> None:
        """Nothing is lost where blocks overlap."""
        loop = asyncio.get_running_loop()
        fired: list[float] = []
        outer, inner = thp.mocked_call_later(start_time=100), thp.mocked_call_later(start_time=200)
        await outer.__aenter__()
        loop.call_later(5, lambda: fired.append(time.time()))
        m = await inner.__aenter__()

        await outer.__aexit__(None, None, None)
        pending = m.pending
        await m.add(6)
        await inner.__aexit__(None, None, None)

        assert pending == [205]
        assert fired == [205]

    @pytest.mark.proves("T17")
    async def test_the_inner_clock_moves_before_the_outer_one(self) -> None:
        """As long as a timer is pending inside, however near the next deadline outside is."""
        loop = asyncio.get_running_loop()
        order: list[str] = []
        async with thp.mocked_call_later() as outer:
            loop.call_later(1, order.append, "outside")
            async with thp.mocked_call_later():
                await asyncio.sleep(3600)
                order.append("inside")

            assert (time.time(), outer.pending) == (0, [1])
            await asyncio.sleep(2)
        assert order == ["inside", "outside"]

    @pytest.mark.proves("T17")
    async def test_an_outer_clock_serves_its_timers_when_the_inner_one_has_none(self) -> None:
        """Waiting inside for something outside does not hang."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        async with thp.mocked_call_later() as outer:
            loop.call_later(10, event.set)
            async with thp.mocked_call_later() as inner:
                await event.wait()
                inside = time.time()

            assert (inside, time.time()) == (0, 10)
        assert (outer.called_times, inner.called_times) == ([10], [])
