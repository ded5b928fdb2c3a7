"""What the timers of a virtual clock are for, read off for a report.

PYTEST_DONT_REWRITE
"""

from asyncio import Task
from collections.abc import Iterable
from typing import Any

from machinery._test_helpers._asyncio_internals import awaited_future, callback_of, task_timed_out_by
from machinery._test_helpers._clock import Clock
from machinery._test_helpers._report import MAX_LISTED, PendingTimer
from machinery._test_helpers._source import name_of, safe_getattr, set_at
from machinery._test_helpers._task_snapshots import doing, whose
from machinery._test_helpers._timers import Timer, TimerQueue

AnyTask = Task[Any]


def pending_timers(
    clock: Clock, timers: TimerQueue, tasks: Iterable[AnyTask], own: AnyTask | None
) -> tuple[list[PendingTimer], int, list[AnyTask]]:
    """Return the first pending timers, how many there are, and the tasks that they will wake."""
    waiting = timers.waiting()
    woken: list[AnyTask] = []
    pending = []
    for moment, timer in waiting[:MAX_LISTED]:
        when = timer.when()
        what = describe_timer(timer, tasks, own, woken)
        pending.append(PendingTimer(clock.deadline(moment, when), clock.until(moment, when), what))
    return pending, len(waiting), woken


def describe_timer(timer: Timer, tasks: Iterable[AnyTask], own: AnyTask | None, woken: list[AnyTask]) -> str:
    """Say what a pending timer is for: the task that waits for it, or its callback and the line that set it.

    :param woken: gets the tasks that it will wake.
    """
    callback, args = callback_of(timer)
    # Of `call_at(when, future.set_result, None)` as well as of what asyncio.sleep sets.
    futures = [future for future in (*args, safe_getattr(callback, "__self__")) if future is not None]
    for task in tasks:
        if any(awaited_future(task) is future for future in futures):
            woken.append(task)
            return f"{whose(task, own)} {doing(task)}"
    what = describe_fired_timer(timer, own)
    timed_out = _task_timed_out_by(timer)
    if timed_out is None:
        return what
    woken.append(timed_out)
    return f"{what},\nwhich {doing(timed_out)}"


def describe_fired_timer(timer: Timer, own: AnyTask | None) -> str:
    """Say what a timer was for, whose task need not wait for it any more."""
    timed_out = _task_timed_out_by(timer)
    if timed_out is not None:
        return f"timeout of {whose(timed_out, own)}"
    callback, _ = callback_of(timer)
    place = set_at(timer.origin)
    if callback is None:
        # It was cancelled after it had fired, as asyncio.sleep does with its own.
        return "the end of a sleep or wait" if place is None else f"a callback,\nset at {place}"
    return name_of(callback) if place is None else f"{name_of(callback)},\nset at {place}"


def _task_timed_out_by(timer: Timer) -> AnyTask | None:
    """Return the task that a timer of ``asyncio.timeout`` ends; ``None`` if the user's own line set it."""
    callback, _ = callback_of(timer)
    return task_timed_out_by(callback) if set_at(timer.origin) is None else None
