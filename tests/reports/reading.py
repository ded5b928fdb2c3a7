"""What the tests of reports share: failing, waiting, and reading what is told of that."""

import asyncio
import re

import pytest

FIRST = "look here first: "


class Boom(Exception):
    """What goes wrong in these tests."""


async def wait_for_ever() -> None:
    """Wait for what nobody does."""
    await asyncio.Event().wait()


def report_of(error: BaseException) -> list[str]:
    """Return the lines of the notes of an exception, as `plain` shows them."""
    return plain("\n".join(getattr(error, "__notes__", [])))


def plain(text: str) -> list[str]:
    """Return the lines of a text without what differs between runs; the file and line of a test becomes `HERE`."""
    text = re.sub(r"\([\d.]+ m?s real time;", "(... real time;", text)
    text = re.sub(r"'Task-\d+'", "'Task-N'", text)
    return re.sub(r"[^\s(]*tests[/\\](?:\w+[/\\])*\w+\.py:\d+", "HERE", text).splitlines()


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged at WARNING by the helpers."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "machinery.test_helpers" and record.levelname == "WARNING"
    ]
