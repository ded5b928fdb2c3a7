"""Whatever ends a hanging test, the output says what hung and where."""

import re
from pathlib import Path

import pytest

from tests.reports.reading import unbroken
from tests.runners.surroundings import Outcome

CASES = Path(__file__).with_name("cases_that_fail.py")


def output_of(outcome: Outcome, runner: str, run: str) -> str:
    """Return what is printed of tests that fail."""
    code, output = outcome(runner, run)
    assert code == 1, output
    return output


def lines_with(output: str, task: str, source: str) -> list[str]:
    """Return the lines of a report that name a task and the place of this source."""
    lines = CASES.read_text(encoding="utf-8").splitlines()
    [number] = [number for number, text in enumerate(lines, start=1) if text.strip() == source]
    return [
        line for line in unbroken(output).splitlines() if task in line and f"{CASES.name}:{number}: {source}" in line
    ]


def reports(output: str, block: str) -> int:
    """Return how many reports there are of a block."""
    return len(re.findall(rf"^(?:E +)?(?:virtual time|dominos) {block}", output, re.MULTILINE))


HUNG = {
    "'receiver'": "await reader.readline()",
    "'sender'": "await reader.readline()",
    "'answerer'": "await futs[2]",
    "'poller'": "await asyncio.sleep(0)",
}


def told(output: str) -> dict[str, int]:
    """Return how often each task that hung is told with its line."""
    return {task: len(lines_with(output, task, source)) for task, source in HUNG.items()}


@pytest.mark.proves("R5", "R14")
def test_when_alt_pytest_asyncio_ends_it_the_report_is_in_the_log(outcome: Outcome) -> None:
    """Its exception takes the place of the cancellation, whose notes are lost."""
    output = output_of(outcome, "alt-pytest-asyncio", "hang")

    assert told(output) == {"'receiver'": 1, "'sender'": 1, "'answerer'": 1, "'poller'": 1}, output
    assert [reports(output, block) for block in ("'of a client'", "'of a poller'")] == [2, 1], output
    assert output.count("- Captured log call -") == output.count("AssertionError: Took too long to complete") == 3


@pytest.mark.proves("R5", "R14")
def test_when_a_timeout_around_the_block_ends_it_the_report_is_in_the_log_and_on_the_cancellation(
    outcome: Outcome,
) -> None:
    """`asyncio.timeout` chains the cancellation to its own exception."""
    output = output_of(outcome, "pytest-asyncio", "hang in a timeout")

    shown, *logs = re.split("- Captured log call -", output)
    assert told(output) == {"'receiver'": 2, "'sender'": 2, "'answerer'": 2, "'poller'": 2}, output
    assert [reports(output, block) for block in ("'of a client'", "'of a poller'")] == [4, 2], output
    assert len(logs) == 3
    assert reports(shown, "'of a client'") == 1


@pytest.mark.proves("R5", "R14")
def test_when_a_timeout_in_the_block_ends_it_the_report_is_on_its_exception(outcome: Outcome) -> None:
    """Time passes until it strikes, and what waited at that moment is told."""
    output = output_of(outcome, "pytest-asyncio", "timeout inside")

    assert reports(output, "'of a limit'") == 1
    assert len(lines_with(output, "'receiver'", "await asyncio.Event().wait()")) == 1, output
    assert "Captured log" not in output


@pytest.mark.proves("R5", "R14")
def test_when_pytest_timeout_ends_it_by_a_signal_the_report_is_in_the_log(outcome: Outcome) -> None:
    """The runner cancels what it finds when it closes."""
    output = output_of(outcome, "pytest-timeout", "hang")

    assert output.count("- Captured log teardown -") == 2
    assert reports(output, "'of a client'") == 2
    assert told(output) == {"'receiver'": 1, "'sender'": 1, "'answerer'": 1, "'poller'": 0}, output


@pytest.mark.proves("R6", "R14")
@pytest.mark.parametrize(
    ("runner", "run"),
    [
        ("alt-pytest-asyncio", "stuck"),
        ("pytest-asyncio", "stuck"),
        ("pytest-timeout", "stuck, signal"),
        ("pytest-timeout", "stuck, thread"),
    ],
)
def test_a_hopeless_wait_needs_no_watchdog(outcome: Outcome, runner: str, run: str) -> None:
    """It is given up under every runner, with the culprit first."""
    output = output_of(outcome, runner, run)

    assert reports(output, "'of a worker'") == 1
    assert "machinery.test_helpers.Stuck: " in output
    [culprit] = lines_with(output, "'worker'", "raise ValueError(await queue.get())")
    assert "ValueError('order 66')" in culprit
    assert "look here first: " in culprit
    assert len(lines_with(output, "", "await queue.join()")) == 1
