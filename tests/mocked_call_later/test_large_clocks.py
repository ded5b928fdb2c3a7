"""Clocks that are far from zero, where floats are coarse, and ticks that are fine."""

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from machinery import test_helpers as thp
from machinery._test_helpers._clock import Clock
from machinery._test_helpers._dates import _date_of

FIRST_SECOND = 2**31
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Not up to 2**33, after which a step of a float is longer than the finest of these ticks.
start_times = st.integers(FIRST_SECOND * 10_000, (2**33 - 10_000) * 10_000).map(lambda parts: parts / 10_000)
precisions = st.sampled_from([0.001, 0.01, 0.0625, 0.1, 0.3, 0.7, 1, 60])
fine_precisions = st.sampled_from([1e-6, 2e-6, 1e-5, 1e-4])
few_ticks = st.integers(0, 10_000)
# In thousandths of a tick. Of deadlines between ticks, only those at short decimals are equal for sure at late starts.
parts_of_ticks = st.sampled_from([part for part in range(1, 1000) if part % 10 == 0 or part % 25 == 0])


def exact(number: float) -> Fraction:
    """Return what a person means by a float."""
    return Fraction(repr(number))


@pytest.mark.proves("T1", "T2")
@given(start_times, precisions | fine_precisions, few_ticks)
def test_the_clock_its_nanoseconds_and_its_date_are_those_of_the_exact_time(
    start_time: float, precision: float, tick: int
) -> None:
    """Each is rounded once: to the nearest float, and down to a whole nanosecond or microsecond."""
    clock = Clock(start_time=start_time, precision=precision)
    clock.reach(tick)

    time_now = exact(start_time) + tick * exact(precision)
    assert clock.now == float(time_now)
    assert clock.now_ns() == math.floor(time_now * 10**9)
    assert _date_of(clock) - EPOCH == timedelta(microseconds=math.floor(time_now * 10**6))
    assert clock.passed() == float(tick * exact(precision))


@pytest.mark.proves("T14")
@pytest.mark.parametrize("start_time", [-5.25, 0.1, 1_777_636_800.1234, 2.0**31 + 0.7, 253_000_000_000.7])
@pytest.mark.parametrize("precision", [1e-4, 0.0123])
async def test_the_date_is_the_time_in_microseconds_at_every_tick(start_time: float, precision: float) -> None:
    """Before 1970 and far in the future too."""
    async with thp.mocked_call_later(datetime=True, start_time=start_time, precision=precision):
        wrong = []
        for _ in range(100):
            if (datetime.now(UTC) - EPOCH) // timedelta(microseconds=1) != time.time_ns() // 1000:
                wrong.append(time.time_ns())
            await asyncio.sleep(precision)

    assert wrong == []


@pytest.mark.proves("T14")
@pytest.mark.parametrize("start_time", [0.3, 1_777_636_800.1234])
async def test_who_sleeps_for_what_remains_until_a_date_wakes_on_that_date(start_time: float) -> None:
    """Not a microsecond before it, so that one sleep is enough."""
    async with thp.mocked_call_later(datetime=True, start_time=start_time, precision=1e-3):
        for milliseconds in range(1, 60):
            date = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2, milliseconds=milliseconds)
            remaining = (date - datetime.now(UTC)).total_seconds()
            await asyncio.sleep(remaining)

            assert date <= datetime.now(UTC) < date + timedelta(milliseconds=1)


@pytest.mark.proves("T3")
@given(start_times, precisions | fine_precisions, few_ticks, st.integers(1, 1_000_000))
@example(FIRST_SECOND + 0.1, 0.001, 7, 3)
def test_a_time_that_is_a_tick_as_nearly_as_floats_can_tell_is_served_on_it(
    start_time: float, precision: float, tick: int, ticks: int
) -> None:
    """A float is wrong by half of its last digit at most, and so is the time now."""
    # Where a tick is hardly longer than a step of a float, a difference of two of them can be wrong by half a tick.
    assume(precision > 4 * math.ulp(start_time))
    clock = Clock(start_time=start_time, precision=precision)
    clock.reach(tick)
    deadline = float(exact(start_time) + (tick + ticks) * exact(precision))

    assert clock.tick_of(clock.at(deadline)[0]) == tick + ticks
    assert clock.tick_of(clock.later(deadline - clock.now)[0]) == tick + ticks


