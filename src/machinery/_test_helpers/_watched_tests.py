"""What the plugin for pytest does while blocks are open: they watch the test, and are closed if nobody leaves them."""

from asyncio import current_task
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from threading import get_ident
from typing import Any

from machinery._test_helpers._asyncio_internals import running_loop_or_none
from machinery._test_helpers._block import OpenBlock, WatchedRun, open_blocks, raise_in_place
from machinery._test_helpers._known_tools import is_skip
from machinery._test_helpers._loops import check_own_loop

Test = Callable[..., Coroutine[Any, Any, Any]]


class WatchedTest:
    """A test of pytest, and the blocks that matter to it."""

    def __init__(self, item: Any) -> None:
        self._item = item
        self._before: list[OpenBlock] = list(open_blocks)
        self._runs: list[WatchedRun] = []
        """Hypothesis runs a test more than once."""

    @contextmanager
    def function_wrapped(self) -> Iterator[None]:
        """Let the runner run what lets the blocks watch the task that it runs the test in."""
        target, name = self._item, "obj"
        hypothesis = getattr(getattr(target, name, None), "hypothesis", None)
        if hypothesis is not None:
            target, name = hypothesis, "inner_test"
        function = getattr(target, name, None)
        if not iscoroutinefunction(function):
            yield
            return
        setattr(target, name, self._wrapped(function))
        try:
            yield
        finally:
            setattr(target, name, function)

    def _wrapped(self, function: Test) -> Test:
        @wraps(function)
        async def run_test(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            run = self._begin_run()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                raise_in_place(run.end(error), error)
                if error.__traceback__ is not None:
                    error.__traceback__ = error.__traceback__.tb_next
                raise
            raise_in_place(run.end(None), None)
            return result

        # alt-pytest-asyncio names the file and line of the test in its own failures.
        run_test.__original__ = function  # type: ignore[attr-defined]
        return run_test

    def _begin_run(self) -> WatchedRun:
        __tracebackhide__ = True
        loop = running_loop_or_none()
        if loop is not None:
            for block in open_blocks:
                if self._uses(block):
                    check_own_loop(block.hook.loop, block.content)
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

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Add reports to what fails the test, and close the blocks that it has left behind."""
        had_failed = [block.has_failed for block in self._before]
        try:
            yield
        except BaseException as error:
            self._note_failure(error)
            raise
        # Failures of tests of unittest do not leave the call.
        if not getattr(self._item, "nofuncargs", False):
            for block, value in zip(self._before, had_failed, strict=True):
                block.has_failed = value

    def _note_failure(self, error: BaseException) -> None:
        went_on = [run for run in self._runs if not run.has_ended]
        for run in went_on:
            run.end(error)
        self.report_on(error)
        if went_on or not self._runs:
            for block in _opened_since(self._before):
                if block.holder is None:
                    _close(block, error)

    def report_on(self, error: BaseException) -> None:
        """Add to an exception the reports of the blocks that the test is in, if they are not there."""
        if is_skip(error):
            return
        # Some runners raise an exception of their own in place of the one that has ended the test.
        was_replaced = bool(self._runs) and self._runs[-1].has_failed
        of_runs = {block for run in self._runs for block in run.blocks}
        opened = _opened_since(self._before)
        for block in reversed(open_blocks):
            if block in of_runs or block in opened or self._uses(block):
                block.has_failed = True
                block.reports.attach_once(error, again=was_replaced)

    def note_failure_of_setup(self) -> None:
        """Note that a fixture has failed, so that dominos which another one holds are not expected to have fallen."""
        names = getattr(self._item, "fixturenames", ())
        for block in open_blocks:
            if getattr(block.holder, "argname", None) in names:
                block.has_failed = True

    def close_what_is_left(self, error: BaseException | None) -> None:
        """Close the blocks that were opened by the test, or by fixtures that are gone."""
        opened = _opened_since(self._before)
        for block in list(open_blocks):
            fixture: Any = block.holder
            if block in opened if fixture is None else fixture.cached_result is None:
                _close(block, error)


@contextmanager
def opened_by(fixture: object) -> Iterator[None]:
    """Note which blocks a fixture opens; close them if it does not get to its end."""
    before = list(open_blocks)
    try:
        yield
    except BaseException as error:
        for block in _opened_since(before):
            if block.holder is None:
                _close(block, error)
        raise
    for block in _opened_since(before):
        block.holder = block.holder or fixture


def _opened_since(before: list[OpenBlock]) -> list[OpenBlock]:
    """Return the blocks that this thread has opened since then and that are open still, newest first."""
    return [block for block in reversed(open_blocks) if block not in before and block.thread == get_ident()]


def _close(block: OpenBlock, error: BaseException | None) -> None:
    """Close a block that nobody will leave in time."""
    if error is not None and not is_skip(error):
        block.reports.attach_once(error)
    block.close()
