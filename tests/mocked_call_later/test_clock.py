"""The arithmetic of virtual time, held against exact decimals."""

import math
import sys
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from machinery._test_helpers._clock import NEVER, Clock

PRECISIONS = [1e-6, 0.001, 0.01, 0.0625, 0.1, 0.25, 0.3, 1 / 3, 0.7, 1, 2.5, 60]
START_TIMES = [0, -5, 0.123, 1e6, 1700000000, 1700000000.123, 4102444799.5]

clocks = st.builds(Clock, start_time=st.sampled_from(START_TIMES), precision=st.sampled_from(PRECISIONS))
few_ticks = st.integers(min_value=1, max_value=10_000)


def exact(number: float) -> Fraction:
    """Return what a person means by a float."""
    return Fraction(Decimal(repr(number)))


def time_at(clock: Clock, tick: int) -> float:
    """Return the time of a tick."""
    before = int(clock.tick)
    clock.reach(tick)
    time = clock.now
    clock.reach(before)
    return time


def advance(clock: Clock, moment: float) -> None:
    """Stand where a deadline is served."""
    clock.reach(moment)


@pytest.mark.proves("T2")
@given(
    start_time=st.sampled_from(START_TIMES),
    precision=st.sampled_from(PRECISIONS),
    steps=st.lists(few_ticks, max_size=30),
)
@example(start_time=0, precision=0.1, steps=[1] * 30)
def test_many_steps_lead_to_the_very_float_that_one_exact_sum_gives(
    start_time: float, precision: float, steps: list[int]
) -> None:
    """However often the clock moves by whole ticks, nothing drifts."""
    clock = Clock(start_time=start_time, precision=precision)

    for step in steps:
        moment, _ = clock.later(float(step * exact(precision)))
        advance(clock, moment)

    assert clock.now == float(exact(start_time) + sum(steps) * exact(precision))
    assert clock.tick == sum(steps)


@pytest.mark.proves("T2")
@pytest.mark.parametrize(
    ("start_time", "precision", "ticks", "shown"),
    [
        pytest.param(0, 0.1, 3, "0.3", id="three-tenths"),
        pytest.param(0, 0.1, 30, "3.0", id="thirty-tenths"),
        pytest.param(1700000000.123, 0.1, 3, "1700000000.423", id="epoch"),
        pytest.param(1700000000, 0.001, 1, "1700000000.001", id="epoch-milliseconds"),
        pytest.param(-1, 0.7, 3, "1.1", id="sevenths-from-below-zero"),
        pytest.param(0, 1e-9, 7, "7e-09", id="nanoseconds"),
    ],
)
def test_the_clock_shows_the_decimal_that_a_person_would_write(
    start_time: float, precision: float, ticks: int, shown: str
) -> None:
    """No digits of binary fractions are seen."""
    clock = Clock(start_time=start_time, precision=precision)

    clock.reach(ticks)

    assert repr(clock.now) == shown


@pytest.mark.proves("T1", "T2")
@given(start_time=st.sampled_from(START_TIMES), precision=st.sampled_from(PRECISIONS), tick=few_ticks)
@example(start_time=1700000000.123, precision=0.1, tick=3)
def test_nanoseconds_are_those_of_the_exact_time(start_time: float, precision: float, tick: int) -> None:
    """What a float can only come near to, an integer has exactly."""
    clock = Clock(start_time=start_time, precision=precision)

    clock.reach(tick)

    assert clock.now_ns() == math.floor((exact(start_time) + tick * exact(precision)) * 10**9)


@pytest.mark.proves("T3")
@given(
    precision=st.sampled_from(PRECISIONS),
    tick=few_ticks,
    ticks=st.integers(min_value=1, max_value=1_000_000).map(lambda tenths: Fraction(tenths, 10)),
)
def test_a_delay_is_served_on_the_first_tick_that_is_not_early(precision: float, tick: int, ticks: Fraction) -> None:
    """A part of a tick counts as a whole one, and a whole tick as no more."""
    clock = Clock(start_time=0, precision=precision)
    clock.reach(tick)

    moment, when = clock.later(float(ticks * exact(precision)))

    assert clock.tick_of(moment) == tick + math.ceil(ticks)
    assert when == pytest.approx(float((tick + ticks) * exact(precision)), rel=1e-15)


