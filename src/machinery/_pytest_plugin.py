"""The plugin for pytest: blocks that fixtures hold watch the tests that use them.

Nothing else of this package is imported until somebody else has imported it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Generator
from sys import modules
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pluggy import Result

    from machinery._test_helpers._watched_tests import WatchedTest

_BLOCK = "machinery._test_helpers._block"
"""The module without which no block can be open."""

_test: pytest.StashKey[WatchedTest] = pytest.StashKey()

# Wrappers of the old kind: those of the new kind are in the traceback of every failure, and unknown to older pytests.


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Result[object]]:
    """Note which blocks a fixture opens."""
    if _BLOCK not in modules:
        yield
        return
    from machinery._test_helpers._watched_tests import OpenedByFixture

    opened = OpenedByFixture()
    outcome = yield
    opened.note(fixturedef, outcome.exception)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Result[None]]:
    """Note when a test fails before it begins."""
    outcome = yield
    if outcome.exception is not None and _BLOCK in modules:
        from machinery._test_helpers._watched_tests import WatchedTest

        WatchedTest(item).note_failure_of_setup()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Result[None]]:
    """Let the blocks that are open watch the test."""
    if _BLOCK not in modules:
        yield
        return
    from machinery._test_helpers._watched_tests import WatchedTest

    item.stash[_test] = test = WatchedTest(item)
    test.wrap_function()
    outcome = yield
    test.unwrap_function()
    test.note_end(outcome.exception)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None]:
    """Add reports to what fails in a subtest, which does not leave the test."""
    test = item.stash.get(_test, None)
    if test is not None and call.when == "call" and call.excinfo is not None:
        test.report_on(call.excinfo.value)
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Result[None]]:
    """Close the blocks that nobody has left."""
    outcome = yield
    if _BLOCK in modules:
        from machinery._test_helpers._watched_tests import WatchedTest

        test = item.stash.get(_test, None) or WatchedTest(item)
        item.stash.setdefault(_test, test)
        del item.stash[_test]
        test.close_what_is_left(outcome.exception)
