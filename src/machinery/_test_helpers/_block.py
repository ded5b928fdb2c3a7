"""The context manager behind both helpers.

PYTEST_DONT_REWRITE
"""

from asyncio import Task, current_task, iscoroutine
from collections.abc import Callable, Coroutine, Iterable, Sequence
from sys import _getframe
from threading import get_ident
from types import CodeType, TracebackType
from typing import Any, Generic, Protocol, TypeVar

from machinery._test_helpers._asyncio_internals import coroutine_of
from machinery._test_helpers._deadlocks import DeadlockDetector
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import serves_another_task
from machinery._test_helpers._source import awaiting, drop_hidden, drop_hidden_start
from machinery._test_helpers._task_watch import Reports, TaskWatch
from machinery._test_helpers._undo import UndoStack

T = TypeVar("T")


class Content(Protocol):
    """The part of a block that differs between the helpers."""

    @property
    def hook(self) -> IdleHook:
        """The idle hook of the block's loop."""
        ...

    def open(self, block: "OpenBlock") -> None:
        """Install everything; push the undo of each step before taking the step."""
        ...

    def check(self) -> None:
        """Raise if the block must not end in its present state; called if no exception is leaving it."""
        ...

    def report(self, error: BaseException | None) -> Iterable[str]:
        """Yield the lines of a report; ``error`` is what is leaving the block, if anything is."""
        ...


class OpenBlock:
    """A block that has been entered: what has to be undone, and the task that it watches."""

    def __init__(self, content: Content, entered_by: Sequence[CodeType]) -> None:
        self.content = content
        self.undo = UndoStack()
        self.hook = content.hook
        self.reports = Reports(content.report)
        self.watch = TaskWatch(self.hook, self.reports, current_task(), entered_by)
        """The watch of the task that is ended on deadlock: the last of ``_watches``."""
        self.thread = get_ident()
        self.holder: object = None
        """The fixture that opened it, if pytest's plugin knows one."""
        self.is_closed = False
        self.has_failed = False
        """Whether something has failed since it was opened, so that its check would only add a second failure."""
        self._watches = [self.watch]

    def give_up(self, reason: str) -> bool:
        """End the task of this block with :class:`Stuck`."""
        return self.watch.give_up(reason)

    def _log_report(self, reason: str) -> None:
        self.watch.log_report(reason)

    def end_of_task(self, error: BaseException | None) -> BaseException | None:
        """Add the report to what ends the task that has entered this block and that somebody else will leave.

        Return the exception to raise instead, if any.
        """
        own = self._watches[0]
        if own.task is None or own.task is not current_task():
            return None
        replacement = own.ending(error)
        self.has_failed = self.has_failed or (replacement or error) is not None
        return replacement

    def close(self) -> None:
        """Undo everything, also on behalf of a task that has not left the block."""
        self.is_closed = True
        self.undo.close()

    def watch_task(self) -> None:
        """Register the task with the hook, and look for deadlocks."""
        detector = DeadlockDetector(self.hook, self.give_up, self._log_report)
        self.undo.append((self.hook.remove, (detector,)))
        self.hook.add(detector, first=True)
        self.hook.run_main = run_main
        self.undo.append((self._forget, ()))
        self.hook.cancellation_watchers.append(self.watch)
        open_blocks.append(self)

    def watch_also(self, task: Task[Any] | None, *, is_test: bool) -> TaskWatch:
        """Watch another task, until :meth:`watch_no_more`."""
        watch = TaskWatch(self.hook, self.reports, task)
        # alt-pytest-asyncio runs the loop for other tasks after it has created the test's task, which starts then.
        self._watches.insert(len(self._watches) if is_test else 1, watch)
        self._choose_watch()
        return watch

    def watch_no_more(self, watch: TaskWatch) -> None:
        """Stop watching that task, and watch the previous one again."""
        self._watches.remove(watch)
        self._choose_watch()

    def _choose_watch(self) -> None:
        before, self.watch = self.watch, self._watches[-1]
        if not self.is_closed and self.watch is not before:
            self.watch.cancelling_seen = self.watch.cancelling()
            watchers = self.hook.cancellation_watchers
            watchers[watchers.index(before)] = self.watch

    def _forget(self) -> None:
        self.is_closed = True
        # An interrupt may have come before they were added.
        if self.watch in self.hook.cancellation_watchers:
            self.hook.cancellation_watchers.remove(self.watch)
        if self in open_blocks:
            open_blocks.remove(self)


