"""What the functions of :mod:`time` answer while a block of virtual time is open."""

import asyncio
import functools
import sys
import threading
import time
from collections.abc import Callable

from machinery._test_helpers._clock import Clock
from machinery._test_helpers._datetime import Datetime
from machinery._test_helpers._layers import Layers

# Taken at import: under the names in `time` there may be a fake by the time one is needed.
# An object of our own: freezegun replaces, in all modules, every attribute that is time.monotonic itself.
real_monotonic: Callable[[], float] = functools.partial(time.monotonic)

_TIME_OF_LOOPS = asyncio.BaseEventLoop.time.__code__

_shown: list[tuple[int, Clock]] = []
_of_thread: dict[int, Clock] = {}
_module = Layers(time)
_datetime = Datetime()

followers = _datetime.asked_by
"""The clocks whose blocks asked that datetime follow; without any, :func:`follow` does nothing."""


def show(clock: Clock, *, datetime: bool = False) -> None:
    """Let this thread read all its time from a clock, and other threads their wall time; the newest clock wins.

    With ``datetime``, all that time-machine covers follows the newest clock from now on, until this one is hidden.
    """
    if datetime:
        _datetime.ask(clock, clock.now)
    if not _shown:
        # Somebody who patched over us may have put ours back since.
        _real.update({name: getattr(time, name) for name in _virtual if getattr(time, name) is not _virtual[name]})
        _module.add(_virtual)
    _shown.append((threading.get_ident(), clock))
    _recount()


def hide(clock: Clock) -> None:
    """Let nobody read this clock any more."""
    _shown[:] = [(thread, other) for thread, other in _shown if other is not clock]
    _recount()
    if not _shown:
        _module.remove(_virtual)
    _datetime.dismiss(clock)


def follow() -> None:
    """Let datetime follow the newest clock, if there are followers, now that a clock has moved."""
    if _shown:
        _datetime.follow(_shown[-1][1].now)


def unfaked(read: Callable[[], float]) -> Callable[[], float]:
    """Return a function that reads a time which is made from ``time.monotonic``, from the real one."""

    def read_unfaked() -> float:
        thread = threading.get_ident()
        clock = _of_thread.pop(thread, None)
        try:
            return read()
        finally:
            if clock is not None:
                _of_thread[thread] = clock

    return read_unfaked


def _recount() -> None:
    _of_thread.clear()
    _of_thread.update(_shown)
    follow()


def _clock_on_the_wall() -> Clock | None:
    return _of_thread.get(threading.get_ident()) or (_shown[-1][1] if _shown else None)


# With no clock shown, these four go on to the real function:
# who saved one of them inside a block may put it back after the block.


def _time() -> float:
    clock = _clock_on_the_wall()
    return clock.now if clock else float(_real["time"]())


def _time_ns() -> int:
    clock = _clock_on_the_wall()
    return clock.now_ns() if clock else int(_real["time_ns"]())


def _monotonic() -> float:
    clock = _of_thread.get(threading.get_ident())
    # What asyncio makes of it is the time of another loop of this thread: the loop in whose block we are has its own.
    if clock is None or sys._getframe(1).f_code is _TIME_OF_LOOPS:
        return float(_real["monotonic"]())
    return clock.now


def _monotonic_ns() -> int:
    clock = _of_thread.get(threading.get_ident())
    return clock.now_ns() if clock else int(_real["monotonic_ns"]())


_virtual = {"time": _time, "time_ns": _time_ns, "monotonic": _monotonic, "monotonic_ns": _monotonic_ns}
_real = {name: getattr(time, name) for name in _virtual}
