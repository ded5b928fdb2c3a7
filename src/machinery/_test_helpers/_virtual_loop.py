"""The methods of a loop that virtual time replaces: `time`, `call_later` and `call_at`.

PYTEST_DONT_REWRITE
"""

from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context, copy_context
from inspect import iscoroutinefunction
from sys import _getframe
from threading import get_ident
from typing import Any

from machinery._test_helpers._asyncio_internals import HANDLE_SLOTS_ARE_KNOWN, TASK_MODULES, hide_callers, loop_time
from machinery._test_helpers._clock import NEVER, Clock
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import is_watchdog
from machinery._test_helpers._timers import Timer, TimerQueue

new_timer = Timer.__new__


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
            "call_later": self._timer_setter(hook.real_call_later, is_delay=True),
            "call_at": self._timer_setter(self._real_call_at, is_delay=False),
        }

    def _timer_setter(self, in_real_time: Callable[..., TimerHandle], *, is_delay: bool) -> Callable[..., TimerHandle]:
        """Return what is to be called in place of ``call_later`` or ``call_at``.

        It is a closure and makes the timer itself, since each sleep and timeout pays for it: in a method that calls
        others for this, a sleep takes 5 % more instructions.
        """
        clock, loop, add = self._clock, self._loop, self._timers.add
        later, at, is_debugging = clock.later, clock.at, loop.get_debug

        def set_timer(
            time: float, callback: "Callable[..., object]", *args: object, context: "Context | None" = None
        ) -> TimerHandle:
            __tracebackhide__ = True
            module = getattr(callback, "__module__", None)
            serves_a_task = module in TASK_MODULES
            if self.is_closed or (not serves_a_task and is_watchdog(module)):
                return in_real_time(time, callback, *args, context=context)
            try:
                moment, when = later(time) if is_delay else at(time)
            except TypeError:
                wanted = "delay must be a number of" if is_delay else "when must be a time in"
                raise TypeError(f"{wanted} seconds, got {time!r}") from None
            if not serves_a_task and not callable(callback):
                raise TypeError(
                    f"callback must be callable, got {callback!r}: pass the function itself, do not call it"
                )
            if HANDLE_SLOTS_ARE_KNOWN and not is_debugging():
                timer = new_timer(Timer)
                slots: Any = timer
                slots._args = args
                slots._callback = callback
                slots._cancelled = slots._scheduled = False
                slots._context = copy_context() if context is None else context
                slots._loop = loop
                slots._repr = slots._source_traceback = None
                slots._when = when
            else:
                if is_debugging():
                    self._check_as_in_debug_mode(callback)
                timer = Timer(when, callback, args, loop, context)
                hide_callers(timer, 1)
            if serves_a_task:
                timer.origin = None
            else:
                caller = _getframe(1)
                timer.origin = caller.f_code, caller.f_lasti
            timer.immediate = moment <= clock.tick
            if when == NEVER:
                timer.owner = None
            else:
                add(moment, timer)
            if timer.immediate:
                self._note_immediate()
            return timer

        return set_timer

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
