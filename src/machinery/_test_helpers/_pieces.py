"""For how long work outside a loop holds the clock and the dominos. Independent of the kind of work.

PYTEST_DONT_REWRITE
"""

from asyncio import Task
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from logging import getLogger
from typing import Any
from weakref import ref

from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import waits_for_a_loop
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._report import MAX_LISTED
from machinery._test_helpers._source import Place, location, task_name

logger = getLogger("machinery.test_helpers")

HOLD_LIMIT = 2.0
"""For how many real seconds of idleness a piece of work holds the clock and the dominos, counted from its start."""

REPEATED_LIMIT = 0.1
"""The same for work of a kind that has exceeded that limit before; it is halved each time that happens again."""

SECOND_CHANCES = 10
SECOND_CHANCE = 0.05
"""For how many real seconds work that exceeded its limit holds each of the next moves."""

STANDSTILL_LIMIT = 10.0
"""For how many real seconds of idleness work may hold the clock at one virtual time."""

PAUSE_BEFORE_TIMEOUT = 0.05
PAUSE_BEFORE_SLEEP = 0.01
"""For how many real seconds of idleness the next part of an answer is waited for before time moves on."""

_POLL = 0.005

AnyTask = Task[Any]
Pause = Callable[[AnyTask | None], float]
TaskReference = Callable[[], AnyTask | None]


class Piece:
    """A piece of work under way."""

    __slots__ = (
        "began",
        "began_at",
        "chances",
        "is_debt",
        "is_over_limit",
        "kind",
        "limit",
        "place",
        "task",
        "thread",
        "what",
    )

    def __init__(
        self, kind: Hashable, what: Callable[[], str], place: Place | None, task: AnyTask | None = None
    ) -> None:
        self.kind = kind
        """If a piece exceeds its limit, later pieces of the same kind get less time."""
        self.what = what
        """Returns its description."""
        self.place = place
        """The user's line that started it."""
        self.task = task_reference(task)
        """Returns the task that started it, if there is one and it still exists."""
        self.is_debt = False
        """Whether it is an answer that a server owes."""
        self.began = 0.0
        """The total idle time of the loop when it began."""
        self.began_at = monotonic()
        self.limit = HOLD_LIMIT
        self.is_over_limit = False
        self.chances = SECOND_CHANCES
        self.thread: int | None = None
        """The thread that does it, once that is known."""

    @property
    def source(self) -> Hashable:
        """What starts such work: the line if it is known, else the kind."""
        return self.place or self.kind


