"""Virtual time does what it is for."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace

import pytest

from machinery import helpers as hp
from machinery import test_helpers as thp

Start = Callable[[], Awaitable[object]]


async def seconds_of(start: Start) -> float:
    """Return how much virtual time something takes."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with contextlib.suppress(TimeoutError):
        await start()
    return loop.time() - began


async def wait_at_most_five_seconds(seconds: float) -> None:
    """Wait for a sleeping task by `asyncio.wait`."""
    task = asyncio.ensure_future(asyncio.sleep(seconds))
    await asyncio.wait([task], timeout=5)
    task.cancel()


@pytest.fixture
async def ctx() -> AsyncIterator[hp.CTX]:
    """Give a context, as code that uses this package has one."""
    with hp.CTX.beginning(name="test", log=logging.getLogger("tests")) as ctx:
        yield ctx


class TestTheExampleOfTheReference:
    """What users read first."""

    @pytest.mark.proves("T0", "T1", "P5")
    async def test_three_seconds_pass(self, ctx: hp.CTX) -> None:
        """The example of the reference holds."""
        async with thp.mocked_call_later(ctx=ctx):
            assert time.time() == 0

            event = asyncio.Event()
            ctx.loop.call_later(3, event.set)
            await event.wait()

            assert time.time() == 3

    @pytest.mark.proves("P5")
    async def test_a_context_needs_nothing_but_a_loop(self) -> None:
        """Anything with a loop will do."""
        async with thp.mocked_call_later(ctx=SimpleNamespace(loop=asyncio.get_running_loop())):
            await asyncio.sleep(3)

            assert time.time() == 3


class TestTheClock:
    """What the functions that tell the time answer."""

    @pytest.mark.proves("T1")
    async def test_all_functions_read_one_clock(self) -> None:
        """Whoever asks, and however, is told the same time."""
        loop = asyncio.get_running_loop()
        seen = []
        async with thp.mocked_call_later(start_time=1700000000.123):
            for _ in range(3):
                seen.append((time.time(), time.monotonic(), loop.time(), time.time_ns(), time.monotonic_ns()))
                await asyncio.sleep(0.3)

        assert seen == [
            (1700000000.123, 1700000000.123, 1700000000.123, 1700000000_123000000, 1700000000_123000000),
            (1700000000.423, 1700000000.423, 1700000000.423, 1700000000_423000000, 1700000000_423000000),
            (1700000000.723, 1700000000.723, 1700000000.723, 1700000000_723000000, 1700000000_723000000),
        ]

    @pytest.mark.proves("T1")
    async def test_the_clock_begins_at_zero_and_reads_as_floats(self) -> None:
        """Without a start time it is 0.0, as a float and as whole nanoseconds."""
        async with thp.mocked_call_later():
            assert list(map(repr, (time.time(), time.monotonic(), time.time_ns(), time.monotonic_ns()))) == [
                "0.0",
                "0.0",
                "0",
                "0",
            ]

    @pytest.mark.proves("T1")
    async def test_performance_counters_are_real(self) -> None:
        """What measures how long a test really takes goes on doing so."""
        before = time.perf_counter()
        async with thp.mocked_call_later(start_time=-(10.0**9)):
            await asyncio.sleep(10.0**8)
            inside = time.perf_counter()

        assert before < inside < time.perf_counter() < before + 60

    @pytest.mark.proves("T1")
    async def test_other_threads_see_virtual_wall_time_and_real_monotonic_time(self) -> None:
        """A thread that waits for real is not led astray by `monotonic`."""
        seen: list[float] = []
        before = time.monotonic(), time.monotonic_ns()

        def look() -> None:
            seen.extend((time.time(), time.time_ns(), time.monotonic(), time.monotonic_ns()))

        async with thp.mocked_call_later(start_time=-500):
            await asyncio.sleep(5)
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()

        assert seen[:2] == [-495, -495_000000000]
        assert before[0] <= seen[2] <= time.monotonic()
        assert before[1] <= seen[3] <= time.monotonic_ns()

    @pytest.mark.proves("T1")
    async def test_the_clock_stands_still_while_code_runs(self) -> None:
        """However long code really computes, no virtual time passes."""
        async with thp.mocked_call_later():
            began = time.perf_counter()
            while time.perf_counter() < began + 0.01:
                assert time.time() == 0

    @pytest.mark.proves("T2")
    async def test_thirty_short_sleeps_last_exactly_three_seconds(self) -> None:
        """The clock does not gather the rounding errors of floats."""
        async with thp.mocked_call_later() as m:
            for _ in range(30):
                await asyncio.sleep(0.1)

            assert time.time() == 3
            assert list(map(repr, m.called_times[:7])) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]