@pytest.mark.proves("T3")
@given(clock=clocks, tick=few_ticks, ticks=st.integers(min_value=1, max_value=1_000_000))
def test_a_time_made_from_the_clock_is_served_on_its_own_tick(clock: Clock, tick: int, ticks: int) -> None:
    """The rounding of `loop.time() + delay` costs no tick and saves none, also where floats are coarse."""
    clock.reach(tick)
    delay = time_at(clock, ticks) - time_at(clock, 0)

    moment, _ = clock.at(clock.now + delay)

    assert clock.tick_of(moment) == tick + ticks


@pytest.mark.proves("T3")
@given(precision=st.sampled_from(PRECISIONS), times=st.integers(min_value=1, max_value=10_000))
@example(precision=0.1, times=3)
def test_a_sum_of_many_floats_costs_no_tick(precision: float, times: int) -> None:
    """What has been added up one by one is rounded as if it had been multiplied."""
    clock = Clock(start_time=0, precision=precision)
    delay = 0.0
    for _ in range(times):
        delay += precision

    moment, when = clock.later(delay)

    assert clock.tick_of(moment) == times
    assert when == float(times * exact(precision))


@pytest.mark.proves("T3", "T5")
@given(
    clock=clocks,
    tick=few_ticks,
    delays=st.tuples(
        st.floats(min_value=-1000, max_value=1000, allow_subnormal=False),
        st.floats(min_value=-1000, max_value=1000, allow_subnormal=False),
    ),
)
@example(clock=Clock(start_time=0, precision=0.1), tick=0, delays=(1e-13, 0.05))
def test_a_shorter_delay_is_never_due_after_a_longer_one(clock: Clock, tick: int, delays: tuple[float, float]) -> None:
    """Rounding keeps the order."""
    clock.reach(tick)
    (shorter, _), (longer, _) = (clock.later(delay) for delay in sorted(delays))

    assert shorter <= longer


@pytest.mark.proves("T3")
@given(clock=clocks, tick=few_ticks, delay=st.floats(min_value=0, exclude_min=True, allow_infinity=False))
@example(clock=Clock(start_time=1.7e9, precision=1e-6), tick=3, delay=5e-324)
@example(clock=Clock(start_time=0, precision=60), tick=1, delay=sys.float_info.max)
def test_a_delay_above_zero_moves_the_clock_on(clock: Clock, tick: int, delay: float) -> None:
    """However short it is, whoever waits for it does not find the clock where it was."""
    clock.reach(tick)

    moment, _ = clock.later(delay)

    assert clock.tick_of(moment) > tick


@pytest.mark.proves("T3")
@given(clock=clocks, tick=few_ticks)
def test_the_next_float_after_now_is_in_the_future(clock: Clock, tick: int) -> None:
    """A deadline that is later by the least that a float can tell moves the clock on, so that nobody spins."""
    clock.reach(tick)

    assert clock.tick_of(clock.at(math.nextafter(clock.now, math.inf))[0]) > tick
    assert clock.tick_of(clock.at(clock.now)[0]) == tick


@pytest.mark.proves("T3")
@given(clock=clocks, tick=few_ticks, delay=st.floats(max_value=0))
def test_a_delay_of_zero_or_less_is_due_at_once(clock: Clock, tick: int, delay: float) -> None:
    """The past is now, back to minus infinity."""
    clock.reach(tick)

    moment, when = clock.later(delay)

    assert clock.tick_of(moment) <= tick
    assert when <= clock.now


@pytest.mark.proves("T3")
@pytest.mark.parametrize(
    ("precision", "delay"),
    [
        pytest.param(0.1, math.inf, id="infinite"),
        pytest.param(1e-9, 1e305, id="more ticks than a float can count"),
        pytest.param(1e300, 1.7e308, id="after the last float"),
    ],
)
def test_what_no_float_can_tell_is_never_due(precision: float, delay: float) -> None:
    """A delay that leads beyond the largest float is like an infinite one."""
    clock = Clock(start_time=0, precision=precision)
    clock.reach(10**8)

    moment, _ = clock.later(delay)

    assert moment == NEVER