class Pieces:
    """The pieces of work that a loop has under way elsewhere, and for how long they hold the clock and the dominos."""

    def __init__(self, hook: IdleHook) -> None:
        self.under_way: dict[Hashable, Piece] = {}
        """The keys are the objects that identify them: a future, a transport, a thread, a connection."""
        self.results_of: dict[int, list[ref[Future[Any]]]] = {}
        """The threads that have called into this loop, and may wait for it now, and what it will set for them."""
        self.has_moved = True
        """Whether nothing has held the clock or the dominos since they last moved."""
        self._hook = hook
        self._limits: dict[Hashable, tuple[float, int]] = {}
        """The current limit and the second chances of the kinds that have exceeded their limit."""
        self._warned: set[Hashable] = set()
        self._held_since: float | None = None
        """The total idle time when work began to hold the next move."""
        self._answered: tuple[Hashable, TaskReference, float] | None = None
        """Which server answered last since the last move, the task that asked it, and the total idle time then."""
        self._second_chance_since: float | None = None
        self._begun_since_move: dict[Hashable, tuple[int, Piece]] = {}
        self._ignored: set[Hashable] = set()

    def begin(self, key: Hashable, piece: Piece) -> None:
        """Note that a piece of work has begun."""
        piece.began = self._hook.total_idle_seconds
        piece.limit, piece.chances = self._limits.get(piece.kind, (HOLD_LIMIT, SECOND_CHANCES))
        self.under_way[key] = piece
        count, _ = self._begun_since_move.get(piece.source, (0, piece))
        self._begun_since_move[piece.source] = count + 1, piece

    def end(self, key: Hashable) -> Piece | None:
        """Note that a piece of work has ended."""
        piece = self.abandon(key)
        if piece is not None and not piece.is_over_limit:
            self._limits.pop(piece.kind, None)
        return piece

    def abandon(self, key: Hashable) -> Piece | None:
        """Forget a piece of work that nothing waits for any more."""
        piece = self.under_way.pop(key, None)
        if piece is not None and piece.thread is not None:
            self.results_of.pop(piece.thread, None)
        return piece

    def note_answer(self, key: Hashable, asker: TaskReference) -> None:
        """Note that a part of an answer has arrived, and that more may follow."""
        if key not in self._ignored:
            self._answered = key, asker, self._hook.total_idle_seconds
            self.has_moved = False

    def note_progress(self, key: Hashable) -> None:
        """Note that a piece of work has made progress: it holds as if it had begun now."""
        self.under_way[key].began = self._hook.total_idle_seconds

    def hold_seconds(self, mover: object, pause: Pause) -> float:
        """Return for how many more real seconds nothing may move; 0 or less means that the caller moves now.

        :param pause: returns for how long the caller does not move after an answer to a task.
        """
        now = self._hook.total_idle_seconds
        holding = [piece for piece in list(self.under_way.values()) if not self._holds_nothing(piece)]
        wait = max((piece.began + piece.limit - now for piece in holding if not piece.is_over_limit), default=0.0)
        if self._answered is not None and wait <= 0:
            _, asker, since = self._answered
            wait = since + pause(asker()) - now
        if wait > 0:
            self.has_moved = False
            if self._held_since is None:
                self._held_since = now
            wait = min(wait, self._held_since + STANDSTILL_LIMIT - now)
            if wait > 0:
                # There is no event when a thread that has called into this loop begins to wait for it.
                may_wait_for_loop = any(piece.thread in self.results_of for piece in holding)
                return min(wait, _POLL) if may_wait_for_loop else wait
            self._ignore_what_keeps_beginning()
            holding = [piece for piece in holding if not self._holds_nothing(piece)]
        if self._hook.has_events():
            # Something arrived after the loop polled its selector: it is handled first.
            return _POLL
        self._note_over_limit(mover, [piece for piece in holding if not piece.is_over_limit])
        wait = self._second_chance([piece for piece in holding if piece.chances > 0], now)
        if wait <= 0:
            self._held_since = self._second_chance_since = self._answered = None
            self._begun_since_move.clear()
            self.has_moved = True
        return wait

    def _holds_nothing(self, piece: Piece) -> bool:
        """Return whether a piece is not waited for: work keeps beginning there, or its thread waits for this loop."""
        if piece.source in self._ignored:
            return True
        if piece.thread is None or piece.thread not in self.results_of:
            return False
        return waits_for_a_loop(piece.thread, self._unset_results(piece.thread))

    def note_call(self, thread: int, results: Iterable[Future[Any]]) -> None:
        """Note that a thread calls into this loop, which will set these results."""
        self.results_of[thread] = [ref(result) for result in (*self._unset_results(thread), *results)]

    def _unset_results(self, thread: int) -> list[Future[Any]]:
        results = [result() for result in self.results_of.get(thread, ())]
        return [result for result in results if result is not None and not result.done()]

    def _second_chance(self, pieces: list[Piece], now: float) -> float:
        if not pieces:
            return 0
        if self._second_chance_since is None:
            self._second_chance_since = now
        wait = self._second_chance_since + SECOND_CHANCE - now
        if wait <= 0:
            for piece in pieces:
                piece.chances -= 1
                limit, _ = self._limits.get(piece.kind, (HOLD_LIMIT, 0))
                self._limits[piece.kind] = limit, piece.chances
        return wait

    def _note_over_limit(self, mover: object, pieces: list[Piece]) -> None:
        new = [piece for piece in pieces if piece.kind not in self._warned]
        self._warned.update(piece.kind for piece in new)
        for piece in pieces:
            piece.is_over_limit = True
            known = self._limits.get(piece.kind)
            limit = REPEATED_LIMIT if known is None else known[0] / 2
            self._limits[piece.kind] = limit, piece.chances
        if new:
            work = _not_waited_for(new)
            logger.warning("%s goes on %s (autojump_threshold sets how long to wait)", repr(mover), work)

    def _ignore_what_keeps_beginning(self) -> None:
        begun = self._begun_since_move
        most = max((count for count, _ in begun.values()), default=0)
        sources = {source: piece for source, (count, piece) in begun.items() if count > 1 or most == 1}
        self._ignored.update(sources)
        if self._answered is not None:
            self._ignored.add(self._answered[0])
            self._answered = None
        logger.warning(
            "nothing has moved for %s real seconds, since work keeps beginning at %s: work that begins there is no"
            " longer waited for",
            STANDSTILL_LIMIT,
            ", ".join(map(_begins_at, list(sources.values())[:MAX_LISTED])) or "an unknown place",
        )


def _not_waited_for(pieces: list[Piece]) -> str:
    """Describe the work that is no longer waited for."""
    work = [piece.what() + _begun_at(piece) for piece in pieces if not piece.is_debt]
    debts = [piece.what() for piece in pieces if piece.is_debt]
    clauses = []
    if work:
        clauses.append(f"without waiting for {', '.join(work[:MAX_LISTED])}, under way for {HOLD_LIMIT} real seconds")
    if debts:
        clauses.append(f"although {', '.join(debts[:MAX_LISTED])}")
    return ", and ".join(clauses)


def _begun_at(piece: Piece) -> str:
    return "" if piece.place is None else f", begun at {location(piece.place)}"


def _begins_at(piece: Piece) -> str:
    if piece.place is None:
        return piece.what()
    task = piece.task()
    return location(piece.place) + ("" if task is None else f" in {task_name(task)}")


def task_reference(task: AnyTask | None) -> TaskReference:
    """Return a function that returns the task as long as it exists."""
    return _no_task if task is None else ref(task)


def _no_task() -> None:
    return None
