"""The seam between the helpers and the event loop: it knows when a loop is idle.

This package is the only place that leans on what asyncio does not document.

``loop._selector.select``
    Asyncio's own loops, on every platform, block in this one call.
    When it is asked to wait for longer than nothing, they have nothing left to run.
    Without it, entering a block raises ``RuntimeError``.
``loop._ready``, ``loop._stopping``
    Tell whether the loop has something to do after what was done while it was idle.
    Without them it runs a round to find out.
``type(loop)._run_once``
    The scheduler of these loops.
    It reads ``loop.time()`` to serve the timers that the loop itself keeps, and they keep real time.
    Without it every reader gets virtual time, and those timers fire early or late.
``loop._scheduled``, ``loop._debug``
    Tell whether it matters what the scheduler reads. On a loop of another kind it always does, which costs more.
``selector._fd_to_key``, ``loop._ssock``, ``loop._signal_handlers``
    Tell that the selector could report nothing which is not among what is ready.
    Without them it is asked in each round, which costs more.
the slots of ``asyncio.Handle`` and ``asyncio.TimerHandle``
    Are set and cleared in one step. If this Python has others, asyncio does it, which costs more.
``call_soon``, ``call_soon_threadsafe`` of uvloop
    Documented, but not that futures and tasks find them on the instance, nor that callbacks run in rounds between which
    sockets are read. Without the first no jump ever happens, without the second what is in a socket is overtaken.
``loop._scheduled``, ``loop._ssock``, ``loop._signal_handlers``, ``concurrent.futures.thread._worker``
    Tell what could still wake the loop. Without them that is never certain, and nobody is told to give up.
``_fut_waiter``, ``_exception`` and ``_log_traceback`` of tasks, ``_children`` of gathering futures, ``_task`` of
timeouts, ``loop._ready``, ``_callback``, ``_args`` and ``_source_traceback`` of handles
    Tell who waits for what, and who set it. Without them reports say less.
the worker threads of ``anyio._backends._asyncio``
    Tell whether they are at work. Without them that does not hold the clock.
``loop._get_backend_id`` of uvloop
    The file that has events when any socket of the loop has.
    Without it, protocols that talk to each other without futures, tasks or callbacks may be overtaken.
``asyncio.Handle._run``
    Calls a handle's callback in its context and reports what it raises to the loop.
    Without it this package cannot be imported.
"""

import asyncio

from machinery._test_helpers._seam._facts import (
    ANYIO,
    called_by,
    failure_of,
    forget_callers,
    gathered_by,
    is_watchdog,
    ready,
    run_handle,
    timed_by,
    waited_for,
    was_noticed,
    work_in_anyio,
)
from machinery._test_helpers._seam._probe_seam import ProbeSeam
from machinery._test_helpers._seam._seam import Listener, Seam
from machinery._test_helpers._seam._selector_seam import SelectorSeam
from machinery._test_helpers._seam._timer import Timer, make_timer

__all__ = [
    "ANYIO",
    "Listener",
    "Seam",
    "Timer",
    "called_by",
    "failure_of",
    "forget_callers",
    "gathered_by",
    "is_watchdog",
    "make_timer",
    "ready",
    "run_handle",
    "running_loop",
    "seam_of",
    "timed_by",
    "waited_for",
    "was_noticed",
    "work_in_anyio",
]

_PROBED = {"uvloop", "winloop"}


def running_loop(wanted: object = None) -> asyncio.AbstractEventLoop:
    """Return the running loop; raise unless it is the wanted one, where one is wanted."""
    loop = asyncio.get_running_loop()
    if wanted is None or wanted is loop:
        return loop
    if not isinstance(wanted, asyncio.AbstractEventLoop):
        raise TypeError(f"loop must be an event loop or None, got {wanted!r}")
    raise ValueError(f"loop must be the running one, {loop!r}, got {wanted!r}; leave it out or pass the running one")


def seam_of(loop: asyncio.AbstractEventLoop) -> Seam:
    """Return the seam of a loop; raise ``RuntimeError`` if there can be none."""
    if loop in Seam.of_loop:
        return Seam.of_loop[loop]
    selector = getattr(loop, "_selector", None)
    if callable(getattr(selector, "select", None)):
        return SelectorSeam(loop, selector)
    kind = type(loop)
    if any(ancestor.__module__.split(".")[0] in _PROBED for ancestor in kind.__mro__):
        return ProbeSeam(loop)
    raise RuntimeError(
        f"cannot tell when a loop of type {kind.__module__}.{kind.__qualname__} is idle:"
        " run the test on one of asyncio's own loops or on uvloop"
    )