@pytest.mark.proves("T2", "T3")
def test_many_different_delays_are_all_exact() -> None:
    """The thousandth kind of delay is counted like the first, and the first like itself when it comes again."""
    clock = Clock(start_time=0, precision=0.1)
    delays = [*range(3000), *range(3000)]

    later = [clock.later(delay / 10) for delay in delays]

    assert [(clock.tick_of(moment), when) for moment, when in later] == [(delay, delay / 10) for delay in delays]


@pytest.mark.proves("T3")
def test_an_infinite_time_never_comes() -> None:
    """Infinity is a time like a delay."""
    assert Clock(start_time=0, precision=0.1).at(math.inf) == (NEVER, math.inf)


@pytest.mark.proves("T3")
def test_a_long_delay_off_the_ticks_is_due_on_the_next_one() -> None:
    """Where floats are too coarse to hold the part of a tick, a positive delay still counts."""
    clock = Clock(start_time=0, precision=1)
    clock.reach(2**60)

    moment, _ = clock.later(0.5)

    assert clock.tick_of(moment) > 2**60


@pytest.mark.proves("T3")
def test_not_a_number_is_refused() -> None:
    """Neither a delay nor a time can be `nan`."""
    clock = Clock(start_time=0, precision=0.1)
    message = r"^a delay or time must be a number of seconds, got nan$"

    with pytest.raises(ValueError, match=message):
        clock.later(math.nan)
    with pytest.raises(ValueError, match=message):
        clock.at(math.nan)


@pytest.mark.proves("T18")
@pytest.mark.parametrize("start_time", START_TIMES)
def test_the_finest_precision_is_that_of_the_floats_around_the_start(start_time: float) -> None:
    """Two ticks differ at the finest precision that is allowed, and a finer one is refused."""
    finest = math.ulp(float(start_time))
    clock = Clock(start_time=start_time, precision=finest)

    assert time_at(clock, 0) != time_at(clock, 1)
    if start_time:
        with pytest.raises(ValueError, match=rf"^precision of {finest / 2!r} seconds is too fine for start_time .*$"):
            Clock(start_time=start_time, precision=finest / 2)


@pytest.mark.proves("T2", "T3")
@given(clock=clocks, tick=few_ticks, delay=st.integers(min_value=-100, max_value=10_000))
def test_a_whole_number_of_seconds_is_the_same_as_an_int_and_as_a_float(clock: Clock, tick: int, delay: int) -> None:
    """Integers are counted without floats, and come to the same."""
    clock.reach(tick)

    assert clock.later(delay) == clock.later(float(delay))


@pytest.mark.proves("T3", "T5")
@given(precision=st.sampled_from(PRECISIONS), tick=few_ticks, delays=st.lists(st.floats(0, 1000), min_size=2))
def test_deadlines_between_ticks_keep_their_order_and_are_due_on_the_tick_after(
    precision: float, tick: int, delays: list[float]
) -> None:
    """A moment is an int on a tick and a float between two, and both can be compared."""
    clock = Clock(start_time=0, precision=precision)
    clock.reach(tick)

    moments = [clock.later(delay)[0] for delay in sorted(delays)]

    assert moments == sorted(moments)
    assert all(moment <= clock.tick_of(moment) < moment + 1 for moment in moments)


@pytest.mark.proves("T2")
@pytest.mark.parametrize(("delay", "shown"), [(0.3, 0.3), (0.35, 0.35), (7, 7.0)])
def test_what_remains_until_a_deadline_is_a_short_decimal(delay: float, shown: float) -> None:
    """On a tick and between two."""
    clock = Clock(start_time=1_700_000_000, precision=0.1)
    for tick in (3, 36_000, 100_000_003):
        clock.reach(tick)

        assert clock.until(*clock.later(delay)) == shown
