"""For how long work that is done elsewhere holds what moves on a loop. Does not know where the work comes from.

PYTEST_DONT_REWRITE
"""

from asyncio import Task
from collections.abc import Callable, Hashable
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
"""For how many real seconds of idleness a piece of work holds the clock and the dominos, counted from its beginning."""

REPEATED_LIMIT = 0.1
"""The same for work of a kind that has exceeded that limit before; half of it each time that happens again."""

SECOND_CHANCES = 10
SECOND_CHANCE = 0.05
"""For how many real seconds, in each of the next moves, work that exceeded its limit holds again."""

STANDSTILL_LIMIT = 10.0
"""For how many real seconds of idleness anything may hold the clock at one instant."""

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
        """New work of the kind of what has exceeded its limit gets less time."""
        self.what = what
        """Returns its description."""
        self.place = place
        """The user's line that began it."""
        self.task = task_reference(task)
        """Returns the task that began it, if there is one and as long as it is there."""
        self.is_debt = False
        """Whether it is an answer that a server owes."""
        self.began = 0.0
        """For how long the loop had been idle in all by then."""
        self.began_at = monotonic()
        self.limit = HOLD_LIMIT
        self.is_over_limit = False
        self.chances = SECOND_CHANCES
        self.thread: int | None = None
        """The thread that does it, once that is known."""

    @property
    def source(self) -> Hashable:
        """What begins such work: the line if it is known, else the kind."""
        return self.place or self.kind


class Pieces:
    """The pieces of work that a loop has under way elsewhere, and for how long they hold what moves on that loop."""

    def __init__(self, hook: IdleHook) -> None:
        self.under_way: dict[Hashable, Piece] = {}
        """By what stands for the piece: a future, a transport, a thread, a connection."""
        self.calling_threads: set[int] = set()
        """Threads that have called into this loop, and may wait for it now."""
        self.has_moved = True
        """Whether nothing has held the clock or the dominos since they moved last."""
        self._hook = hook
        self._limits: dict[Hashable, tuple[float, int]] = {}
        """The time and the second chances of the kinds that have exceeded their limit."""
        self._warned: set[Hashable] = set()
        self._held_since: float | None = None
        """Since when nothing moves because of work, counted as the idle time in all by then."""
        self._answered: tuple[Hashable, TaskReference, float] | None = None
        """What has answered last since anything moved, who asked it, and the idle time in all by then."""
        self._asked_at: float | None = None
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
        """Forget a piece of work for which nobody waits any more."""
        piece = self.under_way.pop(key, None)
        if piece is not None and piece.thread is not None:
            self.calling_threads.discard(piece.thread)
        return piece

    def note_answer(self, key: Hashable, asker: TaskReference) -> None:
        """Note that a part of an answer has arrived, of which more may follow."""
        if key not in self._ignored:
            self._answered = key, asker, self._hook.total_idle_seconds
            self.has_moved = False

    def note_progress(self, key: Hashable) -> None:
        """Let a piece of work that has come further hold as if it had begun now."""
        piece = self.under_way.get(key)
        if piece is not None and not piece.is_over_limit:
            piece.began = self._hook.total_idle_seconds

    def wait(self, mover: object, pause: Pause) -> float:
        """Return for how many more real seconds nothing may move; 0 or less means that the caller moves now.

        :param pause: returns for how long after an answer, which a task has asked for, the caller does not move.
        """
        now = self._hook.total_idle_seconds
        holding = [piece for piece in list(self.under_way.values()) if not self._is_free(piece)]
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
                # Nobody tells when a thread that has called into this loop begins to wait for it.
                may_begin = any(piece.thread in self.calling_threads for piece in holding)
                return min(wait, _POLL) if may_begin else wait
            self._ignore_what_keeps_beginning()
            holding = [piece for piece in holding if not self._is_free(piece)]
        if self._hook.has_events():
            # What a thread has brought since the loop looked comes first.
            return _POLL
        self._note_over_limit(mover, [piece for piece in holding if not piece.is_over_limit])
        wait = self._second_chance([piece for piece in holding if piece.chances > 0], now)
        if wait <= 0:
            self._held_since = self._asked_at = self._answered = None
            self._begun_since_move.clear()
            self.has_moved = True
        return wait

    def _is_free(self, piece: Piece) -> bool:
        """Return whether a piece holds nothing: begun where too much was, or its thread waits for this loop."""
        if piece.source in self._ignored:
            return True
        return piece.thread in self.calling_threads and waits_for_a_loop(piece.thread)

    def _second_chance(self, pieces: list[Piece], now: float) -> float:
        if not pieces:
            return 0
        if self._asked_at is None:
            self._asked_at = now
        wait = self._asked_at + SECOND_CHANCE - now
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
            logger.warning("%s goes on %s (autojump_threshold sets how long to wait)", repr(mover), _although(new))

    def _ignore_what_keeps_beginning(self) -> None:
        begun = self._begun_since_move
        most = max((count for count, _ in begun.values()), default=0)
        sources = {source: piece for source, (count, piece) in begun.items() if count > 1 or most == 1}
        self._ignored.update(sources)
        if self._answered is not None:
            self._ignored.add(self._answered[0])
            self._answered = None
        logger.warning(
            "nothing has moved for %s real seconds, since work keeps beginning at %s: work that begins there is not"
            " waited for any more",
            STANDSTILL_LIMIT,
            ", ".join(map(_begins_at, list(sources.values())[:MAX_LISTED])) or "an unknown place",
        )


def _although(pieces: list[Piece]) -> str:
    """Say what is not waited for any more."""
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
    """Return what returns a task as long as it is there."""
    return _no_task if task is None else ref(task)


def _no_task() -> None:
    return None
