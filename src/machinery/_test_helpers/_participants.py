"""The tasks that have awaited a domino, and how they have ended.

PYTEST_DONT_REWRITE
"""

from asyncio import Task
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import ref

from machinery._test_helpers._asyncio_internals import failure_of, is_retrieved
from machinery._test_helpers._report import MAX_LISTED
from machinery._test_helpers._source import brief, raised_at

AnyTask = Task[Any]

_SWEEP_SLACK = 100


class Participants:
    """Remembers those tasks without keeping them alive."""

    def __init__(self, name: Callable[[AnyTask], str]) -> None:
        self._name = name
        """Returns how a task is called."""
        self.latest: dict[int, int] = {}
        """The domino that each task has awaited last, by the task's id until it has ended."""
        self._running: dict[int, ref[AnyTask]] = {}
        self._ended: list[_Ended] = []
        self._sweep_at = _SWEEP_SLACK
        self._dropped = 0
        """How many of those that failed are not kept, since somebody has read their exceptions."""

    def add(self, task: AnyTask, num: int) -> None:
        """Remember a task that awaits a domino for the first time."""
        # A task is there until its callbacks have been called, so no other has its id before that.
        task.add_done_callback(self._note_ended)
        self._running[id(task)] = ref(task)
        self.latest[id(task)] = num

    def close(self) -> None:
        """Let go of tasks that are still running."""
        for task in [task for reference in self._running.values() if (task := reference()) is not None]:
            task.remove_done_callback(self._note_ended)

    def _note_ended(self, task: AnyTask) -> None:
        num = self.latest.pop(id(task))
        del self._running[id(task)]
        detail = ""
        # Asking a task for its exception would mark it as retrieved.
        failure = failure_of(task)
        if task.cancelled():
            ended = "was cancelled"
        elif failure is None:
            ended = "returned"
        else:
            ended, detail = "failed", f": {brief(failure)}\nat {raised_at(failure.__traceback__)}"
        if failure is not None or len(self._ended) < MAX_LISTED:
            self._ended.append(_Ended(ref(task), self._name(task), num, ended, detail, failure is not None))
            if len(self._ended) > self._sweep_at:
                self._sweep()

    def _sweep(self) -> None:
        """Keep those that a report would show: some, and those with exceptions that somebody may yet have to read."""
        kept = self._ended[:MAX_LISTED]
        kept += [each for each in self._ended[MAX_LISTED:] if each.is_unread()]
        self._dropped += len(self._ended) - len(kept)
        self._ended = kept
        self._sweep_at = 2 * len(kept) + _SWEEP_SLACK

    def failed_names(self) -> set[str]:
        """Return the names of those that failed."""
        return {each.name for each in self._ended if each.failed}

    def ended(self, has_fallen: Callable[[int], bool]) -> list[tuple[str, bool]]:
        """Say how those tasks have ended, and whether that is a failure that nobody has read, these first."""
        lines = []
        for each in sorted(self._ended, key=lambda each: (not each.is_unread(), not each.failed, each.num)):
            when = f"after domino {each.num}" if has_fallen(each.num) else f"before domino {each.num} fell"
            lines.append((f"{each.name} {each.ended} {when}{each.detail}", each.is_unread()))
        # Only the first lines are shown, and the others counted.
        return lines + [("", False)] * self._dropped


class _Ended(NamedTuple):
    task: ref[AnyTask]
    name: str
    num: int
    """The domino that it awaited last."""
    ended: str
    detail: str
    failed: bool

    def is_unread(self) -> bool:
        """Return whether it failed, and nobody has read with what."""
        task = self.task()
        return self.failed and task is not None and not is_retrieved(task)
