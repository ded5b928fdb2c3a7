"""Attaches reports to exceptions that leave a block, and ends the task of a block.

PYTEST_DONT_REWRITE
"""

from asyncio import CancelledError, Task, current_task
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from logging import getLogger
from math import inf
from types import CodeType
from typing import Any
from weakref import ref

from machinery._test_helpers._asyncio_internals import failure_of
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import is_skip
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._source import is_still_awaited_by

logger = getLogger("machinery.test_helpers")

_ALWAYS_KEEP = 10
_KEEP_EVERY = 1.0
_LONGEST_CHAIN = 100


class Stuck(AssertionError):
    """A block of virtual time or dominos could never have ended: a deadlock, or time that stands still.

    It is raised out of the block after a real second, with a note on what each task waits for.

    .. code-block:: python

        import asyncio

        import pytest

        from machinery import test_helpers as thp


        async def test_a_deadlock_is_found():
            with pytest.raises(thp.Stuck):
                async with thp.mocked_call_later():
                    await asyncio.Event().wait()
    """

    __module__ = "machinery.test_helpers"


class Reports:
    """Makes the reports of a block, and attaches them to exceptions."""

    def __init__(self, lines: Callable[[BaseException | None], Iterable[str]]) -> None:
        self._lines = lines
        self.attached: str | None = None
        """The report that was attached last."""

    def text(self, error: BaseException | None) -> str:
        """Make a report; ``error`` is what is leaving the block, if anything is."""
        lines: list[str] = []
        try:
            for line in self._lines(error):
                lines.append(line)
        except Exception as failure:
            lines.append(f"  (the rest of this report failed with {type(failure).__name__})")
        return "\n".join(lines)

    def attach(self, error: BaseException, text: str) -> bool:
        """Add a report to an exception; return whether that worked."""
        self.attached = text
        try:
            error.add_note(text)
        except Exception:
            # Its class overrides `add_note` or `__notes__`.
            _log_on_leaving("%s takes no notes, so the report of the block is here\n%s", type(error).__name__, text)
            return False
        return True

    def attach_once(self, error: BaseException, *, again: bool = False, waits: bool = False) -> None:
        """Add a report to an exception, unless the last report is there already.

        :param again: whether to add the last report again.
        :param waits: whether the task of the block still waits, so that the exception says nothing on it.
        """
        if not is_skip(error) and not self.is_on(error):
            text = self.attached if again else None
            self.attach(error, self.text(None if waits else error) if text is None else text)

    def is_on(self, error: BaseException | None) -> bool:
        """Return whether the last report is on an exception, or on one from which that came."""
        text = self.attached
        unread, seen = [error], 0
        while text is not None and unread and seen < _LONGEST_CHAIN:
            each, seen = unread.pop(), seen + 1
            if each is None:
                continue
            if text in getattr(each, "__notes__", ()):
                return True
            unread += each.__cause__, each.__context__
            if isinstance(each, BaseExceptionGroup):
                unread += each.exceptions
        return False


