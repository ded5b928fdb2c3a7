"""The handle of a timer in virtual time: asyncio's own, made and cancelled in one step where asyncio takes several."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Protocol

from machinery._test_helpers._where import Origin

_AS_WE_KNOW_IT = {*asyncio.Handle.__slots__, *asyncio.TimerHandle.__slots__} == {
    "_args",
    "_callback",
    "_cancelled",
    "_context",
    "_loop",
    "_repr",
    "_source_traceback",
    "__weakref__",
} | {"_scheduled", "_when"}


class Holder(Protocol):
    """Whoever has a timer that is to fire."""

    def note_cancelled(self) -> None:
        """Learn that the timer has been cancelled."""
        ...


class Timer(asyncio.TimerHandle):
    """What ``call_later`` and ``call_at`` return in virtual time."""

    __slots__ = ("at_once", "holder", "origin")

    holder: Holder | None
    """Who is to fire it; nobody once that is done, or is not to be."""

    at_once: bool
    """Whether it was due already when it was set."""

    origin: Origin | None
    """Where it was set, unless that was by asyncio itself."""

    def cancel(self) -> None:
        """Do not call the callback."""
        this: Any = self
        holder, self.holder = self.holder, None
        # Not TimerHandle.cancel: that one counts for the loop's own heap, where this timer is not; on uvloop it raises.
        if this._source_traceback is None and _AS_WE_KNOW_IT:
            this._cancelled = True
            this._callback = this._args = None
        else:
            asyncio.Handle.cancel(self)
        if holder is not None:
            holder.note_cancelled()


def _make_quickly(
    when: float,
    callback: Callable[..., object],
    args: tuple[object, ...],
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context | None,
) -> Timer:
    made = _new(Timer)
    timer: Any = made
    timer._args = args
    timer._callback = callback
    timer._cancelled = timer._scheduled = False
    timer._context = _copy_context() if context is None else context
    timer._loop = loop
    timer._repr = timer._source_traceback = None
    timer._when = when
    return made


_new, _copy_context = Timer.__new__, contextvars.copy_context
make_timer: Callable[..., Timer] = _make_quickly if _AS_WE_KNOW_IT else Timer
"""Make a timer as its class does, for a loop that is not in debug mode."""
