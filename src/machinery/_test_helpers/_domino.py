"""One domino: a future that completes when its row says so.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Future, InvalidStateError, current_task
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from inspect import iscoroutinefunction
from logging import INFO
from typing import Protocol

from machinery._helpers._protocols import FutureCallback, FutureStatus
from machinery._test_helpers._loops import check_own_loop
from machinery._test_helpers._participants import Participants
from machinery._test_helpers._source import brief

_PRUNE_SLACK = 10


class DominoRow(Protocol):
    """What a domino needs of its row."""

    loop: AbstractEventLoop
    would_log: Callable[[int], bool]
    """Asked before :meth:`note`, since a call to a log that is off takes 3 % of what a domino does."""
    of_name: str
    is_closed: bool
    participants: Participants
    latest: dict[int, int]
    """``participants.latest``, written to directly: a method for it would take 1 % of what a domino does."""
    create_future: Callable[[], Future[None]]
    knocked_over: Future[None]
    """The outcome of a domino that has fallen because it was its turn."""

    def note(self, num: int, what: str) -> None:
        """Log what has happened to a domino."""
        ...


class Callback:
    """A done-callback and the context to call it in."""

    __slots__ = ("context", "function")

    def __init__(self, function: Callable[[FutureStatus[None]], None], context: Context) -> None:
        self.function = function
        self.context = context


Waiter = Future[None] | Callback


class FallingDomino:
    """A domino, and who waits for it in which order."""

    __slots__ = ("__weakref__", "_num", "_prune_at", "_row", "_waiters", "has_been_awaited", "outcome")

    def __init__(self, row: DominoRow, num: int) -> None:
        self._row = row
        self._num = num
        self.outcome: Future[None] | None = None
        """What came of it, once it has fallen."""
        self._waiters: list[Waiter] = []
        self._prune_at = _PRUNE_SLACK
        self.has_been_awaited = False

    def __await__(self) -> Generator[None]:
        __tracebackhide__ = True
        row = self._row
        task = current_task()
        if id(task) in row.latest:
            row.latest[id(task)] = self._num
        else:
            check_own_loop(row.loop, row)
            if task is not None:
                row.participants.add(task, self._num)
        self.has_been_awaited = True
        if self.outcome is not None:
            return self.outcome.__await__()
        # Everybody waits for a future of their own: cancelling a waiter cancels that, and not the domino.
        waiter = row.create_future()
        self._waiters.append(waiter)
        if len(self._waiters) > self._prune_at:
            self._prune()
        return waiter.__await__()

    def add_done_callback(
        self, cb: Callable[[FutureStatus[None]], None], *, context: Context | None = None
    ) -> FutureCallback[None]:
        __tracebackhide__ = True
        if iscoroutinefunction(cb):
            raise TypeError(
                f"a done-callback must be a plain function, got the coroutine function {cb!r}:"
                " call loop.create_task in a plain one"
            )
        self.has_been_awaited = True
        callback = Callback(cb, copy_context() if context is None else context)
        if self.outcome is not None:
            self._row.loop.call_soon(cb, self, context=callback.context)
            return cb
        self._waiters.append(callback)
        if len(self._waiters) > self._prune_at:
            self._prune()
        return cb

    def remove_done_callback(self, cb: Callable[[FutureStatus[None]], None]) -> int:
        """Remove a callback, and return how many times it had been added; ``asyncio.wait`` calls this."""
        kept = [waiter for waiter in self._waiters if not (isinstance(waiter, Callback) and waiter.function == cb)]
        removed = len(self._waiters) - len(kept)
        self._waiters = kept
        return removed

    def waiting(self) -> list[Waiter]:
        """Return who still waits."""
        return [waiter for waiter in self._waiters if isinstance(waiter, Callback) or not waiter.done()]

    def cancel(self) -> None:
        if self.outcome is None:
            outcome = self._row.loop.create_future()
            outcome.cancel()
            self._knock_over_by_hand(outcome, None)

    def set_exception(self, exc: BaseException) -> None:
        __tracebackhide__ = True
        outcome = self._row.loop.create_future()
        outcome.set_exception(exc)
        # Marked as retrieved, so that asyncio warns nobody of it.
        outcome.exception()
        self._knock_over_by_hand(outcome, exc)

    def set_result(self, value: None) -> None:
        __tracebackhide__ = True
        if value is not None:
            raise TypeError(f"a domino carries no value, got {value!r}: pass None")
        self._knock_over_by_hand(self._row.knocked_over, None)

    def cancelled(self) -> bool:
        return self.outcome is not None and self.outcome.cancelled()

    def done(self) -> bool:
        return self.outcome is not None

    def exception(self) -> BaseException | None:
        __tracebackhide__ = True
        return self._result().exception()

    def result(self) -> None:
        __tracebackhide__ = True
        return self._result().result()

    def _result(self) -> Future[None]:
        __tracebackhide__ = True
        if self.outcome is None:
            raise InvalidStateError(f"{self!r} has not fallen yet: await it first")
        return self.outcome

    def __repr__(self) -> str:
        if self.outcome is None:
            state = f"standing, {len(self.waiting())} waiting"
        elif self.outcome.cancelled():
            state = "cancelled"
        else:
            failure = self.outcome.exception()
            state = "fallen" if failure is None else f"fallen with {brief(failure)}"
        return f"<domino {self._num}{self._row.of_name}, {state}>"

    def _prune(self) -> None:
        self._waiters = self.waiting()
        self._prune_at = 2 * len(self._waiters) + _PRUNE_SLACK

    def _knock_over_by_hand(self, outcome: Future[None], failure: BaseException | None) -> None:
        __tracebackhide__ = True
        if self.outcome is not None:
            raise InvalidStateError(f"{self!r} has fallen already")
        # The chain goes on without anybody awaiting it.
        self.has_been_awaited = True
        self.knock_over(outcome, failure)

    def knock_over(self, outcome: Future[None], failure: BaseException | None) -> None:
        """Complete, and wake those who wait."""
        self.outcome = outcome
        row = self._row
        if not row.is_closed and row.would_log(INFO):
            row.note(self._num, "has fallen")
        for waiter in self._waiters:
            if not isinstance(waiter, Future):
                row.loop.call_soon(waiter.function, self, context=waiter.context)
            elif waiter.done():
                pass
            elif outcome is row.knocked_over:
                waiter.set_result(None)
            elif failure is None:
                waiter.cancel()
            else:
                waiter.set_exception(failure)
                # Marked as retrieved here as well, in case this waiter is cancelled before it wakes.
                waiter.exception()
        self._waiters.clear()
