"""A test in another loop than its fixture, for `test_disturbed.py`."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from machinery import test_helpers as thp


@pytest_asyncio.fixture(loop_scope="session")
async def m() -> AsyncIterator[thp.MockedCallLater]:
    """Give virtual time in the session's loop."""
    async with thp.mocked_call_later(name="of a fixture") as m:
        yield m


@pytest.mark.asyncio(loop_scope="function")
async def test_in_another_loop(m: thp.MockedCallLater) -> None:
    """Would take two real seconds."""
    await asyncio.sleep(2)


@pytest.mark.asyncio(loop_scope="session")
async def test_in_the_same_loop(m: thp.MockedCallLater) -> None:
    """Takes none."""
    await asyncio.sleep(2)
    assert time.time() == 2


@pytest.mark.asyncio(loop_scope="function")
async def test_without_the_fixture() -> None:
    """Has nothing to do with it."""
