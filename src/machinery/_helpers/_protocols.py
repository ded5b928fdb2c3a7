"""The shapes that the helpers take and give.

PYTEST_DONT_REWRITE
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class Logger(Protocol):
    """What the helpers need of a log; ``logging.Logger`` and ``logging.LoggerAdapter`` both fit."""

    def debug(self, msg: object, /, *args: object) -> None:
        """Log at level DEBUG."""
        ...

    def info(self, msg: object, /, *args: object) -> None:
        """Log at level INFO."""
        ...

    def warning(self, msg: object, /, *args: object) -> None:
        """Log at level WARNING."""
        ...

    def error(self, msg: object, /, *args: object, exc_info: BaseException | None = None) -> None:
        """Log at level ERROR, with the traceback of ``exc_info`` if one is given."""
        ...

    def exception(self, msg: object, /, *args: object) -> None:
        """Log at level ERROR, with the traceback of the exception that is being handled."""
        ...


class FutureStatus(Protocol[T_co]):
    """The part of a future that reads its state."""

    def done(self) -> bool:
        """Return whether it has a result or an exception, or was cancelled."""
        ...

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        ...

    def exception(self) -> BaseException | None:
        """Return its exception, or ``None``.

        :raises asyncio.InvalidStateError: if it is not done.
        :raises asyncio.CancelledError: if it was cancelled.
        """
        ...

    def result(self) -> T_co:
        """Return its result, or raise its exception.

        :raises asyncio.InvalidStateError: if it is not done.
        :raises asyncio.CancelledError: if it was cancelled.
        """
        ...


class FutureCallback(Protocol[T_contra]):
    """A function of one argument, called when a future is done; what it returns is ignored."""

    def __call__(self, fut: FutureStatus[T_contra], /) -> object:
        """Handle ``fut``, which is done."""
        ...


class CTX(FutureStatus[None], Protocol):
    """A named lifetime on an event loop. It ends once, and its children end with it.

    As a context manager it is cancelled when the block is left.
    """

    @property
    def name(self) -> str:
        """Its name in logs and reprs."""
        ...

    @property
    def log(self) -> Logger:
        """Where it and its task holders log."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Its event loop."""
        ...

    def child(self, *, name: str, prefix: str = "", log: Logger | None = None) -> "CTX":
        """Make a context that ends no later than this one; if this one is done, it is cancelled from the start.

        :param name: the last part of its full name, ``parent::prefix::name``, without empty parts.
        :param prefix: the middle part of its full name.
        :param log: where it logs; ``None`` means where its parent does.
        """
        ...

    def cancel(self) -> bool:
        """Cancel it and its children at once; return ``False`` if it was done already."""
        ...

    def set_exception(self, exc: BaseException) -> None:
        """End it with ``exc``, and cancel its children.

        :raises asyncio.InvalidStateError: if it is done already.
        """
        ...

    def add_done_callback(self, cb: FutureCallback[None]) -> FutureCallback[None]:
        """Have the loop call ``cb`` with this context once it is done, and return ``cb``."""
        ...

    def remove_done_callback(self, cb: FutureCallback[None]) -> int:
        """Remove ``cb``; return how many times it had been added."""
        ...

    def __await__(self) -> Generator[None, None, None]:
        """Wait until it is done. A waiter that is cancelled does not cancel the context.

        :raises BaseException: the exception that it ended with.
        :raises asyncio.CancelledError: if it was cancelled.
        :raises RuntimeError: in another event loop.
        """
        ...

    def __enter__(self) -> Self:
        """Return the context itself."""
        ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        """Cancel the context, and let an exception pass."""
        ...


class TaskHolder(Protocol):
    """The tasks of one block, which are awaited or cancelled before the block is left."""

    def add_coroutine(self, coro: Coroutine[object, object, T], *, silent: bool = False) -> asyncio.Task[T]:
        """Start a coroutine as a task, and hold it.

        :param coro: the coroutine.
        :param silent: whether to keep its exception out of the log.
        """
        ...

    def add_task(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Hold a task that was started elsewhere, and return it.

        :raises TypeError: if ``task`` is not a task.
        :raises ValueError: if ``task`` belongs to another loop, or opened this holder, which would wait for itself.
        """
        ...

    @property
    def pending(self) -> int:
        """The number of its tasks that are not done."""
        ...

    def __iter__(self) -> Iterator[asyncio.Task[object]]:
        """Iterate over the tasks that are not done, in the order in which they were added."""
        ...

    def __contains__(self, task: object) -> bool:
        """Return whether ``task`` is held, which it is until it is done."""
        ...
