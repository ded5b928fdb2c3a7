"""`add` moves the clock by hand, exactly."""

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import Awaitable
from decimal import Decimal
from fractions import Fraction

import pytest

from machinery import test_helpers as thp


class Recorder:
    """Notes what happens, and when."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []

    def note(self, what: str) -> None:
        """Note something that happens now."""
        self.seen.append((what, time.time()))

    async def after(self, awaitable: Awaitable[object], what: str) -> None:
        """Note something once something else is over."""
        await awaitable
        self.note(what)


class TestAnAmountOfTime:
    """The state after `add` returns."""

    @pytest.mark.proves("T9")
    @pytest.mark.parametrize(
        ("precision", "amount", "end"),
        [
            pytest.param(0.1, 3, 3, id="whole"),
            pytest.param(0.1, 0.3, 0.3, id="ticks"),
            pytest.param(0.1, 0.1 + 0.2, 0.3, id="float noise"),
            pytest.param(0.1, 0.25, 0.3, id="rounded up"),
            pytest.param(0.1, 1e-9, 0.1, id="next to nothing"),
            pytest.param(5, 1, 5, id="less than a tick"),
            pytest.param(0.1, 0, 0, id="nothing"),
            pytest.param(0.1, -0.0, 0, id="nothing with a sign"),
            pytest.param(0.1, Fraction(1, 2), 0.5, id="fraction"),
            pytest.param(0.001, 10**9, 10**9, id="decades"),
        ],
    )
    async def test_the_clock_stands_that_much_later(self, precision: float, amount: float, end: float) -> None:
        """The amount is rounded up to a tick, whether or not a timer is due."""
        async with thp.mocked_call_later(precision=precision) as m:
            await m.add(amount)

            assert time.time() == end
            assert m.called_times == []

    @pytest.mark.proves("T2", "T9")
    async def test_many_amounts_add_up_exactly(self) -> None:
        """Thirty tenths are three seconds, also from a present-day start time."""
        async with thp.mocked_call_later(start_time=1700000000.123) as m:
            for _ in range(30):
                await m.add(0.1)

            assert time.time() == 1700000003.123

    @pytest.mark.proves("T9")
    async def test_what_is_due_by_the_end_has_run_and_nothing_later_has(self) -> None:
        """A timer that is due exactly at the end fires."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        async with thp.mocked_call_later() as m:
            for delay in (0, 1, 2, 2.1, 2.05, 3):
                loop.call_later(delay, recorder.note, str(delay))
            await m.add(2)

            assert recorder.seen == [("0", 0), ("1", 1), ("2", 2)]
            assert m.pending == [2.05, 2.1, 3]

    @pytest.mark.proves("T9")
    async def test_follow_up_work_of_the_last_moment_has_run(self) -> None:
        """Including tasks, callbacks and timers for the same instant."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()

        async def work() -> None:
            await asyncio.sleep(2)
            for _ in range(10):
                await asyncio.sleep(0)
            recorder.note("worked")
            loop.call_later(0, recorder.note, "set a timer for now")
            loop.call_later(0.1, recorder.note, "set a timer for later")

        async with thp.mocked_call_later() as m:
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            await m.add(2)

            assert recorder.seen == [("worked", 2), ("set a timer for now", 2)]
            assert task.done()
            assert time.time() == 2

    @pytest.mark.proves("T9")
    async def test_timers_set_on_the_way_count(self) -> None:
        """A chain of timers fires as far as the amount reaches."""
        recorder = Recorder()

        async def tick() -> None:
            for number in range(10):
                await asyncio.sleep(0.3)
                recorder.note(str(number))

        async with thp.mocked_call_later() as m:
            task = asyncio.ensure_future(tick())
            await m.add(1)
            seen = recorder.seen[:]
            end = time.time()
            task.cancel()

        assert seen == [("0", 0.3), ("1", 0.6), ("2", 0.9)]
        assert end == 1

    @pytest.mark.proves("T9")
    async def test_a_task_that_has_not_begun_begins_before_time_passes(self) -> None:
        """Its delays count from the time before the `add`."""
        recorder = Recorder()
        async with thp.mocked_call_later() as m:
            task = asyncio.ensure_future(recorder.after(asyncio.sleep(1), "slept"))
            await m.add(1)

            assert recorder.seen == [("slept", 1)]
            await task

    @pytest.mark.proves("T7", "T9")
    async def test_what_a_socket_brings_is_follow_up_work(self) -> None:
        """A socket exchange that a timer starts is over when `add` returns."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            async with thp.mocked_call_later() as m:
                task = asyncio.ensure_future(recorder.after(loop.sock_recv(left, 1), "received"))
                loop.call_later(1, right.send, b"x")
                await m.add(1)

                assert recorder.seen == [("received", 1)]
                await task

    @pytest.mark.proves("T9")
    async def test_zero_runs_what_is_due_now(self) -> None:
        """The clock does not move, and everything that is due runs."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        async with thp.mocked_call_later(start_time=7) as m:
            loop.call_later(0, recorder.note, "now")
            loop.call_later(-1, recorder.note, "past")
            loop.call_later(0.1, recorder.note, "later")
            task = asyncio.ensure_future(recorder.after(asyncio.sleep(0), "ready"))
            await m.add(0)

            assert sorted(recorder.seen) == [("now", 7), ("past", 7), ("ready", 7)]
            assert m.called_times == [7, 7]
            await task

    @pytest.mark.proves("T9")
    @pytest.mark.parametrize(
        ("amount", "error", "message"),
        [
            pytest.param(-1, ValueError, r"^amount must be 0 seconds or more, got -1.*$", id="negative"),
            pytest.param(-1e-300, ValueError, r"^amount must be 0 seconds or more, got -1e-300.*$", id="tiny"),
            pytest.param(math.nan, ValueError, r"^amount must be a finite number of seconds, got nan$", id="nan"),
            pytest.param(math.inf, ValueError, r"^amount must be a finite number of seconds, got inf$", id="inf"),
            pytest.param(-math.inf, ValueError, r"^amount must be a finite number of seconds, got -inf$", id="-inf"),
            pytest.param(10**400, ValueError, r"^amount must be a finite number of seconds, got 10+$", id="huge"),
            pytest.param("3", TypeError, r"^amount must be a number of seconds, got '3'$", id="text"),
            pytest.param(None, TypeError, r"^amount must be a number of seconds, got None$", id="None"),
            pytest.param(True, TypeError, r"^amount must be a number of seconds, got True$", id="bool"),
            pytest.param(1j, TypeError, r"^amount must be a number of seconds, got 1j$", id="complex"),
            pytest.param(Decimal(1), TypeError, r"^amount must be a number of seconds, got Decimal.*$", id="Decimal"),
        ],
    )
    async def test_invalid_amounts_are_rejected(self, amount: float, error: type[Exception], message: str) -> None:
        """Nothing else changes, and time goes on afterwards."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        async with thp.mocked_call_later() as m:
            loop.call_later(0, recorder.note, "due")
            with pytest.raises(error, match=message):
                await m.add(amount)
            seen = recorder.seen[:]
            await m.add(1)

        assert seen == []
        assert recorder.seen == [("due", 0)]

    @pytest.mark.proves("T9")
    async def test_an_amount_beyond_the_largest_float_is_rejected(self) -> None:
        """No float can hold such a time."""
        async with thp.mocked_call_later(start_time=1.7e308, precision=1e300) as m:
            with pytest.raises(ValueError, match=r"^amount is too large: the clock would overflow, got 1e\+308$"):
                await m.add(1e308)


