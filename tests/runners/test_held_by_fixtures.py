"""Blocks that fixtures hold watch the test, under every runner and with every scope of loop."""

import re
from inspect import signature

import pytest

from tests.runners import held_by_fixtures
from tests.runners.conftest import HELD_BY_FIXTURES
from tests.runners.surroundings import Outcome

SETUPS = [(process, run) for process, runs in HELD_BY_FIXTURES.items() for run in runs]
TESTS = {function.__name__: list(signature(function).parameters) for function in held_by_fixtures.TESTS}
OWN_FAILURES = {"test_fails": "ValueError: its own", "test_times_out": "TimeoutError"}
STUCK = "machinery.test_helpers.Stuck: deadlock: every task is waiting and nothing is left to wake one"
FAILURES = {name: OWN_FAILURES.get(name, STUCK) for name in TESTS if "stuck" in name or name in OWN_FAILURES}


def told(output: str, heading: str) -> dict[str, dict[str, int]]:
    """Return what the output tells of each test that failed: how often its failure, and how often which report."""
    _, *sections = re.split(heading, output.partition("short test summary")[0], flags=re.MULTILINE)
    names, texts = sections[::2], sections[1::2]
    assert len(set(names)) == len(names), f"a test failed twice: {names}"
    return {
        name: {
            what: len(re.findall(rf"^(?:E +)?{re.escape(what)}", text, re.MULTILINE))
            for what in (FAILURES.get(name, STUCK), "virtual time 'of a fixture'", "dominos 'of a fixture'")
        }
        for name, text in zip(names, texts, strict=True)
    }


def expected(*, wide: bool) -> dict[str, dict[str, int]]:
    """Return what should be told: each failure once, with the report of each block that the test is in."""
    return {
        name: {
            failure: 1,
            "virtual time 'of a fixture'": int("m" in TESTS[name] or wide),
            "dominos 'of a fixture'": int("futs" in TESTS[name]),
        }
        for name, failure in FAILURES.items()
    }


@pytest.mark.proves("F1", "F2", "F3", "F4")
@pytest.mark.parametrize(("process", "run"), SETUPS, ids=[run for _, run in SETUPS])
def test_each_test_fails_once_with_the_report_and_the_others_pass(outcome: Outcome, process: str, run: str) -> None:
    """Those that can never go on with `Stuck`, others with what they raise; nothing is told at teardown or in logs."""
    code, output = outcome(process, run)

    outcomes = dict(re.findall(r"::(test_\w+) (\w+) ", output))
    assert code == 1, output
    assert outcomes == {name: "FAILED" if name in FAILURES else "PASSED" for name in TESTS}, output
    assert told(output, r"^_+ (?:Held\.)?(test_\w+) _+$") == expected(wide="wide block" in run), output
    assert re.search(rf"^=+ {len(FAILURES)} failed, {len(TESTS) - len(FAILURES)} passed in", output, re.MULTILINE)
    assert "ERROR" not in output
    assert "Captured" not in output
    # The tasks of the runner, which wait for those of the tests.
    assert re.findall(r"task .*\((?:TestRunner|Converter)\..* waits", output) == []


@pytest.mark.proves("F1", "F2", "F3", "F4")
def test_the_same_holds_for_unittest_without_pytest(outcome: Outcome) -> None:
    """`python -m unittest` has no plugin."""
    code, output = outcome("held, unittest", "")

    assert code == 1, output
    assert told(output, r"^(?:FAIL|ERROR): (test_\w+)") == expected(wide=False), output
    assert f"Ran {len(TESTS)} tests in" in output
    assert not re.search(r'^  File ".*_test_helpers', output, re.MULTILINE), f"our own lines help nobody: {output}"
