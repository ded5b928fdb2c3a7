"""Tests that enter blocks which a fixture leaves, for `test_disturbed.py`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from machinery import test_helpers as thp


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tell anyio's plugin which loop to use, and to run all tests in one task."""
    return "asyncio"


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    """Give a stack that leaves what the test has entered."""
    async with contextlib.AsyncExitStack() as stack:
        yield stack


async def test_stuck(stack: contextlib.AsyncExitStack) -> None:
    """Wait for ever."""
    await stack.enter_async_context(thp.mocked_call_later(name="of a test"))
    futs = await stack.enter_async_context(thp.future_dominos(expected=1, name="of a test"))
    futs.begin()
    await asyncio.Event().wait()


async def test_stuck_without_noticing(stack: contextlib.AsyncExitStack) -> None:
    """Keep the cancellation to itself."""
    await stack.enter_async_context(thp.mocked_call_later(name="of a test"))
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def test_fails(stack: contextlib.AsyncExitStack) -> None:
    """An exception of its own, while a domino stands."""
    await stack.enter_async_context(thp.mocked_call_later(name="of a test"))
    await stack.enter_async_context(thp.future_dominos(expected=1, name="of a test"))
    raise ValueError


async def test_passes(stack: contextlib.AsyncExitStack) -> None:
    """After all that."""
    assert time.time() > 1_000_000_000
    await stack.enter_async_context(thp.mocked_call_later(name="of a test"))
    await asyncio.sleep(3600)
    assert time.time() == 3600