class TestWhileTimeIsAdded:
    """`add` while other things go on."""

    @pytest.mark.proves("T10")
    async def test_time_does_not_run_ahead(self) -> None:
        """With timers far in the future and a loop that is idle, the clock stops where it should."""
        async with thp.mocked_call_later() as m:
            sleeping = asyncio.ensure_future(asyncio.sleep(1000))
            times = []
            for _ in range(5):
                await m.add(0.5)
                times.append(time.time())
            sleeping.cancel()

        assert times == [0.5, 1, 1.5, 2, 2.5]

    @pytest.mark.proves("T10")
    @pytest.mark.parametrize("amounts", [(5, 2), (2, 5), (3, 3)], ids=str)
    async def test_two_concurrent_adds_each_end_at_their_own_time(self, amounts: tuple[float, float]) -> None:
        """They do not add up, and neither waits for the other."""
        recorder = Recorder()
        async with thp.mocked_call_later() as m:
            sleeping = asyncio.ensure_future(recorder.after(asyncio.sleep(4), "slept"))
            await asyncio.gather(*(recorder.after(m.add(amount), f"added {amount}") for amount in amounts))
            seen = recorder.seen[:]
            sleeping.cancel()

        slept = [("slept", 4)] if max(amounts) > 4 else []
        assert seen == sorted([*((f"added {amount}", amount) for amount in amounts), *slept], key=lambda each: each[1])

    @pytest.mark.proves("T10")
    async def test_an_add_that_begins_during_another_ends_at_its_own_time(self) -> None:
        """The amount counts from the call."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        tasks: list[asyncio.Task[None]] = []
        async with thp.mocked_call_later() as m:

            def add() -> None:
                tasks.append(asyncio.ensure_future(recorder.after(m.add(0.5), "added by a callback")))

            loop.call_later(1, add)
            loop.call_later(2, add)
            await recorder.after(m.add(2), "added by the test")
            await asyncio.gather(*tasks)

        assert recorder.seen == [("added by a callback", 1.5), ("added by the test", 2), ("added by a callback", 2.5)]

    @pytest.mark.proves("T10")
    async def test_a_cancelled_add_leaves_the_clock_usable(self) -> None:
        """Time goes on by itself and by hand as if it had not been called."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        async with thp.mocked_call_later() as m:
            task = asyncio.ensure_future(m.add(2))
            loop.call_later(1, task.cancel)
            loop.call_later(1, recorder.note, "timer")
            with contextlib.suppress(asyncio.CancelledError):
                await task
            recorder.note("cancelled")
            await m.add(2)
            recorder.note("added")
            await asyncio.sleep(1)
            recorder.note("slept")

        assert recorder.seen == [("timer", 1), ("cancelled", 1), ("added", 3), ("slept", 4)]

    @pytest.mark.proves("T10")
    async def test_a_timeout_around_an_add_strikes_on_the_way(self) -> None:
        """The time that is added makes the timeout strike."""
        async with thp.mocked_call_later() as m:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await m.add(10)

            assert time.time() == 3
            await asyncio.sleep(1)
            assert time.time() == 4

    @pytest.mark.proves("T10")
    async def test_a_task_that_a_timer_wakes_may_add_time(self) -> None:
        """A task that a timer wakes can move the clock while the test waits by itself."""
        loop = asyncio.get_running_loop()
        recorder = Recorder()

        async def add_twice(m: thp.MockedCallLater) -> None:
            await recorder.after(m.add(0), "nothing")
            await recorder.after(m.add(1), "a second")

        async with thp.mocked_call_later() as m:
            tasks: list[asyncio.Task[None]] = []
            loop.call_later(1, lambda: tasks.append(asyncio.ensure_future(add_twice(m))))
            await recorder.after(asyncio.sleep(5), "slept")

        assert recorder.seen == [("nothing", 1), ("a second", 2), ("slept", 5)]

    @pytest.mark.proves("T10", "T15")
    async def test_an_add_that_waits_when_the_block_is_left_is_cancelled(self) -> None:
        """No task waits for ever for a clock that no longer moves."""
        async with thp.mocked_call_later() as m:
            task = asyncio.ensure_future(m.add(100))
            await asyncio.sleep(1)

        await asyncio.wait([task])
        assert task.cancelled()

    @pytest.mark.proves("T9", "T15")
    async def test_adding_time_after_the_block_is_an_error(self) -> None:
        """A clock that has been left does not move."""
        async with thp.mocked_call_later(name="clock") as m:
            await asyncio.sleep(1)

        message = r"^<virtual time 'clock' at 1\.0, .*> has ended, so its clock cannot move: call add inside the block$"
        with pytest.raises(RuntimeError, match=message):
            await m.add(1)
