"""What tests of several parts share."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from machinery._test_helpers import _mocked_call_later, _owner, _real_work
from machinery._test_helpers._seam import called_by, is_watchdog


@pytest.fixture
async def quiet_loop() -> AsyncIterator[None]:
    """Give a loop on which earlier tests have left no timer, and end the tasks that a test leaves on it."""
    loop = asyncio.get_running_loop()
    for handle in getattr(loop, "_scheduled", ()):
        if not is_watchdog(called_by(handle)[0]):
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
    for module in (_real_work, _mocked_call_later):
        monkeypatch.setattr(module, "PATIENCE", seconds)
    return seconds


@pytest.fixture
def deadlock_patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten how long nothing has to happen before a wait is hopeless, and give that, in real seconds."""
    seconds = 0.02
    monkeypatch.setattr(_owner, "PATIENCE", seconds)
    return seconds
