"""What the tasks of a loop are doing, read off for a report."""

from asyncio import AbstractEventLoop, CancelledError, Future, Task, all_tasks
from collections.abc import Container, Iterable
from typing import Any

from machinery._test_helpers._asyncio_internals import (
    awaited_by,
    awaited_future,
    callback_of,
    gathered,
    ready_callbacks,
    ready_tasks,
    real_timers,
)
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._report import TasksSnapshot
from machinery._test_helpers._source import has_begun, is_wrapper, name_of, only_yields, raised_at, task_name, waits_at
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
        own_line = f"the task of this block was waiting at {raised_at(error.__traceback__)}"
    elif error is None and own in unfinished and own not in elsewhere:
        own_line = f"{whose(own, own)} {doing(own)}"
    polling, busy = _busy(hook, unfinished, own)
    return TasksSnapshot(
        failed=failed,
        failed_count=failed_count,
        own=own_line,
        waiting=[f"{task_name(task)} {doing(task)}" for task in others],
        polling=polling,
        busy=busy,
        wakeups=list(hook.possible_wakeups()) if error is None else (),
    )


def whose(task: AnyTask | None, own: AnyTask | None) -> str:
    """Name a task; that of the block as such, since test runners give it a name and a coroutine that no user knows."""
    return "the task of this block" if task is None or task is own else task_name(task)


def doing(task: AnyTask) -> str:
    """Say what a task is doing."""
    if not has_begun(task):
        return f"has not begun yet, at {waits_at(task)}"
    future = awaited_future(task)
    if isinstance(future, Future) and future.done() and not future.cancelled():
        return f"is about to run at {waits_at(task)}"
    in_real_time = " (a timer in real time, set before the block)" if _has_real_timer(task, future) else ""
    return f"waits at {waits_at(task)}{in_real_time}"


def task_behind(task: AnyTask, tasks: Iterable[AnyTask]) -> AnyTask:
    """Return the task whose awaitable asyncio has wrapped in another, as ``gather`` does."""
    if not is_wrapper(task):
        return task
    behind = awaited_by(task)
    return next((other for other in tasks if other in behind or task in gathered(awaited_future(other))), task)


def _has_real_timer(task: AnyTask, future: object) -> bool:
    timers = real_timers(task.get_loop()) if future is not None else ()
    return any(arg is future for timer in timers for arg in callback_of(timer)[1])


def _busy(hook: IdleHook, unfinished: list[AnyTask], own: AnyTask | None) -> tuple[list[str] | None, list[str]]:
    if not hook.is_busy:
        return None, []
    polling = [task for task in unfinished if only_yields(task)]
    if polling:
        return _at(polling, own), []
    # Tasks that are about to run because they were cancelled just now keep nothing busy.
    running = {task for task in (*(hook.busy_tasks or ()), *ready_tasks(hook.loop)) if not task.cancelling()}
    busy = _at([task for task in unfinished if task in running], own)
    return [], busy or [name_of(callback) for callback in ready_callbacks(hook.loop)]


def _at(tasks: Iterable[AnyTask], own: AnyTask | None) -> list[str]:
    return [f"{whose(task, own)} at {waits_at(task)}" for task in tasks]
