"""The pytest plugin's work while blocks are open: they watch the test, and are closed if they are left open.

PYTEST_DONT_REWRITE
"""

from asyncio import CancelledError, Task, current_task
from collections.abc import Callable, Container, Coroutine
from functools import wraps
from inspect import iscoroutinefunction
from threading import get_ident
from typing import Any

from machinery._test_helpers._asyncio_internals import running_loop_or_none
from machinery._test_helpers._block import OpenBlock, WatchedRun, open_blocks, raise_in_place
from machinery._test_helpers._deadlocks import DeadlockDetector
from machinery._test_helpers._loops import check_own_loop
from machinery._test_helpers._source import drop_hidden_start

DeadlockDetector.gives_up_beside_connections_after = 10.0

Test = Callable[..., Coroutine[Any, Any, Any]]


class WatchedTest:
    """A pytest test, and the blocks that it uses."""

    def __init__(self, item: Any) -> None:
        self._item = item
        self._before = {block: block.has_failed for block in open_blocks}
        """The blocks that were open before, and whether anything had failed in them."""
        self._runs: list[WatchedRun] = []
        """More than one if Hypothesis runs the test function several times."""
        self._given_up: dict[WatchedRun, Task[Any]] = {}
        """Runs that pytest considers ended by a signal handler, and their tasks, which are still waiting."""
        self._wrapped_attribute: tuple[object, str, Test] | None = None

    def wrap_function(self) -> None:
        """Replace the test function by a wrapper, so that the blocks watch the task that runs it."""
        target, name = self._item, "obj"
        hypothesis = getattr(getattr(target, name, None), "hypothesis", None)
        if hypothesis is not None:
            target, name = hypothesis, "inner_test"
        function = getattr(target, name, None)
        if iscoroutinefunction(function):
            self._wrapped_attribute = target, name, function
            setattr(target, name, self._wrapped(function))

    def unwrap_function(self) -> None:
        """Restore the test function."""
        if self._wrapped_attribute is not None:
            setattr(*self._wrapped_attribute)

    def _wrapped(self, function: Test) -> Test:
        @wraps(function)
        async def run_test(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            run = self._begin_run()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                if run in self._given_up and isinstance(error, CancelledError):
                    # anyio's plugin runs the next tests in this task too.
                    self._given_up[run].uncancel()
                    return None
                raise_in_place(self._end(run, error), error)
                error.__traceback__ = drop_hidden_start(error.__traceback__)
                raise
            raise_in_place(self._end(run, None), None)
            return result

        # alt-pytest-asyncio names the file and line of the test in its own failures.
        run_test.__original__ = function  # type: ignore[attr-defined]
        return run_test

    def _end(self, run: WatchedRun, error: BaseException | None) -> BaseException | None:
        """End a run; return what to raise in place of its exception, if anything."""
        leaving = error
        for block in _opened_since(self._before):
            # A fixture, such as one with an AsyncExitStack, will leave it in another task.
            leaving = block.end_of_task(leaving) or leaving
        leaving = run.end(leaving) or leaving
        return None if leaving is error else leaving

    def _begin_run(self) -> WatchedRun:
        __tracebackhide__ = True
        for block in open_blocks:
            if self._uses(block):
                check_own_loop(block.hook.loop, block.content)
        loop = running_loop_or_none()
        run = WatchedRun(block for block in open_blocks if block.hook.loop is loop)
        self._runs.append(run)
        if loop is not None:
            run.begin(current_task(), is_test=True)
        return run

    def _uses(self, block: OpenBlock) -> bool:
        """Return whether a fixture of the test holds a block."""
        fixture: Any = block.holder
        if fixture is None or fixture.cached_result is None or block.thread != get_ident():
            return False
        values = getattr(self._item, "funcargs", {})
        return values.get(fixture.argname, values) is fixture.cached_result[0]

    def note_end(self, error: BaseException | None) -> None:
        """Add reports to the exception of the test, and close the blocks that it has left open."""
        if error is not None:
            interrupted = [run for run in self._runs if not run.has_ended]
            for run in interrupted:
                run.end(error)
            self.report_on(error)
            left_behind = [block for block in _opened_since(self._before) if block.holder is None]
            if interrupted or not self._runs:
                for block in left_behind:
                    _close(block, error)
            for run in interrupted:
                # Otherwise the test would go on in the background of the next ones.
                if run.task is not None and (run.blocks or left_behind):
                    self._given_up[run] = run.task
                    run.task.cancel()
        elif not getattr(self._item, "nofuncargs", False):
            # The test passed, so it expected what failed in the blocks. A failing unittest does not raise here.
            for block, had_failed in self._before.items():
                block.has_failed = had_failed

    def report_on(self, error: BaseException) -> None:
        """Add the reports of the test's blocks to an exception, unless it has them."""
        # Some runners replace the exception that has ended the test by their own.
        was_replaced = bool(self._runs) and self._runs[-1].has_failed
        of_runs = {block for run in self._runs for block in run.blocks}
        opened = _opened_since(self._before)
        for block in reversed(open_blocks):
            if block in opened or block in of_runs or self._uses(block):
                block.has_failed = True
                waits = block in opened and block.watch.still_waits()
                block.reports.attach_once(error, again=was_replaced, waits=waits)

    def note_failure_of_setup(self) -> None:
        """Note that a fixture has failed, so that dominos of other fixtures need not have fallen."""
        names = getattr(self._item, "fixturenames", ())
        for block in open_blocks:
            if getattr(block.holder, "argname", None) in names:
                block.has_failed = True

    def close_what_is_left(self, error: BaseException | None) -> None:
        """Close the blocks that were opened by the test, or by fixtures that have been torn down."""
        opened = _opened_since(self._before)
        for block in list(open_blocks):
            fixture: Any = block.holder
            if block in opened if fixture is None else fixture.cached_result is None:
                _close(block, error)


class OpenedByFixture:
    """The blocks that a fixture opens."""

    def __init__(self) -> None:
        self._before = set(open_blocks)

    def note(self, fixture: object, error: BaseException | None) -> None:
        """Note on the blocks that this fixture holds them; close them if its set-up has failed."""
        for block in _opened_since(self._before):
            if block.holder is None:
                if error is None:
                    block.holder = fixture
                else:
                    _close(block, error)


def _opened_since(before: Container[OpenBlock]) -> list[OpenBlock]:
    """Return the blocks that this thread has opened since then and that are still open, newest first."""
    return [block for block in reversed(open_blocks) if block not in before and block.thread == get_ident()]


def _close(block: OpenBlock, error: BaseException | None) -> None:
    """Close a block in place of the task that should have left it."""
    if error is not None:
        block.reports.attach_once(error, waits=True)
    block.close()
