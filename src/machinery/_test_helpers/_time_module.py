"""What the functions of the module `time` return while a block of virtual time is open, and in which thread.

While a block is open they are replaced in `time`, and where they have been taken out of it.

PYTEST_DONT_REWRITE
"""

import time
from collections.abc import Callable
from functools import partial
from sys import _getframe
from threading import RLock, get_ident
from typing import Any

from machinery._test_helpers._asyncio_internals import LOOP_TIME
from machinery._test_helpers._clock import Clock
from machinery._test_helpers._dates import Dates
from machinery._test_helpers._patches import Patches
from machinery._test_helpers._real_time import threads_reading_it
from machinery._test_helpers._time_names import TimeNames

_lock = RLock()
"""Held while any of the state below changes. It is read without: each name is bound to a new object at once."""

_open: tuple[tuple[int, Clock], ...] = ()
"""The threads and clocks of all open blocks, oldest first."""

_of_thread: dict[int, Clock] = {}
_borrowed: dict[int, Clock] = {}
"""The clocks that executor threads read while they work for a block."""

_patches = Patches(time)
_dates = Dates()

clocks_with_dates = _dates.clocks
"""While this is empty, :func:`clock_moved` need not be called."""


def show(clock: Clock, *, datetime: bool = False) -> None:
    """Let this thread read its time from a clock; threads without a block read the wall time of the newest clock.

    With ``datetime``, the date follows too, until :func:`hide`.
    """
    with _lock:
        if datetime:
            _dates.start(clock)
        if not _open:
            _note_real_functions()
        _set_open((*_open, (get_ident(), clock)))
        if len(_open) == 1:
            _names.replace()
            _patches.add(_virtual)


def hide(clock: Clock) -> None:
    """Let nobody read this clock any more; with the last one, `time` is as it was."""
    with _lock:
        _set_open(tuple([each for each in _open if each[1] is not clock]))
        if _borrowed:
            for thread in [thread for thread, other in _borrowed.items() if other is clock]:
                _borrowed.pop(thread, None)
        if not _open:
            _patches.remove(_virtual)
            _names.put_back()
        _dates.stop(clock)


def clock_moved() -> None:
    """Let the date follow this thread's clock."""
    clock = _of_thread.get(get_ident())
    if clock is not None:
        _dates.follow(clock)


def bound_to_clock(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls a function in a thread that then reads the wall time of this thread's clock."""
    clock = _of_thread.get(get_ident())
    return function if clock is None else partial(_run_with_clock, clock, function)


def _run_with_clock(clock: Clock, function: Callable[..., Any], *args: Any) -> Any:
    thread = get_ident()
    with _lock:
        if any(other is clock for _, other in _open):
            _borrowed[thread] = clock
    try:
        return function(*args)
    finally:
        with _lock:
            _borrowed.pop(thread, None)


def _note_real_functions() -> None:
    """Note what other tools have put in the places of the real functions."""
    for name, virtual in _virtual.items():
        function = getattr(time, name)
        if function is not virtual:
            _real[name] = function
        else:
            # A patch that was made in a block and undone after it has put ours back.
            setattr(time, name, _real[name])


def _set_open(blocks: tuple[tuple[int, Clock], ...]) -> None:
    global _open, _of_thread
    _of_thread, _open = dict(blocks), blocks
    if clocks_with_dates:
        clock_moved()


def _wall_clock() -> Clock | None:
    thread = get_ident()
    clock = _of_thread.get(thread) or _borrowed.get(thread)
    if clock is None:
        blocks = _open
        clock = blocks[-1][1] if blocks else None
    return clock


# With no block open these call the real function: somebody may have saved one inside a block and put it back later.


def _time() -> float:
    clock = _wall_clock()
    return clock.now if clock else float(_real["time"]())


def _time_ns() -> int:
    clock = _wall_clock()
    return clock.now_ns() if clock else int(_real["time_ns"]())


def _monotonic() -> float:
    thread = get_ident()
    clock = _of_thread.get(thread)
    # Called by BaseEventLoop.time, this is another loop of this thread: the block's own loop has its `time` replaced.
    if clock is None or thread in threads_reading_it or _getframe(1).f_code is LOOP_TIME:
        return float(_real["monotonic"]())
    return clock.now


def _monotonic_ns() -> int:
    thread = get_ident()
    clock = _of_thread.get(thread)
    return int(_real["monotonic_ns"]()) if clock is None or thread in threads_reading_it else clock.now_ns()


_virtual: dict[str, Callable[[], float]] = {
    "time": _time,
    "time_ns": _time_ns,
    "monotonic": _monotonic,
    "monotonic_ns": _monotonic_ns,
}
_real: dict[str, Callable[[], float]] = {name: getattr(time, name) for name in _virtual}

_names = TimeNames(_virtual, list(_real.values()), list(_virtual.values()))