open_blocks: list[OpenBlock] = []
"""All open blocks, oldest first."""


class WatchedRun:
    """A run of a task that uses open blocks which it has not entered itself: they watch this task too."""

    def __init__(self, blocks: Iterable[OpenBlock]) -> None:
        self.blocks = list(blocks)
        self.has_ended = False
        self.has_failed = False
        self.task: Task[Any] | None = None
        self._watches: list[tuple[OpenBlock, TaskWatch]] = []

    def begin(self, task: Task[Any] | None, *, is_test: bool = False) -> None:
        """Let the blocks watch the task; if several are watched, the one of a test is ended on deadlock."""
        self.task = task
        self._watches = [(block, block.watch_also(task, is_test=is_test)) for block in self.blocks]

    def end(self, error: BaseException | None) -> BaseException | None:
        """Add reports to the exception that has ended the task; return the one to raise instead, if any.

        :param error: raised by the task or, while it waits, by a signal handler.
        """
        self.has_ended = True
        watches, self._watches = self._watches, []
        leaving = error
        for block, watch in reversed(watches):
            if error is not None and watch.still_waits():
                block.reports.attach_once(error, waits=True)
            block.watch_no_more(watch)
            if not block.is_closed:
                leaving = watch.leaving(leaving, log=False) or leaving
                block.has_failed = block.has_failed or leaving is not None
        self.has_failed = leaving is not None
        return None if leaving is error else leaving


def run_main(hook: IdleHook, run: Callable[[Any], Any], main: Any) -> Any:
    """Run a loop until its main task has ended, and let the blocks of the loop watch that task.

    So blocks that a test's set-up has opened watch the test. The pytest plugin does more.
    """
    __tracebackhide__ = True
    watched = WatchedRun(block for block in open_blocks if block.hook is hook)
    if not watched.blocks or hook.loop.is_running() or serves_another_task(main):
        return run(main)
    if isinstance(main, Task):
        if getattr(coroutine_of(main), "cr_suspended", False):
            # It has run before, and tasks that it started have opened the blocks; they watch those tasks.
            return run(main)
        watched.begin(main)
    elif iscoroutine(main):
        main = _watched(watched, main)
    try:
        result = run(main)
    except BaseException as error:
        raise_in_place(watched.end(error), error)
        raise
    raise_in_place(watched.end(None), None)
    return result


async def _watched(watched: WatchedRun, main: Coroutine[Any, Any, T]) -> T:
    watched.begin(current_task())
    return await main


def raise_in_place(replacement: BaseException | None, error: BaseException | None) -> None:
    """Raise the replacement of an exception, if there is one."""
    __tracebackhide__ = True
    if replacement is not None:
        if error is None:
            raise replacement
        raise replacement.with_traceback(drop_hidden(error.__traceback__)) from None


class Block(Generic[T]):
    """Opens and closes its content; adds reports to exceptions; hides its own frames in tracebacks."""

    def __init__(self, make: Callable[[], tuple[Content, T]]) -> None:
        self._make = make
        self._content: Content | None = None
        self._open: OpenBlock | None = None

    async def __aenter__(self) -> T:
        __tracebackhide__ = True
        try:
            if self._content is not None:
                raise RuntimeError("this block has been entered before: call mocked_call_later or future_dominos again")
            content, held = self._make()
            self._content, block = content, OpenBlock(content, awaiting(_getframe(1)))
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
        block = self._open
        if block is None:
            raise RuntimeError("this block has not been entered: use it in `async with`")
        try:
            try:
                self._raise_own(block, error)
            finally:
                block.close()
        except BaseException as own:
            own.__traceback__ = drop_hidden_start(own.__traceback__)
            raise

    def _raise_own(self, block: OpenBlock, error: BaseException | None) -> None:
        __tracebackhide__ = True
        if block.is_closed:
            return
        raise_in_place(block.watch.leaving(error), error)
        if error is None and not block.has_failed:
            try:
                block.content.check()
            except BaseException as failure:
                block.watch.leaving(failure)
                raise
