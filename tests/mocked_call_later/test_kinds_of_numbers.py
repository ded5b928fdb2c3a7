"""What counts as a number of seconds, and what does not."""

import asyncio
import math
import numbers
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from machinery import test_helpers as thp

SetTimer = Callable[[asyncio.AbstractEventLoop, Any], asyncio.TimerHandle]


class Float32:
    """A number like those of numpy with 32 bits, which are real numbers but no floats, and have seven digits."""

    def __init__(self, value: float) -> None:
        self.value = float(f"{value:.7g}")

    def __float__(self) -> float:
        return self.value


numbers.Real.register(Float32)


def call_later(loop: asyncio.AbstractEventLoop, seconds: Any) -> asyncio.TimerHandle:
    """Set a timer by its delay."""
    return loop.call_later(seconds, int)


def call_at(loop: asyncio.AbstractEventLoop, seconds: Any) -> asyncio.TimerHandle:
    """Set a timer by its time."""
    return loop.call_at(seconds, int)


either = pytest.mark.parametrize("set_timer", [call_later, call_at])


@pytest.mark.proves("T3")
@either
@pytest.mark.parametrize("delay_before", [None, 0.5], ids=["first", "after-its-float"])
@pytest.mark.parametrize("value", [Decimal("0.5"), "0.5", None, 0.5j, timedelta(seconds=0.5)], ids=repr)
async def test_what_is_no_real_number_is_refused_whatever_was_there_before(
    set_timer: SetTimer, delay_before: float | None, value: object
) -> None:
    """Equal numbers share what has been computed for them, and yet a `Decimal` is no float."""
    loop = asyncio.get_running_loop()
    async with thp.mocked_call_later() as m:
        if delay_before is not None:
            await asyncio.sleep(delay_before)
        with pytest.raises(TypeError, match=r"^(delay must be a number of|when must be a time in) seconds, got .+$"):
            set_timer(loop, value)

        assert m.pending == []


@pytest.mark.proves("T3", "T19")
@either
@pytest.mark.parametrize("delay_before", [None, 0.5], ids=["first", "after-its-float"])
@pytest.mark.parametrize("value", [Fraction(1, 2), Float32(0.5)], ids=["fraction", "float32"])
async def test_other_real_numbers_count_as_the_float_that_they_are(
    set_timer: SetTimer, delay_before: float | None, value: object
) -> None:
    """Computing with them may lose digits, and so nothing is computed before they are floats."""
    loop = asyncio.get_running_loop()
    async with thp.mocked_call_later(start_time=0 if set_timer is call_at else 1_700_000_000) as m:
        if delay_before is not None and set_timer is call_later:
            await asyncio.sleep(delay_before)
        due = time.time() + 0.5
        timer = set_timer(loop, value)

        assert (m.pending, timer.when(), type(timer.when())) == ([due], due, float)
        await asyncio.sleep(1)
        assert m.called_times[-2:] == [due, due + 0.5]


@pytest.mark.proves("T3")
@either
@pytest.mark.parametrize("value", [True, 1], ids=repr)
async def test_integers_and_truth_values_are_numbers_as_in_asyncio(set_timer: SetTimer, value: object) -> None:
    """One second."""
    async with thp.mocked_call_later() as m:
        set_timer(asyncio.get_running_loop(), value)

        assert m.pending == [1.0]
        await asyncio.sleep(1)


@pytest.mark.proves("T3")
@either
async def test_integers_that_no_float_can_hold_are_infinite(set_timer: SetTimer) -> None:
    """They never come, or are due at once."""
    loop = asyncio.get_running_loop()
    async with thp.mocked_call_later() as m:
        never, now = set_timer(loop, 10**400), set_timer(loop, -(10**400))
        await m.add(1e6)

        assert (never.when(), now.when(), m.called_times) == (math.inf, -math.inf, [0.0])


@pytest.mark.proves("T9")
@pytest.mark.parametrize("value", [Decimal(1), "1", None, True], ids=repr)
async def test_add_refuses_what_is_no_number(value: Any) -> None:
    """With the name of its parameter."""
    async with thp.mocked_call_later() as m:
        with pytest.raises(TypeError, match=r"^amount must be a number of seconds, got .+$"):
            await m.add(value)


@pytest.mark.proves("T18")
@pytest.mark.parametrize("name", ["start_time", "precision", "autojump_threshold"])
@pytest.mark.parametrize("value", [Decimal(1), "1", True, date(2026, 1, 1), timedelta(seconds=1)], ids=repr)
async def test_arguments_that_are_no_numbers_are_refused(name: str, value: Any) -> None:
    """With the name of the argument."""
    with pytest.raises(TypeError, match=rf"^{name} must be a number of seconds, got .+$"):
        async with thp.mocked_call_later(**{name: value}):
            pytest.fail("entered")


@pytest.mark.proves("T18")
@pytest.mark.parametrize(
    ("start_time", "seconds"),
    [
        (datetime(2026, 3, 29, 12, tzinfo=UTC), 1774785600),
        (datetime(2026, 3, 29, 14, tzinfo=timezone(timedelta(hours=2))), 1774785600),
        (datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), -0.5),
        (datetime(9999, 12, 28, tzinfo=UTC), 253401955200),
    ],
)
async def test_an_aware_datetime_is_the_time_that_it_is(start_time: datetime, seconds: float) -> None:
    """In whatever time zone, before 1970 too, with dates and without."""
    for dates in (False, True):
        async with thp.mocked_call_later(start_time=start_time, datetime=dates):
            assert time.time() == seconds


@pytest.mark.proves("T18")
async def test_a_date_for_datetime_is_refused() -> None:
    """It would be taken as true, and the date to start at would be lost."""
    date: Any = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(TypeError, match=r"^datetime must be True or False, got datetime\.datetime\(.*start_time$"):
        async with thp.mocked_call_later(datetime=date):
            pytest.fail("entered")


@pytest.mark.proves("T14", "T18")
@pytest.mark.parametrize(
    ("start_time", "precision"), [(1e18, 1e3), (1e300, 1e290), (-1e300, 1e290), (253402300800, 1), (-62135596801, 1)]
)
async def test_a_number_that_is_no_date_is_refused_only_where_dates_are_asked_for(
    start_time: float, precision: float
) -> None:
    """The error names the argument and its value."""
    async with thp.mocked_call_later(start_time=start_time, precision=precision):
        assert time.time() == start_time
    with pytest.raises(
        ValueError,
        match=r"^with datetime=True, start_time must be a date from 0001-01-03 to 9999-12-28, got ",
    ) as e:
        async with thp.mocked_call_later(start_time=start_time, precision=precision, datetime=True):
            pytest.fail("entered")

    assert str(e.value).endswith(f", got {float(start_time)!r} seconds since 1970")
