"""The arithmetic of virtual time: whole ticks, exact, and knowing nothing of any event loop."""

import math

NEVER = math.inf

_REMEMBERED = 1000
"""How many different delays are remembered by their number of ticks: code mostly waits for the same few."""

_EXACT = 2.0**53
"""Up to here, each whole number has a float of its own."""


class Clock:
    """A clock that stands on whole ticks and reads as a person would write it.

    A moment is counted in ticks since the start: an ``int`` on a tick, a ``float`` for a deadline between two.
    Times are computed from that count with integers alone, so that nothing drifts however often the clock moves.
    """

    __slots__ = ("_parts", "_scale", "_start", "_step", "_whole", "now", "precision", "tick")

    def __init__(self, *, start_time: float, precision: float) -> None:
        start = finite("start_time", start_time)
        self.precision = finite("precision", precision)
        if self.precision <= 0:
            raise ValueError(f"precision must be greater than 0 seconds, got {precision!r}")
        if self.precision < math.ulp(start):
            raise ValueError(
                f"precision of {precision!r} seconds is too fine for start_time {start_time!r}:"
                f" floats there are {math.ulp(start)!r} seconds apart; use a coarser precision or an earlier start_time"
            )

        start_digits, start_exponent = _as_written(start)
        step_digits, step_exponent = _as_written(self.precision)
        exponent = min(start_exponent, step_exponent, 0)
        self._scale: int = 10**-exponent
        self._start: int = start_digits * 10 ** (start_exponent - exponent)
        self._step: int = step_digits * 10 ** (step_exponent - exponent)
        # A power of two, so that to multiply and divide by it is exact.
        self._parts = 2.0 ** min(30, max(0, int(46 - math.log2(1 + abs(start) / self.precision))))
        self._whole: dict[float, int] = {}
        self.move_to(0)

    def move_to(self, tick: float) -> None:
        """Stand on this tick."""
        self.tick = tick
        self.now = (self._start + tick * self._step) / self._scale

    def now_ns(self) -> int:
        """Return the current time in whole nanoseconds."""
        return int((self._start + self.tick * self._step) * 1_000_000_000 // self._scale)

    def time_at(self, tick: float) -> float:
        """Return the time of a tick, in seconds, as the float nearest to the exact decimal."""
        return (self._start + tick * self._step) / self._scale

    def later(self, delay: float) -> tuple[float, float]:
        """Return the moment that lies ``delay`` seconds from now, and its time in seconds."""
        __tracebackhide__ = True
        ticks = self._whole.get(delay) or self._count(delay)
        if type(ticks) is not int:
            return self._between(ticks), self.now + delay if math.isfinite(ticks) else ticks
        moment = self.tick + ticks
        try:
            return moment, (self._start + moment * self._step) / self._scale
        except OverflowError:
            return NEVER, NEVER

    def at(self, when: float) -> tuple[float, float]:
        """Return the moment of a time in seconds, and that time."""
        __tracebackhide__ = True
        delay = when - self.now
        ticks = self._whole.get(delay) or self._count(delay)
        return self.tick + ticks if type(ticks) is int else self._between(ticks), when

    def _between(self, ticks: float) -> float:
        moment = self.tick + ticks
        parts = moment * self._parts
        if -_EXACT < parts < _EXACT:
            # Rounded, so that a deadline is the same one however it was computed.
            moment = round(parts) / self._parts
        # Which may swallow a short delay, as the addition may.
        return moment if ticks < 0 or moment > self.tick else math.nextafter(self.tick, NEVER)

    def _count(self, delay: float) -> float:
        """Return how many ticks a delay is: an ``int`` where it is a whole number of them but for float noise.

        A delay above zero is never counted as none: code that sleeps for what is missing to its deadline would find the
        clock where it was, and sleep again for ever (python/cpython#116342).
        """
        __tracebackhide__ = True
        ticks = delay / self.precision
        if not -NEVER < ticks < NEVER:
            if ticks != ticks:
                raise ValueError("a delay or time must be a number of seconds, got nan")
            return ticks
        if delay <= 0:
            return ticks or 0
        whole = round(ticks)
        # By rounding alone, a float can be this far from a whole number of ticks.
        # The first part covers sums of some ten thousand floats, and stays far below a tick.
        # The second covers what the time now or one very long delay loses as a float.
        noise = min(1e-10 + 1e-12 * ticks, 1e-3) + 4e-16 * (ticks + abs(self.now) / self.precision)
        if not whole or abs(ticks - whole) > noise:
            return ticks
        # Not a sum with noise of its own, which is hardly ever the same again.
        if len(self._whole) < _REMEMBERED and delay < _EXACT and whole * self._step / self._scale == delay:
            self._whole[delay] = whole
        return whole


def due(moment: float) -> float:
    """Return the first tick on which a deadline at this moment has come."""
    return math.ceil(moment) if math.isfinite(moment) else moment


def finite(name: str, value: object) -> float:
    """Return an argument as a float; raise ``TypeError`` or ``ValueError`` unless it is a finite number."""
    __tracebackhide__ = True
    number = value if type(value) is float else _seconds(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number of seconds, got {value!r}")
    return number


def not_negative(name: str, value: object) -> float:
    """Return an argument as a float; raise ``TypeError`` or ``ValueError`` unless it is a number from 0 to infinity."""
    __tracebackhide__ = True
    number = _seconds(name, value)
    if not number >= 0:
        raise ValueError(f"{name} must be 0 seconds or more, got {value!r}")
    return number


def _as_written(number: float) -> tuple[int, int]:
    """Return the digits of the decimal that a float stands for, and their power of ten."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    return int(whole + fraction), int(exponent or 0) - len(fraction)


def _seconds(name: str, value: object) -> float:
    __tracebackhide__ = True
    if type(value) is not float and type(value) is not int:
        # Not imported above: to do so takes a tenth of what this package takes, and hardly anybody needs it.
        from numbers import Real

        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        return NEVER


def clean(time: float) -> float:
    """Return a time without the noise of the addition that gave it: 0.1 + 0.05 is 0.15."""
    return float(f"{time:.15g}")
