"""With `datetime=True`, what `time-machine` covers follows the clock."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop
from tests.state import state_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown() -> float:
    """Return the seconds since the epoch that `datetime` shows."""
    return (datetime.now(UTC) - EPOCH).total_seconds()


def is_real(moment: datetime) -> bool:
    """Say whether a moment is about now, in a time that nobody replaced."""
    code = "import time; print(time.time())"
    real = float(subprocess.check_output([sys.executable, "-c", code]))
    return abs(moment.timestamp() - real) < 60


class TestFollowing:
    """What shows the date shows that of the clock."""

    @pytest.mark.parametrize(
        ("read", "expected"),
        [
            (lambda: datetime.now(UTC), datetime(1970, 1, 2, 1, tzinfo=UTC)),
            (lambda: datetime.fromtimestamp(time.time(), UTC), datetime(1970, 1, 2, 1, tzinfo=UTC)),
            (lambda: time.gmtime()[:5], (1970, 1, 2, 1, 0)),
            (lambda: time.strftime("%d %H:%M", time.gmtime()), "02 01:00"),
            (lambda: time.clock_gettime(time.CLOCK_REALTIME) if hasattr(time, "clock_gettime") else 90000, 90000),
        ],
        ids=["datetime.now", "fromtimestamp", "gmtime", "strftime", "clock_gettime"],
    )
    @pytest.mark.proves("T14")
    async def test_it_is_a_day_and_an_hour_later(self, read: Callable[[], object], expected: object) -> None:
        """The standard library tells the virtual date."""
        async with thp.mocked_call_later(datetime=True):
            await asyncio.sleep(timedelta(days=1, hours=1).total_seconds())
            assert read() == expected

    @on_every_loop
    @pytest.mark.proves("T14")
    def test_every_move_of_the_clock_is_followed(self, run: Run) -> None:
        """Callbacks and what comes after `add` see the date that belongs to the time."""
        seen: list[tuple[float, float]] = []

        async def body() -> None:
            def look() -> None:
                seen.append((time.time(), shown()))

            async with thp.mocked_call_later(datetime=True, start_time=1_700_000_000) as m:
                look()
                for delay in (0.1, 3600):
                    asyncio.get_running_loop().call_later(delay, look)
                await asyncio.sleep(1)
                look()
                await m.add(3600)
                look()

        run(body())

        assert seen == [
            (1_700_000_000, 1_700_000_000),
            (1_700_000_000.1, 1_700_000_000.1),
            (1_700_000_001, 1_700_000_001),
            (1_700_003_600, 1_700_003_600),
            (1_700_003_601, 1_700_003_601),
        ]

    @pytest.mark.proves("T14")
    async def test_other_threads_see_the_date_too(self) -> None:
        """The date is that of the whole process."""
        async with thp.mocked_call_later(datetime=True):
            await asyncio.sleep(5)
            assert await asyncio.to_thread(shown) == 5

    @on_every_loop
    @pytest.mark.proves("T11", "T12", "T14")
    def test_real_time_is_still_told_where_it_is_needed(self, run: Run) -> None:
        """Work in threads can wait for real, and the loop still knows how long it has been idle."""

        async def body() -> None:
            async with thp.mocked_call_later(datetime=True, autojump_threshold=0.01):
                # This ends only because the loop sees real time pass.
                await asyncio.sleep(5)
                assert await asyncio.to_thread(threading.Event().wait, 0.01) is False

        run(body())


class TestNesting:
    """The date is that of the clock which is read."""

    @pytest.mark.parametrize(
        ("outer", "inner"), [(True, True), (True, False), (False, True)], ids=["both", "outer", "inner"]
    )
    @pytest.mark.proves("T14", "T17")
    async def test_inside_a_nested_block_the_inner_clock_is_followed(self, outer: bool, inner: bool) -> None:
        """It does not matter which of the blocks asked for it; afterwards the date is that around the inner block."""
        async with thp.mocked_call_later(datetime=outer):
            await asyncio.sleep(1)
            async with thp.mocked_call_later(datetime=inner, start_time=1000):
                assert shown() == 1000
                await asyncio.sleep(5)
                assert shown() == 1005
            if outer:
                assert shown() == 1
                await asyncio.sleep(1)
                assert shown() == 2
            else:
                assert is_real(datetime.now())
        assert is_real(datetime.now())

    @pytest.mark.parametrize("first_to_leave", [0, 1], ids=["the older first", "the newer first"])
    @pytest.mark.proves("T14", "T15")
    async def test_blocks_may_be_left_in_any_order(self, first_to_leave: int) -> None:
        """While one of them is open the date is that of its clock, and after the last the date is real."""
        starts = [1000, 2000]
        async with AsyncExitStack() as older, AsyncExitStack() as newer:
            for stack, start in zip((older, newer), starts, strict=True):
                await stack.enter_async_context(thp.mocked_call_later(datetime=True, start_time=start))
            await (older, newer)[first_to_leave].aclose()
            assert shown() == starts[1 - first_to_leave]
            await asyncio.sleep(5)
            assert shown() == starts[1 - first_to_leave] + 5
        assert is_real(datetime.now())

    @pytest.mark.proves("T14", "B6")
    async def test_a_journey_that_is_under_way_goes_on_afterwards(self) -> None:
        """A test that travels by time-machine is, after the block, where it was before."""
        with time_machine.travel(1000.0, tick=False):
            async with thp.mocked_call_later(datetime=True):
                await asyncio.sleep(5)
                assert shown() == 5
            assert shown() == 1000


class TestComingBack:
    """After the block the date is real."""

    @pytest.mark.parametrize("error", [None, ZeroDivisionError, asyncio.CancelledError], ids=str)
    @pytest.mark.proves("T14", "T15", "B6")
    async def test_the_date_is_real_however_the_block_is_left(self, error: type[BaseException] | None) -> None:
        """Nothing of `datetime` or `time` stays replaced."""
        before = datetime, time.time, time.monotonic

        async def body() -> None:
            async with thp.mocked_call_later(datetime=True):
                assert not is_real(datetime.now())
                if error is not None:
                    raise error

        (result,) = await asyncio.gather(body(), return_exceptions=True)

        assert isinstance(result, error or type(None))
        assert (datetime, time.time, time.monotonic) == before
        assert is_real(datetime.now())
        assert is_real(datetime.fromtimestamp(time.time()))


class TestThoseWhoDoNotAsk:
    """Without `datetime=True` nothing of this happens."""

    @pytest.mark.proves("T14")
    async def test_the_date_stays_real(self) -> None:
        """Only the time is virtual."""
        async with thp.mocked_call_later():
            await asyncio.sleep(3600)
            assert is_real(datetime.now())

    @pytest.mark.proves("T14", "P1")
    def test_the_package_is_not_even_imported(self) -> None:
        """A block without it works, at no cost, where `time-machine` is not there."""
        code = """
            import asyncio, sys
            from machinery import test_helpers as thp

            async def main():
                async with thp.mocked_call_later():
                    await asyncio.sleep(3600)
                assert "time_machine" not in sys.modules

            sys.modules.pop("time_machine", None)
            asyncio.run(main())
        """
        lines = "\n".join(line[12:] for line in code.splitlines())
        subprocess.run([sys.executable, "-c", lines], check=True)

    @pytest.mark.proves("T14", "T18")
    async def test_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the package entering raises, and nothing has been replaced."""
        monkeypatch.setitem(sys.modules, "time_machine", None)
        loop = asyncio.get_running_loop()
        before = state_of(loop)

        with pytest.raises(
            ImportError,
            match=r"^datetime=True needs the package time-machine: install it, or this project with its extra .*$",
        ):
            async with thp.mocked_call_later(datetime=True):
                pytest.fail("entered")

        assert state_of(loop) == before
