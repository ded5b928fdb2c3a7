"""The wider settings of runners: scopes of loops and fixtures, workers, watchdogs, and loops beside the current one."""

import asyncio
import re
import threading
from collections.abc import Callable

import pytest

from tests.runners import cases
from tests.runners.test_runners import ALT, ASYNCIO, run
from tests.state import state_of

XDIST = ["-p", "xdist.plugin", "-n", "2"]


def scope(name: str) -> list[str]:
    """Return the options by which pytest-asyncio runs all tests and fixtures of such a scope on one loop."""
    return ["-o", f"asyncio_default_fixture_loop_scope={name}", "-o", f"asyncio_default_test_loop_scope={name}"]


@pytest.mark.proves("P4")
@pytest.mark.parametrize("name", ["function", "class", "module", "package", "session"])
def test_both_helpers_work_in_all_loop_scopes(name: str) -> None:
    """However many tests share a loop under pytest-asyncio, each finds it as it was before the others."""
    ran = run("-m", *ASYNCIO, *scope(name), "cases.py")

    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^5 passed in", ran.stdout, re.MULTILINE), ran.stdout


@pytest.mark.proves("P4")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(ALT, id="alt-pytest-asyncio"),
        pytest.param([*ASYNCIO, *scope("module")], id="pytest-asyncio, module"),
        pytest.param([*ASYNCIO, *scope("session")], id="pytest-asyncio, session"),
    ],
)
def test_a_block_may_be_open_for_several_tests(command: list[str]) -> None:
    """A fixture for a whole module keeps its clock from test to test."""
    ran = run("-m", *command, "cases_of_wide_fixtures.py")

    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^3 passed in", ran.stdout, re.MULTILINE), ran.stdout


@pytest.mark.proves("P4")
@pytest.mark.parametrize(
    ("command", "passed"),
    [
        pytest.param([*ALT, "cases.py", "cases_of_sync_fixtures.py"], 6, id="alt-pytest-asyncio"),
        pytest.param([*ASYNCIO, *scope("function"), "cases.py"], 5, id="pytest-asyncio"),
    ],
)
def test_both_helpers_work_in_the_workers_of_xdist(command: list[str], passed: int) -> None:
    """Each worker has a loop and a clock of its own."""
    ran = run("-m", *command, *XDIST)

    assert ran.returncode == 0, ran.stdout
    assert re.search(rf"^{passed} passed in", ran.stdout, re.MULTILINE), ran.stdout


@pytest.mark.proves("P4", "T11")
def test_a_watchdog_that_a_test_sets_strikes_in_real_time() -> None:
    """It does so set before the block, inside the block, and in a test that a fixture gave virtual time."""
    ran = run("-m", *ALT, "-o", "default_async_timeout=60", "cases_of_watchdogs.py")

    struck = re.findall(r"^E +AssertionError: Took too long to complete: .*\(timeout=0\.2\)$", ran.stdout, re.MULTILINE)
    assert len(struck) == 3, ran.stdout
    assert re.search(r"^3 failed in", ran.stdout, re.MULTILINE), ran.stdout


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
