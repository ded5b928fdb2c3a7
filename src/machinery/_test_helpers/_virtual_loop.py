"""The methods of a loop that virtual time replaces: `time`, `call_later` and `call_at`.

PYTEST_DONT_REWRITE
"""

from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context, copy_context
from inspect import iscoroutinefunction
from sys import _getframe
from threading import get_ident
from types import FunctionType
from typing import Any

from machinery._test_helpers._asyncio_internals import (
    HANDLE_SLOTS_ARE_KNOWN,
    TASK_MODULES,
    LoopTime,
    hide_callers,
)
from machinery._test_helpers._clock import NEVER, Clock, Moment
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import is_watchdog
from machinery._test_helpers._timers import Timer, TimerQueue

new_timer = Timer.__new__


def _with_parameter(function: Callable[..., Any], **names: str) -> Callable[..., Any]:
    """Return the same function with other names for parameters, by which callers may pass them."""
    code = function.__code__
    code = code.replace(co_varnames=tuple([names.get(name, name) for name in code.co_varnames]))
    copy = FunctionType(code, function.__globals__, function.__name__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


class VirtualLoop(LoopTime):
    """Sets timers on a virtual clock, and tells virtual from real time for those who read ``loop.time``."""

    def __init__(self, hook: IdleHook, clock: Clock, timers: TimerQueue, note_immediate: Callable[[], None]) -> None:
        super().__init__(hook.loop, hook.real_time, clock)
        self.hook = hook
        self.loop = hook.loop
        self.clock = clock
        self.add = timers.add
        self.note_immediate = note_immediate
        self._thread = get_ident()
        self.attributes: dict[str, object] = {
            "time": self.time,
            "call_later": TimerSetter(self, clock.later, hook.real_call_later).call_later,
            "call_at": TimerSetter(self, clock.at, self._real_call_at).call_at,
        }

    def _real_call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> TimerHandle:
        return self.hook.real_call_later(when - self.loop.time(), callback, *args, context=context)

    def check_as_in_debug_mode(self, callback: Callable[..., object]) -> None:
        """Raise what the loop raises in debug mode."""
        __tracebackhide__ = True
        if get_ident() != self._thread:
            raise RuntimeError("timers can be set only from the thread of their loop: use loop.call_soon_threadsafe")
        if iscoroutinefunction(callback):
            raise TypeError(
                f"callback must be a plain function, got the coroutine function {callback!r}: use loop.create_task"
            )


class TimerSetter:
    """Sets timers on the virtual clock of a loop, in place of its ``call_later`` or ``call_at``.

    One function does it all and makes the timer itself, since each sleep and timeout pays for it: where it calls
    others, a sleep takes 5 % more instructions. It is a method, since closures take 3 % of what an empty block does.
    """

    __slots__ = ("_in_real_time", "_is_debugging", "_moment_of", "_virtual")

    def __init__(
        self,
        virtual: VirtualLoop,
        moment_of: Callable[[float], tuple[Moment, float]],
        in_real_time: Callable[..., TimerHandle],
    ) -> None:
        self._virtual = virtual
        self._moment_of = moment_of
        self._in_real_time = in_real_time
        self._is_debugging = virtual.loop.get_debug

    def _set(
        self, time: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> TimerHandle:
        __tracebackhide__ = True
        virtual = self._virtual
        module = getattr(callback, "__module__", None)
        serves_a_task = module in TASK_MODULES
        if virtual.is_closed or (not serves_a_task and is_watchdog(module)):
            return self._in_real_time(time, callback, *args, context=context)
        try:
            moment, when = self._moment_of(time)
        except TypeError:
            is_delay = self._moment_of == virtual.clock.later
            wanted = "delay must be a number of" if is_delay else "when must be a time in"
            raise TypeError(f"{wanted} seconds, got {time!r}") from None
        if not serves_a_task and not callable(callback):
            raise TypeError(f"callback must be callable, got {callback!r}: pass the function itself, do not call it")
        if HANDLE_SLOTS_ARE_KNOWN and not self._is_debugging():
            timer = new_timer(Timer)
            slots: Any = timer
            slots._args = args
            slots._callback = callback
            slots._cancelled = slots._scheduled = False
            slots._context = copy_context() if context is None else context
            slots._loop = virtual.loop
            slots._repr = slots._source_traceback = None
            slots._when = when
        else:
            if self._is_debugging():
                virtual.check_as_in_debug_mode(callback)
            timer = Timer(when, callback, args, virtual.loop, context)
            hide_callers(timer, 1)
        if serves_a_task:
            timer.origin = None
        else:
            caller = _getframe(1)
            timer.origin = caller.f_code, caller.f_lasti
        timer.immediate = moment <= virtual.clock.tick
        if when == NEVER:
            timer.owner = None
        else:
            virtual.add(moment, timer)
        if timer.immediate:
            virtual.note_immediate()
        return timer

    call_later = _with_parameter(_set, time="delay")
    call_at = _with_parameter(_set, time="when")
