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
    from machinery._test_helpers._watched_tests import WatchedTest

_BLOCK = "machinery._test_helpers._block"
"""The module without which no block can be open."""

_test: pytest.StashKey[WatchedTest] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Note which blocks a fixture opens."""
    if _BLOCK not in modules:
        return (yield)
    from machinery._test_helpers._watched_tests import opened_by

    with opened_by(fixturedef):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Note when a test fails before it begins."""
    try:
        return (yield)
    except BaseException:
        if _BLOCK in modules:
            from machinery._test_helpers._watched_tests import WatchedTest

            WatchedTest(item).note_failure_of_setup()
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let the blocks that are open watch the test."""
    if _BLOCK not in modules:
        return (yield)
    from machinery._test_helpers._watched_tests import WatchedTest

    item.stash[_test] = test = WatchedTest(item)
    with test.function_wrapped(), test.calling():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add reports to what fails in a subtest, which does not leave the test."""
    test = item.stash.get(_test, None)
    if test is not None and call.when == "call" and call.excinfo is not None:
        test.report_on(call.excinfo.value)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Close the blocks that nobody has left."""
    error = None
    try:
        return (yield)
    except BaseException as failure:
        error = failure
        raise
    finally:
        if _BLOCK in modules:
            from machinery._test_helpers._watched_tests import WatchedTest

            test = item.stash.setdefault(_test, WatchedTest(item))
            del item.stash[_test]
            test.close_what_is_left(error)
