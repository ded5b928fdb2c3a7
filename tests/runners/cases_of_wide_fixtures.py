"""Tests that share one block, which a fixture opened for all of them."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from machinery import test_helpers as thp


@pytest.fixture(scope="module")
async def m() -> AsyncGenerator[thp.MockedCallLater]:
    """Give virtual time to all tests of the module."""
    async with thp.mocked_call_later() as m:
        yield m


async def test_first(m: thp.MockedCallLater) -> None:
    """A minute passes by itself."""
    await asyncio.sleep(60)
    assert (time.time(), m.called_times) == (60, [60])


async def test_second(m: thp.MockedCallLater) -> None:
    """Another one passes by hand."""
    await m.add(60)
    assert time.time() == 120


async def test_third(m: thp.MockedCallLater) -> None:
    """Dominos fall in that time as well."""
    async with thp.future_dominos(expected=2) as futs:
        futs.begin()
        for number in (1, 2):
            await futs[number]
    assert time.time() == 120
