"""Runs the cases of this folder under every runner of async tests.

There is one process for each runner, and all of them run beside each other: most of the time they wait for watchdogs.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.runners.surroundings import Outcome, environment

HERE = Path(__file__).parent
Ran = tuple[int, str]

# None of this project's own settings, and no plugin but those that are named.
PYTEST = ["-q", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"]
SHORT = ["--tb=short"]
ALT = [*PYTEST, "-p", "alt_pytest_asyncio.plugin", "-p", "alt_pytest_asyncio.enable"]
ALT += ["-W", "ignore:There is no current event loop:DeprecationWarning"]
ASYNCIO = [*PYTEST, "-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto"]
ANYIO = [*PYTEST, "-p", "anyio.pytest_plugin", "-o", "anyio_mode=auto"]
XDIST = ["-p", "xdist.plugin", "-n", "2"]
HANG = [f"cases_that_fail.py::{name}" for name in ("test_virtual_time", "test_dominos", "test_busy_loop")]
STUCK = "cases_that_fail.py::test_stuck"


def scope(name: str) -> list[str]:
    """Return the options by which pytest-asyncio runs all tests and fixtures of such a scope on one loop."""
    return ["-o", f"asyncio_default_fixture_loop_scope={name}", "-o", f"asyncio_default_test_loop_scope={name}"]


def watchdog(seconds: float) -> list[str]:
    """Return the option that sets the watchdog of alt-pytest-asyncio."""
    return ["-o", f"default_async_timeout={seconds}"]


def timeout_plugin(seconds: float, method: str) -> list[str]:
    """Return the options that set the watchdog of pytest-timeout, under pytest-asyncio."""
    plugin = ["-p", "pytest_timeout", f"--timeout={seconds}", f"--timeout-method={method}"]
    return [*ASYNCIO, *scope("function"), *plugin]


RUNS: dict[str, dict[str, list[str]]] = {
    "alt-pytest-asyncio": {
        "cases": [*ALT, *SHORT, "cases.py", "cases_of_sync_fixtures.py"],
        "xdist": [*ALT, *SHORT, "cases.py", "cases_of_sync_fixtures.py", *XDIST],
        "wide fixtures": [*ALT, *SHORT, "cases_of_wide_fixtures.py"],
        "endless": [*ALT, *SHORT, *watchdog(0.1), "cases_that_hang.py"],
        "watchdogs": [*ALT, *SHORT, *watchdog(60), "cases_of_watchdogs.py"],
        "hang": [*ALT, *watchdog(0.3), *HANG],
        "stuck": [*ALT, *watchdog(30), STUCK],
    },
    "pytest-asyncio": {
        "xdist": [*ASYNCIO, *SHORT, *scope("function"), "cases.py", *XDIST],
        **{
            f"cases, {name}": [*ASYNCIO, *SHORT, *scope(name), "cases.py"]
            for name in ("function", "class", "module", "package", "session")
        },
        **{
            f"wide fixtures, {name}": [*ASYNCIO, *SHORT, *scope(name), "cases_of_wide_fixtures.py"]
            for name in ("module", "session")
        },
        "hang in a timeout": [*ASYNCIO, *scope("function"), *HANG],
        "timeout inside": [*ASYNCIO, *scope("function"), "cases_that_fail.py::test_timeout_inside"],
        "stuck": [*ASYNCIO, *scope("function"), STUCK],
    },
    "pytest-timeout": {
        "hang": [*timeout_plugin(0.5, "signal"), *HANG[:2]],
        "stuck, signal": [*timeout_plugin(30, "signal"), STUCK],
        "stuck, thread": [*timeout_plugin(30, "thread"), STUCK],
    },
    "anyio": {"cases": [*ANYIO, *SHORT, "cases.py"]},
}
WITHOUT_PYTEST = {
    "unittest": ["-m", "unittest", "cases_of_unittest"],
    "no runner": ["cases_without_runner.py"],
}
VARIABLES = {"hang in a timeout": {"LIMIT": "0.2"}}


@pytest.fixture(scope="session")
def outcome() -> Iterator[Outcome]:
    """Give the exit code and the output of a run, by the names of its runner and of the run."""
    with ExitStack() as stack:
        files = {runner: stack.enter_context(tempfile.TemporaryFile("w+")) for runner in [*RUNS, *WITHOUT_PYTEST]}

        def start(runner: str, *module: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-W", "error", *module],
                cwd=HERE,
                env=environment(PYTHONPATH=os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])),
                stdin=subprocess.PIPE,
                stdout=files[runner],
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdin is not None
            with process.stdin:
                if runner in RUNS:
                    runs = {run: [arguments, VARIABLES.get(run, {})] for run, arguments in RUNS[runner].items()}
                    json.dump(runs, process.stdin)
            return process

        processes = {runner: start(runner, "several_runs.py") for runner in RUNS}
        processes |= {runner: start(runner, *module) for runner, module in WITHOUT_PYTEST.items()}

        def find(runner: str, run: str) -> Ran:
            code = processes[runner].wait(timeout=60)
            files[runner].seek(0)
            output = files[runner].read()
            if runner in WITHOUT_PYTEST:
                return code, output
            assert code == 0, output
            # At its end asyncio may still tell of tasks that have failed.
            [results] = [line for line in output.splitlines() if line.startswith('{"')]
            ran: dict[str, Ran] = json.loads(results)
            return ran[run]

        yield find
