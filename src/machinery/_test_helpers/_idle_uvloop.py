"""The idle hook for uvloop.

PYTEST_DONT_REWRITE
"""

import select
from asyncio import AbstractEventLoop, Handle, TimerHandle
from collections.abc import Callable, Collection, Iterator
from contextvars import Context
from functools import partial
from typing import Any

from machinery._test_helpers._asyncio_internals import uvloop_backend
from machinery._test_helpers._idle import COUNTED_AT_ONCE, IdleHook
from machinery._test_helpers._real_time import monotonic

# Windows has neither.
_poll: Any = getattr(select, "poll", None)
_POLLIN: int = getattr(select, "POLLIN", 0)

_SLOW_POLL = 0.01
_QUIET_ITERATIONS = 2


class UvloopHook(IdleHook):
    """Keeps a probe among the callbacks of uvloop, which has no selector.

    The loop is idle when two iterations in a row have made nothing ready and no socket has anything to read. The
    sockets have to be asked, since protocols can talk to each other without making anything ready; two iterations are
    needed, since what arrives in one is often read in the next. While the loop can only wait, the probe runs every
    10 ms.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__(loop)
        self._real_call_soon = loop.call_soon
        self._real_call_soon_threadsafe = loop.call_soon_threadsafe
        self._real_call_later = loop.call_later
        self.real_time = loop.time
        self._on_loop |= {"call_soon": self._call_soon, "call_soon_threadsafe": self._call_soon_threadsafe}
        self.has_events = _poll_of(loop)
        self._probe_handle: Handle | None = None
        self._slow = False
        self._has_acted = False
        """Whether what is ready was made so by a listener, and not by a socket."""
        self._made_ready = 0
        self._made_ready_seen = 0
        self._quiet_iterations = 0
        self._idle_since: float | None = None
        self._idle_counted = 0.0

    def files(self) -> Collection[int]:
        return files_of_epoll(uvloop_backend(self.loop))

    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> TimerHandle:
        return self._real_call_later(delay, callback, *args, context=context)

    def before_next_iteration(self, callback: Callable[[], object]) -> None:
        self._call_soon(callback)

    def possible_wakeups(self) -> Iterator[str]:
        yield "something that uvloop does not show"

    def nothing_can_wake(self) -> bool:
        return False

    def _install(self) -> None:
        super()._install()
        self._schedule_probe()

    def _uninstall(self) -> None:
        super()._uninstall()
        self._cancel_probe()

    def _call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:
        self._note_ready()
        return self._real_call_soon(callback, *args, context=context)

    def _call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        self._real_call_soon_threadsafe(self._note_ready)
        return self._real_call_soon_threadsafe(callback, *args, context=context)

    def _note_ready(self) -> None:
        self._made_ready += 1
        if self._slow:
            self._cancel_probe()
            self._schedule_probe()

    def _cancel_probe(self) -> None:
        if self._probe_handle is not None:
            self._probe_handle.cancel()

    def _schedule_probe(self, after: float = 0) -> None:
        self._slow = after > 0
        if self._slow:
            self._probe_handle = self._real_call_later(after, self._probe)
        else:
            self._probe_handle = self._real_call_soon(self._probe)

    def _probe(self) -> None:
        self._note_cancellations()
        if self._slow:
            self._look()
            # uvloop runs timers before what is ready, and that may be what a thread has just brought.
            self._quiet_iterations = 1
            self._schedule_probe()
        elif self._made_ready != self._made_ready_seen:
            if not self._has_acted:
                self._look()
            self._has_acted = False
            self._made_ready_seen, self._quiet_iterations, self._idle_since = self._made_ready, 0, None
            self.busy_iterations += 1
            self._schedule_probe()
        elif self.has_events():
            self._look()
            self._quiet_iterations, self._idle_since = 0, None
            self._schedule_probe()
        elif self._quiet_iterations + 1 < _QUIET_ITERATIONS:
            self._look()
            self._quiet_iterations += 1
            self._schedule_probe()
        else:
            self._quiet_iterations = _QUIET_ITERATIONS
            self._when_idle()

    def _look(self) -> None:
        if self.before_probe is not None:
            self.before_probe()

    def _when_idle(self) -> None:
        self.times_idle += 1
        self.busy_iterations = 0
        wait = self._ask(self._count_idle_time())
        self._note_cancellations()
        if not self._listeners:
            return
        if wait == 0:
            self._has_acted = True
            self._quiet_iterations, self._idle_since = 0, None
            self._schedule_probe()
        else:
            self._schedule_probe(min(max(wait, 0.001), _SLOW_POLL))

    def _count_idle_time(self) -> float:
        now = monotonic()
        if self._idle_since is None:
            self._idle_since = self._idle_counted = now
        self.total_idle_seconds += min(now - self._idle_counted, COUNTED_AT_ONCE)
        self._idle_counted = now
        return now - self._idle_since


def _poll_of(loop: AbstractEventLoop) -> Callable[[], object]:
    """Return what tells whether any socket of the loop has something to read or room to write."""
    backend = uvloop_backend(loop)
    if backend is None or _poll is None:
        return bool
    sockets = _poll()
    sockets.register(backend, _POLLIN)
    return partial(sockets.poll, 0)


def files_of_epoll(backend: int | None) -> list[int]:
    """Return the files that are watched by an epoll; none on systems other than Linux."""
    try:
        with open(f"/proc/self/fdinfo/{backend}") as info:
            return [int(line.split()[1]) for line in info if line.startswith("tfd:")]
    except OSError:
        return []