class TaskWatch:
    """Watches the task of a block: keeps a report from when it is cancelled, and cancels it on deadlock."""

    def __init__(
        self, hook: IdleHook, reports: Reports, task: Task[Any] | None, entered_by: Sequence[CodeType] = ()
    ) -> None:
        """Watch a task.

        :param entered_by: the coroutines that entered the block, if the task may do something else before it is left.
        """
        self.task = task
        self._entered_by = entered_by
        self.cancelling = self.task.cancelling if self.task is not None else int
        self.cancelling_seen = self._cancelling_before = self.cancelling()
        self._hook = hook
        self._reports = reports
        self._stuck: Stuck | None = None
        self._own_cancels = 0
        self._snapshot: str | None = None
        """The report from when the task was last cancelled."""
        self._handled_at = inf
        """How often the loop had been idle when that cancellation had been handled."""
        self._snapshots = 0
        self._snapshot_at = -inf

    def note_cancelling(self) -> None:
        """Make the report when the task has been cancelled, while everything still waits where it waits.

        When the cancellation arrives at the end of the block, task groups and gathers in the block have cancelled their
        tasks.
        """
        cancelling = self.cancelling()
        if cancelling > self.cancelling_seen:
            now = monotonic()
            self._handled_at = inf
            # Code in which many timeouts fire must not pay for a report each time.
            if self._snapshots < _ALWAYS_KEEP or now - self._snapshot_at > _KEEP_EVERY:
                self._snapshot, self._snapshot_at = self._reports.text(None), now
                self._snapshots += 1
            else:
                self._snapshot = None
        else:
            self._handled_at = self._hook.times_idle
        self.cancelling_seen = cancelling

    def give_up(self, reason: str) -> bool:
        """End the task with :class:`Stuck`, out of its block; return whether it could be."""
        first = self._stuck is None
        if self._stuck is None:
            self._stuck = Stuck(reason)
            # Before anything is cancelled, while everything still waits where it waits.
            self._snapshot = self._reports.text(None)
            self._reports.attach(self._stuck, self._snapshot)
        if self.task is None or not self._may_be_cancelled(self.task):
            if first:
                logger.warning("%s\n%s", reason, self._snapshot)
            return False
        if self._own_cancels == 1:
            text = self._reports.text(None)
            logger.warning("%s; the task of this block was cancelled, but has not ended\n%s", reason, text)
        self._own_cancels += 1
        self.cancelling_seen += 1
        self.task.cancel()
        return True

    def log_report(self, reason: str) -> None:
        """Log a report while the block goes on."""
        logger.warning("%s\n%s", reason, self._reports.text(None))

    def still_waits(self) -> bool:
        """Return whether the task has not ended, and is not running."""
        task = self.task
        return task is not None and not task.done() and current_task(task.get_loop()) is not task

    def _may_be_cancelled(self, task: Task[Any]) -> bool:
        """Return whether the task is still in the block: anyio runs fixtures and tests in one task, one by one."""
        return not task.done() and (not self._entered_by or is_still_awaited_by(task, self._entered_by))

    def leaving(self, error: BaseException | None, *, log: bool = True) -> BaseException | None:
        """Add a report to what is leaving the block, and return what has to be raised in its place, if anything.

        :param log: whether to log the report as well where the exception is a cancellation.
        """
        from_outside = self._take_back_cancels()
        if error is None:
            # If the body swallowed our cancellation: without that, it would never have come to its end.
            return self._stuck if self._own_cancels else None
        if isinstance(error, GeneratorExit):
            return None
        if self._stuck is not None and not from_outside and isinstance(error, CancelledError):
            return self._stuck
        self._add_report(error, log=log, from_outside=from_outside)
        return None

    def ending(self, error: BaseException | None) -> BaseException | None:
        """Do what :meth:`leaving` does when the task ends in the block, which somebody else will leave."""
        replacement = self.leaving(error, log=False)
        self._stuck, self._own_cancels = None, 0
        return replacement

    def _take_back_cancels(self) -> bool:
        """Undo our own cancellations; return whether there are others."""
        if self.task is None:
            return False
        for _ in range(self._own_cancels):
            self.task.uncancel()
        return self.cancelling() > self._cancelling_before

    def _add_report(self, error: BaseException, *, log: bool, from_outside: bool) -> None:
        if is_skip(error) or self._reports.is_on(error):
            return
        handled_long_ago = self._hook.times_idle > self._handled_at
        if self._stuck is not None and self._own_cancels:
            text = "\n".join([str(self._stuck), *self._stuck.__notes__])
        elif self._snapshot is not None and not handled_long_ago and _comes_of_cancellation(error):
            text = self._snapshot
        else:
            text = self._reports.text(error)
        attached = self._reports.attach(error, text)
        if attached and log and isinstance(error, CancelledError) and self.task is not None:
            by = "from outside the block" if from_outside else "by what it awaited, not from outside the block"
            _log_if_it_ends(self.task, error, self._cancelling_before, f"cancelled {by}\n{text}")


def _log_if_it_ends(task: Task[Any], cancellation: CancelledError, before: int, message: str) -> None:
    """Log a message once a cancellation has ended a task.

    Watchdogs raise exceptions of their own in place of it, and its notes are lost. Task groups and timeouts take back
    the cancellations that end at them, and nothing is logged for these.

    :param before: how many cancellation requests the task had before.
    """

    def log(ended: Task[Any]) -> None:
        if ended.cancelled() or ended.cancelling() > before or _comes_of_cancellation(failure_of(ended)):
            _log_on_leaving("%s", message)

    def forget(_: object) -> None:
        if task.cancelling() <= before:
            task.remove_done_callback(log)

    task.add_done_callback(log)
    # Kept by the callback: a task that goes on after many timeouts does not keep the text of each.
    log.__dict__["cancellation"] = ref(cancellation, forget)


def _log_on_leaving(message: str, *args: object) -> None:
    # A test may have mocked what a log record is made of, such as time.time; its own failure is what has to be seen.
    with suppress(Exception):
        logger.warning(message, *args)


def _comes_of_cancellation(error: BaseException | None) -> bool:
    """Return whether an exception is a cancellation, or what a timeout or a task group has made of one."""
    for _ in range(_LONGEST_CHAIN):
        if isinstance(error, CancelledError):
            return True
        if not isinstance(error, (TimeoutError, BaseExceptionGroup, Stuck)):
            return False
        error = error.__cause__ or error.__context__
    return False
