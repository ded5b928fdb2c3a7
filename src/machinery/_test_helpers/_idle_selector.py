"""The idle hook for asyncio's own loops.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Collection, Iterator
from contextvars import Context
from math import inf
from typing import Any

from machinery._test_helpers._asyncio_internals import (
    has_standard_time,
    is_stopping,
    quick_poll,
    ready_queue,
    ready_tasks,
    registered_files,
    signal_handlers,
)
from machinery._test_helpers._idle import BUSY_AFTER, COUNTED_AT_ONCE, IdleHook
from machinery._test_helpers._patches import Patches
from machinery._test_helpers._real_time import in_real_time, monotonic
from machinery._test_helpers._wakeups import only_connections, only_watchdogs_are_due, possible_wakeups

_IN_A_ROW = range(100)
"""How often listeners may act without making anything ready before the loop gets to look at its own timers."""


class SelectorHook(IdleHook):
    """Replaces ``select`` of the loop's selector: asyncio's loops are idle when they ask it to wait."""

    __slots__ = (
        "_before_next_iteration",
        "_files",
        "_idle_before",
        "_on_selector",
        "_ready",
        "_real_call_at",
        "_real_register",
        "_real_select",
        "_selector",
        "_selector_patches",
        "_signals",
    )

    def __init__(self, loop: AbstractEventLoop, selector: Any) -> None:
        super().__init__(loop)
        self._before_next_iteration: list[Callable[[], object]] = []
        self._idle_before = 0.0
        """For how long the loop had been idle when watchdogs were due, which do not end that time."""
        self._real_call_at = loop.call_at
        self.real_time = monotonic if has_standard_time(loop) else in_real_time(loop.time)
        self._ready = ready_queue(loop)
        self._selector = selector
        # With one file, the pipe by which threads wake the loop, and no signals, the selector has nothing to tell that
        # is not ready already. Where that is unknown, there is never exactly one.
        self._files = registered_files(loop, selector)
        self._signals = signal_handlers(loop)
        self._real_select = selector.select
        self.has_events = quick_poll(selector)
        self._selector_patches = Patches(selector)
        self._on_selector: dict[str, object] = {"select": self._select}
        self._real_register: Any = getattr(selector, "register", None)
        # The completion ports of Windows have neither.
        self.reports_events = self._real_register is not None and hasattr(selector, "get_map")
        if self.reports_events:
            self._on_selector["register"] = self._register

    def files(self) -> Collection[int]:
        return getattr(self._selector, "get_map", dict)() or ()  # Some selectors return None once they are closed.

    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> TimerHandle:
        # Not the loop's own call_later: it calls loop.time and loop.call_at, which are virtual now.
        return self._real_call_at(self.real_time() + delay, callback, *args, context=context)

    def before_next_iteration(self, callback: Callable[[], object]) -> None:
        if callback not in self._before_next_iteration:
            self._before_next_iteration.append(callback)

    def possible_wakeups(self) -> Iterator[str]:
        return possible_wakeups(self.loop, self._selector, self.real_time())

    def nothing_can_wake(self) -> bool:
        # In this order: a thread that has just ended has made its result known before.
        return next(self.possible_wakeups(), None) is None and not self.has_events()

    def only_connections_can_wake(self) -> bool:
        return not self.work_is_under_way() and only_connections(self.possible_wakeups())

    def _install(self) -> None:
        self._selector_patches.add(self._on_selector)
        super()._install()

    def _uninstall(self) -> None:
        super()._uninstall()
        self._selector_patches.remove(self._on_selector)

    def _register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        key = self._real_register(fileobj, events, data)
        if self.note_registered is not None:
            self.note_registered(key.fd)
        return key

    def _select(self, timeout: float | None = None) -> Any:
        # One function, since each more that is called takes 1 % of what a sleep or a domino does.
        events: Any = []
        if self._before_next_iteration:
            self._begin_iteration()
            timeout = 0
        if timeout is None or timeout > 0:
            if self._some_are_cancelled:
                self._note_cancellations()
            if self._idle_before and self.busy_iterations:
                self._idle_before = 0.0
            for _ in _IN_A_ROW:
                if len(self._files) != 1 or self._signals:
                    if self.has_events():
                        self._note_busy_iteration()
                        events = self._real_select(0)
                        break
                elif self._ready:
                    break
                self.times_idle += 1
                self.busy_iterations = 0
                wait = self._ask(self._idle_before)
                if wait > 0:
                    events = self._wait(timeout, wait)
                    break
                if self._before_next_iteration:
                    # This belongs to the iteration that ends here, though the loop has yet to run what was made ready.
                    self._begin_iteration()
                if self._ready or is_stopping(self.loop):
                    break
        else:
            self._note_busy_iteration()
            if (len(self._files) != 1 or self._signals) and self.has_events():
                events = self._real_select(0)
        for each in self.cancellation_watchers:
            if each.cancelling() != each.cancelling_seen:
                self._note_cancellations()
        if events:
            self.events_seen += 1
            if self.note_events is not None:
                self.note_events(events)
        if self.before_iteration is not None and self._ready:
            self.before_iteration()
        return events

    def _wait(self, timeout: float | None, wait: float) -> Any:
        last = monotonic()
        began, self._idle_before = last - self._idle_before, 0.0
        timer_due_at = inf if timeout is None else last + timeout
        while True:
            limit = min(wait, timer_due_at - last, inf if wait == inf else COUNTED_AT_ONCE)
            events = self._real_select(None if limit == inf else limit)
            now = monotonic()
            self.total_idle_seconds += min(now - last, COUNTED_AT_ONCE)
            last = now
            if events:
                return events
            if now >= timer_due_at:
                # After a pause of the machine listeners may have to act as well, but a watchdog that is due goes first.
                break
            wait = self._ask(now - began)
            if wait == 0:
                self._begin_iteration()
                return []
        if only_watchdogs_are_due(self.loop, self.real_time()):
            self._idle_before = last - began
        return []

    def _begin_iteration(self) -> None:
        callbacks, self._before_next_iteration = self._before_next_iteration, []
        for callback in callbacks:
            callback()

    def _note_busy_iteration(self) -> None:
        self.busy_iterations += 1
        if self.busy_iterations >= BUSY_AFTER:
            self._sample_busy_tasks(ready_tasks(self.loop))