class TestWhatIsVirtual:
    """What waits in virtual time."""

    @pytest.mark.proves("T0")
    @pytest.mark.parametrize(
        ("start", "seconds"),
        [
            pytest.param(lambda: asyncio.sleep(3600), 3600, id="sleep"),
            pytest.param(lambda: asyncio.wait_for(asyncio.sleep(10), 7), 7, id="wait_for that times out"),
            pytest.param(lambda: asyncio.wait_for(asyncio.sleep(7), 10), 7, id="wait_for that does not"),
            pytest.param(lambda: wait_at_most_five_seconds(9), 5, id="wait that times out"),
            pytest.param(lambda: wait_at_most_five_seconds(3), 3, id="wait that does not"),
            pytest.param(lambda: asyncio.gather(asyncio.sleep(2), asyncio.sleep(4)), 4, id="gather"),
        ],
    )
    async def test_waiting_takes_virtual_time(self, start: Start, seconds: float) -> None:
        """All that waits by the loop's timers takes the time that it would really take."""
        async with thp.mocked_call_later():
            assert await seconds_of(start) == seconds

    @pytest.mark.proves("T0")
    async def test_timeouts_are_virtual_and_can_be_moved(self) -> None:
        """`timeout`, `timeout_at` and `reschedule` keep the time of the block."""
        loop = asyncio.get_running_loop()
        struck = []
        async with thp.mocked_call_later(start_time=100):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await asyncio.sleep(10)
            struck.append(loop.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(108):
                    await asyncio.sleep(10)
            struck.append(loop.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1) as timeout:
                    timeout.reschedule(loop.time() + 20)
                    await asyncio.sleep(30)
            struck.append(loop.time())

        assert struck == [105, 108, 128]

    @pytest.mark.proves("T0")
    async def test_as_completed_times_out_in_virtual_time(self) -> None:
        """What is done in time is given, and the rest is a timeout."""

        async def after(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return seconds

        results = []
        async with thp.mocked_call_later():
            slow = asyncio.ensure_future(after(9))
            with contextlib.suppress(TimeoutError):
                for each in asyncio.as_completed([slow, after(2), after(1)], timeout=5):
                    results.append(await each)
            slow.cancel()

            assert results == [1, 2]
            assert time.time() == 5


class TestWhatTheTestSees:
    """What the object of the block tells."""

    @pytest.mark.proves("T19")
    async def test_called_times_are_those_of_the_callbacks_that_were_called(self) -> None:
        """Cancelled timers are absent, and the others in order."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later(start_time=5) as m:
            before = m.called_times[:]
            timers = [loop.call_later(delay, int) for delay in (3, 1, 2, 2)]
            timers[2].cancel()
            await m.add(1)
            after_one = m.called_times[:]
            await m.add(10)

        assert (before, after_one) == ([], [6])
        assert m.called_times == [6, 7, 8]

    @pytest.mark.proves("T19")
    async def test_pending_are_the_deadlines_to_come(self) -> None:
        """They are sorted and exact; timers that were cancelled or never come are absent."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later(start_time=100) as m:
            timers = [loop.call_later(delay, int) for delay in (3, 0.3, 1, 0.25, float("inf"))]
            timers[2].cancel()

            assert m.pending == [100.25, 100.3, 103]
            await m.add(1)
            assert m.pending == [103]
            await m.add(2)
            assert m.pending == []

    @pytest.mark.proves("T19", "B2")
    async def test_the_repr_shows_the_clock_what_is_pending_and_the_name(self) -> None:
        """A failed assertion about it says what there is to know."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later(name="outer") as m:
            empty = repr(m)
            loop.call_later(0.5, int)
            loop.call_later(2, int)
            await m.add(0.2)

            assert empty == "<virtual time 'outer' at 0.0, nothing pending>"
            assert repr(m) == "<virtual time 'outer' at 0.2, 2 pending, next at 0.5>"
        async with thp.mocked_call_later() as nameless:
            assert repr(nameless) == "<virtual time at 0.0, nothing pending>"

    @pytest.mark.proves("T19", "B2")
    async def test_how_much_time_passed_is_logged_when_the_block_is_left(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One line at DEBUG has the virtual and the real seconds, and the name."""
        with caplog.at_level(logging.DEBUG, logger="machinery.test_helpers"):
            async with thp.mocked_call_later(start_time=100, name="hours"):
                await asyncio.sleep(7200)

        [record] = [record for record in caplog.records if record.name == "machinery.test_helpers"]
        assert record.levelno == logging.DEBUG
        assert "'hours'" in record.getMessage()
        assert "7200.0 virtual seconds" in record.getMessage()
        assert vars(record)["virtual_seconds"] == 7200
        assert 0 < vars(record)["real_seconds"] < 60
