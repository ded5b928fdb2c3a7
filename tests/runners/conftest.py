"""Runs the cases of this folder under every runner of async tests.

All runs of a runner share one process, since starting pytest takes longer than most of them. The processes run beside
each other and beside other tests, since they mostly wait for watchdogs.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
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


HAS_RERUNFAILURES = find_spec("pytest_rerunfailures") is not None
PLUGIN = ["-p", "machinery._pytest_plugin"]
VERBOSE = ["-vv", *SHORT]
HELD = [*PLUGIN, *VERBOSE, "held_by_fixtures.py"]
# Each takes seven real seconds of waiting, so they are in several processes.
HELD_BY_FIXTURES: dict[str, dict[str, list[str]]] = {
    "held, 1": {
        "alt-pytest-asyncio": [*ALT, *watchdog(30), *HELD],
        "alt-pytest-asyncio, wide block": [*ALT, *watchdog(30), *HELD],
    },
    "held, 2": {
        "pytest-asyncio, function": [*ASYNCIO, *scope("function"), *HELD],
        "pytest-asyncio, class": [*ASYNCIO, *scope("class"), *HELD],
    },
    "held, 3": {
        "pytest-asyncio, module": [*ASYNCIO, *scope("module"), *HELD],
        "pytest-asyncio, session": [*ASYNCIO, *scope("session"), *HELD],
    },
    "held, 4": {
        "pytest-asyncio, session, wide block": [*ASYNCIO, *scope("session"), *HELD],
        "pytest-asyncio, without the plugin": [*ASYNCIO, *scope("function"), *HELD[2:]],
    },
    "held, 5": {
        "anyio, function": [*ANYIO, *HELD],
        "anyio, module": [*ANYIO, *HELD],
    },
    "held, 6": {
        "anyio, session": [*ANYIO, *HELD],
        "anyio, session, wide block": [*ANYIO, *HELD],
    },
    "held, 7": {
        "anyio, session, beside a task group": [*ANYIO, *HELD],
        "unittest, under pytest": [*PYTEST, *PLUGIN, *VERBOSE, "held_by_set_up.py"],
    },
}
DISTURBED = [*PLUGIN, *VERBOSE, "disturbed.py"]
LEFT_BEHIND = [*PLUGIN, "-p", "pytest_timeout", *VERBOSE, "left_behind.py"]
LEFT_BY_FIXTURES = [*PLUGIN, *VERBOSE, "left_by_fixtures.py"]
OTHER_LOOP = "in_another_loop.py"
INTERRUPTED = [*PLUGIN, "interrupted.py"]
RERUNS = ["-p", "pytest_rerunfailures", "--reruns", "1"]
RUNS: dict[str, dict[str, list[str]]] = {
    "alt-pytest-asyncio": {
        "cases": [*ALT, *SHORT, "cases.py", "cases_of_sync_fixtures.py"],
        "xdist": [*ALT, *SHORT, "cases.py", "cases_of_sync_fixtures.py", *XDIST],
        "wide fixtures": [*ALT, *SHORT, "cases_of_wide_fixtures.py"],
        "endless": [*ALT, *SHORT, *watchdog(0.5), "cases_that_hang.py"],
        "watchdogs": [*ALT, *SHORT, *watchdog(60), "cases_of_watchdogs.py"],
        "hang": [*ALT, *watchdog(1), *HANG],
        "stuck": [*ALT, *watchdog(30), STUCK],
        "explore": [*ALT, *SHORT, "cases_of_explore.py"],
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
        **{
            f"explore, {name}": [*ASYNCIO, *SHORT, *scope(name), "cases_of_explore.py"]
            for name in ("function", "session")
        },
    },
    "pytest-timeout": {
        "hang": [*timeout_plugin(2, "signal"), *HANG[:2]],
        "stuck, signal": [*timeout_plugin(30, "signal"), STUCK],
        "stuck, thread": [*timeout_plugin(30, "thread"), STUCK],
    },
    "anyio": {"cases": [*ANYIO, *SHORT, "cases.py"], "explore": [*ANYIO, *SHORT, "cases_of_explore.py"]},
    **HELD_BY_FIXTURES,
    # One runner for each process: they leave loops to each other.
    "disturbed, alt-pytest-asyncio": {
        "plain": [*ALT, *watchdog(30), *DISTURBED],
        "interrupted": [*ALT, *watchdog(30), *INTERRUPTED],
        "signal": [*ALT, *watchdog(30), *LEFT_BEHIND],
        "left by fixtures": [*ALT, *watchdog(30), *LEFT_BY_FIXTURES],
    },
    "disturbed, pytest-asyncio": {
        "plain": [*ASYNCIO, *scope("function"), *DISTURBED],
        "interrupted": [*ASYNCIO, *scope("function"), *INTERRUPTED],
        "signal": [*ASYNCIO, *scope("function"), *LEFT_BEHIND],
        "signal, session": [*ASYNCIO, *scope("session"), *LEFT_BEHIND],
        "left by fixtures": [*ASYNCIO, *scope("function"), *LEFT_BY_FIXTURES],
        "left by fixtures, session": [*ASYNCIO, *scope("session"), *LEFT_BY_FIXTURES],
        "in random order": [*ASYNCIO, *scope("function"), "-p", "pytest_randomly", *DISTURBED],
        "in workers": [*ASYNCIO, *scope("function"), *XDIST, *DISTURBED],
        **({"once more": [*ASYNCIO, *scope("function"), *RERUNS, *DISTURBED]} if HAS_RERUNFAILURES else {}),
        "in another loop": [*ASYNCIO, "-o", "asyncio_mode=strict", *scope("function"), *PLUGIN, *VERBOSE, OTHER_LOOP],
        "left open": [*ASYNCIO, *scope("session"), *PLUGIN, *VERBOSE, "left_open.py"],
        "without a loop": [*PYTEST, "-p", "without_a_loop", *PLUGIN, *VERBOSE, "without_a_loop.py"],
        "uvloop": [*ASYNCIO, *scope("function"), "-p", "loops_of_uvloop", *PLUGIN, *VERBOSE, "on_uvloop.py"],
    },
    "disturbed, anyio": {
        "plain": [*ANYIO, *DISTURBED],
        "signal": [*ANYIO, *LEFT_BEHIND],
        "left by fixtures": [*ANYIO, *LEFT_BY_FIXTURES],
    },
}
WITHOUT_PYTEST = {
    "unittest": ["-m", "unittest", "cases_of_unittest"],
    "no runner": ["cases_without_runner.py"],
    "held, unittest": ["-m", "unittest", "-v", "held_by_set_up"],
}
VARIABLES = {
    "disturbed, alt-pytest-asyncio": {"NO_HYPOTHESIS": "1"},
    "hang in a timeout": {"LIMIT": "1"},
    "alt-pytest-asyncio, wide block": {"SCOPE_OF_BLOCKS": "session"},
    "pytest-asyncio, session, wide block": {"SCOPE_OF_BLOCKS": "session"},
    "anyio, module": {"SCOPE_OF_BACKENDS": "module"},
    "anyio, session": {"SCOPE_OF_BACKENDS": "session"},
    "anyio, session, wide block": {"SCOPE_OF_BACKENDS": "session", "SCOPE_OF_BLOCKS": "session"},
    "anyio, session, beside a task group": {"SCOPE_OF_BACKENDS": "session", "BESIDE_A_TASK_GROUP": "1"},
}


class Processes:
    """All runs, each runner in a process of its own."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._folder = Path()

    def start(self, folder: Path) -> None:
        """Start them, with what they print in files of this folder."""
        self._folder = folder
        for runner, runs in RUNS.items():
            variables = VARIABLES.get(runner, {})
            stdin = json.dumps(
                {run: [arguments, variables | VARIABLES.get(run, {})] for run, arguments in runs.items()}
            )
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
