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
    """What a helper may ask of a log; `logging.Logger` and `logging.LoggerAdapter` both fit."""

    def debug(self, msg: object, /, *args: object) -> None:
        """Record what only matters when hunting a fault."""
        ...

    def info(self, msg: object, /, *args: object) -> None:
        """Record something that went as it should."""
        ...

    def warning(self, msg: object, /, *args: object) -> None:
        """Record something that may surprise the reader."""
        ...

    def error(self, msg: object, /, *args: object, exc_info: BaseException | None = None) -> None:
        """Record a failure, with the traceback of `exc_info` if one is given."""
        ...

    def exception(self, msg: object, /, *args: object) -> None:
        """Record a failure with the traceback of the exception being handled."""
        ...


class FutureStatus(Protocol[T_co]):
    """What may be read from a future, without the power to change it."""

    def done(self) -> bool:
        """Whether it has a result, an exception, or was cancelled."""
        ...

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        ...

    def exception(self) -> BaseException | None:
        """Give its exception or `None`; raise `CancelledError` or `InvalidStateError` as futures do."""
        ...

    def result(self) -> T_co:
        """Give its result, or raise its exception, `CancelledError` or `InvalidStateError` as futures do."""
        ...


class FutureCallback(Protocol[T_contra]):
    """What may be called when a future is done: any function of one argument, whatever it returns."""

    def __call__(self, fut: FutureStatus[T_contra], /) -> object:
        """Be told that `fut` is done."""
        ...


class CTX(FutureStatus[None], Protocol):
    """A named lifetime on an event loop: it ends once, and its children end with it.

    It is a context manager, and it is cancelled when the block is left.
    """

    @property
    def name(self) -> str:
        """What it is called in logs and reprs."""
        ...

    @property
    def log(self) -> Logger:
        """Where it and what lives in it write."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it lives on."""
        ...

    def child(self, *, name: str, prefix: str = "", log: Logger | None = None) -> "CTX":
        """Make a context that ends no later than this one; it logs to `log`, or where its parent does.

        It is called `parent::prefix::name`, and parts that are empty are left out.
        The child of a context that is done is cancelled from the start.
        """
        ...

    def cancel(self) -> bool:
        """Cancel it and its children at once; `False` if it was done already."""
        ...

    def set_exception(self, exc: BaseException) -> None:
        """End it with `exc` and cancel its children; raises `asyncio.InvalidStateError` if it is done."""
        ...

    def add_done_callback(self, cb: FutureCallback[None]) -> FutureCallback[None]:
        """Have the loop call `cb` with this context once it is done, soon if it is done already; gives `cb` back."""
        ...

    def remove_done_callback(self, cb: FutureCallback[None]) -> int:
        """Take `cb` back; says how often it had been added."""
        ...

    def __await__(self) -> Generator[None, None, None]:
        """Wait until it is done, then raise its exception or `asyncio.CancelledError`.

        Cancelling one who waits does not cancel the context.
        """
        ...

    def __enter__(self) -> Self:
        """Give the context itself."""
        ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        """Cancel the context; an exception passes through."""
        ...


class TaskHolder(Protocol):
    """The tasks of one block: they are waited for, or cancelled, before the block is left."""

    def add_coroutine(self, coro: Coroutine[object, object, T], *, silent: bool = False) -> asyncio.Task[T]:
        """Start `coro` as a task and hold it; a `silent` one keeps its exception out of the log."""
        ...

    def add_task(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Hold a task that was started elsewhere, and give it back.

        Raises `TypeError` for what is no task, and `ValueError` for a task of another loop
        and for the task that opened the holder, which would wait for itself for ever.
        """
        ...

    @property
    def pending(self) -> int:
        """How many of its tasks are not done."""
        ...

    def __iter__(self) -> Iterator[asyncio.Task[object]]:
        """Its tasks in the order in which they came; one that is done is let go."""
        ...

    def __contains__(self, task: object) -> bool:
        """Whether `task` is held: from when it is added until it is done."""
        ...
