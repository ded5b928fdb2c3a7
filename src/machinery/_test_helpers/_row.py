"""The rule by which dominos fall.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Event, Future, Task
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from logging import INFO
from math import inf
from typing import Any, Literal

from machinery._helpers._protocols import Logger
from machinery._test_helpers._asyncio_internals import awaited_future
from machinery._test_helpers._domino import FallingDomino
from machinery._test_helpers._idle import Turn
from machinery._test_helpers._loops import check_own_loop
from machinery._test_helpers._participants import Participants
from machinery._test_helpers._pieces import PAUSE_BEFORE_SLEEP, PAUSE_BEFORE_TIMEOUT
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

    work: WorkElsewhere
    """What may hold the dominos; set when the block is opened."""
    end_block: Callable[[], None]
    """Called when the loop is being closed; set when the block is opened."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        expected: int,
        log: Logger,
        name: str,
        name_of_task: Callable[[AnyTask], str],
    ) -> None:
        self.loop = loop
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
        self.participants = Participants(name_of_task)
        self.latest = self.participants.latest
        self.create_future = loop.create_future
        self._next = 1

    def on_loop_closed(self) -> None:
        """End the block."""
        self.end_block()

    def close(self) -> None:
        """Knock over what stands, as cancelled."""
        self.is_closed = True
        self.participants.close()
        if not self.loop.is_closed():
            if not self.all_have_fallen:
                for domino in self.dominos.values():
                    domino.cancel()
            self.started.set()
            self.finished.set()

    @property
    def all_have_fallen(self) -> bool:
        """Whether the last domino has fallen, and its turn has passed."""
        return self._next > self.expected

    def retrieve(self, num: int) -> FallingDomino:
        """Return a domino that is asked for for the first time."""
        __tracebackhide__ = True
        if not 1 <= num <= self.expected:
            raise IndexError(f"there is no domino {num}: {self.valid_numbers()}")
        domino = self.dominos[num] = FallingDomino(self, num)
        if self.would_log(INFO):
            self.note(num, "was retrieved")
        if self.is_closed:
            domino.cancel()
        return domino

    def note(self, num: int, what: str) -> None:
        """Log what has happened to a domino."""
        # A test may have mocked what a log record is made of, such as time.time. The loop would end with that error.
        with suppress(Exception):
            self.log.info("domino %s%s %s", num, self.of_name, what)

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
        if self.work.thresholds or self.work.may_hold:
            wait = self.work.domino_hold_seconds(self, idle_seconds, self._pause)
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

    def next_domino(self) -> tuple[int, NextDomino]:
        """Find the next domino; return its number and what it waits for."""
        if self._next_standing() is not None:
            state = NextDomino.READY if self.started.has_been_set else NextDomino.NOT_BEGUN
        elif self._next > self.expected:
            state = NextDomino.ALL_HAVE_FALLEN
        elif self._next in self.dominos:
            state = NextDomino.NOT_AWAITED
        else:
            state = NextDomino.NOT_RETRIEVED if self.started.has_been_set else NextDomino.NOT_BEGUN
        return self._next, state

    def fallen(self) -> list[int]:
        """Return the numbers of those that have fallen, sorted."""
        return sorted(num for num, domino in self.dominos.items() if domino.done())

    def __repr__(self) -> str:
        return f"<dominos{self.of_name}: {len(self.fallen())} of {self.expected} have fallen>"


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
