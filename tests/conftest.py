"""What tests of several parts share."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from machinery._test_helpers import _task_watch, _work
from machinery._test_helpers._asyncio_internals import callback_of
from machinery._test_helpers._known_tools import is_watchdog


@pytest.fixture
async def quiet_loop() -> AsyncIterator[None]:
    """Give a loop on which earlier tests have left no timer, and end the tasks that a test leaves on it."""
    loop = asyncio.get_running_loop()
    for handle in getattr(loop, "_scheduled", ()):
        if not is_watchdog(getattr(callback_of(handle)[0], "__module__", None)):
            handle.cancel()
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def no_debug_mode() -> AsyncIterator[None]:
    """Turn off debug mode, in which asyncio shows every callback and is much slower."""
    loop = asyncio.get_running_loop()
    before = loop.get_debug()
    loop.set_debug(False)
    yield
    loop.set_debug(before)


@pytest.fixture
def work_patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten how long work elsewhere holds the clock, and give that, in real seconds."""
    seconds = 0.1
    monkeypatch.setattr(_work, "HOLD_LIMIT", seconds)
    return seconds


@pytest.fixture
def deadlock_patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten how long nothing has to happen before a wait is hopeless, and give that, in real seconds."""
    seconds = 0.02
    monkeypatch.setattr(_task_watch, "STUCK_AFTER", seconds)
    return seconds
