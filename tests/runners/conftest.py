"""Runs the cases of this folder under every runner of async tests.

All runs of a runner share one process, since starting pytest takes longer than most of them. The processes run beside
each other and beside other tests, since they mostly wait for watchdogs.
"""

import json
import os
import subprocess
import sys
import tempfile
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
    # A signal that strikes while a fixture makes the loop leaves half a loop.
    plugin += ["-o", "timeout_func_only=true"]
    return [*ASYNCIO, *scope("function"), *plugin]


RUNS: dict[str, dict[str, list[str]]] = {
    "alt-pytest-asyncio": {
        "cases": [*ALT, *SHORT, "cases.py", "cases_of_sync_fixtures.py"],
        "xdist": [*ALT, *SHORT, "cases.py", "cases_of_sync_fixtures.py", *XDIST],
        "wide fixtures": [*ALT, *SHORT, "cases_of_wide_fixtures.py"],
        "endless": [*ALT, *SHORT, *watchdog(0.5), "cases_that_hang.py"],
        "watchdogs": [*ALT, *SHORT, *watchdog(60), "cases_of_watchdogs.py"],
        "hang": [*ALT, *watchdog(1), *HANG],
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
        "hang": [*timeout_plugin(2, "signal"), *HANG[:2]],
        "stuck, signal": [*timeout_plugin(30, "signal"), STUCK],
        "stuck, thread": [*timeout_plugin(30, "thread"), STUCK],
    },
    "anyio": {"cases": [*ANYIO, *SHORT, "cases.py"]},
}
WITHOUT_PYTEST = {
    "unittest": ["-m", "unittest", "cases_of_unittest"],
    "no runner": ["cases_without_runner.py"],
}
VARIABLES = {"hang in a timeout": {"LIMIT": "1"}}


class Processes:
    """All runs, each runner in a process of its own."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._folder = Path()

    def start(self, folder: Path) -> None:
        """Start them, with what they print in files of this folder."""
        self._folder = folder
        for runner, runs in RUNS.items():
            stdin = json.dumps({run: [arguments, VARIABLES.get(run, {})] for run, arguments in runs.items()})
            self._start(runner, ["several_runs.py", str(folder / f"{runner}.json")], stdin)
        for runner, module in WITHOUT_PYTEST.items():
            self._start(runner, module, "")

    def _start(self, runner: str, module: list[str], stdin: str) -> None:
        paths = [str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
        with (self._folder / runner).open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", *module],
                cwd=HERE,
                env=environment(PYTHONPATH=os.pathsep.join(paths), PYTHONIOENCODING="utf-8"),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._processes[runner] = process
        assert process.stdin is not None
        with process.stdin:
            process.stdin.write(stdin)

    def outcome(self, runner: str, run: str) -> Ran:
        """Return how a run ended and what it printed, as soon as that is known."""
        code = self._processes[runner].wait(timeout=300)
        output = (self._folder / runner).read_text(encoding="utf-8")
        if runner in WITHOUT_PYTEST:
            return code, output
        assert code == 0, output
        code, output = json.loads((self._folder / f"{runner}.json").read_text(encoding="utf-8"))[run]
        return code, output

    def end(self) -> None:
        """End those that still run."""
        for process in self._processes.values():
            process.kill()
            process.wait()


PROCESSES = Processes()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the processes before the first test, so that their waiting overlaps with other tests."""
    wanted = any("outcome" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        folder = tempfile.TemporaryDirectory()
        session.config.add_cleanup(folder.cleanup)
        session.config.add_cleanup(PROCESSES.end)
        PROCESSES.start(Path(folder.name))


@pytest.fixture
def outcome() -> Outcome:
    """Give what finds out how a run ended."""
    return PROCESSES.outcome
