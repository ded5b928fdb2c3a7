"""After whatever disturbs a test in a block that a fixture holds, the next is as ever, and nothing is told twice."""

import re

import pytest

from tests.runners.conftest import HAS_RERUNFAILURES
from tests.runners.surroundings import Outcome

TIME = "virtual time 'of a fixture'"
DOMINOS = "dominos 'of a fixture'"
OWN_TIME = "virtual time 'of a test'"
OWN_DOMINOS = "dominos 'of a test'"

needs_rerunfailures = pytest.mark.skipif(not HAS_RERUNFAILURES, reason="pytest-rerunfailures is not installed")

Reports = dict[str, dict[str, int]]
"""The headings of the reports on each failure, and how often they are there."""

FAILURES: Reports = {
    "test_error_before": {},
    "test_error_after": {},
    "test_error_at_teardown": {},
    "test_error_hanging_at_teardown": {TIME: 1},
    "test_failed_by_fail": {TIME: 1, DOMINOS: 1},
    "test_failed_in_block": {TIME: 1, OWN_DOMINOS: 1},
    "test_failed_in_subtest (number=0)": {TIME: 1},
    "test_failed_in_subtest": {},
    "TestClass.test_failed_in_class": {TIME: 1, DOMINOS: 1},
    "test_parametrised[2]": {TIME: 1},
    "test_failed_by_hypothesis": {TIME: 1},
    "test_failed_twice_by_hypothesis": {TIME: 2},
}
LEFT_OPEN: Reports = {
    "test_error_in_the_block_of_a_fixture": {TIME: 1},
    "test_failed_beside_a_thread": {},
    "test_failed_because_a_callback_exits": {},
    "test_failed_outside_of_the_wider_block": {},
    "test_error_outside_of_the_wider_block": {},
    "test_passed_last": {"dominos 'of a session'": 1},
}
BY_SIGNAL: Reports = {
    "test_in_fixture": {TIME: 1, DOMINOS: 1},
    "test_in_both": {TIME: 1, OWN_DOMINOS: 1},
    "test_in_own_block": {OWN_TIME: 1},
}
RUN_BESIDE_FIXTURES = {"test_error_before", "test_error_after", "test_error_at_teardown"}
"""Where only the loop is between the failure and the block, the report may be there, once, or not."""


def reports(output: str) -> Reports:
    """Return the reports on each failure that the output tells."""
    failures = output.partition("short test summary")[0]
    _, *sections = re.split(r"^_{3,} (?:ERROR at \w+ of )?(\S.*?) _{3,}$", failures, flags=re.MULTILINE)
    # pytest-xdist sends the parameters of subtests as text.
    names, texts = [name.replace("'", "") for name in sections[::2]], sections[1::2]
    assert len(set(names)) == len(names), f"one of these failed twice: {names}"
    told: Reports = {}
    for name, text in zip(names, texts, strict=True):
        headings = re.findall(r"^(?:E +|[ |]+|WARNING .*)?((?:virtual time|dominos) 'of a \w+')", text, re.MULTILINE)
        told[name] = {heading: headings.count(heading) for heading in headings}
    return told


@pytest.mark.proves("F3", "F4", "F5")
@pytest.mark.parametrize(
    ("runner", "run"),
    [
        ("alt-pytest-asyncio", "plain"),
        ("pytest-asyncio", "plain"),
        ("pytest-asyncio", "in random order"),
        ("pytest-asyncio", "in workers"),
        pytest.param("pytest-asyncio", "once more", marks=needs_rerunfailures),
        ("anyio", "plain"),
    ],
)
def test_each_failure_is_told_once_and_the_next_test_is_in_its_own_time(
    outcome: Outcome, runner: str, run: str
) -> None:
    """Fixtures that fail or hang, skips, expected failures, subtests, classes, parameters, hypothesis."""
    code, output = outcome(f"disturbed, {runner}", run)
    told = reports(output)
    expected = {
        name: each for name, each in FAILURES.items() if runner != "alt-pytest-asyncio" or "hypothesis" not in name
    }

    assert code == 1, output
    assert told.keys() == expected.keys(), output
    for name in told:
        if name in RUN_BESIDE_FIXTURES:
            assert set(told[name].values()) <= {1}, output
        else:
            assert told[name] == expected[name], output
    # What passes before its fixture fails is run and counted once more by pytest-rerunfailures.
    with_hypothesis = "test_failed_by_hypothesis" in expected
    failed = 6 + 2 * with_hypothesis
    passed = 6 + with_hypothesis + 2 * (run == "once more")
    assert re.search(rf"\b{failed} failed, {passed} passed, 1 skipped, 2 xfailed, 4 errors", output), output


