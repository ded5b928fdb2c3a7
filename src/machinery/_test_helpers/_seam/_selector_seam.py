"""The seam of asyncio's own loops."""

import asyncio
import contextvars
import functools
import selectors
import sys
from collections.abc import Callable, Iterator, Mapping, Sized
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

from machinery._test_helpers._clock import NEVER
from machinery._test_helpers._layers import Layers
from machinery._test_helpers._seam._facts import called_by, is_watchdog, run_handle, signals_handled, threads_busy
from machinery._test_helpers._seam._seam import HasClock, Seam
from machinery._test_helpers._time_module import real_monotonic, unfaked
from machinery._test_helpers._where import name_of

_AT_A_STRETCH = range(100)
"""How often the listeners act, if that makes nothing ready, before the loop may look at its own timers again."""


_UNKNOWN = SimpleNamespace(_scheduled=True, _debug=True)


class SelectorSeam(Seam):
    """For asyncio's own loops: they are idle when they ask their selector to wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, selector: Any) -> None:
        super().__init__(loop)
        self._next_round: list[Callable[[], object]] = []
        self._real_call_at = loop.call_at
        self._real_time = real_monotonic if type(loop).time is asyncio.BaseEventLoop.time else unfaked(loop.time)
        self._ready: Any = getattr(loop, "_ready", True)
        self._selector = selector
        self._registered, self._signals = _sources_of_events(loop, selector)
        self._real_select = selector.select
        self.anything_to_read = _quick_poll(selector)
        self._selector_layers = Layers(selector)
        self._on_selector = {"select": self._select}

    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        # Not the loop's own call_later: that one asks loop.time and loop.call_at, which are virtual now.
        return self._real_call_at(self._real_time() + delay, callback, *args, context=context)

    def time_of(self, block: HasClock) -> Callable[[], float]:
        """Return a ``loop.time`` that reads the clock of a block until that is left, to all but the loop's scheduler.

        The scheduler compares it with the deadlines of timers that keep real time: those set before the block, and
        watchdogs. In debug mode, it looks how long callbacks take. It is known by its code, since nothing else tells
        its calls from others; when it has no such timer and no such mode, what it reads does not matter.
        """
        loop: Any = self._loop if isinstance(self._loop, asyncio.BaseEventLoop) else _UNKNOWN
        schedulers = _codes_of_scheduler(type(self._loop))
        caller, real_time, clock = sys._getframe, self._real_time, block.clock

        def time() -> float:
            if block.left or ((loop._scheduled or loop._debug) and caller(1).f_code in schedulers):
                return real_time()
            return clock.now

        return time

    def certain(self) -> bool:
        # In this order: a thread that has just ended has said before what it had to say.
        return next(self.wakers(), None) is None and not self.anything_to_read()

    def wakers(self) -> Iterator[str]:
        for handle in getattr(self._loop, "_scheduled", ()):
            callback, args = called_by(handle)
            if not handle.cancelled() and not is_watchdog(getattr(callback, "__module__", None)):
                while callback is run_handle and isinstance(args[0], asyncio.Handle):
                    # One that was pending when its block of virtual time was left.
                    callback, args = called_by(args[0])
                yield f"a real timer that calls {name_of(callback)}"
        yield from self._files()
        yield from signals_handled(self._loop)
        yield from threads_busy()

    def _files(self) -> Iterator[str]:
        """Describe what the loop reads or writes, but for the pipe by which other threads wake it."""
        pipe = getattr(self._loop, "_ssock", None)
        files: Mapping[Any, Any] = getattr(self._selector, "get_map", dict)()
        if pipe is None or not files:
            yield "something that this loop does not tell of"
        for key in files.values():
            if pipe is None or key.fd != pipe.fileno():
                yield f"file or socket {key.fd}"

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
        events: object = []
        if self._next_round:
            self._begin_round()
            timeout = 0
        if timeout is not None and timeout <= 0:
            self.rounds += 1
            if (len(self._registered) != 1 or self._signals) and self.anything_to_read():
                events = self._real_select(0)
        else:
            self.rounds = 0
            if self._some_are_cancelled:
                self._look()
            for _ in _AT_A_STRETCH:
                if len(self._registered) != 1 or self._signals:
                    if self.anything_to_read():
                        events = self._real_select(0)
                        break
                elif self._ready:
                    break
                wait = self._ask(0.0)
                if wait > 0:
                    events = self._rest(timeout, wait)
                    break
                if self._next_round:
                    # This belongs to the round that ends here, though the loop has yet to run what was made ready.
                    self._begin_round()
                if self._ready or getattr(self._loop, "_stopping", True):
                    break
        for each in self.watched:
            if each.cancelling() != each.seen:
                self._look()
        return events

    def _begin_round(self) -> None:
        callbacks, self._next_round = self._next_round, []
        for callback in callbacks:
            callback()

    def _rest(self, timeout: float | None, wait: float) -> object:
        rested, most = 0.0, NEVER if timeout is None else timeout
        began = last = real_monotonic()
        while rested < most:
            limit = min(wait, most - rested)
            events = self._real_select(None if limit == NEVER else limit)
            now = real_monotonic()
            self.rest, rested, last = self.rest + now - last, now - began, now
            if events:
                return events
            wait = self._ask(rested)
            if wait == 0:
                self._begin_round()
                break
        return []


def _codes_of_scheduler(kind: type) -> tuple[CodeType, ...]:
    """Return the code of a loop's scheduler: of one function, but for loops that extend what they inherit.

    Not as a set: it costs a microsecond to hash code, and nothing to find it first in a tuple.
    """
    functions = [vars(ancestor).get("_run_once") for ancestor in kind.__mro__]
    return tuple(function.__code__ for function in reversed(functions) if isinstance(function, FunctionType))


def _sources_of_events(loop: Any, selector: Any) -> tuple[Sized, Sized]:
    """Return the files of a selector and the signals that its loop handles.

    With one file and no signals there is nothing to ask the selector: the one file is the pipe by which other threads
    wake the loop, and what they bring is among what is ready before. Where that is not so, it is never one file.
    """
    pipe, files = getattr(loop, "_ssock", None), getattr(selector, "_fd_to_key", ())
    known = _is_of_python(selector) and isinstance(loop, asyncio.BaseEventLoop)
    if known and pipe is not None and pipe.fileno() in files:
        return files, getattr(loop, "_signal_handlers", ())
    return (), ()


def _quick_poll(selector: Any) -> Callable[[], object]:
    """Return what tells whether a selector has events: half the work where it is made of epoll, which keeps them."""
    poll = getattr(getattr(selector, "_selector", None), "poll", None)
    if _is_of_python(selector) and isinstance(selector, getattr(selectors, "EpollSelector", ())) and poll is not None:
        return functools.partial(poll, 0, 1)
    return functools.partial(selector.select, 0)


def _is_of_python(selector: object) -> bool:
    """Return whether a selector is one of Python's own, which nobody has changed."""
    return type(selector).__module__ == "selectors" and "select" not in vars(selector)
