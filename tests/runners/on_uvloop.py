"""Tests on uvloop, for `test_disturbed.py`: there is no `Stuck`, but there are reports."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from machinery import test_helpers as thp
from tests.runners.held_by_fixtures import futs, m, test_fails, test_times_out, test_virtual_time_passes

__all__ = ["futs", "m", "test_fails", "test_times_out", "test_virtual_time_passes"]


class Watchdog:
    """Cancels a task in real time."""

    task: "asyncio.Task[None] | None" = None

    def strike(self) -> None:
        """Cancel it."""
        assert self.task is not None
        self.task.cancel()


@pytest.fixture
async def watchdog() -> AsyncIterator[Watchdog]:
    """Give a watchdog, whose timer is there before the clock."""
    watchdog = Watchdog()
    timer = asyncio.get_running_loop().call_later(1, watchdog.strike)
    yield watchdog
    timer.cancel()


async def test_ended_by_a_watchdog(watchdog: Watchdog, m: thp.MockedCallLater) -> None:
    """Hang, until real time has passed."""
    assert type(asyncio.get_running_loop()) is uvloop.Loop
    watchdog.task = asyncio.current_task()
    await asyncio.Event().wait()


def test_real_time_at_the_end() -> None:
    """All is over."""
    assert time.time() > 1_000_000_000
