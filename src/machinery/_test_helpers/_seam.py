"""The seam between the helpers and the event loop: it knows when a loop is idle.

This module is the only one that leans on what asyncio does not document.

``loop._selector.select``
    Asyncio's own loops, on every platform, block in this one call.
    When it is asked to wait for longer than nothing, they have nothing left to run.
    Without it, entering a block raises ``RuntimeError``.
``type(loop)._run_once``
    The scheduler of these loops.
    It reads ``loop.time()`` to serve the timers that the loop itself keeps, and they keep real time.
    Without it every reader gets virtual time, and those timers fire early or late.
``call_soon``, ``call_soon_threadsafe`` of uvloop
    Documented, but not that futures and tasks find them on the instance, nor that callbacks run in rounds between which
    sockets are read. Without the first no jump ever happens, without the second what is in a socket is overtaken.
``loop._scheduled``, ``loop._ssock``, ``loop._signal_handlers``, ``concurrent.futures.thread._worker``
    Tell what could still wake the loop. Without them that is never certain, and nobody is told to give up.
``_fut_waiter`` and ``_exception`` of tasks, ``_callback`` and ``_args`` of handles
    Tell who waits for what. Without them reports say less.
``asyncio.Handle._run``
    Calls a handle's callback in its context and reports what it raises to the loop.
    Without it this module cannot be imported.
"""

import asyncio
import concurrent.futures.thread
import contextvars
import math
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar, Protocol

from machinery._test_helpers._clock import Clock
from machinery._test_helpers._layers import Layers
from machinery._test_helpers._time_module import real_monotonic, unfaked

run_handle = asyncio.Handle._run
WATCHDOG = "alt_pytest_asyncio.machinery"
"""The module of the callbacks by which alt-pytest-asyncio ends a test that takes too long: they strike in real time."""
_PROBED = {"uvloop", "winloop"}
_POOL_WORKER = getattr(getattr(concurrent.futures.thread, "_worker", None), "__code__", None)


class Listener(Protocol):
    """Something that acts when a loop is idle."""

    @property
    def rank(self) -> int:
        """Lower ranks are asked first; of equal ranks, the newest."""
        ...

    def at_rest(self, rested: float) -> float:
        """Act, or say how long not to.

        :param rested: for how many real seconds the loop has been idle.
        :return: 0 if something was done, so that the loop looks again what it has to run; infinity if there is nothing
            to do before something happens on the loop; else after how many real seconds to ask again, if nothing does.
        """
        ...

    def close(self) -> None:
        """Stop for good: the loop is being closed."""
        ...


