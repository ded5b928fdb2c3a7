"""Whatever ends a test that hangs, the output says what hung, and where."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("cases_that_fail.py")
Outcome = Callable[[str, str], tuple[int, str]]


def line(source: str) -> str:
    """Return how the line with this source is shown."""
    lines = CASES.read_text(encoding="utf-8").splitlines()
    [number] = [number for number, text in enumerate(lines, start=1) if text.strip() == source]
    return f"{CASES.name}:{number}: {source}"


def reports(output: str, block: str) -> int:
    """Return how many reports there are of a block."""
    return len(re.findall(rf"{block} stands at|dominos {block}: ", output))


def check_that_all_is_told(output: str, times: int = 1) -> None:
    """See that each block that hung has its report, and how often."""
    for told in [
        f"  task 'receiver' waits at {line('await reader.readline()')}\n",
        "dominos 'of a client': none of 2 have fallen; nobody has asked for domino 1\n",
        f"  2 <- task 'answerer' at {line('await futs[2]')}\n",
        f"  task 'sender' waits at {line('await reader.readline()')}\n",
        "  sleep(0) keeps it busy: wait for an event in its place, or sleep for longer than 0\n",
        f"    task 'poller' at {line('await asyncio.sleep(0)')}\n",
    ]:
        assert output.count(told) == times, output
    assert [reports(output, block) for block in ("'of a client'", "'of a poller'")] == [2 * times, times], output


@pytest.mark.proves("R5", "R14")
def test_when_alt_pytest_asyncio_ends_it_the_report_is_in_the_log(outcome: Outcome) -> None:
    """Its exception takes the place of the cancellation, whose notes are lost."""
    _, output = outcome("alt-pytest-asyncio", "hang")

    check_that_all_is_told(output)
    assert output.count("- Captured log call -") == output.count("AssertionError: Took too long to complete") == 3


@pytest.mark.proves("R5", "R14")
def test_when_a_timeout_around_the_block_ends_it_the_report_is_in_the_log_and_on_the_cancellation(
    outcome: Outcome,
) -> None:
    """`asyncio.timeout` chains the cancellation to its own exception."""
    _, output = outcome("pytest-asyncio", "hang in a timeout")

    shown, *logs = re.split("- Captured log call -", output)
    check_that_all_is_told(output, times=2)
    assert len(logs) == 3
    assert reports(shown, "'of a client'") == 1


@pytest.mark.proves("R5", "R14")
def test_when_a_timeout_in_the_block_ends_it_the_report_is_on_its_exception(outcome: Outcome) -> None:
    """Time passes until it strikes, and what waited at that moment is told."""
    _, output = outcome("pytest-asyncio", "timeout inside")

    assert reports(output, "'of a limit'") == 1
    assert f"  task 'receiver' waits at {line('await asyncio.Event().wait()')}\n" in output
    assert "Captured log" not in output


@pytest.mark.proves("R5", "R14")
def test_when_pytest_timeout_ends_it_by_a_signal_the_report_is_in_the_log(outcome: Outcome) -> None:
    """The runner cancels what it finds when it closes."""
    _, output = outcome("pytest-timeout", "hang")

    assert output.count("- Captured log teardown -") == 2
    assert reports(output, "'of a client'") == 2
    for told in [
        f"  task 'receiver' waits at {line('await reader.readline()')}\n",
        f"  2 <- task 'answerer' at {line('await futs[2]')}\n",
    ]:
        assert output.count(told) == 1, output


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
    _, output = outcome(runner, run)

    assert reports(output, "'of a worker'") == 1
    assert "machinery.test_helpers.Stuck: nothing can happen any more: every task waits" in output
    culprit = f"  task 'worker' died: ValueError('order 66') at {line('raise ValueError(await queue.get())')}"
    assert f"{culprit}   <- look here first\n" in output
    assert f"  the block's own task waits at {line('await queue.join()')}\n" in output
