"""The same tests pass under every runner of async tests."""

import asyncio
import re
import threading
import unittest
from collections.abc import Callable

import pytest

from tests.runners import cases, cases_of_explore
from tests.runners.surroundings import Outcome
from tests.state import state_of


@pytest.mark.proves("P4", "T11")
@pytest.mark.parametrize(
    ("runner", "run", "end"),
    [
        ("alt-pytest-asyncio", "cases", r"^6 passed in"),
        ("pytest-asyncio", "cases, function", r"^5 passed in"),
        ("pytest-asyncio", "cases, class", r"^5 passed in"),
        ("pytest-asyncio", "cases, module", r"^5 passed in"),
        ("pytest-asyncio", "cases, package", r"^5 passed in"),
        ("pytest-asyncio", "cases, session", r"^5 passed in"),
        ("anyio", "cases", r"^5 passed in"),
        ("unittest", "", r"^Ran 2 tests in [^\n]*\n\nOK$"),
        ("no runner", "", r"^done$"),
    ],
)
def test_both_helpers_work_under_every_runner(outcome: Outcome, runner: str, run: str, end: str) -> None:
    """In tests and in fixtures, however many tests share a loop; no watchdog strikes because virtual hours pass."""
    code, output = outcome(runner, run)

    assert code == 0, output
    assert re.search(end, output, flags=re.MULTILINE), output


@pytest.mark.proves("P4", "E4")
@pytest.mark.parametrize(
    ("runner", "run"),
    [
        ("alt-pytest-asyncio", "explore"),
        ("pytest-asyncio", "explore, function"),
        ("pytest-asyncio", "explore, session"),
        ("anyio", "explore"),
    ],
)
def test_a_scenario_is_explored_under_every_runner(outcome: Outcome, runner: str, run: str) -> None:
    """In the loop that the runner has made."""
    code, output = outcome(runner, run)

    assert code == 0, output
    assert re.search(r"^1 passed in", output, flags=re.MULTILINE), output


@pytest.mark.proves("P4", "E4")
def test_a_scenario_is_explored_under_unittest() -> None:
    """In its asynchronous test case."""

    class Case(unittest.IsolatedAsyncioTestCase):
        async def runTest(self) -> None:
            await cases_of_explore.test_a_race_is_found()

    result = Case().run()

    assert result is not None
    assert result.testsRun == 1
    assert result.wasSuccessful(), result.errors


@pytest.mark.proves("P4")
@pytest.mark.parametrize(
    ("runner", "run"),
    [
        ("alt-pytest-asyncio", "wide fixtures"),
        ("pytest-asyncio", "wide fixtures, module"),
        ("pytest-asyncio", "wide fixtures, session"),
    ],
)
def test_a_block_may_be_open_for_several_tests(outcome: Outcome, runner: str, run: str) -> None:
    """A fixture for a whole module keeps its clock from test to test."""
    code, output = outcome(runner, run)

    assert code == 0, output
    assert re.search(r"^3 passed in", output, flags=re.MULTILINE), output


@pytest.mark.proves("P4")
@pytest.mark.parametrize(("runner", "passed"), [("alt-pytest-asyncio", 6), ("pytest-asyncio", 5)])
def test_both_helpers_work_in_the_workers_of_xdist(outcome: Outcome, runner: str, passed: int) -> None:
    """Each worker has a loop and a clock of its own."""
    code, output = outcome(runner, "xdist")

    assert code == 0, output
    assert re.search(rf"^{passed} passed in", output, flags=re.MULTILINE), output


@pytest.mark.proves("P4", "T11")
def test_the_watchdog_of_alt_pytest_asyncio_strikes_in_real_time(outcome: Outcome) -> None:
    """In a block and around it: a virtual watchdog would move a clock that stands, or strike before an hour passed."""
    _, output = outcome("alt-pytest-asyncio", "endless")

    struck = re.findall(r"^E +AssertionError: Took too long to complete: .*\(timeout=0\.5\)$", output, re.MULTILINE)
    hours = dict(re.findall(r"^(\w+) ended after (\d+) hours$", output, re.MULTILINE))
    standing = {name: hours for name, hours in hours.items() if "goes_on" not in name}
    assert len(struck) == 6, output
    assert re.search(r"^6 failed in", output, re.MULTILINE), output
    assert standing == dict.fromkeys(
        ["test_block_of_virtual_time", "test_fixture_of_virtual_time", "test_both"], "0"
    ), output
    assert sorted(int(count) > 0 for name, count in hours.items() if "goes_on" in name) == [True, True], output


@pytest.mark.proves("P4", "T11")
def test_a_watchdog_that_a_test_sets_strikes_in_real_time(outcome: Outcome) -> None:
    """It does so set before the block, inside the block, and in a test that a fixture gave virtual time."""
    _, output = outcome("alt-pytest-asyncio", "watchdogs")

    struck = re.findall(r"^E +AssertionError: Took too long to complete: .*\(timeout=0\.2\)$", output, re.MULTILINE)
    assert len(struck) == 3, output
    assert re.search(r"^3 failed in", output, re.MULTILINE), output


def beside_the_current_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run the tests while another loop is the current one of the thread."""
    current = asyncio.new_event_loop()
    before = state_of(current)
    asyncio.set_event_loop(current)
    try:
        loop.run_until_complete(cases.test_blocks())
        loop.run_until_complete(cases.test_blocks_the_other_way_round())
        assert state_of(current) == before
    finally:
        asyncio.set_event_loop(None)
        current.close()


def in_another_thread(loop: asyncio.AbstractEventLoop) -> None:
    """Run the tests where there is no current loop at all."""
    done: list[str] = []

    def work() -> None:
        loop.run_until_complete(cases.test_blocks())
        loop.run_until_complete(cases.test_blocks_the_other_way_round())
        done.append("all")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["all"]


@pytest.mark.proves("P4", "T18")
@pytest.mark.parametrize("run_tests", [beside_the_current_loop, in_another_thread])
def test_the_running_loop_need_not_be_the_current_one(run_tests: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    """Both helpers work on the loop that runs, and leave every other alone."""
    loop = asyncio.new_event_loop()
    before = state_of(loop)
    try:
        run_tests(loop)
        assert state_of(loop) == before
    finally:
        loop.close()
