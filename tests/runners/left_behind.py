"""Tests that a signal of pytest-timeout ends, for `test_disturbed.py`; something real could still wake each."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from machinery import test_helpers as thp

timeout = pytest.mark.timeout(1.5, method="signal", func_only=True)


@pytest.fixture
def anyio_backend() -> str:
    """Tell anyio's plugin which loop to use."""
    return "asyncio"


@pytest.fixture(autouse=True)
def something_real() -> Iterator[None]:
    """Let a thread run, which may still wake the test for all that anybody knows."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.fixture
async def m() -> AsyncIterator[thp.MockedCallLater]:
    """Give virtual time."""
    async with thp.mocked_call_later(name="of a fixture") as m:
        yield m


@pytest.fixture
async def futs() -> AsyncIterator[thp.FutureDominos]:
    """Give dominos."""
    async with thp.future_dominos(expected=2, name="of a fixture") as futs:
        yield futs


@timeout
async def test_in_fixture(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """In blocks of fixtures."""
    futs.begin()
    await futs[2]


def test_real_time_after_that() -> None:
    """All is over."""
    assert time.time() > 1_000_000_000


@timeout
async def test_in_both(m: thp.MockedCallLater) -> None:
    """In a block of a fixture, and one of its own."""
    async with thp.future_dominos(expected=1, name="of a test") as futs:
        await futs[1]


async def test_virtual_time_after_that(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """Another test in such blocks passes."""
    futs.begin()
    for number in (1, 2):
        await asyncio.sleep(3600)
        await futs[number]
    assert time.time() == 7200


@timeout
async def test_in_own_block(something_real: None) -> None:
    """In a block of its own."""
    async with thp.mocked_call_later(name="of a test"):
        await asyncio.Event().wait()


def test_real_time_at_the_end() -> None:
    """All is over."""
    assert time.time() > 1_000_000_000