@pytest.mark.proves("F5")
@pytest.mark.parametrize(
    ("runner", "run"),
    [
        ("alt-pytest-asyncio", "signal"),
        ("pytest-asyncio", "signal"),
        ("pytest-asyncio", "signal, session"),
        ("anyio", "signal"),
    ],
)
def test_a_block_that_a_signal_has_left_behind_is_closed(outcome: Outcome, runner: str, run: str) -> None:
    """What waited is told on the exception of the signal, and neither the time nor the test goes on."""
    code, output = outcome(f"disturbed, {runner}", run)

    assert code == 1, output
    assert reports(output) == BY_SIGNAL, output
    assert len(re.findall(r"^E +Failed: Timeout ", output, re.MULTILINE)) == 3, output
    assert re.search(r"^=+ 3 failed, 3 passed in", output, re.MULTILINE), output
    assert "the task of this block waits at left_behind.py" in output
    assert "Captured log teardown" not in output


@pytest.mark.proves("F1", "F2", "F3", "F4")
@pytest.mark.parametrize(
    ("runner", "run"),
    [
        ("alt-pytest-asyncio", "left by fixtures"),
        ("pytest-asyncio", "left by fixtures"),
        ("pytest-asyncio", "left by fixtures, session"),
        ("anyio", "left by fixtures"),
    ],
)
def test_a_block_that_the_test_has_entered_and_a_fixture_leaves_ends_with_the_test(
    outcome: Outcome, runner: str, run: str
) -> None:
    """Each failure is told once, with the reports, and the next test passes."""
    code, output = outcome(f"disturbed, {runner}", run)

    both = {"virtual time 'of a test'": 1, "dominos 'of a test'": 1}
    assert code == 1, output
    assert reports(output) == {
        "test_stuck": both,
        "test_stuck_without_noticing": {"virtual time 'of a test'": 1},
        "test_fails": both,
    }, output
    assert len(re.findall(r"^E +machinery\.test_helpers\.Stuck: deadlock", output, re.MULTILINE)) == 2, output
    assert re.search(r"^=+ 3 failed, 1 passed in", output, re.MULTILINE), output


@pytest.mark.proves("F2", "F3", "F5")
def test_what_is_left_open_is_closed_and_what_others_hold_is_left_alone(outcome: Outcome) -> None:
    """Blocks of tests that passed, of fixtures without teardown, of another thread, and of a wider fixture."""
    code, output = outcome("disturbed, pytest-asyncio", "left open")

    assert code == 1, output
    assert reports(output) == LEFT_OPEN, output
    assert "AssertionError: Not all the futures were accessed: {1}" in output
    assert re.search(r"^=+ 3 failed, 10 passed, 3 errors in", output, re.MULTILINE), output


@pytest.mark.proves("F2")
def test_a_test_that_no_loop_runs_is_only_given_the_report(outcome: Outcome) -> None:
    """Such as one of another library of coroutines."""
    code, output = outcome("disturbed, pytest-asyncio", "without a loop")

    assert code == 1, output
    assert reports(output) == {"test_failed": {TIME: 1}}, output
    assert re.search(r"^=+ 1 failed, 1 passed in", output, re.MULTILINE), output


@pytest.mark.proves("F4", "F5")
@pytest.mark.parametrize("runner", ["alt-pytest-asyncio", "pytest-asyncio"])
def test_an_interrupt_ends_the_session_and_leaves_real_time(outcome: Outcome, runner: str) -> None:
    """The process that runs several sessions checks the time after each. Under anyio's plugin an interrupt ends it."""
    code, output = outcome(f"disturbed, {runner}", "interrupted")

    assert code == 2, output
    assert "KeyboardInterrupt" in output
    assert "Not all the futures" not in output


@pytest.mark.proves("F6")
def test_a_test_in_another_loop_than_the_block_of_its_fixture_fails_at_once(outcome: Outcome) -> None:
    """It would wait in real time while the clock is virtual."""
    code, output = outcome("disturbed, pytest-asyncio", "in another loop")

    assert code == 1, output
    [error] = re.findall(r"^E +RuntimeError: (.*)$", output, re.MULTILINE)
    assert error.startswith("<virtual time 'of a fixture' at 0.0, nothing pending> belongs to the _"), output
    assert len(set(re.findall(r"\b_\w+EventLoop at \w+", error))) == 2, output
    assert "loop_scope" in error
    assert re.search(r"^=+ 1 failed, 2 passed in", output, re.MULTILINE), output


@pytest.mark.proves("F8")
def test_on_uvloop_a_failure_and_a_watchdog_carry_the_report(outcome: Outcome) -> None:
    """Nothing can be certain to wait for ever there."""
    code, output = outcome("disturbed, pytest-asyncio", "uvloop")

    assert code == 1, output
    told = {name.partition("[")[0]: each for name, each in reports(output).items()}
    assert told == {
        "test_fails": {TIME: 1, DOMINOS: 1},
        "test_times_out": {TIME: 1, DOMINOS: 1},
        "test_ended_by_a_watchdog": {TIME: 1},
    }, output
    assert re.search(r"^=+ 3 failed, 2 passed in", output, re.MULTILINE), output