class Seam:
    """Watches one loop, and asks its listeners in turn whenever that loop has nothing left to run."""

    _of_loop: ClassVar[dict[asyncio.AbstractEventLoop, "Seam"]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rest = 0.0
        """For how many real seconds the loop has been idle so far, while a listener asked to be asked again."""
        self.rounds = 0
        """How many rounds the loop has run since it was last idle."""
        self.layers = Layers(loop)
        self._loop = loop
        self._listeners: list[Listener] = []
        self._real_close = loop.close
        self._on_loop: dict[str, object] = {"close": self._close}

    @classmethod
    def join(cls, loop: asyncio.AbstractEventLoop, listener: Listener, *, first: bool = False) -> "Seam":
        """Let a listener be asked from now on, last or first of those of its rank; return the seam of the loop."""
        seam = cls._of_loop.get(loop) or _seam_for(loop)
        if not seam._listeners:
            seam._install()
            cls._of_loop[loop] = seam
        seam._listeners.insert(0 if first else len(seam._listeners), listener)
        seam._listeners.sort(key=lambda each: each.rank)
        return seam

    def leave(self, listener: Listener) -> None:
        """Ask a listener no more; with the last one the loop is as it was."""
        self._listeners.remove(listener)
        if not self._listeners:
            del self._of_loop[self._loop]
            self._uninstall()

    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer in the loop's own time."""
        raise NotImplementedError

    def time_of(self, clock: Clock) -> Callable[[], float]:
        """Return a ``loop.time`` that reads this clock."""
        return lambda: clock.now

    def in_next_round(self, callback: Callable[[], object]) -> None:
        """Call a callback behind what is ready by the loop's next round, as the loop does with timers that are due."""
        raise NotImplementedError

    def certain(self) -> bool:
        """Return whether nothing real could ever wake this loop, as far as can be known."""
        return False

    def _install(self) -> None:
        self.layers.add(self._on_loop)

    def _uninstall(self) -> None:
        self.layers.remove(self._on_loop)

    def _ask(self, rested: float) -> float:
        for listener in self._listeners:
            wait = listener.at_rest(rested)
            if wait < math.inf:
                return wait
        return math.inf

    def _close(self) -> None:
        for listener in list(self._listeners):
            listener.close()
        self._real_close()


class SelectorSeam(Seam):
    """For asyncio's own loops: they are idle when they ask their selector to wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, selector: Any) -> None:
        super().__init__(loop)
        self._next_round: list[Callable[[], object]] = []
        self._scheduler: CodeType | None = getattr(getattr(type(loop), "_run_once", None), "__code__", None)
        self._real_call_at = loop.call_at
        self._real_time = real_monotonic if type(loop).time is asyncio.BaseEventLoop.time else unfaked(loop.time)
        self._selector = selector
        self._real_select = selector.select
        self._selector_layers = Layers(selector)
        self._on_selector = {"select": self._select}

    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        # Not the loop's own call_later: that one asks loop.time and loop.call_at, which are virtual now.
        return self._real_call_at(self._real_time() + delay, callback, *args, context=context)

    def time_of(self, clock: Clock) -> Callable[[], float]:
        """Return a ``loop.time`` that reads this clock to everybody but the scheduler of the loop.

        The scheduler compares it with the deadlines of timers that keep real time: those set before the block, and
        watchdogs. It is known by its code, since nothing else tells its calls from others.
        """
        caller, scheduler, real_time = sys._getframe, self._scheduler, self._real_time

        def time() -> float:
            return real_time() if caller(1).f_code is scheduler else clock.now

        return time

    def certain(self) -> bool:
        real_timers = any(
            not handle.cancelled() and getattr(called_by(handle)[0], "__module__", None) != WATCHDOG
            for handle in getattr(self._loop, "_scheduled", ())
        )
        return not (real_timers or self._watches_files() or _signals_are_handled(self._loop) or _threads_are_busy())

    def _watches_files(self) -> bool:
        """Return whether the loop reads or writes anything but the pipe by which other threads wake it."""
        try:
            pipe: Any = getattr(self._loop, "_ssock")  # noqa: B009
            return any(key.fd != pipe.fileno() for key in self._selector.get_map().values())
        except AttributeError:
            return True

    def in_next_round(self, callback: Callable[[], object]) -> None:
        if callback not in self._next_round:
            self._next_round.append(callback)

    def _install(self) -> None:
        self._selector_layers.add(self._on_selector)
        super()._install()

    def _uninstall(self) -> None:
        super()._uninstall()
        self._selector_layers.remove(self._on_selector)

    def _select(self, timeout: float | None = None) -> object:
        if self._next_round:
            callbacks, self._next_round = self._next_round, []
            for callback in callbacks:
                self._loop.call_soon(callback)
            timeout = 0
        if timeout is not None and timeout <= 0:
            self.rounds += 1
            return self._real_select(timeout)
        self.rounds = 0
        events = self._real_select(0)
        if events:
            return events
        wait = math.inf
        for listener in self._listeners:
            wait = listener.at_rest(0.0)
            if wait == 0:
                return events
            if wait < math.inf:
                break
        return self._rest(timeout, wait)

    def _rest(self, timeout: float | None, wait: float) -> object:
        rested, most = 0.0, math.inf if timeout is None else timeout
        began = last = real_monotonic()
        while rested < most:
            limit = min(wait, most - rested)
            events = self._real_select(None if limit == math.inf else limit)
            now = real_monotonic()
            self.rest, rested, last = self.rest + now - last, now - began, now
            if events:
                return events
            wait = self._ask(rested)
            if wait == 0:
                break
        return []


class ProbeSeam(Seam):
    """For uvloop, which has no selector: it is idle when a probe comes round twice with nothing made ready in between.

    One quiet round is not enough: what arrives on a socket is answered in one round and read in the next.
    While the loop can do nothing but wait, the probe comes round slowly.
    """

    _SLOWLY = 0.01

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._real_call_soon = loop.call_soon
        self._real_call_soon_threadsafe = loop.call_soon_threadsafe
        self._real_call_later = loop.call_later
        self._on_loop |= {"call_soon": self._call_soon, "call_soon_threadsafe": self._call_soon_threadsafe}
        self._probe_handle: asyncio.Handle | None = None
        self._slow = False
        self._readied = 0
        self._seen = 0
        self._quiet_rounds = 0
        self._resting_since: float | None = None

    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self._real_call_later(delay, callback, *args, context=context)

    def in_next_round(self, callback: Callable[[], object]) -> None:
        self._call_soon(callback)

    def _install(self) -> None:
        super()._install()
        self._come_round()

    def _uninstall(self) -> None:
        super()._uninstall()
        if self._probe_handle is not None:
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
        if self._slow and self._probe_handle is not None:
            self._probe_handle.cancel()
            self._come_round()

    def _come_round(self, after: float = 0) -> None:
        self._slow = after > 0
        if self._slow:
            self._probe_handle = self._real_call_later(after, self._probe)
        else:
            self._probe_handle = self._real_call_soon(self._probe)

    def _probe(self) -> None:
        if self._readied != self._seen:
            self._seen, self._quiet_rounds, self._resting_since = self._readied, 0, None
            self.rounds += 1
            self._come_round()
            return
        self._quiet_rounds += 1
        if self._quiet_rounds < 2:
            self._come_round()
            return
        self.rounds = 0
        wait = self._ask(self._count_rest())
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


def _seam_for(loop: asyncio.AbstractEventLoop) -> Seam:
    selector = getattr(loop, "_selector", None)
    if callable(getattr(selector, "select", None)):
        return SelectorSeam(loop, selector)
    if any(kind.__module__.split(".")[0] in _PROBED for kind in type(loop).__mro__):
        return ProbeSeam(loop)
    kind = type(loop)
    raise RuntimeError(
        f"cannot tell when a loop of type {kind.__module__}.{kind.__qualname__} is idle:"
        " run the test on one of asyncio's own loops or on uvloop"
    )


def running_loop(wanted: object = None) -> asyncio.AbstractEventLoop:
    """Return the running loop; raise unless it is the wanted one, where one is wanted."""
    loop = asyncio.get_running_loop()
    if wanted is None or wanted is loop:
        return loop
    if not isinstance(wanted, asyncio.AbstractEventLoop):
        raise TypeError(f"loop must be an event loop or None, got {wanted!r}")
    raise ValueError(f"loop must be the running one, {loop!r}, got {wanted!r}; leave it out or pass the running one")


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what ended a task, without telling asyncio that somebody has seen it."""
    return getattr(task, "_exception", None) if task.done() else None


def waited_for(task: asyncio.Task[Any]) -> object:
    """Return the future that a task waits for."""
    return getattr(task, "_fut_waiter", None)


def called_by(handle: asyncio.Handle) -> tuple[object, tuple[object, ...]]:
    """Return the callback of a handle and its arguments."""
    return getattr(handle, "_callback", None), getattr(handle, "_args", None) or ()


def _signals_are_handled(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a signal could reach the code under test; asyncio's SIGINT and pytest-timeout's do not count."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals() - {signal.SIGINT}]
    return bool(getattr(loop, "_signal_handlers", None)) or any(
        callable(handler) and getattr(handler, "__module__", None) != "pytest_timeout" for handler in handlers
    )


def _threads_are_busy() -> bool:
    """Return whether another thread runs, other than those of a pool that wait for work."""
    return any(
        thread != threading.get_ident() and frame.f_code is not _POOL_WORKER
        for thread, frame in sys._current_frames().items()
    )
