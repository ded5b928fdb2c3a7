"""The pytest plugin: blocks opened by fixtures watch the tests that use them.

It imports nothing else of this package before other code does.

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
"""While this module is not imported, no block can be open."""

_test: pytest.StashKey[WatchedTest] = pytest.StashKey()

# Old-style hook wrappers: new-style ones show up in the traceback of every failure, and older pytests lack them.


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
    """Note if the set-up of a test fails."""
    outcome = yield
    if outcome.exception is not None and _BLOCK in modules:
        from machinery._test_helpers._watched_tests import WatchedTest

        WatchedTest(item).note_failure_of_setup()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Result[None]]:
    """Let the open blocks watch the test."""
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
    """Add reports to the failure of a subtest, which is not raised out of the test."""
    test = item.stash.get(_test, None)
    if test is not None and call.when == "call" and call.excinfo is not None:
        test.report_on(call.excinfo.value)
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Result[None]]:
    """Close the blocks that were left open."""
    outcome = yield
    if _BLOCK in modules:
        from machinery._test_helpers._watched_tests import WatchedTest

        test = item.stash.get(_test, None) or WatchedTest(item)
        item.stash.setdefault(_test, test)
        del item.stash[_test]
        test.close_what_is_left(outcome.exception)
