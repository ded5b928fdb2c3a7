"""A test that explores, as users write it; `test_runners.py` has it run."""

import asyncio

import pytest

from machinery import test_helpers as thp


@pytest.fixture
def anyio_backend() -> str:
    """Tell the plugin of anyio, where that one runs, which loop to use."""
    return "asyncio"


async def scenario(outside: thp.Outside) -> None:
    """Lose a deposit, if it meets another one."""
    balance = 0

    async def deposit(amount: int) -> None:
        nonlocal balance
        await outside("begin")
        seen = balance
        async with asyncio.timeout(1):
            await outside("read")
        balance = seen + amount

    await asyncio.gather(deposit(10), deposit(5), return_exceptions=True)
    assert balance in (0, 15)


async def test_a_race_is_found() -> None:
    """With the order, wherever it runs."""
    with pytest.raises(AssertionError, match="order 1 of at most 20 fails"):
        await thp.explore(scenario, runs=20)
    with pytest.raises(thp.Stuck, match="order 1 of at most 20 fails"):
        await thp.explore(lambda outside: asyncio.Event().wait(), runs=20)
