"""One domino: a future that completes when its row says so.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Future, InvalidStateError, current_task
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from inspect import iscoroutinefunction
from typing import Protocol

from machinery._helpers._protocols import FutureCallback, FutureStatus, Logger
from machinery._test_helpers._loops import check_own_loop
from machinery._test_helpers._participants import Participants
from machinery._test_helpers._source import brief

_PRUNE_SLACK = 10


class DominoRow(Protocol):
    """What a domino needs of its row."""

    loop: AbstractEventLoop
    log: Logger
    of_name: str
    is_closed: bool
    participants: Participants
    knocked_over: Future[None]
    """The outcome of a domino that has fallen because it was its turn."""


class Callback:
    """A done-callback and the context to call it in."""

    __slots__ = ("context", "function")

    def __init__(self, function: Callable[[FutureStatus[None]], None], context: Context) -> None:
        self.function = function
        self.context = context


Waiter = Future[None] | Callback


class FallingDomino:
    """A domino, and who waits for it in which order."""

    __slots__ = ("__weakref__", "_num", "_outcome", "_prune_at", "_row", "_waiters", "has_been_awaited")

    def __init__(self, row: DominoRow, num: int) -> None:
        self._row = row
        self._num = num
        self._outcome: Future[None] | None = None
        self._waiters: list[Waiter] = []
        self._prune_at = _PRUNE_SLACK
        self.has_been_awaited = False

    def __await__(self) -> Generator[None]:
        __tracebackhide__ = True
        row = self._row
        task = current_task()
        if task is None or task.get_loop() is not row.loop:
            check_own_loop(row.loop, row)
        else:
            row.participants.note(task, self._num)
        self.has_been_awaited = True
        if self._outcome is not None:
            return self._outcome.__await__()
        # Everybody waits for a future of their own: cancelling a waiter cancels that, and not the domino.
        waiter: Future[None] = row.loop.create_future()
        self._add(waiter)
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
        if self._outcome is None:
            self._add(callback)
        else:
            self._wake(callback, self._outcome)
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

    def fall(self) -> None:
        """Complete, because it is its turn."""
        self._knock_over(self._row.knocked_over)

    def cancel(self) -> None:
        if self._outcome is None:
            outcome = self._row.loop.create_future()
            outcome.cancel()
            self._knock_over_by_hand(outcome)

    def set_exception(self, exc: BaseException) -> None:
        __tracebackhide__ = True
        outcome = self._row.loop.create_future()
        outcome.set_exception(exc)
        # Marked as retrieved, so that asyncio warns nobody of it.
        outcome.exception()
        self._knock_over_by_hand(outcome)

    def set_result(self, value: None) -> None:
        __tracebackhide__ = True
        if value is not None:
            raise TypeError(f"a domino carries no value, got {value!r}: pass None")
        self._knock_over_by_hand(self._row.knocked_over)

    def cancelled(self) -> bool:
        return self._outcome is not None and self._outcome.cancelled()

    def done(self) -> bool:
        return self._outcome is not None

    def exception(self) -> BaseException | None:
        __tracebackhide__ = True
        return self._result().exception()

    def result(self) -> None:
        __tracebackhide__ = True
        return self._result().result()

    def _result(self) -> Future[None]:
        __tracebackhide__ = True
        if self._outcome is None:
            raise InvalidStateError(f"{self!r} has not been knocked over yet: await it first")
        return self._outcome

    def __repr__(self) -> str:
        if self._outcome is None:
            state = f"standing, {len(self.waiting())} waiting"
        elif self._outcome.cancelled():
            state = "cancelled"
        else:
            failure = self._outcome.exception()
            state = "fallen" if failure is None else f"fallen with {brief(failure)}"
        return f"<domino {self._num}{self._row.of_name}, {state}>"

    def _add(self, waiter: Waiter) -> None:
        self._waiters.append(waiter)
        if len(self._waiters) > self._prune_at:
            self._waiters = self.waiting()
            self._prune_at = 2 * len(self._waiters) + _PRUNE_SLACK

    def _knock_over_by_hand(self, outcome: Future[None]) -> None:
        __tracebackhide__ = True
        if self._outcome is not None:
            raise InvalidStateError(f"{self!r} has been knocked over already")
        # The chain goes on without anybody awaiting it.
        self.has_been_awaited = True
        self._knock_over(outcome)

    def _knock_over(self, outcome: Future[None]) -> None:
        self._outcome = outcome
        if not self._row.is_closed:
            self._row.log.info("domino %s%s has fallen", self._num, self._row.of_name)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._wake(waiter, outcome)

    def _wake(self, waiter: Waiter, outcome: Future[None]) -> None:
        if isinstance(waiter, Callback):
            self._row.loop.call_soon(waiter.function, self, context=waiter.context)
        elif waiter.done():
            pass
        elif outcome.cancelled():
            waiter.cancel()
        elif (failure := outcome.exception()) is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)
            # Marked as retrieved here as well, in case this waiter is cancelled before it wakes.
            waiter.exception()
