"""What the tasks of a loop are doing, read off for a report.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError, Future, Task, all_tasks
from collections.abc import Container, Iterable, Iterator
from typing import Any

from machinery._test_helpers._asyncio_internals import (
    awaited_by,
    awaited_future,
    callback_of,
    gathered,
    ready_callbacks,
    ready_tasks,
    real_timers,
    task_timed_out_by,
)
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import is_watchdog, only_runs_tests
from machinery._test_helpers._report import TasksSnapshot
from machinery._test_helpers._source import (
    frames_of,
    has_begun,
    is_own,
    is_wrapper,
    name_of,
    only_yields,
    raised_at,
    safe_getattr,
    task_name,
    waits_at,
)
from machinery._test_helpers._tasks import Tasks

AnyTask = Task[Any]


def unfinished_tasks(loop: AbstractEventLoop, tasks: Tasks) -> list[AnyTask]:
    """Return the unfinished tasks of a loop, those first that were started in the block."""
    started = set(tasks.started())
    return sorted(all_tasks(loop), key=lambda task: (task not in started, len(task.get_name()), task.get_name()))


def tasks_snapshot(
    hook: IdleHook,
    tasks: Tasks,
    own: AnyTask | None,
    error: BaseException | None,
    *,
    unfinished: Iterable[AnyTask],
    listed: Iterable[AnyTask] = (),
    failed_elsewhere: Container[str] = (),
) -> TasksSnapshot:
    """Describe the tasks of a loop, but for those that the report lists elsewhere.

    :param own: the task of the block.
    :param failed_elsewhere: the names of tasks whose failures the report lists elsewhere.
    :param error: what is leaving the block, if anything is.
    """
    unfinished = list(unfinished)
    failed, failed_count = tasks.failed(failed_elsewhere)
    elsewhere = set(listed)
    others = [task for task in unfinished if task is not own and task not in elsewhere]
    own_line = None
    if isinstance(error, CancelledError):
        own_line = f"the task of this block was waiting\nat {raised_at(error.__traceback__)}"
    elif error is None and own in unfinished and own not in elsewhere:
        own_line = f"{whose(own, own)} {doing(own)}"
    polling, busy = _busy_tasks(hook, unfinished)
    named = {*polling, *busy}
    return TasksSnapshot(
        failed=failed,
        failed_count=failed_count,
        own=None if own in named else own_line,
        waiting=[
            f"{task_name(task)} {doing(task)}"
            for task in others
            if task not in named and not only_runs_tests([*frames_of(task)])
        ],
        polling=[f"{whose(task, own)}\nat {waits_at(task)}" for task in polling] if hook.is_busy else None,
        busy=[f"{whose(task, own)}\nat {waits_at(task)}" for task in busy]
        or ([name_of(callback) for callback in _users_callbacks(hook.loop)] if hook.is_busy and not polling else ()),
        wakeups=list(hook.possible_wakeups()) if error is None and not hook.is_busy else (),
    )


def whose(task: AnyTask | None, own: AnyTask | None) -> str:
    """Name a task; that of the block as such, since test runners give it a name and a coroutine that no user knows."""
    return "the task of this block" if task is None or task is own else task_name(task)


def doing(task: AnyTask) -> str:
    """Say what a task is doing."""
    if task.done():
        return "has ended"
    if not has_begun(task):
        return f"has not begun yet\nat {waits_at(task)}"
    future = awaited_future(task)
    if isinstance(future, Future) and future.done() and not future.cancelled():
        return f"is about to run\nat {waits_at(task)}"
    return f"waits\nat {waits_at(task)}{_real_timer(task, future)}"


def task_behind(task: AnyTask, tasks: Iterable[AnyTask]) -> AnyTask:
    """Return the task whose awaitable asyncio has wrapped in another, as ``gather`` does."""
    if not is_wrapper(task):
        return task
    behind = awaited_by(task)
    return next((other for other in tasks if other in behind or task in gathered(awaited_future(other))), task)


def _real_timer(task: AnyTask, future: object) -> str:
    """Say so if what will wake a task is a timer in real time: next to virtual ones, it looks as if there were none."""
    for timer in real_timers(task.get_loop()) if future is not None else ():
        callback, args = callback_of(timer)
        if any(arg is future for arg in args):
            return "\n(in real time, set before the block)"
        if task_timed_out_by(callback) is task:
            return "\n(its timeout, set before the block, is in real time)"
    return ""


def _users_callbacks(loop: AbstractEventLoop) -> Iterator[object]:
    for callback in ready_callbacks(loop):
        # The watchdog may be that of an earlier test: alt-pytest-asyncio does not cancel it when the test ends.
        if not is_own(callback) and not is_watchdog(safe_getattr(callback, "__module__")):
            yield callback


def _busy_tasks(hook: IdleHook, unfinished: list[AnyTask]) -> tuple[list[AnyTask], list[AnyTask]]:
    """Return the tasks that keep a loop busy: those that poll with ``sleep(0)``, and without these the others."""
    if not hook.is_busy:
        return [], []
    polling = [task for task in unfinished if only_yields(task)]
    # Those that are about to run because they were cancelled just now keep nothing busy.
    running = hook.busy_tasks or {task for task in ready_tasks(hook.loop) if not task.cancelling()}
    return polling, [task for task in unfinished if task in running and not polling]
