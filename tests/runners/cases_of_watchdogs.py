"""Tests that set the watchdog of alt-pytest-asyncio by its fixture, and then wait for ever."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from alt_pytest_asyncio.protocols import AsyncTimeout

from machinery import test_helpers as thp


@pytest.fixture
async def m(async_timeout: AsyncTimeout) -> AsyncGenerator[thp.MockedCallLater]:
    """Give virtual time."""
    async_timeout.set_timeout_seconds(0.2)
    async with thp.mocked_call_later() as m:
        yield m


async def test_set_before_the_block(async_timeout: AsyncTimeout) -> None:
    """The watchdog is there before the clock."""
    async_timeout.set_timeout_seconds(0.2)
    async with thp.mocked_call_later():
        await asyncio.Event().wait()


async def test_set_inside_the_block(async_timeout: AsyncTimeout) -> None:
    """The clock is there before the watchdog, which counts real seconds all the same."""
    async with thp.mocked_call_later():
        await asyncio.sleep(3600)
        async_timeout.set_timeout_seconds(0.2)
        await asyncio.Event().wait()


async def test_set_beside_a_fixture(m: thp.MockedCallLater, async_timeout: AsyncTimeout) -> None:
    """The clock of a fixture is there before both."""
    async_timeout.set_timeout_seconds(0.2)
    await m.add(3600)
    await asyncio.Event().wait()
