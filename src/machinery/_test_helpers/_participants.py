"""The tasks that have awaited a domino, and how they have ended.

PYTEST_DONT_REWRITE
"""

from asyncio import Task
from collections.abc import Callable
from typing import Any
from weakref import ref

from machinery._test_helpers._asyncio_internals import failure_of, is_retrieved
from machinery._test_helpers._report import MAX_LISTED
from machinery._test_helpers._source import brief, raised_at, task_name

AnyTask = Task[Any]


class Participants:
    """Remembers those tasks without keeping them alive."""

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}
        """The domino that each task has awaited last, by the task's id until it has ended."""
        self._running: list[ref[AnyTask]] = []
        self._ended: list[tuple[ref[AnyTask], str, int, str, bool]] = []

    def note(self, task: AnyTask, num: int) -> None:
        """Note that a task awaits a domino."""
        key = id(task)
        if key not in self._latest:
            # A task is there until its callbacks have been called, so no other has its id before that.
            task.add_done_callback(self._note_ended)
            self._running.append(ref(task))
        self._latest[key] = num

    def close(self) -> None:
        """Let go of tasks that are still running."""
        for reference in self._running:
            task = reference()
            if task is not None:
                task.remove_done_callback(self._note_ended)

    def _note_ended(self, task: AnyTask) -> None:
        num = self._latest.pop(id(task))
        # Asking a task for its exception would mark it as retrieved.
        failure = failure_of(task)
        if task.cancelled():
            outcome = "cancelled"
        elif failure is None:
            outcome = "returned"
        else:
            outcome = f"{brief(failure)} at {raised_at(failure.__traceback__)}"
        if failure is not None or len(self._ended) < MAX_LISTED:
            self._ended.append((ref(task), task_name(task), num, outcome, failure is not None))

    def failed_names(self) -> set[str]:
        """Return the names of those that failed."""
        return {name for _, name, _, _, failed in self._ended if failed}

    def ended(self, has_fallen: Callable[[int], bool]) -> list[tuple[str, bool]]:
        """Say how those tasks have ended, failures first, and whether that is a failure that nobody has read."""
        lines = []
        ended = [(not failed, num, key(), name, outcome) for key, name, num, outcome, failed in self._ended]
        for returned, num, task, name, outcome in sorted(ended, key=lambda each: each[:2]):
            when = "after" if has_fallen(num) else "while waiting for"
            is_new = not returned and task is not None and not is_retrieved(task)
            lines.append((f"{name} ended {when} domino {num}: {outcome}", is_new))
        return lines
