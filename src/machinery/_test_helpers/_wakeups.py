"""What could still wake one of asyncio's own loops; where nothing can, a test would hang for ever.

PYTEST_DONT_REWRITE
"""

import signal
from asyncio import AbstractEventLoop
from collections.abc import Iterable, Iterator, Mapping
from signal import SIGINT, getsignal, valid_signals
from sys import _current_frames
from threading import enumerate as all_threads
from threading import get_ident
from typing import Any

from machinery._test_helpers._asyncio_internals import (
    callback_of,
    is_own_pipe,
    is_waiting_pool_worker,
    real_timers,
    signal_handlers,
)
from machinery._test_helpers._known_tools import is_test_tools_thread, is_timeout_signal, is_watchdog
from machinery._test_helpers._socket_names import ends_of_file
from machinery._test_helpers._source import brief, name_of

_DAY = 86400.0
"""A real timer that is further away wakes no test. Sleeping for ever is often written as a very long sleep."""

_ALARMS = {getattr(signal, name, None) for name in ("SIGALRM", "SIGPROF", "SIGVTALRM")}


class Unlikely(str):
    """Names something that could wake a loop, though nothing suggests that it will.

    Threads are such: what the loop has begun in one is known to be under way, and the others are mostly servers.
    """


class Connected(Unlikely):
    """Names a socket that could bring something that nobody has asked for: a connection, or one that accepts them."""


def possible_wakeups(loop: AbstractEventLoop, selector: Any, now: float) -> Iterator[str]:
    """Describe everything that could still wake a loop whose own time is ``now``; nothing only if that is certain.

    Threads that Python does not know, such as those that a C library starts for itself, cannot be seen.
    """
    for callback in _timers_before(loop, now + _DAY):
        yield f"a timer in real time that calls {name_of(callback)}"
    yield from _files(loop, selector)
    yield from _signals(loop)
    yield from _busy_threads()


def only_watchdogs_are_due(loop: AbstractEventLoop, now: float) -> bool:
    """Return whether no timer is due but those of watchdogs, which may be left from tests that ended long ago."""
    return next(_timers_before(loop, now), None) is None


def only_connections(wakeups: Iterable[str]) -> bool:
    """Return whether nothing is likely to wake a loop, and only connections keep that from being certain."""
    found = list(wakeups)
    return all(isinstance(each, Unlikely) for each in found) and any(isinstance(each, Connected) for each in found)


def _timers_before(loop: AbstractEventLoop, end: float) -> Iterator[Any]:
    for handle in real_timers(loop):
        callback, _ = callback_of(handle)
        if handle.when() < end and not is_watchdog(getattr(callback, "__module__", None)):
            yield callback


def _files(loop: AbstractEventLoop, selector: Any) -> Iterator[str]:
    files: Mapping[Any, Any] = getattr(selector, "get_map", dict)()
    if not files:
        yield "something that this kind of loop does not show"
    for key in files.values():
        own = is_own_pipe(loop, key.fd)
        if own is None:
            yield "something that this kind of loop does not show"
        elif not own:
            ends = ends_of_file(key.fd)
            if ends is None:
                yield f"file {key.fd}"
            else:
                yield Connected(ends) if ends.peer is not None or ends.is_listening else str(ends)


def _signals(loop: AbstractEventLoop) -> Iterator[str]:
    for number in valid_signals() - {SIGINT}:
        handler = getsignal(number)
        if callable(handler) and not is_timeout_signal(handler):
            name = f"a handler of signal {number}"
            yield name if number in _ALARMS else Unlikely(name)
    for number in signal_handlers(loop):
        yield Unlikely(f"a handler of signal {number}")


def _busy_threads() -> Iterator[str]:
    threads = {thread.ident: thread for thread in all_threads()}
    for ident, frame in _current_frames().items():
        thread = threads.get(ident)
        if ident != get_ident() and not is_waiting_pool_worker(frame) and not is_test_tools_thread(thread, frame):
            yield Unlikely(f"thread {brief(thread.name if thread is not None else ident)}")