@pytest.mark.proves("T3")
@given(start_times, precisions, few_ticks, st.integers(1, 1_000_000))
@example(FIRST_SECOND + 0.1, 0.001, 7, 3)
def test_a_time_that_floats_can_tell_from_a_tick_is_served_on_the_next_one(
    start_time: float, precision: float, tick: int, ticks: int
) -> None:
    """A hundredth of a tick after it, which is ten steps of a float or more."""
    clock = Clock(start_time=start_time, precision=precision)
    clock.reach(tick)
    deadline = float(exact(start_time) + (tick + ticks + Fraction(1, 100)) * exact(precision))
    assume(deadline - float(exact(start_time) + (tick + ticks) * exact(precision)) > 10 * math.ulp(deadline))

    assert clock.tick_of(clock.at(deadline)[0]) == tick + ticks + 1
    assert clock.tick_of(clock.later(deadline - clock.now)[0]) == tick + ticks + 1


@pytest.mark.proves("T5")
@given(start_times, precisions, st.tuples(few_ticks, few_ticks), parts_of_ticks)
@example(FIRST_SECOND + 0.5, 0.1, (0, 5), 500)
@example(1_777_636_800.1234, 0.001, (0, 7), 25)
@example(1_777_636_800.1234, 0.001, (8, 1), 75)
def test_equal_deadlines_between_ticks_are_equal_however_and_whenever_they_are_set(
    start_time: float, precision: float, ticks: tuple[int, int], part: int
) -> None:
    """By their delay or by their time, early or late."""
    clock = Clock(start_time=start_time, precision=precision)
    # Nearer to a tick than floats can tell for sure, it may count as that tick.
    assume(min(part, 1000 - part) / 1000 * precision > 16 * math.ulp(start_time))
    deadline = max(ticks) + 10 + Fraction(part, 1000)
    when = float(exact(start_time) + deadline * exact(precision))
    moments = set()
    for tick in ticks:
        clock.reach(tick)
        delay = float((deadline - tick) * exact(precision))
        moments |= {clock.later(delay)[0], clock.at(when)[0], clock.at(clock.now + delay)[0]}

    assert len(moments) == 1


@pytest.mark.proves("T5")
@given(start_times, precisions | fine_precisions, st.tuples(few_ticks, few_ticks), st.floats(0, 1000))
def test_one_time_is_one_moment_whenever_it_is_asked_for(
    start_time: float, precision: float, ticks: tuple[int, int], later: float
) -> None:
    """Also where it is no decimal that a person would write, and where ticks are as fine as floats."""
    clock = Clock(start_time=start_time, precision=precision)
    clock.reach(max(ticks))
    when = clock.now + 1 + later
    # A clock that starts just below a power of two gets to where floats are further apart than its ticks.
    assume(precision >= math.ulp(when))
    moments = set()
    for tick in ticks:
        clock.reach(tick)
        moments.add(clock.at(when)[0])

    assert len(moments) == 1


@pytest.mark.proves("T5")
@given(start_times, precisions | fine_precisions, st.tuples(few_ticks, few_ticks), st.tuples(*[st.floats(1, 1000)] * 2))
def test_an_earlier_time_is_never_due_after_a_later_one(
    start_time: float, precision: float, ticks: tuple[int, int], seconds: tuple[float, float]
) -> None:
    """Whichever of them is asked for first."""
    clock = Clock(start_time=start_time, precision=precision)
    clock.reach(max(ticks))
    earlier, later = sorted(clock.now + each for each in seconds)
    assume(precision >= math.ulp(later))
    clock.reach(ticks[0])
    first, _ = clock.at(earlier)
    clock.reach(ticks[1])
    second, _ = clock.at(later)

    assert first <= second


@pytest.mark.proves("T3")
@given(start_times, precisions | fine_precisions, few_ticks, st.integers(-3, 3))
def test_times_around_now_are_due_at_once_or_later_as_they_compare(
    start_time: float, precision: float, tick: int, steps: int
) -> None:
    """Who waits until a time that is later than now never finds the clock where it was."""
    clock = Clock(start_time=start_time, precision=precision)
    clock.reach(tick)
    when = clock.now + steps * math.ulp(clock.now)

    moment, _ = clock.at(when)

    assert (moment > clock.tick) == (when > clock.now)


