"""A block of dominos: what it installs, how it is checked at its end, and what its reports say.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError, Task
from collections.abc import Iterable
from typing import Any

from machinery._helpers._protocols import Logger
from machinery._test_helpers._asyncio_internals import awaited_future
from machinery._test_helpers._block import OpenBlock
from machinery._test_helpers._domino import Callback
from machinery._test_helpers._loops import idle_hook
from machinery._test_helpers._report import DominosSnapshot, dominos_report
from machinery._test_helpers._row import NextDomino, Row
from machinery._test_helpers._source import brief, name_of, waits_at
from machinery._test_helpers._task_snapshots import task_behind, tasks_snapshot, unfinished_tasks, whose
from machinery._test_helpers._tasks import Tasks
from machinery._test_helpers._work import WorkElsewhere

AnyTask = Task[Any]


class DominosBlock:
    """A row of dominos, and the tasks that are started while it is open."""

    def __init__(self, loop: AbstractEventLoop, expected: int, log: Logger, name: str) -> None:
        self.hook = idle_hook(loop)
        self._tasks = Tasks(loop)
        self.row = Row(loop, expected, log, name, self._tasks.name)
        self._name = name
        self._check_failure: BaseException | None = None
        self._block: OpenBlock
        self._work: WorkElsewhere

    def open(self, block: OpenBlock) -> None:
        """Let the dominos fall while the loop is idle."""
        self._block, undo = block, block.undo
        self.row.end_block = block.close
        undo.append((self.hook.remove, (self.row,)))
        self.hook.add(self.row)
        self.row.work = self._work = WorkElsewhere.opened(self.hook, undo)
        undo.append((self.hook.patches.remove, (self._tasks.attributes,)))
        self.hook.patches.add(self._tasks.attributes)
        undo.append((self.row.close, ()))

    def check(self) -> None:
        """Raise unless every domino was asked for and has fallen."""
        __tracebackhide__ = True
        if self.row.all_have_fallen:
            return
        expected, dominos = range(1, self.row.expected + 1), self.row.dominos
        never = [num for num in expected if num not in dominos]
        standing = [num for num in expected if num in dominos and not dominos[num].done()]
        failure = None
        if never:
            failure = AssertionError(f"Not all the futures were accessed: {_set(never)}")
        elif standing:
            failure = AssertionError(f"Not all the futures were completed: {_set(standing)}")
        if failure is not None:
            self._check_failure = failure
            raise failure

    def report(self, error: BaseException | None) -> Iterable[str]:
        """Yield the lines of a report."""
        row, own = self.row, self._block.watch.task
        unfinished = unfinished_tasks(row.loop, self._tasks)
        num, state = row.next_domino()
        waiters, listed = self._waiters(unfinished, own)
        cancelled = [num for num, domino in sorted(row.dominos.items()) if domino.cancelled()]
        return dominos_report(
            DominosSnapshot(
                name=brief(self._name) if self._name else "",
                expected=row.expected,
                fallen=row.fallen(),
                next=state.value.format(num),
                next_needs_action=state in (NextDomino.NOT_BEGUN, NextDomino.NOT_AWAITED),
                cancelled=cancelled,
                ended_by_these=bool(cancelled) and isinstance(error, CancelledError),
                waiters=waiters,
                ended=row.participants.ended(lambda num: row.dominos[num].done()),
                waits=error is None or error is self._check_failure or isinstance(error, CancelledError),
                work=self._work.running(),
                tasks=tasks_snapshot(
                    self.hook,
                    self._tasks,
                    own,
                    error,
                    unfinished=unfinished,
                    listed=listed,
                    failed_elsewhere=row.participants.failed_names(),
                ),
            )
        )

    def __repr__(self) -> str:
        return repr(self.row)

    def _waiters(self, unfinished: list[AnyTask], own: AnyTask | None) -> tuple[list[tuple[int, str]], list[AnyTask]]:
        """Return who waits for which domino, and the tasks among them."""
        task_of = {id(awaited_future(task)): task for task in unfinished}
        lines: list[tuple[int, str]] = []
        listed: list[AnyTask] = []
        for num, domino in sorted(self.row.dominos.items()):
            for waiter in domino.waiting():
                task = task_of.get(id(waiter))
                if isinstance(waiter, Callback):
                    lines.append((num, f"callback {name_of(waiter.function)}"))
                elif task is not None:
                    behind = task_behind(task, unfinished)
                    listed += task, behind
                    lines.append((num, f"{whose(behind, own)}\nat {waits_at(behind)}"))
        return lines, listed


def _set(numbers: Iterable[int]) -> str:
    return f"{{{', '.join(map(str, numbers))}}}"
