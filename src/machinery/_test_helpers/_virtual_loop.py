"""The methods of a loop that virtual time replaces: `time`, `call_later` and `call_at`.

PYTEST_DONT_REWRITE
"""

from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context
from functools import partial
from inspect import iscoroutinefunction
from sys import _getframe
from threading import get_ident

from machinery._test_helpers._asyncio_internals import TASK_MODULES, hide_callers, loop_time
from machinery._test_helpers._clock import NEVER, Clock, Moment
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import is_watchdog
from machinery._test_helpers._timers import Timer, TimerQueue, make_timer


class VirtualLoop:
    """Sets timers on a virtual clock, and tells virtual from real time for those who read ``loop.time``."""

    def __init__(self, hook: IdleHook, clock: Clock, timers: TimerQueue, note_immediate: Callable[[], None]) -> None:
        self.is_closed = False
        """Set when the block ends. Somebody may have saved a method inside the block and put it back later."""
        self._hook = hook
        self._loop = hook.loop
        self._clock = clock
        self._timers = timers
        self._note_immediate = note_immediate
        self._thread = get_ident()
        self.attributes: dict[str, object] = {
            "time": loop_time(hook.loop, hook.real_time, clock, self),
            "call_later": partial(self._set, clock.later, hook.real_call_later),
            "call_at": partial(self._set, clock.at, self._real_call_at),
        }

    def _set(
        self,
        find_moment: Callable[[float], tuple[Moment, float]],
        in_real_time: Callable[..., TimerHandle],
        time: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> TimerHandle:
        """Set a timer; the first two arguments make this ``call_later`` or ``call_at``.

        It is one function, since each call more for each timer takes 2 % of what a sleep does.
        """
        __tracebackhide__ = True
        module = getattr(callback, "__module__", None)
        serves_a_task = module in TASK_MODULES
        if self.is_closed or (not serves_a_task and is_watchdog(module)):
            return in_real_time(time, callback, *args, context=context)
        try:
            moment, when = find_moment(time)
        except TypeError:
            wanted = "delay must be a number of" if find_moment == self._clock.later else "when must be a time in"
            raise TypeError(f"{wanted} seconds, got {time!r}") from None
        if not callable(callback):
            raise TypeError(f"callback must be callable, got {callback!r}: pass the function itself, do not call it")
        loop = self._loop
        if loop.get_debug():
            self._check_as_in_debug_mode(callback)
            timer = Timer(when, callback, args, loop, context)
            hide_callers(timer, 1)
        else:
            timer = make_timer(when, callback, args, loop, context)
        if serves_a_task:
            timer.origin = None
        else:
            caller = _getframe(1)
            timer.origin = caller.f_code, caller.f_lasti
        timer.immediate = moment <= self._clock.moment
        if when == NEVER:
            timer.owner = None
        else:
            self._timers.add(moment, timer)
        if timer.immediate:
            self._note_immediate()
        return timer

    def _real_call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> TimerHandle:
        return self._hook.real_call_later(when - self._loop.time(), callback, *args, context=context)

    def _check_as_in_debug_mode(self, callback: Callable[..., object]) -> None:
        __tracebackhide__ = True
        if get_ident() != self._thread:
            raise RuntimeError("timers can be set only from the thread of their loop: use loop.call_soon_threadsafe")
        if iscoroutinefunction(callback):
            raise TypeError(
                f"callback must be a plain function, got the coroutine function {callback!r}: use loop.create_task"
            )
