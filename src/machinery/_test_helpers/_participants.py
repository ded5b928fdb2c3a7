"""The tasks that have awaited a domino, and how they have ended."""

from asyncio import Task
from collections.abc import Callable
from typing import Any
from weakref import ref

from machinery._test_helpers._asyncio_internals import failure_of, is_retrieved
from machinery._test_helpers._report import MAX_LISTED
from machinery._test_helpers._source import brief, raised_at, task_name

AnyTask = Task[Any]

_SWEEP_SLACK = 100


class Participants:
    """Remembers those tasks without keeping them alive."""

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}
        """The domino that each task has awaited last, by the task's id until it has ended."""
        self._running: dict[int, ref[AnyTask]] = {}
        self._ended: list[tuple[ref[AnyTask], str, int, str, bool]] = []
        self._sweep_at = _SWEEP_SLACK
        self._dropped = 0
        """How many of those that failed are not kept, since somebody has read their exceptions."""

    def note(self, task: AnyTask, num: int) -> None:
        """Note that a task awaits a domino."""
        key = id(task)
        if key not in self._latest:
            # A task is there until its callbacks have been called, so no other has its id before that.
            task.add_done_callback(self._note_ended)
            self._running[key] = ref(task)
        self._latest[key] = num

    def close(self) -> None:
        """Let go of tasks that are still running."""
        for task in [task for reference in self._running.values() if (task := reference()) is not None]:
            task.remove_done_callback(self._note_ended)

    def _note_ended(self, task: AnyTask) -> None:
        num = self._latest.pop(id(task))
        del self._running[id(task)]
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
            if len(self._ended) > self._sweep_at:
                self._sweep()

    def _sweep(self) -> None:
        """Keep those that a report would show: some, and those with exceptions that somebody may yet have to read."""
        kept = self._ended[:MAX_LISTED]
        kept += [
            each for each in self._ended[MAX_LISTED:] if (task := each[0]()) is not None and not is_retrieved(task)
        ]
        self._dropped += len(self._ended) - len(kept)
        self._ended = kept
        self._sweep_at = 2 * len(kept) + _SWEEP_SLACK

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
        # Only the first lines are shown, and the others counted.
        return lines + [("", False)] * self._dropped
