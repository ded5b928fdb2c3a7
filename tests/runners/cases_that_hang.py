"""Tests that wait for ever in virtual time, each of which the watchdog of alt-pytest-asyncio has to end."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator

from machinery import test_helpers as thp
from tests.runners.cases import futs, m

__all__ = ["futs", "m"]


async def sleep_on_and_on() -> None:
    """Let time pass as fast as it can."""
    for _ in itertools.count():
        await asyncio.sleep(3600)


@contextlib.contextmanager
def telling_when_it_ends(test: str) -> Iterator[None]:
    """Print how many virtual hours have passed when a test is ended."""
    began = time.time()
    try:
        yield
    finally:
        print(f"{test} ended after {(time.time() - began) / 3600:.0f} hours")


async def test_block_of_virtual_time() -> None:
    """Nothing is left that could move the clock."""
    async with thp.mocked_call_later():
        with telling_when_it_ends("test_block_of_virtual_time"):
            await asyncio.Event().wait()


async def test_block_of_virtual_time_in_which_time_goes_on() -> None:
    """The clock runs away, and real time passes as ever."""
    async with thp.mocked_call_later():
        with telling_when_it_ends("test_block_of_virtual_time_in_which_time_goes_on"):
            await sleep_on_and_on()


async def test_block_of_dominos() -> None:
    """Nobody lets them begin."""
    async with thp.future_dominos(expected=1) as futs:
        await futs[1]


async def test_fixture_of_virtual_time(m: thp.MockedCallLater) -> None:
    """The clock was there before the watchdog."""
    with telling_when_it_ends("test_fixture_of_virtual_time"):
        await asyncio.Event().wait()


async def test_fixture_of_virtual_time_in_which_time_goes_on(m: thp.MockedCallLater) -> None:
    """The clock was there before the watchdog, and runs away from it."""
    with telling_when_it_ends("test_fixture_of_virtual_time_in_which_time_goes_on"):
        await sleep_on_and_on()


async def test_both() -> None:
    """Each inside the other."""
    async with thp.future_dominos(expected=1) as futs, thp.mocked_call_later():
        with telling_when_it_ends("test_both"):
            await futs[1]
