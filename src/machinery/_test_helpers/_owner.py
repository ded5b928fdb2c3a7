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
from machinery._test_helpers._where import first_of_users

T = TypeVar("T")
P = ParamSpec("P")
logger = logging.getLogger("machinery.test_helpers")

PATIENCE = 1.0
"""For how many real seconds nothing may happen before a block is given up."""


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
        self._cancelling = 0 if self.task is None else self.task.cancelling()
        self._stuck: Stuck | None = None

    def give_up(self, reason: str) -> bool:
        """End the task with :class:`Stuck`, out of its block; return whether it could be."""
        if self.task is None or self.task.done() or self._stuck is not None:
            return False
        # The report is made before anything is cancelled, while all still wait where they wait.
        self._stuck = Stuck(reason)
        self._stuck.add_note(self._text(None))
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
            if self._stuck is not None and not self._cancelled_from_outside() and _is_cancellation(error):
                raise self._stuck.with_traceback(error.__traceback__) from None
            text = self._text(error)
            error.add_note(text)
            if _is_cancellation(error):
                # A watchdog puts an exception of its own in the place of this one, and the note is lost with it.
                logger.warning("cancelled from outside\n%s", text)
            raise
        else:
            if self._stuck is not None:
                self._cancelled_from_outside()

    def _cancelled_from_outside(self) -> bool:
        return self.task is not None and self.task.uncancel() > self._cancelling

    def _text(self, error: BaseException | None) -> str:
        try:
            return "\n".join(self._report(error))
        except Exception as failure:
            return f"(no report: making it raised {type(failure).__name__})"


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
