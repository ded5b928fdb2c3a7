"""The task that a block belongs to: it is told what went on when something fails, and ended when that is hopeless."""

import asyncio
import contextlib
import functools
import logging
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from types import TracebackType
from typing import ParamSpec, TypeVar

from machinery._test_helpers._seam import Seam
from machinery._test_helpers._time_module import real_monotonic
from machinery._test_helpers._where import first_of_users, only_users

T = TypeVar("T")
P = ParamSpec("P")
logger = logging.getLogger("machinery.test_helpers")

PATIENCE = 1.0
"""For how many real seconds nothing may happen before a block is given up."""

_KEPT_ALWAYS = 10
_KEPT_EVERY = 1.0
_LONGEST_CHAIN = 100


class Stuck(AssertionError):
    """Waiting is hopeless: nothing can happen in the block any more, or time stands still in it.

    It leaves the block of virtual time or dominos in place of the wait that would never have ended, with notes on what
    waits for what.
    """

    __module__ = "machinery.test_helpers"


class Owner:
    """The task that a block belongs to."""

    def __init__(self, report: Callable[[BaseException | None], Iterable[str]]) -> None:
        self.task = asyncio.current_task()
        self._report = report
        self.cancelling = self.task.cancelling if self.task is not None else int
        self.seen = self._cancelling = self.cancelling()
        self._stuck: Stuck | None = None
        self._gave_up = 0
        self._kept: str | None = None
        self._kept_times = 0
        self._kept_at = -math.inf

    @contextlib.contextmanager
    def watched(self, seam: Seam) -> Iterator[None]:
        """Learn of what happens to the task, and end it when there is nothing left to happen."""
        hopeless = Hopeless(seam, self)
        seam.enter(hopeless, first=True)
        seam.watched.append(self)
        try:
            yield
        finally:
            seam.watched.remove(self)
            seam.leave(hopeless)

    def look(self) -> None:
        """Keep what is to be told when the task has been cancelled, while all still wait where they wait.

        By the time that the cancellation has come out of the block, a task group or a gather in it has ended them all.
        """
        cancelling = self.cancelling()
        if cancelling > self.seen:
            now = real_monotonic()
            # Code that lives on timeouts must not pay for each one that strikes.
            if self._kept_times < _KEPT_ALWAYS or now - self._kept_at > _KEPT_EVERY:
                self._kept, self._kept_at = self._text(None), now
                self._kept_times += 1
            else:
                self._kept = None
        self.seen = cancelling

    def give_up(self, reason: str) -> bool:
        """End the task with :class:`Stuck`, out of its block; return whether it could be."""
        first = self._stuck is None
        if self._stuck is None:
            self._stuck = Stuck(reason)
            # The report is made before anything is cancelled, while all still wait where they wait.
            self._kept = self._text(None)
            self._stuck.add_note(self._kept)
        if self.task is None or self.task.done():
            if first:
                logger.warning("%s\n%s", reason, self._kept)
            return False
        self._gave_up += 1
        self.seen += 1
        self.task.cancel()
        return True

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Add a report to whatever leaves this block."""
        __tracebackhide__ = True
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as error:
            from_outside = self._take_back()
            if self._stuck is not None and not from_outside and _is_cancellation(error):
                raise self._stuck.with_traceback(only_users(error.__traceback__)) from None
            self._tell(error)
            raise
        else:
            self._take_back()
            if self._gave_up and self._stuck is not None:
                # Somebody kept the cancellation to himself, but without it the block would not have been left.
                raise self._stuck

    def _take_back(self) -> bool:
        """Undo the cancellations that were ours; return whether there are others."""
        if self.task is None:
            return False
        for _ in range(self._gave_up):
            self.task.uncancel()
        return self.cancelling() > self._cancelling

    def _tell(self, error: BaseException) -> None:
        if _is_skip(error):
            return
        if self._stuck is not None and self._gave_up:
            text = "\n".join([str(self._stuck), *self._stuck.__notes__])
        elif self._kept is not None and _comes_of_cancellation(error):
            text = self._kept
        else:
            text = self._text(error)
        try:
            error.add_note(text)
        except Exception:
            # It takes none: its class has other ideas of `add_note` or `__notes__`.
            logger.warning("%s left\n%s", type(error).__name__, text)
            return
        if _is_cancellation(error):
            # A watchdog puts an exception of its own in the place of this one, and the note is lost with it.
            logger.warning("cancelled from outside while this was so:\n%s", text)

    def _text(self, error: BaseException | None) -> str:
        lines: list[str] = []
        try:
            for line in self._report(error):
                lines.append(line)
        except Exception as failure:
            lines.append(f"  (no more can be told: {type(failure).__name__} was raised on the way)")
        return "\n".join(lines)


class Hopeless:
    """Ends a block in which nothing can happen any more, once that has been so for a while."""

    rank = 3

    def __init__(self, seam: Seam, owner: Owner) -> None:
        self._seam = seam
        self._owner = owner

    def at_rest(self, rested: float) -> float:
        """Give up, when all others have had nothing to do for long enough."""
        if rested < PATIENCE:
            return PATIENCE - rested
        if not self._seam.certain():
            return PATIENCE
        gave_up = self._owner.give_up("nothing can happen any more: every task waits, and nothing is left to wake one")
        return 0 if gave_up else math.inf

    def close(self) -> None:
        """Need not end what is ended."""


class Block(contextlib.AbstractAsyncContextManager[T]):
    """A context manager that keeps its own frames out of the traceback that a user reads."""

    def __init__(self, manager: contextlib.AbstractAsyncContextManager[T]) -> None:
        self._manager = manager

    async def __aenter__(self) -> T:
        __tracebackhide__ = True
        try:
            return await self._manager.__aenter__()
        except BaseException as own:
            own.__traceback__ = first_of_users(own.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        __tracebackhide__ = True
        try:
            return await self._manager.__aexit__(kind, error, traceback)
        except BaseException as own:
            own.__traceback__ = first_of_users(own.__traceback__)
            raise


def block(function: Callable[P, AsyncGenerator[T]]) -> Callable[P, Block[T]]:
    """Make a context manager of an async generator function."""
    manager = contextlib.asynccontextmanager(function)

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Block[T]:
        return Block(manager(*args, **kwargs))

    return make


def _is_cancellation(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)


def _comes_of_cancellation(error: BaseException | None) -> bool:
    """Return whether an exception is a cancellation, or what a timeout or a task group has made of one."""
    for _ in range(_LONGEST_CHAIN):
        if isinstance(error, asyncio.CancelledError):
            return True
        if not isinstance(error, (TimeoutError, BaseExceptionGroup, Stuck)):
            return False
        error = error.__cause__ or error.__context__
    return False


def _is_skip(error: BaseException) -> bool:
    """Tell the exceptions by which pytest and unittest skip a test, where a note would be taken for the reason."""
    return any(kind.__name__ in {"Skipped", "SkipTest"} for kind in type(error).__mro__)
