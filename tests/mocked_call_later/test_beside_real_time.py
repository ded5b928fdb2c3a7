"""Virtual time beside what goes on in real time: older timers, watchdogs, threads and their loops."""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from machinery import test_helpers as thp

SOON = 0.01
FAR = 60
"""How long the timers of these tests really take, in seconds; none of the latter may ever fire."""


class RealTimers:
    """A timer that fires soon, and one that is far off: it would fire early if virtual time counted for it."""

    def __init__(self, wrap: Callable[[Callable[[], None]], Callable[[], None]] = lambda callback: callback) -> None:
        loop = asyncio.get_running_loop()
        self.fired = asyncio.Event()
        self.too_early: list[str] = []
        self.soon = loop.call_later(SOON, wrap(self.fired.set))
        self.far = loop.call_later(FAR, wrap(lambda: self.too_early.append("fired")))


def watchdog(strike: Callable[[], None]) -> Callable[[], None]:
    """Return a function like those that alt-pytest-asyncio makes to end a test that takes too long."""

    def timeout_task() -> None:
        strike()

    timeout_task.__module__ = "alt_pytest_asyncio.machinery"
    return timeout_task


class TestTimersOfRealTime:
    """What was set before the block or watches over the test."""

    @pytest.mark.proves("T11")
    @pytest.mark.parametrize("start_time", [-(10.0**9), 0, 1.7e9], ids=repr)
    async def test_a_timer_set_before_is_not_early_however_much_virtual_time_passes(self, start_time: float) -> None:
        """Virtual days neither reach nor overtake it."""
        timers = RealTimers()
        async with thp.mocked_call_later(start_time=start_time) as m:
            await asyncio.sleep(86400)
            days = 1
            while not timers.fired.is_set():
                await asyncio.sleep(86400)
                days += 1

            assert m.called_times == [start_time + 86400 * number for number in range(1, days + 1)]
        timers.far.cancel()

        assert timers.too_early == []

    @pytest.mark.proves("T11")
    @pytest.mark.parametrize("start_time", [-(10.0**9), 0, 1.7e9], ids=repr)
    async def test_a_timer_set_before_is_not_late_while_the_loop_is_idle(self, start_time: float) -> None:
        """The loop wakes for it, and no virtual time passes meanwhile."""
        timers = RealTimers()
        async with asyncio.timeout(20), thp.mocked_call_later(start_time=start_time) as m:
            await timers.fired.wait()

            assert time.time() == start_time
            assert m.called_times == []
        timers.far.cancel()

        assert timers.too_early == []

    @pytest.mark.proves("T11")
    async def test_a_timer_set_before_keeps_its_handle(self) -> None:
        """It can be cancelled from inside, and tells the time for which it was set."""
        loop = asyncio.get_running_loop()
        called: list[str] = []
        before = loop.time()
        timer = loop.call_later(0.02, called.append, "called")
        async with thp.mocked_call_later():
            when = timer.when()
            timer.cancel()
        await asyncio.sleep(0.03)

        assert called == []
        assert before < when < before + 20

    @pytest.mark.proves("T11")
    async def test_what_a_timer_set_before_sets_off_is_virtual(self) -> None:
        """Only the timer itself is real."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        loop.call_later(0.01, lambda: loop.call_later(3600, done.set))
        async with thp.mocked_call_later():
            await done.wait()

            assert time.time() == 3600

    @pytest.mark.proves("T11")
    async def test_a_timeout_around_the_block_is_real(self) -> None:
        """It neither strikes for virtual seconds nor waits for them."""
        async with asyncio.timeout(30), thp.mocked_call_later():
            await asyncio.sleep(3600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON), thp.mocked_call_later() as m:
                await asyncio.Event().wait()

        assert m.called_times == []

    @pytest.mark.proves("T11")
    async def test_the_watchdog_of_a_test_framework_is_real_inside_the_block(self) -> None:
        """It is not among the virtual timers, strikes in real time, and the clock does not move for it."""
        async with thp.mocked_call_later() as m:
            timers = RealTimers(watchdog)
            pending = m.pending
            await asyncio.sleep(3600)
            await timers.fired.wait()

            assert (pending, timers.too_early, time.time()) == ([], [], 3600)
            assert m.called_times == [3600]
            assert isinstance(timers.soon, asyncio.TimerHandle)
            timers.far.cancel()

    @pytest.mark.proves("T11")
    async def test_a_watchdog_that_is_cancelled_does_not_strike(self) -> None:
        """A test that ends in time is not struck afterwards."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later():
            timers = RealTimers(watchdog)
            timers.soon.cancel()
            timers.far.cancel()
        later = asyncio.Event()
        loop.call_later(2 * SOON, later.set)
        await later.wait()

        assert not timers.fired.is_set()

    @pytest.mark.proves("T11")
    def test_a_loop_that_extends_the_scheduler_keeps_real_timers_real(self) -> None:
        """A loop class of somebody's own is recognised by the scheduler that it stands on."""

        class CountingLoop(asyncio.SelectorEventLoop):
            """Counts its rounds."""

            rounds = 0

            def _run_once(self) -> None:
                self.rounds += 1
                super()._run_once()  # type: ignore[misc]

        async def main() -> None:
            timers = RealTimers()
            async with thp.mocked_call_later():
                await asyncio.sleep(86400)
                days = 1
                while not timers.fired.is_set():
                    await asyncio.sleep(86400)
                    days += 1
                assert time.time() == 86400 * days
            timers.far.cancel()
            assert timers.too_early == []

        with asyncio.Runner(loop_factory=CountingLoop) as runner:
            runner.run(main())

    @pytest.mark.proves("T1", "T11")
    def test_a_loop_with_a_clock_of_its_own_keeps_real_timers_on_that(self) -> None:
        """Where `loop.time` is not that of asyncio, older timers are still served by it."""

        class OffsetLoop(asyncio.SelectorEventLoop):
            """Lives a thousand seconds later."""

            def time(self) -> float:
                return super().time() + 1000

        async def main() -> None:
            timers = RealTimers()
            async with thp.mocked_call_later():
                inside = asyncio.get_running_loop().time()
                await asyncio.sleep(86400)
                await timers.fired.wait()
            timers.far.cancel()
            assert (inside, timers.too_early) == (0, [])

        with asyncio.Runner(loop_factory=OffsetLoop) as runner:
            runner.run(main())


