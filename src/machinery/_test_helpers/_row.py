"""The rule by which dominos fall.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError, Event, Future, Task
from collections.abc import Callable, Iterable
from enum import Enum
from logging import INFO
from math import inf
from typing import Any, Literal

from machinery._helpers._protocols import Logger
from machinery._test_helpers._asyncio_internals import awaited_future
from machinery._test_helpers._block import OpenBlock
from machinery._test_helpers._domino import Callback, FallingDomino
from machinery._test_helpers._idle import Turn
from machinery._test_helpers._loops import check_own_loop, idle_hook
from machinery._test_helpers._participants import Participants
from machinery._test_helpers._pieces import PAUSE_BEFORE_SLEEP, PAUSE_BEFORE_TIMEOUT
from machinery._test_helpers._report import DominosSnapshot, dominos_report
from machinery._test_helpers._source import brief, name_of, waits_at
from machinery._test_helpers._task_snapshots import task_behind, tasks_snapshot, unfinished_tasks, whose
from machinery._test_helpers._tasks import Tasks
from machinery._test_helpers._work import WorkElsewhere

AnyTask = Task[Any]


class NextDomino(Enum):
    """What the next domino waits for."""

    ALL_HAVE_FALLEN = ""
    NOT_BEGUN = "begin() has not been called"
    NOT_RETRIEVED = "domino {0} has not been asked for: nothing has used futs[{0}] yet"
    NOT_AWAITED = "domino {0} has fallen, but nothing has awaited it"
    READY = "domino {0} is next: it falls once the event loop is idle and no work is under way"


class Row:
    """The dominos of a block, and which of them is next to fall."""

    turn = Turn.DOMINOS

    def __init__(self, loop: AbstractEventLoop, expected: int, log: Logger, name: str) -> None:
        self.loop = loop
        self.hook = idle_hook(loop)
        self.expected = expected
        self.log = log
        self.would_log: Callable[[int], bool] = getattr(log, "isEnabledFor", _yes)
        self.of_name = f" of {name!r}" if name else ""
        self.dominos: dict[int, FallingDomino] = {}
        self.started = OwnEvent(self)
        self.finished = OwnEvent(self)
        self.is_closed = False
        self.knocked_over: Future[None] = loop.create_future()
        self.knocked_over.set_result(None)
        self._tasks = Tasks(loop)
        self.participants = Participants(self._tasks.name)
        self.latest = self.participants.latest
        self.create_future = loop.create_future
        self._name = name
        self._next = 1
        self._check_failure: BaseException | None = None
        self._block: OpenBlock
        self._work: WorkElsewhere

    def open(self, block: OpenBlock) -> None:
        """Let the dominos fall while the loop is idle."""
        self._block, undo = block, block.undo.callback
        undo(self.hook.remove, self)
        self.hook.add(self)
        self._work = WorkElsewhere.opened(self.hook, undo)
        undo(self.hook.patches.remove, self._tasks.attributes)
        self.hook.patches.add(self._tasks.attributes)
        undo(self._close)

    def check(self) -> None:
        """Raise unless every domino was asked for and has fallen."""
        __tracebackhide__ = True
        if self._next > self.expected:
            return
        expected = range(1, self.expected + 1)
        never = [num for num in expected if num not in self.dominos]
        standing = [num for num in expected if num in self.dominos and not self.dominos[num].done()]
        failure = None
        if never:
            failure = AssertionError(f"Not all the futures were accessed: {_set(never)}")
        elif standing:
            failure = AssertionError(f"Not all the futures were completed: {_set(standing)}")
        if failure is not None:
            self._check_failure = failure
            raise failure

    def on_loop_closed(self) -> None:
        """End the block."""
        self._block.close()

    def _close(self) -> None:
        self.is_closed = True
        self.participants.close()
        if not self.loop.is_closed():
            if self._next <= self.expected:
                for domino in self.dominos.values():
                    domino.cancel()
            self.finished.set()

    def retrieve(self, num: int) -> FallingDomino:
        """Return a domino that is asked for for the first time."""
        __tracebackhide__ = True
        if not 1 <= num <= self.expected:
            raise IndexError(f"there is no domino {num}: {self.valid_numbers()}")
        domino = self.dominos[num] = FallingDomino(self, num)
        if self.would_log(INFO):
            self.log.info("domino %s%s was retrieved", num, self.of_name)
        if self.is_closed:
            domino.cancel()
        return domino

    def valid_numbers(self) -> str:
        """Say which numbers there are, for messages."""
        return f"the numbers go from 1 to {self.expected}" if self.expected else "expected=0 means that there are none"

    def on_idle(self, idle_seconds: float) -> float:
        """Knock over the next domino, if it is its turn and no work is under way."""
        domino = self.dominos.get(self._next)
        if domino is None or domino.outcome is not None:
            domino = self._next_standing()
        if domino is not None:
            may_act = self.started.has_been_set
        else:
            may_act = self._next > self.expected and not self.finished.has_been_set
        if not may_act:
            return inf
        if self._work.thresholds or self._work.may_hold:
            wait = self._work.domino_hold_seconds(self, idle_seconds, self._pause)
            if wait > 0:
                return wait
        if domino is None:
            self.finished.set()
        else:
            domino.knock_over(self.knocked_over, None)
            if domino.has_been_awaited:
                # With this, the search above is seldom needed: 2 % of what a domino does.
                self._next += 1
        return 0

    def _pause(self, asker: AnyTask | None) -> float:
        """Return for how long after an answer no domino falls: less if who asked waits for a domino by now."""
        future = None if asker is None else awaited_future(asker)
        waiters = [waiter for domino in self.dominos.values() for waiter in domino.waiting()]
        return PAUSE_BEFORE_SLEEP if any(future is waiter for waiter in waiters) else PAUSE_BEFORE_TIMEOUT

    def _next_standing(self) -> FallingDomino | None:
        """Find the next domino, and return it if it stands."""
        domino = self.dominos.get(self._next)
        while domino is not None and domino.outcome is not None:
            if not domino.has_been_awaited and self._next < self.expected:
                return None
            self._next += 1
            domino = self.dominos.get(self._next)
        return domino

    def _next_domino(self) -> NextDomino:
        """Find the next domino, and return what it waits for."""
        if self._next_standing() is None:
            if self._next > self.expected:
                return NextDomino.ALL_HAVE_FALLEN
            if self._next in self.dominos:
                return NextDomino.NOT_AWAITED
            return NextDomino.NOT_RETRIEVED if self.started.has_been_set else NextDomino.NOT_BEGUN
        return NextDomino.READY if self.started.has_been_set else NextDomino.NOT_BEGUN

    def _fallen(self) -> list[int]:
        return sorted(num for num, domino in self.dominos.items() if domino.done())

    def report(self, error: BaseException | None) -> Iterable[str]:
        """Yield the lines of a report."""
        own = self._block.watch.task
        unfinished = unfinished_tasks(self.loop, self._tasks)
        state = self._next_domino()
        waiters, listed = self._waiters(unfinished, own)
        return dominos_report(
            DominosSnapshot(
                name=brief(self._name) if self._name else "",
                expected=self.expected,
                fallen=self._fallen(),
                next=state.value.format(self._next),
                next_needs_action=state in (NextDomino.NOT_BEGUN, NextDomino.NOT_AWAITED),
                waiters=waiters,
                ended=self.participants.ended(lambda num: self.dominos[num].done()),
                waits=error is None or error is self._check_failure or isinstance(error, CancelledError),
                work=self._work.running(),
                tasks=tasks_snapshot(
                    self.hook,
                    self._tasks,
                    own,
                    error,
                    unfinished=unfinished,
                    listed=listed,
                    failed_elsewhere=self.participants.failed_names(),
                ),
            )
        )

    def _waiters(self, unfinished: list[AnyTask], own: AnyTask | None) -> tuple[list[tuple[int, str]], list[AnyTask]]:
        """Return who waits for which domino, and the tasks among them."""
        task_of = {id(awaited_future(task)): task for task in unfinished}
        lines: list[tuple[int, str]] = []
        listed: list[AnyTask] = []
        for num, domino in sorted(self.dominos.items()):
            for waiter in domino.waiting():
                task = task_of.get(id(waiter))
                if isinstance(waiter, Callback):
                    lines.append((num, f"callback {name_of(waiter.function)}"))
                elif task is not None:
                    behind = task_behind(task, unfinished)
                    listed += task, behind
                    lines.append((num, f"{whose(behind, own)}\nat {waits_at(behind)}"))
        return lines, listed

    def __repr__(self) -> str:
        return f"<dominos{self.of_name}: {len(self._fallen())} of {self.expected} have fallen>"


class OwnEvent(Event):
    """An event of a row, which is of no use in another loop."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self._row = row
        self.has_been_set = False
        """The same as :meth:`is_set` for any loop; a call of that takes 1 % of what a domino does."""

    def set(self) -> None:
        self.has_been_set = True
        super().set()

    def is_set(self) -> bool:
        __tracebackhide__ = True
        check_own_loop(self._row.loop, self._row)
        return super().is_set()

    async def wait(self) -> Literal[True]:
        __tracebackhide__ = True
        check_own_loop(self._row.loop, self._row)
        return await super().wait()


def _yes(level: int) -> bool:
    return True


def _set(numbers: Iterable[int]) -> str:
    return f"{{{', '.join(map(str, numbers))}}}"
