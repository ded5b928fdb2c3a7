"""Tests as users write them, which know nothing of the runner that runs them; `test_runners.py` has them run."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from machinery import test_helpers as thp


async def use(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """Let dominos fall in virtual time, one of them an hour later than the others."""
    called: list[object] = []

    async def others() -> None:
        await futs[2]
        called.append(time.time())
        await asyncio.sleep(3600)
        await futs[3]
        called.append(time.time())

    begun = time.time()
    task = asyncio.create_task(others())
    futs.begin()
    await futs[1]
    called.append("first")
    await task
    await m.add(60)
    await futs.finished.wait()
    assert called == ["first", begun, begun + 3600]
    assert time.time() == begun + 3660


@pytest.fixture
def anyio_backend() -> str:
    """Tell the plugin of anyio, where that one runs, which loop to use."""
    return "asyncio"


@pytest.fixture
async def m() -> AsyncGenerator[thp.MockedCallLater]:
    """Give virtual time."""
    async with thp.mocked_call_later() as m:
        await asyncio.sleep(60)
        yield m


@pytest.fixture
async def futs() -> AsyncGenerator[thp.FutureDominos]:
    """Give a row of dominos."""
    async with thp.future_dominos(expected=3) as futs:
        yield futs


async def test_blocks() -> None:
    """Both helpers are opened by the test."""
    async with thp.mocked_call_later() as m, thp.future_dominos(expected=3) as futs:
        await use(m, futs)


async def test_blocks_the_other_way_round() -> None:
    """The clock stops before the dominos do."""
    async with thp.future_dominos(expected=3) as futs, thp.mocked_call_later() as m:
        await use(m, futs)


async def test_fixtures(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """Both helpers are opened by async fixtures."""
    assert (time.time(), m.called_times) == (60, [60])
    await use(m, futs)


async def test_fixtures_the_other_way_round(futs: thp.FutureDominos, m: thp.MockedCallLater) -> None:
    """The clock stops before the dominos do."""
    await use(m, futs)


def test_nothing_is_left() -> None:
    """After the tests with fixtures, in whatever order, time is real."""
    assert time.time() > 1_000_000_000
    assert "machinery" not in time.time.__module__
