"""Virtual time is exact: how delays are rounded, and what a timer costs."""

import asyncio
import gc
import math
import socket
import sys
import time
import weakref
from types import FrameType

import pytest

from machinery import test_helpers as thp


class TestRounding:
    """On which tick a delay ends."""

    @pytest.mark.proves("T3")
    @pytest.mark.parametrize(
        ("precision", "delay", "end"),
        [
            pytest.param(0.1, 0.25, 0.3, id="between two ticks"),
            pytest.param(0.1, 0.1 + 0.2, 0.3, id="float noise"),
            pytest.param(0.1, 0.3, 0.3, id="on a tick"),
            pytest.param(0.1, 1e-12, 0.1, id="next to nothing"),
            pytest.param(10, 3, 10, id="less than a tick"),
            pytest.param(0.7, 1.4, 1.4, id="sevenths"),
            pytest.param(1e-9, 1e-9, 1e-9, id="a nanosecond"),
            pytest.param(1e-3, 86400 * 365, 31536000.0, id="a year of milliseconds"),
        ],
    )
    async def test_a_sleep_ends_on_the_first_tick_that_is_not_early(
        self, precision: float, delay: float, end: float
    ) -> None:
        """Parts of a tick are rounded up, but float noise is not."""
        async with thp.mocked_call_later(precision=precision) as m:
            await asyncio.sleep(delay)

            assert time.time() == end
            assert m.called_times == [end]

    @pytest.mark.proves("T3")
    @pytest.mark.parametrize("start_time", [0, 0.123, 1700000000.123], ids=repr)
    async def test_waiting_for_a_deadline_by_the_clock_does_not_spin(self, start_time: float) -> None:
        """Sleeping for the remaining time reaches the deadline in few steps, however floats round."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later(start_time=start_time, precision=0.001):
            deadline = loop.time() + 0.0105
            sleeps = 0
            while loop.time() < deadline:
                await asyncio.sleep(deadline - loop.time())
                sleeps += 1

        assert sleeps <= 2

    @pytest.mark.proves("T3")
    @pytest.mark.parametrize("delay", [0, -0.0, -5, -math.inf], ids=repr)
    async def test_a_zero_delay_fires_at_the_same_time_but_not_inside_the_call(self, delay: float) -> None:
        """The callback runs at the same virtual time, after the code that set it."""
        loop = asyncio.get_running_loop()
        order: list[object] = []
        async with thp.mocked_call_later(start_time=50) as m:
            loop.call_later(delay, lambda: order.append(time.time()))
            loop.call_at(50 + delay, lambda: order.append(time.time()))
            order.append("set")
            await m.add(0)

        assert order == ["set", 50, 50]

    @pytest.mark.proves("T3")
    async def test_a_zero_delay_is_served_where_asyncio_would_serve_it(self) -> None:
        """After what is already scheduled, before anything that those schedule."""
        loop = asyncio.get_running_loop()

        async def program() -> list[str]:
            order: list[str] = []
            done = asyncio.Event()

            def before() -> None:
                order.append("ready before")
                loop.call_soon(order.append, "set off by it")

            loop.call_soon(before)
            loop.call_later(0, order.append, "timer")
            loop.call_soon(order.append, "ready after")
            loop.call_later(0, loop.call_soon, done.set)
            await done.wait()
            return order

        real = await program()
        async with thp.mocked_call_later():
            virtual = await program()

        assert virtual == real == ["ready before", "ready after", "timer", "set off by it"]

    @pytest.mark.proves("T3")
    @pytest.mark.parametrize("wake_up", [0.2, 0.25], ids=["on a tick", "between ticks"])
    @pytest.mark.parametrize("delay", [0, -1], ids=["zero", "negative"])
    async def test_a_zero_delay_is_served_to_a_task_that_polls_for_it(self, wake_up: float, delay: float) -> None:
        """Polling with `sleep(0)` ends, although the loop is never idle meanwhile."""
        loop = asyncio.get_running_loop()
        called: list[int] = []
        rounds = 0
        async with thp.mocked_call_later():
            await asyncio.sleep(wake_up)
            loop.call_later(delay, called.append, 1)
            loop.call_later(0, called.append, 2)
            while len(called) < 2 and rounds < 100:
                await asyncio.sleep(0)
                rounds += 1

        assert called == [1, 2]
        assert rounds < 10

    @pytest.mark.proves("T3")
    async def test_an_infinite_delay_never_comes(self) -> None:
        """It is neither pending nor in the way, and can be cancelled."""
        loop = asyncio.get_running_loop()
        called: list[str] = []
        async with thp.mocked_call_later() as m:
            timer = loop.call_later(math.inf, called.append, "never")
            loop.call_at(math.inf, called.append, "never")
            task = asyncio.ensure_future(asyncio.sleep(math.inf))
            await m.add(10.0**9)

            assert (m.pending, timer.when()) == ([], math.inf)
            timer.cancel()
            task.cancel()
        assert called == []

    @pytest.mark.proves("T3")
    async def test_not_a_number_is_refused(self) -> None:
        """Neither a delay nor a time can be `nan`."""
        loop = asyncio.get_running_loop()
        message = r"^a delay or time must be a number of seconds, got nan$"
        async with thp.mocked_call_later() as m:
            with pytest.raises(ValueError, match=message):
                loop.call_later(math.nan, int)
            with pytest.raises(ValueError, match=message):
                loop.call_at(math.nan, int)

            assert m.pending == []

    @pytest.mark.proves("T3")
    async def test_a_callback_that_sets_itself_again_at_once_leaves_the_loop_responsive(self) -> None:
        """The clock stands, but everything else that is ready runs, and so do events and real timers."""
        loop = asyncio.get_running_loop()
        real_timer, called_again = asyncio.Event(), asyncio.Event()
        loop.call_later(0.01, real_timer.set)
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            async with thp.mocked_call_later() as m:
                timers: list[asyncio.TimerHandle] = []

                def again() -> None:
                    if len(m.called_times) > 1:
                        called_again.set()
                    timers[:] = [loop.call_later(0, again)]

                again()
                right.send(b"x")
                received = await loop.sock_recv(left, 1)
                await real_timer.wait()
                await called_again.wait()
                timers[0].cancel()

                assert (received, time.time()) == (b"x", 0)

    @pytest.mark.proves("T3", "T9")
    @pytest.mark.parametrize("days", [7, 12, 400, 4000])
    @pytest.mark.parametrize("way", ["sleep", "add", "call_at"])
    async def test_a_microsecond_counts_after_many_days(self, days: int, way: str) -> None:
        """So much is no noise of a float."""
        delay = days * 86400 + 1e-6
        async with thp.mocked_call_later() as m:
            if way == "sleep":
                await asyncio.sleep(delay)
            elif way == "add":
                await m.add(delay)
            else:
                reached = asyncio.Event()
                asyncio.get_running_loop().call_at(delay, reached.set)
                await reached.wait()

            assert time.time() == days * 86400 + 0.1


class TestCost:
    """Each timer has a cost, ticks have none."""

    @pytest.mark.proves("T4")
    @pytest.mark.parametrize("precision", [1e-9, 1e-6, 1], ids=repr)
    async def test_a_wait_costs_little_however_many_ticks_it_has(self, precision: float) -> None:
        """A century in steps of a nanosecond takes as few calls in this package as a second."""
        calls: list[str] = []

        def note(frame: FrameType, event: str, arg: object) -> None:
            # What earlier tests have left in the loop, or to the garbage collector, runs here too.
            if frame.f_globals["__name__"].startswith("machinery."):
                calls.append(event)

        async with thp.mocked_call_later(precision=precision) as m:
            sys.setprofile(note)
            for seconds in (1, 1_000_000, 3_000_000_000):
                await asyncio.sleep(seconds)
            sys.setprofile(None)

            assert m.called_times == [1, 1_000_001, 3_001_000_001]
        assert len(calls) < 5000

    @pytest.mark.proves("T4")
    async def test_timeouts_that_never_strike_are_forgotten(self) -> None:
        """Cancelled timers do not pile up until they are due, and the others still fire."""
        loop = asyncio.get_running_loop()
        cancelled: list[weakref.ref[asyncio.TimerHandle]] = []
        called: list[int] = []
        async with thp.mocked_call_later() as m:
            for number in range(1000):
                timer = loop.call_later(3600, int)
                timer.cancel()
                cancelled.append(weakref.ref(timer))
                if number % 100 == 0:
                    loop.call_later(10 - number / 100, called.append, number)
            del timer
            gc.collect()
            alive = sum(timer() is not None for timer in cancelled)
            await m.add(10)

        assert alive <= 200
        assert called == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]

    @pytest.mark.proves("T4", "T5")
    async def test_a_callback_may_cancel_so_many_timers_that_the_queue_is_swept(self) -> None:
        """Sweeping while timers fire loses none and fires none twice."""
        loop = asyncio.get_running_loop()
        called: list[str] = []
        async with thp.mocked_call_later() as m:
            doomed: list[asyncio.TimerHandle] = []

            def cancel_all() -> None:
                called.append("first")
                for timer in doomed:
                    timer.cancel()

            loop.call_later(1, cancel_all)
            doomed += [loop.call_later(1 + number % 3, called.append, "doomed") for number in range(1000)]
            loop.call_later(1, called.append, "second")
            loop.call_later(3, called.append, "third")
            await m.add(5)

        assert called == ["first", "second", "third"]
        assert m.called_times == [1, 1, 3]
