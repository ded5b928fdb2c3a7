"""Exact arithmetic of virtual time: whole ticks and decimals. Knows nothing of event loops.

PYTEST_DONT_REWRITE
"""

from functools import lru_cache
from math import ceil, inf, isfinite, log10, ulp
from typing import Any

NEVER = inf

Moment = int | float
"""A deadline in ticks since the start of its clock: an int if it is on a tick, else a float, which may be infinite.

Of floats between two ticks only whole subticks are used. Ints that fit into one digit of CPython's, as ticks do and
subticks would not, save 6 % of what a sleep takes.
"""

_MOST_CACHED = 1000
_LEAST_NOISE = 1e-10
"""Nearer than this to a tick, in ticks, is on the tick."""
_MOST_NOISE = 4e-7
"""In seconds: a microsecond is no noise."""
_EXACT_FLOAT = 2.0**53
"""Up to here every whole number is a float of its own."""


class Clock:
    """A clock that stands on whole ticks and shows decimals without float noise.

    Times are computed with integers from the number of ticks since the start, so there is no drift.
    """

    __slots__ = (
        *("_most_noise", "_per_second", "_scale", "_start", "_step", "_subticks", "_ticks_cache"),
        *("now", "precision", "tick"),
    )

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

        self._scale, self._start, self._step, self._subticks = _units(start, self.precision)
        self._per_second = 0 if self._scale % self._step else self._scale // self._step
        """0 if that is not a whole number."""
        self._most_noise = _MOST_NOISE / self.precision
        self._ticks_cache: dict[float, int] = {}
        self.reach(0)

    def reach(self, moment: Moment) -> None:
        """Stand on the first tick at which a deadline is due."""
        self.tick = tick = moment if type(moment) is int else ceil(moment)
        self.now = (self._start + tick * self._step) / self._scale

    def now_ns(self) -> int:
        """Return the current time in whole nanoseconds, rounded down."""
        return int((self._start + self.tick * self._step) * 1_000_000_000 // self._scale)

    def passed(self) -> float:
        """Return the seconds since the start."""
        return self.tick * self._step / self._scale

    def tick_of(self, moment: Moment) -> Moment:
        """Return the first tick at which a deadline is due; plus or minus infinity as they are."""
        return moment if type(moment) is int or not isfinite(moment) else ceil(moment)

    def later(self, delay: float) -> tuple[Moment, float]:
        """Return the moment that is ``delay`` seconds from now, and its time in seconds."""
        __tracebackhide__ = True
        if type(delay) is int and delay > 0 and self._per_second:
            moment: Moment = self.tick + delay * self._per_second
        elif type(delay) is float and (ticks := self._ticks_cache.get(delay)) is not None:
            moment = self.tick + ticks
        else:
            delay = _as_float(delay)
            moment = self._moment_after(delay)
            if type(moment) is not int:
                return moment, self.now + delay
        try:
            return moment, (self._start + moment * self._step) / self._scale
        except OverflowError:
            return (NEVER, NEVER) if delay > 0 else (-NEVER, -NEVER)

    def at(self, when: float) -> tuple[Moment, float]:
        """Return the moment of a time in seconds, and that time."""
        __tracebackhide__ = True
        when = _as_float(when)
        delay = when - self.now
        whole = self._ticks_cache.get(delay)
        if whole is not None:
            return self.tick + whole, when
        ticks = delay / self.precision
        if not isfinite(ticks):
            if ticks != ticks:
                raise ValueError("a delay or time must be a number of seconds, got nan")
            return ticks, when
        whole = round(ticks)
        # Then the exact computation gives the same.
        if whole > 0 and abs(ticks - whole) <= _LEAST_NOISE:
            return self.tick + whole, when
        moment = self._moment_of(when)
        if when > self.now and moment <= self.tick:
            moment = self._between_ticks(self.tick, 1)
        return moment, when

    def deadline(self, moment: Moment, when: float) -> float:
        """Return the time of a moment without float noise; ``when`` is what :meth:`at` or :meth:`later` gave."""
        if type(moment) is int:
            return (self._start + moment * self._step) / self._scale
        return shortest_decimal(when) if isfinite(moment) else when

    def until(self, moment: Moment, when: float) -> float:
        """Return how many seconds from now a moment is, without float noise; between ticks, to a microsecond or better.

        :param when: what :meth:`at` or :meth:`later` gave with the moment.
        """
        if type(moment) is int:
            return (moment - self.tick) * self._step / self._scale
        delay = when - self.now
        noise = ulp(when) + ulp(self.now)
        return round(delay, max(6, int(-log10(noise)))) if isfinite(moment) else delay

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
            + min(1e-12 * abs(whole), 1e-5, self._most_noise)
            + 4e-16 * (abs(when) + abs(self._start / self._scale)) / self.precision
        )
        if abs(ticks - whole * unit) / unit <= noise:
            return whole
        # Never on the earlier tick, however coarse the parts of a tick are.
        return self._between_ticks(0, max(_rounded(ticks * self._subticks, unit), ticks // unit * self._subticks + 1))

    def _moment_after(self, delay: float) -> Moment:
        """Return the moment that is ``delay`` seconds from now, on a tick but for float noise if that is what it is.

        A delay above zero is never counted as zero: code that sleeps for what remains until its deadline would find the
        clock where it was, and sleep again for ever (python/cpython#116342).
        """
        __tracebackhide__ = True
        ticks = delay / self.precision
        if not isfinite(ticks):
            if ticks != ticks:
                raise ValueError("a delay or time must be a number of seconds, got nan")
            return ticks
        if delay <= 0:
            subticks = ticks * self._subticks
            return self._between_ticks(self.tick, round(subticks)) if isfinite(subticks) else subticks
        whole = round(ticks)
        # By rounding alone, a float can be this far from a whole number of ticks.
        # The first part covers sums of some ten thousand floats, and stays far below a tick and a microsecond.
        # The second covers what the time now or one very long delay loses as a float.
        noise = (
            _LEAST_NOISE + min(1e-12 * ticks, 1e-3, self._most_noise) + 4e-16 * (ticks + abs(self.now) / self.precision)
        )
        if not whole or abs(ticks - whole) > noise:
            return self._between_ticks(self.tick, max(round(ticks * self._subticks), int(ticks) * self._subticks + 1))
        # A sum with noise of its own hardly ever comes again.
        is_exact = delay < _EXACT_FLOAT and whole * self._step / self._scale == delay
        if is_exact and len(self._ticks_cache) < _MOST_CACHED:
            self._ticks_cache[delay] = whole
        return self.tick + whole

    def _between_ticks(self, tick: int, subticks: int) -> Moment:
        """Return the moment that is so many subticks from a tick."""
        whole, rest = divmod(subticks, self._subticks)
        tick += whole
        if not rest:
            return tick
        moment = tick + rest / self._subticks
        # A float that cannot hold the part of a tick, far from the start, is replaced by the tick that serves it.
        return moment if tick < moment < tick + 1 else tick + 1


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


@lru_cache(maxsize=100)
def _units(start: float, precision: float) -> tuple[int, int, int, int]:
    """Return how many units a second has, and how many units the start and a tick are, and the subticks of a tick."""
    start_digits, start_exponent = _decimal(start)
    step_digits, step_exponent = _decimal(precision)
    exponent = min(start_exponent, step_exponent, 0)
    return (
        10**-exponent,
        start_digits * 10 ** (start_exponent - exponent),
        step_digits * 10 ** (step_exponent - exponent),
        _subticks(1 + abs(start) / precision),
    )


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