@pytest.mark.proves("R2", "T19")
@given(start_times, precisions, few_ticks, st.integers(1, 10_000), st.sampled_from([0, 250, 500]))
def test_deadlines_and_what_remains_until_them_have_no_noise_of_floats(
    start_time: float, precision: float, tick: int, ticks: int, part: int
) -> None:
    """Ticks subtract exactly, and between ticks what remains is exact to the microsecond."""
    clock = Clock(start_time=start_time, precision=precision)
    clock.reach(tick)
    delay = (ticks + Fraction(part, 1000)) * exact(precision)

    moment, when = clock.later(float(delay))

    shown = clock.deadline(moment, when)
    if not part:
        assert shown == float(exact(start_time) + tick * exact(precision) + delay)
        assert clock.until(moment, when) == float(delay)
    else:
        assert abs(shown - when) <= math.ulp(when)
        assert len(repr(shown)) <= len(repr(when))
        assert clock.until(moment, when) == pytest.approx(float(delay), abs=1.5e-6)


@pytest.mark.proves("T5", "T19")
async def test_timers_of_equal_deadlines_on_a_large_clock_fire_in_the_order_in_which_they_were_set() -> None:
    """Those between ticks, too, set at different times and in different ways."""
    loop = asyncio.get_running_loop()
    called: list[int] = []
    async with thp.mocked_call_later(start_time=1_777_636_800.1234) as m:
        start = loop.time()
        for number in range(1, 8):
            remaining = float(10 * exact(0.1) + exact(0.0371) - (number - 1) * exact(0.1))
            if number % 2:
                loop.call_later(remaining, called.append, number)
            else:
                loop.call_at(float(exact(start) + exact(1.0371)), called.append, number)
            await asyncio.sleep(0.1)
        assert m.pending == [1777636801.1605] * 7
        await asyncio.sleep(1)

    assert called == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.proves("T19")
@pytest.mark.parametrize("delay", [0, -1, -math.inf])
async def test_a_timer_that_is_due_at_once_is_pending_until_it_has_fired(delay: float) -> None:
    """It is in one of the two lists at any moment."""
    loop = asyncio.get_running_loop()
    seen: list[tuple[list[float], list[float]]] = []
    async with thp.mocked_call_later(start_time=5) as m:
        note = lambda: seen.append((list(m.pending), list(m.called_times)))  # noqa: E731
        loop.call_later(delay, note)
        loop.call_soon(note)
        await asyncio.sleep(1)

    assert seen == [([5.0 + delay, 6.0], []), ([6.0], [5.0])]


@pytest.mark.proves("T5", "T19")
async def test_more_than_a_hundred_timers_around_and_between_others_fire_in_order() -> None:
    """What is set later may be due before and after what was there."""
    loop = asyncio.get_running_loop()
    called: list[tuple[int, int]] = []
    async with thp.mocked_call_later(precision=0.01) as m:
        expected = []
        for number in range(400):
            tenth = number * 137 % 400
            loop.call_later(1 + tenth / 10, called.append, (tenth, number))
            loop.call_later(1 + tenth // 2 / 5, called.append, (tenth // 2 * 2, 400 + number))
            expected += [(tenth, 2 * number, number), (tenth // 2 * 2, 2 * number + 1, 400 + number)]
        order = [(tenth, number) for tenth, _, number in sorted(expected)]
        assert m.pending == [1 + tenth / 10 for tenth, _ in order]
        await asyncio.sleep(20.05)
        # Newer ones on both sides of what is left, and among it.
        newer = [(tenth, 1000 + tenth) for tenth in (399, 195, 250, 203, 194)]
        for tenth, number in newer:
            loop.call_at(1 + tenth / 10, called.append, (tenth, number))
        await asyncio.sleep(100)

    first = [each for each in order if 1 + each[0] / 10 <= 20.05]
    rest = sorted([*order[len(first) :], *newer], key=lambda each: each[0])
    assert called == first + rest
