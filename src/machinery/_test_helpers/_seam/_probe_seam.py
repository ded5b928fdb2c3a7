"""The seam of uvloop."""

import asyncio
import contextvars
import functools
import select
from collections.abc import Callable

from machinery._test_helpers._seam._seam import HasClock, Seam
from machinery._test_helpers._time_module import real_monotonic


class ProbeSeam(Seam):
    """For uvloop, which has no selector: it is idle when a probe comes round twice with nothing made ready in between.

    What protocols say to each other makes nothing ready, so the sockets are looked at as well, which have more to read.
    Without that second look, one quiet round would not be enough: what arrives in one is often read in the next.
    While the loop can do nothing but wait, the probe comes round slowly.
    """

    _SLOWLY = 0.01

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._real_call_soon = loop.call_soon
        self._real_call_soon_threadsafe = loop.call_soon_threadsafe
        self._real_call_later = loop.call_later
        self._real_time = loop.time
        self._on_loop |= {"call_soon": self._call_soon, "call_soon_threadsafe": self._call_soon_threadsafe}
        self.anything_to_read = _poll_of(loop)
        self._probe_handle: asyncio.Handle
        self._slow = False
        self._readied = 0
        self._seen = 0
        self._quiet_rounds = 0
        self._resting_since: float | None = None

    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self._real_call_later(delay, callback, *args, context=context)

    def time_of(self, block: HasClock) -> Callable[[], float]:
        real_time, clock = self._real_time, block.clock
        return lambda: real_time() if block.left else clock.now

    def in_next_round(self, callback: Callable[[], object]) -> None:
        self._call_soon(callback)

    def _install(self) -> None:
        super()._install()
        self._come_round()

    def _uninstall(self) -> None:
        super()._uninstall()
        self._probe_handle.cancel()

    def _call_soon(
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        self._note_readied()
        return self._real_call_soon(callback, *args, context=context)

    def _call_soon_threadsafe(
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        self._real_call_soon_threadsafe(self._note_readied)
        return self._real_call_soon_threadsafe(callback, *args, context=context)

    def _note_readied(self) -> None:
        self._readied += 1
        if self._slow:
            self._probe_handle.cancel()
            self._come_round()

    def _come_round(self, after: float = 0) -> None:
        self._slow = after > 0
        if self._slow:
            self._probe_handle = self._real_call_later(after, self._probe)
        else:
            self._probe_handle = self._real_call_soon(self._probe)

    def _probe(self) -> None:
        self._look()
        if self._slow:
            # Timers come before what is ready, and that may be what a thread has just brought.
            self._quiet_rounds = 1
            self._come_round()
            return
        if self._readied != self._seen:
            self._seen, self._quiet_rounds, self._resting_since = self._readied, 0, None
            self.rounds += 1
            self._come_round()
            return
        if self.anything_to_read():
            self._quiet_rounds, self._resting_since = 0, None
            self._come_round()
            return
        self._quiet_rounds += 1
        if self._quiet_rounds < 2:
            self._come_round()
            return
        self.rounds = 0
        wait = self._ask(self._count_rest())
        self._look()
        if not self._listeners:
            return
        if wait == 0:
            self._quiet_rounds, self._resting_since = 0, None
            self._come_round()
        else:
            self._come_round(min(max(wait, 0.001), self._SLOWLY))

    def _count_rest(self) -> float:
        now = real_monotonic()
        if self._resting_since is None:
            self._resting_since = self._counted = now
        self.rest += now - self._counted
        self._counted = now
        return now - self._resting_since


def _poll_of(loop: asyncio.AbstractEventLoop) -> Callable[[], object]:
    """Return what tells whether any socket of the loop has something to read or room to write."""
    backend = getattr(loop, "_get_backend_id", None)
    if backend is None or not hasattr(select, "poll"):
        return bool
    sockets = select.poll()
    sockets.register(backend(), select.POLLIN)
    return functools.partial(sockets.poll, 0)
