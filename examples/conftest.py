"""Prints how much virtual time the examples passed, and in how much real time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest


class Passed(logging.Handler):
    """Adds up the time of all blocks in one example, from the records on the library's logger."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual = self.real = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record that is logged when a block is left."""
        self.virtual += getattr(record, "virtual_seconds", 0.0)
        self.real += getattr(record, "real_seconds", 0.0)


EXAMPLES = pytest.StashKey[dict[str, Passed]]()


@pytest.fixture(autouse=True)
def _passed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect those records while an example runs."""
    passed = request.config.stash.setdefault(EXAMPLES, {}).setdefault(request.path.name, Passed())
    logger = logging.getLogger("machinery.test_helpers")
    level = logger.level
    logger.addHandler(passed)
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(level)
    logger.removeHandler(passed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line for each example that used virtual time, and a total."""
    examples = {name: passed for name, passed in config.stash.get(EXAMPLES, {}).items() if passed.virtual}
    if not examples:
        return
    terminalreporter.section("virtual time")
    width = max(map(len, examples))
    for name, passed in sorted(examples.items()):
        terminalreporter.line(row(name.ljust(width), passed.virtual, passed.real))
    virtual, real = (sum(getattr(passed, kind) for passed in examples.values()) for kind in ("virtual", "real"))
    terminalreporter.line(row("total".ljust(width), virtual, real), bold=True)


def row(name: str, virtual: float, real: float) -> str:
    """Return one line of the table."""
    clock = str(timedelta(seconds=round(virtual, 1))).removesuffix("00000")
    return f"{name}  {clock:>18} passed in {real:6.3f} s"
