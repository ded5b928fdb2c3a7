"""The context manager behind both helpers."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._source import drop_hidden, drop_hidden_start
from machinery._test_helpers._task_watch import DeadlockDetector, TaskWatch
from machinery._test_helpers._undo import UndoStack

T = TypeVar("T")


class Content(Protocol):
    """What a helper puts into its block."""

    @property
    def hook(self) -> IdleHook:
        """The idle hook of the block's loop."""
        ...

    def open(self, block: "OpenBlock") -> None:
        """Replace and install what is needed; the undoing of each step is pushed before the step is taken."""
        ...

    def check(self) -> None:
        """Raise if the block must not end like this; called when no exception is leaving it."""
        ...

    def report(self, error: BaseException | None) -> Iterable[str]:
        """Yield the lines of a report; ``error`` is what is leaving the block, if anything is."""
        ...


class OpenBlock:
    """A block that has been entered: what has to be undone, and the task that it watches."""

    def __init__(self, content: Content) -> None:
        self.undo = UndoStack()
        self.hook = content.hook
        self.watch = TaskWatch(self.hook, content.report)

    def give_up(self, reason: str) -> bool:
        """End the task of this block with :class:`Stuck`."""
        return self.watch.give_up(reason)

    def close(self) -> None:
        """Undo everything."""
        self.undo.close()

    def watch_task(self) -> None:
        """Let the hook know of the task, and look for deadlocks."""
        detector = DeadlockDetector(self.hook, self.give_up)
        self.undo.callback(self.hook.remove, detector)
        self.hook.add(detector, first=True)
        self.undo.callback(self.hook.cancellation_watchers.remove, self.watch)
        self.hook.cancellation_watchers.append(self.watch)


class Block(Generic[T]):
    """Opens and closes what a helper puts into it; reports on exceptions; hides its own frames from tracebacks."""

    def __init__(self, make: Callable[[], tuple[Content, T]]) -> None:
        self._make = make
        self._content: Content | None = None
        self._open: OpenBlock | None = None

    async def __aenter__(self) -> T:
        __tracebackhide__ = True
        try:
            if self._content is not None:
                raise RuntimeError("this block has been entered before: call the helper again for another one")
            content, held = self._make()
            self._content, block = content, OpenBlock(content)
            try:
                content.open(block)
                block.watch_task()
            except BaseException:
                block.close()
                raise
            self._open = block
            return held
        except BaseException as error:
            error.__traceback__ = drop_hidden_start(error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        block, content = self._open, self._content
        if block is None or content is None:
            raise RuntimeError("this block has not been entered")
        try:
            try:
                self._raise_own(block, content, error)
            finally:
                block.close()
        except BaseException as own:
            own.__traceback__ = drop_hidden_start(own.__traceback__)
            raise

    def _raise_own(self, block: OpenBlock, content: Content, error: BaseException | None) -> None:
        __tracebackhide__ = True
        replacement = block.watch.leaving(error)
        if replacement is not None:
            if error is None:
                raise replacement
            raise replacement.with_traceback(drop_hidden(error.__traceback__)) from None
        if error is None:
            try:
                content.check()
            except BaseException as failure:
                block.watch.leaving(failure)
                raise
