"""What the tests of reports share: ways to fail and to wait, and ways to read a report."""

import asyncio
import logging
import re

import pytest

FIRST = "look here first: "


class Boom(Exception):
    """The failure in these tests."""


async def wait_for_ever() -> None:
    """Wait for an event that is never set."""
    await asyncio.Event().wait()


def report_of(error: BaseException) -> list[str]:
    """Return the lines of the notes of an exception, as `plain` shows them."""
    return plain("\n".join(getattr(error, "__notes__", [])))


def plain(text: str) -> list[str]:
    """Return the lines of a text, none of them broken, without what differs between runs.

    The file and line of a test becomes `HERE`.
    """
    text = unbroken(text)
    text = re.sub(r"\([\d.]+ m?s real time;", "(... real time;", text)
    text = re.sub(r"'Task-\d+'", "'Task-N'", text)
    return re.sub(r"[^\s(]*tests[/\\](?:\w+[/\\])*\w+\.py:\d+", "HERE", text).splitlines()


def unbroken(text: str) -> str:
    """Return a report, or what pytest prints of it, with long lines in one piece."""
    text = re.sub(r"\n(?:E +| +)(?=(?:at|set at|which) |\()", " ", text)
    return re.sub(r"(\.py:\d+:)\n(?:E +| +)", r"\1 ", text)


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what was logged, but for callbacks that asyncio calls slow in debug mode, as any may be."""
    return [each for each in caplog.records if each.name != "asyncio" or not each.getMessage().startswith("Executing ")]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged at WARNING by the helpers."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "machinery.test_helpers" and record.levelname == "WARNING"
    ]