class TestThreads:
    """What other threads see, and their loops."""

    @pytest.mark.proves("T1", "T17")
    def test_two_loops_in_two_threads_have_a_clock_each(self) -> None:
        """Neither sees the time of the other, and a third thread sees the newest one on the wall."""
        turns = threading.Barrier(2, timeout=30)
        seen: dict[str, list[float]] = {}

        async def live(name: str, start_time: float, seconds: float) -> None:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later(start_time=start_time):
                turns.wait()
                await asyncio.sleep(seconds)
                turns.wait()
                seen[name] = [time.time(), time.monotonic(), loop.time(), time.time_ns() / 1e9]
                turns.wait()

        real = time.time, time.monotonic
        threads = [
            threading.Thread(target=asyncio.run, args=(live(*arguments),))
            for arguments in (("one", 100, 5), ("two", 2000, 60))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert seen == {"one": [105] * 4, "two": [2060] * 4}
        assert (time.time, time.monotonic) == real

    @pytest.mark.proves("T1")
    async def test_a_loop_in_another_thread_keeps_real_time(self) -> None:
        """Its timers are real, although the wall clock there is virtual."""
        seen: list[object] = []

        async def live() -> None:
            timers = RealTimers()
            await timers.fired.wait()
            await asyncio.sleep(0)
            seen.extend([timers.too_early, time.time()])

        async with thp.mocked_call_later():
            thread = threading.Thread(target=asyncio.run, args=(live(),))
            thread.start()
            thread.join()

        assert seen == [[], 0]

    @pytest.mark.proves("T1")
    async def test_a_thread_that_waits_with_a_timeout_waits_for_real(self) -> None:
        """Queues, events and locks of threads time out after real seconds, in the thread of the loop too."""
        released = threading.Event()
        async with thp.mocked_call_later():
            with pytest.raises(queue.Empty):
                await asyncio.to_thread(queue.Queue[None]().get, timeout=SOON)
            waiting = asyncio.create_task(asyncio.to_thread(released.wait, FAR))
            asyncio.get_running_loop().call_later(0, released.set)

            assert await waiting
            assert time.time() == 0

    @pytest.mark.proves("T1", "T15")
    def test_another_loop_of_the_thread_goes_on_while_the_loop_of_the_block_is_stopped(self) -> None:
        """A block may stay open over several runs, as in a fixture of wider scope, and nothing else hangs for it."""
        with closing_new_loop() as loop, closing_new_loop() as other:
            block = thp.mocked_call_later(start_time=50)
            loop.run_until_complete(block.__aenter__())
            alarm = threading.Timer(5, other.call_soon_threadsafe, [other.stop])
            alarm.start()
            try:
                other.run_until_complete(asyncio.sleep(0.01))
                seen = loop.run_until_complete(virtual_times())
            finally:
                alarm.cancel()
                loop.run_until_complete(block.__aexit__(None, None, None))

        assert seen == [50, 53]

    @pytest.mark.proves("T7")
    async def test_what_other_threads_hand_over_is_ready_work(self) -> None:
        """`call_soon_threadsafe` wakes an idle loop, at the time at which the clock stands."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        async with thp.mocked_call_later():
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(done.set,))
            loop.call_later(3, thread.start)
            await done.wait()
            thread.join()

            assert time.time() == 3


@contextlib.contextmanager
def closing_new_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop of one's own."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


async def virtual_times() -> list[float]:
    """Return the time before and after three seconds of sleep."""
    before = time.time()
    await asyncio.sleep(3)
    return [before, time.time()]
