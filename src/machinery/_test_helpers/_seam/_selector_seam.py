"""The seam of asyncio's own loops."""

import asyncio
import contextvars
import math
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from machinery._test_helpers._clock import Clock
from machinery._test_helpers._layers import Layers
from machinery._test_helpers._seam._facts import called_by, is_watchdog, signals_are_handled, threads_are_busy
from machinery._test_helpers._seam._seam import Seam
from machinery._test_helpers._time_module import real_monotonic, unfaked


class SelectorSeam(Seam):
    """For asyncio's own loops: they are idle when they ask their selector to wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, selector: Any) -> None:
        super().__init__(loop)
        self._next_round: list[Callable[[], object]] = []
        self._schedulers = _codes_of_scheduler(type(loop))
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

    def time_of(self, clock: Clock, is_over: Callable[[], bool]) -> Callable[[], float]:
        """Return a ``loop.time`` that reads a clock until its block is over, to all but the scheduler of the loop.

        The scheduler compares it with the deadlines of timers that keep real time: those set before the block, and
        watchdogs. It is known by its code, since nothing else tells its calls from others.
        """
        caller, schedulers, real_time = sys._getframe, self._schedulers, self._real_time

        def time() -> float:
            return real_time() if caller(1).f_code in schedulers or is_over() else clock.now

        return time

    def certain(self) -> bool:
        real_timers = any(
            not handle.cancelled() and not is_watchdog(called_by(handle)[0])
            for handle in getattr(self._loop, "_scheduled", ())
        )
        return not (real_timers or self._watches_files() or signals_are_handled(self._loop) or threads_are_busy())

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
            self._begin_round()
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
                # This belongs to the round that ends here, though the loop has yet to run what it was made ready.
                self._begin_round()
                return events
            if wait < math.inf:
                break
        return self._rest(timeout, wait)

    def _begin_round(self) -> None:
        callbacks, self._next_round = self._next_round, []
        for callback in callbacks:
            callback()

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
                self._begin_round()
                break
        return []


def _codes_of_scheduler(kind: type) -> frozenset[CodeType]:
    """Return the code of a loop's scheduler: one function, but for loops that extend what they inherit."""
    functions = [vars(ancestor).get("_run_once") for ancestor in kind.__mro__]
    return frozenset(function.__code__ for function in functions if isinstance(function, FunctionType))
