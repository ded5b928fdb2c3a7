"""The same tests pass under every runner of async tests, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runners.surroundings import environment

HERE = Path(__file__).parent
# Nothing of this project's own settings, and no plugin but the one that is named.
PYTEST = ["pytest", "-q", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "--tb=short"]
NO_LOOP = ["-W", "ignore:There is no current event loop:DeprecationWarning"]
ALT = [*PYTEST, "-p", "alt_pytest_asyncio.plugin", "-p", "alt_pytest_asyncio.enable", *NO_LOOP]
ASYNCIO = [*PYTEST, "-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto"]
SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]
ANYIO = [*PYTEST, "-p", "anyio.pytest_plugin", "-o", "anyio_mode=auto"]


def run(*module: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of Python as a program, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *module],
        cwd=HERE,
        env=environment(PYTHONPATH=os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


@pytest.mark.proves("P4", "T11")
@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        pytest.param(["-m", *ALT, "cases.py", "cases_of_sync_fixtures.py"], r"^6 passed in", id="alt-pytest-asyncio"),
        pytest.param(["-m", *ASYNCIO, *SCOPE, "cases.py"], r"^5 passed in", id="pytest-asyncio"),
        pytest.param(["-m", *ANYIO, "cases.py"], r"^5 passed in", id="anyio"),
        pytest.param(["-m", "unittest", "cases_of_unittest"], r"^Ran 2 tests in [^\n]*\n\nOK$", id="unittest"),
        pytest.param(["cases_without_runner.py"], r"^done$", id="no runner"),
    ],
)
def test_both_helpers_work_under_every_runner(command: list[str], outcome: str) -> None:
    """In tests, in fixtures, and where there is neither; no watchdog strikes because an hour of virtual time passes."""
    ran = run(*command)

    assert ran.returncode == 0, ran.stdout
    assert re.search(outcome, ran.stdout, flags=re.MULTILINE), ran.stdout


@pytest.mark.proves("P4", "T11")
def test_the_watchdog_of_alt_pytest_asyncio_strikes_in_real_time() -> None:
    """In a block and around it, where time stands still and where it runs away, no test can hang."""
    ran = run("-m", *ALT, "-o", "default_async_timeout=0.3", "cases_that_hang.py")

    struck = re.findall(r"^E +AssertionError: Took too long to complete: .*\(timeout=0\.3\)$", ran.stdout, re.MULTILINE)
    took = re.findall(r"^6 failed in ([0-9.]+)s", ran.stdout, flags=re.MULTILINE)
    assert (len(struck), len(took)) == (6, 1), ran.stdout
    assert float(took[0]) >= 6 * 0.3, ran.stdout
