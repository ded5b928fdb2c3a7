"""A session that an interrupt ends in the middle, for `test_disturbed.py`."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from machinery import test_helpers as thp


@pytest.fixture
def anyio_backend() -> str:
    """Tell anyio's plugin which loop to use."""
    return "asyncio"


@pytest.fixture
async def m() -> AsyncIterator[thp.MockedCallLater]:
    """Give virtual time."""
    async with thp.mocked_call_later() as m:
        yield m


@pytest.fixture
async def futs() -> AsyncIterator[thp.FutureDominos]:
    """Give dominos, which will not fall."""
    async with thp.future_dominos(expected=1) as futs:
        yield futs


async def test_interrupted(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """In the middle."""
    await asyncio.sleep(60)
    raise KeyboardInterrupt


async def test_that_is_never_run() -> None:
    """Comes too late."""
