"""Virtual time is exact: what fires in which order, and when the clock moves."""

import asyncio
import socket
import time

import pytest

from machinery import test_helpers as thp


class TestOrder:
    """What fires before what."""

    @pytest.mark.proves("T5")
    async def test_timers_of_one_deadline_fire_in_the_order_in_which_they_were_set(self) -> None:
        """Also if there are many, and whether they were set by delay or by deadline."""
        loop = asyncio.get_running_loop()
        order: list[int] = []
        async with thp.mocked_call_later() as m:
            for number in range(0, 100, 2):
                loop.call_later(3, order.append, number)
                loop.call_at(3, order.append, number + 1)
            await m.add(3)

        assert order == list(range(100))

    @pytest.mark.proves("T5")
    async def test_timers_inside_one_tick_fire_by_their_exact_deadline(self) -> None:
        """The clock is coarse, but the order is exact."""
        loop = asyncio.get_running_loop()
        order: list[float] = []
        async with thp.mocked_call_later(precision=1) as m:
            for delay in (0.9, 0.2, 0.5, 1, 0.1):
                loop.call_later(delay, order.append, delay)
            await asyncio.sleep(1)

        assert order == [0.1, 0.2, 0.5, 0.9, 1]
        assert m.called_times == [1] * 6

    @pytest.mark.proves("T5", "T7")
    async def test_a_timer_that_is_due_at_once_waits_for_those_before_it_and_moves_no_clock(self) -> None:
        """However many others were due at once before it."""
        loop = asyncio.get_running_loop()
        order: list[tuple[str, float]] = []

        def note(what: str) -> None:
            order.append((what, time.time()))

        def fire_first() -> None:
            note("first")
            loop.call_later(0, note, "at once")

        async with thp.mocked_call_later(precision=1):
            for _ in range(5):
                loop.call_later(0, int)
            loop.call_later(0.2, fire_first)
            loop.call_later(0.7, note, "second")
            await asyncio.sleep(9)

        assert order == [("first", 1), ("second", 1), ("at once", 1)]

    @pytest.mark.proves("T5")
    async def test_equal_deadlines_between_ticks_fire_in_the_order_in_which_they_were_set(self) -> None:
        """Also if they were set at different times with different delays."""
        loop = asyncio.get_running_loop()
        deadlines = [round(0.25 + tenths / 10, 2) for tenths in range(50)]
        order: list[tuple[float, str]] = []
        async with thp.mocked_call_later() as m:
            for deadline in deadlines:
                loop.call_later(deadline, order.append, (deadline, "set at the start"))
            await m.add(0.1)
            for deadline in deadlines:
                loop.call_later(round(deadline - 0.1, 2), order.append, (deadline, "set later"))
                loop.call_at(deadline, order.append, (deadline, "set as a time"))
            await m.add(10)

        assert order == [
            (deadline, how) for deadline in deadlines for how in ("set at the start", "set later", "set as a time")
        ]

    @pytest.mark.proves("T5")
    async def test_a_shorter_delay_fires_first_however_short_it_is(self) -> None:
        """Also if both delays are below half a tick."""
        loop = asyncio.get_running_loop()
        order: list[str] = []
        async with thp.mocked_call_later() as m:
            loop.call_later(0.05, order.append, "half a tick")
            loop.call_later(1e-13, order.append, "next to nothing")
            await m.add(1)

        assert order == ["next to nothing", "half a tick"]

    @pytest.mark.proves("T5", "T10")
    async def test_a_callback_fires_once_when_the_task_that_it_wakes_adds_time(self) -> None:
        """`add` called from a timer's follow-up work fires no timer twice."""
        loop = asyncio.get_running_loop()
        order: list[object] = []
        woken = asyncio.Event()

        async def add_when_woken(m: thp.MockedCallLater) -> None:
            await woken.wait()
            await m.add(1)
            order.append(time.time())

        async with thp.mocked_call_later() as m:
            task = asyncio.ensure_future(add_when_woken(m))
            loop.call_later(1, order.append, "before")
            loop.call_later(1, woken.set)
            loop.call_later(1, order.append, "after")
            loop.call_later(2, order.append, "a second later")
            await task

        assert order == ["before", "after", "a second later", 2]
        assert m.called_times == [1, 1, 1, 2]

    @pytest.mark.proves("T5")
    async def test_a_callback_may_cancel_a_timer_of_the_same_deadline(self) -> None:
        """A timer cancelled in time does not fire; cancelling one that has fired does nothing."""
        loop = asyncio.get_running_loop()
        order: list[str] = []
        async with thp.mocked_call_later() as m:
            timers = [loop.call_later(1, order.append, "first")]
            loop.call_later(1, lambda: [timer.cancel() for timer in timers])
            timers.append(loop.call_later(1, order.append, "third"))
            loop.call_later(1, order.append, "fourth")
            await m.add(1)

        assert order == ["first", "fourth"]
        assert m.called_times == [1, 1, 1]

    @pytest.mark.proves("T6")
    @pytest.mark.parametrize("gap", [1, 0.05], ids=["ticks apart", "inside one tick"])
    async def test_what_one_deadline_woke_has_run_before_the_next_fires(self, gap: float) -> None:
        """However many loop iterations its follow-up work takes."""
        loop = asyncio.get_running_loop()
        order: list[str] = []

        async def work(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            for _ in range(20):
                await asyncio.sleep(0)
            order.append(f"{name} has worked")

        async with thp.mocked_call_later():
            early = asyncio.ensure_future(work("early", 1.01))
            late = asyncio.ensure_future(work("late", 1.01 + gap))
            loop.call_later(1.01, order.append, "early fires")
            loop.call_later(1.01 + gap, order.append, "late fires")
            await asyncio.gather(early, late)

        assert order == ["early fires", "early has worked", "late fires", "late has worked"]

    @pytest.mark.proves("T6")
    async def test_a_timer_that_follow_up_work_sets_for_now_is_part_of_it(self) -> None:
        """A delay of zero comes before the next deadline."""
        loop = asyncio.get_running_loop()
        order: list[str] = []
        async with thp.mocked_call_later(precision=1) as m:
            loop.call_later(1, lambda: loop.call_soon(loop.call_later, 0, order.append, "follow-up"))
            loop.call_later(1.5, order.append, "next deadline")
            await m.add(2)

        assert order == ["follow-up", "next deadline"]


class TestWhenTheClockMoves:
    """Only when the loop has nothing else to do."""

    @pytest.mark.proves("T7")
    async def test_the_clock_stands_while_anything_is_ready(self) -> None:
        """However many loop iterations that takes."""
        async with thp.mocked_call_later() as m:
            sleeping = asyncio.ensure_future(asyncio.sleep(1))
            for _ in range(200):
                await asyncio.sleep(0)
                assert time.time() == 0
            await sleeping

        assert m.called_times == [1]

    @pytest.mark.proves("T7")
    async def test_what_a_socket_brings_comes_before_the_clock_moves(self) -> None:
        """A socket exchange takes no virtual time, whatever timeouts surround it."""
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)

            async def echo() -> None:
                while data := await loop.sock_recv(right, 1):
                    await loop.sock_sendall(right, data)

            async with thp.mocked_call_later():
                task = asyncio.ensure_future(echo())
                async with asyncio.timeout(0.1):
                    for number in range(50):
                        await loop.sock_sendall(left, bytes([number]))
                        assert await loop.sock_recv(left, 1) == bytes([number])

                assert time.time() == 0
                task.cancel()
                await asyncio.wait([task])

    @pytest.mark.proves("T7")
    async def test_a_timer_due_now_is_served_before_the_clock_moves(self) -> None:
        """A zero delay set as the loop goes idle fires at the same time."""
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        async with thp.mocked_call_later():
            loop.call_later(1, lambda: loop.call_later(0, lambda: seen.append(time.time())))
            await asyncio.sleep(1.1)

        assert seen == [1]

    @pytest.mark.proves("T7", "D2", "D9")
    async def test_a_timer_due_now_is_served_before_a_domino_falls(self) -> None:
        """A zero delay counts as work, with and without virtual time."""
        loop = asyncio.get_running_loop()

        async def program() -> list[object]:
            order: list[object] = []

            async def take(futs: thp.FutureDominos, number: int) -> None:
                await futs[number]
                order.append(number)
                loop.call_later(0, order.append, f"timer of {number}")

            async with thp.future_dominos(expected=2) as futs:
                futs.begin()
                await asyncio.gather(take(futs, 2), take(futs, 1))
                await futs.finished.wait()
            return order

        real = await program()
        async with thp.mocked_call_later():
            virtual = await program()

        assert virtual == real == [1, "timer of 1", 2, "timer of 2"]

    @pytest.mark.proves("T8", "D9")
    async def test_dominos_fall_before_the_clock_moves(self) -> None:
        """All that can fall before the next timer do, whichever block is inside the other."""
        order: list[object] = []

        async def take(futs: thp.FutureDominos, *numbers: int) -> None:
            for number in numbers:
                await futs[number]
                order.append((number, time.time()))

        async def sleep() -> None:
            await asyncio.sleep(1)
            order.append("slept")

        async with thp.mocked_call_later(), thp.future_dominos(expected=4) as futs:
            tasks = [asyncio.ensure_future(each) for each in (sleep(), take(futs, 1, 3), take(futs, 2, 4))]
            futs.begin()
            await asyncio.wait(tasks)
        async with thp.future_dominos(expected=4) as futs, thp.mocked_call_later():
            tasks = [asyncio.ensure_future(each) for each in (sleep(), take(futs, 1, 3), take(futs, 2, 4))]
            futs.begin()
            await asyncio.wait(tasks)

        assert order == [(1, 0), (2, 0), (3, 0), (4, 0), "slept"] * 2
