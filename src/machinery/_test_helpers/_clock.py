"""Exact arithmetic of virtual time: whole ticks and decimals. Knows nothing of event loops.

PYTEST_DONT_REWRITE
"""

from math import inf, isfinite, log10, ulp
from typing import Any

NEVER = inf

Moment = int | float
"""A deadline in subticks since the start of its clock, or plus or minus infinity. Only the clock looks inside."""

_MOST_CACHED = 1000
_LEAST_NOISE = 1e-10
"""Nearer than this to a tick, in ticks, is on the tick."""
_EXACT_FLOAT = 2.0**53
"""Up to here every whole number is a float of its own."""


class Clock:
    """A clock that stands on whole ticks and shows decimals without float noise.

    Times are computed with integers from the number of ticks since the start, so there is no drift.
    """

    __slots__ = ("_scale", "_start", "_step", "_subticks", "_ticks_cache", "moment", "now", "precision", "tick")

    def __init__(self, *, start_time: object, precision: object) -> None:
        start = finite("start_time", start_time)
        self.precision = finite("precision", precision)
        if self.precision <= 0:
            raise ValueError(f"precision must be greater than 0 seconds, got {precision!r}")
        if self.precision < ulp(start):
            raise ValueError(
                f"precision of {precision!r} seconds is too fine for start_time {start_time!r}:"
                f" floats there are {ulp(start)!r} seconds apart; use a coarser precision or an earlier start_time"
            )

        start_digits, start_exponent = _decimal(start)
        step_digits, step_exponent = _decimal(self.precision)
        exponent = min(start_exponent, step_exponent, 0)
        self._scale: int = 10**-exponent
        self._start: int = start_digits * 10 ** (start_exponent - exponent)
        self._step: int = step_digits * 10 ** (step_exponent - exponent)
        self._subticks = _subticks(1 + abs(start) / self.precision)
        self._ticks_cache: dict[float, int] = {}
        self.move_to(0)

    def move_to(self, tick: float) -> None:
        """Stand on this tick."""
        self.tick = tick
        self.moment: Moment = tick * self._subticks
        self.now = (self._start + tick * self._step) / self._scale

    def reach(self, moment: Moment) -> None:
        """Stand on the first tick at which a deadline is due."""
        self.tick = tick = -(-moment // self._subticks)
        self.moment = tick * self._subticks
        self.now = (self._start + tick * self._step) / self._scale

    def now_ns(self) -> int:
        """Return the current time in whole nanoseconds, rounded down."""
        return int((self._start + self.tick * self._step) * 1_000_000_000 // self._scale)

    def passed(self) -> float:
        """Return the seconds since the start."""
        return self.tick * self._step / self._scale

    def tick_of(self, moment: Moment) -> float:
        """Return the first tick at which a deadline is due."""
        return -(-moment // self._subticks) if type(moment) is int else moment

    def due_at(self, moment: Moment) -> Moment:
        """Return the moment of the first tick at which a deadline is due."""
        return self.tick_of(moment) * self._subticks

    def later(self, delay: float) -> tuple[Moment, float]:
        """Return the moment that is ``delay`` seconds from now, and its time in seconds."""
        __tracebackhide__ = True
        if type(delay) is not float and type(delay) is not int:
            delay = _as_float(delay)
        ticks = self._ticks_cache.get(delay)
        try:
            if ticks is None:
                subticks, is_whole = self._count(delay)
                if not is_whole:
                    return self.moment + subticks, self.now + delay
                ticks = int(subticks) // self._subticks
            tick = self.tick + ticks
            return tick * self._subticks, (self._start + tick * self._step) / self._scale
        except OverflowError:
            return (NEVER, NEVER) if delay > 0 else (-NEVER, -NEVER)

    def at(self, when: float) -> tuple[Moment, float]:
        """Return the moment of a time in seconds, and that time."""
        __tracebackhide__ = True
        when = _as_float(when)
        ticks = (when - self.now) / self.precision
        if not isfinite(ticks):
            if ticks != ticks:
                raise ValueError("a delay or time must be a number of seconds, got nan")
            return ticks, when
        whole = round(ticks)
        # Then the exact computation gives the same.
        if whole > 0 and abs(ticks - whole) <= _LEAST_NOISE:
            return (int(self.tick) + whole) * self._subticks, when
        moment = self._moment_of(when)
        return (max(moment, self.moment + 1) if when > self.now else moment), when

    def deadline(self, moment: Moment, when: float) -> float:
        """Return the time of a moment without float noise; ``when`` is what :meth:`at` or :meth:`later` gave."""
        if type(moment) is not int:
            return when
        ticks, rest = divmod(moment, self._subticks)
        return shortest_decimal(when) if rest else (self._start + ticks * self._step) / self._scale

    def until(self, moment: Moment, when: float) -> float:
        """Return how many seconds from now a moment is, without float noise."""
        ticks, rest = divmod(moment - self.moment, self._subticks)
        return round(when - self.now, 6) if rest else ticks * self._step / self._scale

    def _moment_of(self, when: float) -> Moment:
        """Return the moment of a time in seconds, which does not depend on the time now.

        Equal times have to be equal moments whenever they are asked for, and so nothing is rounded on the way.
        """
        numerator, denominator = when.as_integer_ratio()
        ticks, unit = numerator * self._scale - self._start * denominator, denominator * self._step
        whole = _rounded(ticks, unit)
        # As for delays, but what is added up to a time is seldom more than some intervals of equal length.
        noise = (
            _LEAST_NOISE
            + min(1e-12 * abs(whole), 1e-5)
            + 4e-16 * (abs(when) + abs(self._start / self._scale)) / self.precision
        )
        if abs(ticks - whole * unit) / unit <= noise:
            return whole * self._subticks
        # Never on the earlier tick, however coarse the parts of a tick are.
        return max(_rounded(ticks * self._subticks, unit), ticks // unit * self._subticks + 1)

    def _count(self, delay: float) -> tuple[Moment, bool]:
        """Return how many subticks a delay is, and whether it is a whole number of ticks but for float noise.

        A delay above zero is never counted as zero: code that sleeps for what remains until its deadline would find the
        clock where it was, and sleep again for ever (python/cpython#116342).
        """
        __tracebackhide__ = True
        ticks = delay / self.precision
        if not isfinite(ticks):
            if ticks != ticks:
                raise ValueError("a delay or time must be a number of seconds, got nan")
            return ticks, False
        if delay <= 0:
            subticks = ticks * self._subticks
            return round(subticks) if isfinite(subticks) else subticks, not ticks
        whole = round(ticks)
        # By rounding alone, a float can be this far from a whole number of ticks.
        # The first part covers sums of some ten thousand floats, and stays far below a tick.
        # The second covers what the time now or one very long delay loses as a float.
        noise = min(_LEAST_NOISE + 1e-12 * ticks, 1e-3) + 4e-16 * (ticks + abs(self.now) / self.precision)
        if not whole or abs(ticks - whole) > noise:
            return max(round(ticks * self._subticks), int(ticks) * self._subticks + 1), False
        # A sum with noise of its own hardly ever comes again.
        is_exact = delay < _EXACT_FLOAT and whole * self._step / self._scale == delay
        if is_exact and len(self._ticks_cache) < _MOST_CACHED:
            self._ticks_cache[delay] = whole
        return whole * self._subticks, True


def finite(name: str, value: object) -> float:
    """Return an argument as a float; raise ``TypeError`` or ``ValueError`` unless it is a finite number."""
    __tracebackhide__ = True
    number = value if type(value) is float else _seconds(name, value)
    if not isfinite(number):
        raise ValueError(f"{name} must be a finite number of seconds, got {value!r}")
    return number


def not_negative(name: str, value: object) -> float:
    """Return an argument as a float; raise ``TypeError`` or ``ValueError`` unless it is a number from 0 to infinity."""
    __tracebackhide__ = True
    number = _seconds(name, value)
    if not number >= 0:
        raise ValueError(f"{name} must be 0 seconds or more, got {value!r}")
    return number


def _subticks(ticks: float) -> int:
    """Return into how many parts a tick is divided, on a clock that starts so many ticks from zero.

    Deadlines that differ only by the noise of floats of this size have to be equal, so they must not lie where rounding
    to a part is a matter of noise. With these numbers, short decimals do not.
    """
    finest = 2**46 / ticks
    power = 10 ** min(8, int(log10(finest))) if finest >= 1 else 1
    return next((parts for parts in (8 * power, 4 * power, 8 * power // 10) if 1 < parts <= finest), 1)


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _as_float(time: float) -> float:
    """Return a time or delay as a float: some other numbers, such as numpy's, do not compute with full precision.

    :raises TypeError: if it is no real number; a ``Decimal`` is none.
    """
    return time if type(time) is float else _seconds("time", time, bool_too=True)


def shortest_decimal(time: float) -> float:
    """Return a time without the float noise of one addition: 0.15 for 0.1 + 0.05."""
    for digits in (15, 16):
        short = float(f"{time:.{digits}g}")
        if abs(short - time) <= ulp(time):
            return short
    return time


def _decimal(number: float) -> tuple[int, int]:
    """Return the digits of the decimal that a float prints as, and their power of ten."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    return int(whole + fraction), int(exponent or 0) - len(fraction)


def _seconds(name: str, value: Any, *, bool_too: bool = False) -> float:
    __tracebackhide__ = True
    if type(value) is not float and type(value) is not int:
        # Imported only here: it takes a tenth of this package's import time, and is hardly ever needed.
        from numbers import Real

        if (isinstance(value, bool) and not bool_too) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        # An integer that is too large for a float.
        return inf if value > 0 else -inf
