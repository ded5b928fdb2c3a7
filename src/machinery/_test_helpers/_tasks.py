"""The tasks started in a block, and those of them that failed.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Container
from typing import Any
from weakref import WeakKeyDictionary, ref

from machinery._test_helpers._asyncio_internals import failure_of, is_retrieved
from machinery._test_helpers._report import MAX_LISTED, FailedTask
from machinery._test_helpers._source import brief, name_of, raised_at, task_name

_SWEEP_SLACK = 100


class Tasks:
    """Remembers the tasks that a loop starts, without keeping them alive, and the failures that asyncio reported."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._create_task: Callable[..., Task[Any]] = loop.create_task
        self._call_exception_handler = loop.call_exception_handler
        self._started: list[ref[Task[Any]]] = []
        self._sweep_at = _SWEEP_SLACK
        self._coroutine_names: WeakKeyDictionary[Task[Any], str] = WeakKeyDictionary()
        """Of tasks that ended in their eager start, which have no coroutine any more."""
        self._forgotten: list[FailedTask] = []
        """The first of the tasks that failed and were freed before anybody had read their exceptions."""
        self._forgotten_count = 0
        self.attributes: dict[str, object] = {
            "create_task": self.create_task,
            "call_exception_handler": self.call_exception_handler,
        }

    def create_task(self, coro: Any, **kwargs: Any) -> Task[Any]:
        """Start a task, as the loop does."""
        task = self._create_task(coro, **kwargs)
        started = self._started
        started.append(ref(task))
        if task.done():
            self._coroutine_names[task] = name_of(coro)
        if len(started) > self._sweep_at:
            # Sweeping when the list has doubled costs each task the same, however many there are.
            self._started = [
                each for each in started if (task_or_none := each()) is not None and _matters(task_or_none)
            ]
            self._sweep_at = 2 * len(self._started) + _SWEEP_SLACK
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error as the loop does, and keep the text of failures that nobody has read."""
        task, error = context.get("task") or context.get("future"), context.get("exception")
        if isinstance(task, Task) and error is not None and failure_of(task) is error:
            self._forgotten_count += 1
            if len(self._forgotten) < MAX_LISTED:
                self._forgotten.append(self._failed(task, error, retrieved=False))
        self._call_exception_handler(context)

    def failed(self, known: Container[str] = ()) -> tuple[list[FailedTask], int]:
        """Return the first tasks that failed, and how many there are.

        Those whose exception nobody has read come first. ``known`` has the names of tasks to leave out.
        """
        failed = [task for task in self.started() if failure_of(task) is not None]
        failed.sort(key=is_retrieved)
        described = [self._failed(task, failure_of(task), retrieved=is_retrieved(task)) for task in failed[:MAX_LISTED]]
        described = sorted([*self._forgotten, *described], key=lambda each: each.retrieved)
        new = [each for each in described if each.name not in known]
        count = self._forgotten_count + len(failed) - (len(described) - len(new))
        return new[:MAX_LISTED], count

    def started(self) -> list[Task[Any]]:
        """Return those of the tasks that are still there, oldest first."""
        return [task for started in self._started if (task := started()) is not None]

    def _failed(self, task: Task[Any], error: BaseException | None, *, retrieved: bool) -> FailedTask:
        place = raised_at(None if error is None else error.__traceback__)
        return FailedTask(self.name(task), f"{brief(error)}\nat {place}", retrieved)

    def name(self, task: Task[Any]) -> str:
        """Name a task."""
        return task_name(task, self._coroutine_names.get(task))


def _matters(task: Task[Any]) -> bool:
    return not task.done() or failure_of(task) is not None
