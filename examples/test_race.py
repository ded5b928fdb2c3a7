"""A race that happens every time: of two deposits at once, one is lost."""

import asyncio
from collections.abc import Awaitable, Iterable

from machinery import test_helpers as thp


class Account:
    """A fake database row; each access waits for its turn, which the test decides."""

    def __init__(self, row: dict[str, int], turns: Iterable[Awaitable[None]]) -> None:
        self._row = row
        self._turns = iter(turns)

    async def read(self) -> int:
        """Return the balance."""
        await next(self._turns)
        return self._row["balance"]

    async def write(self, balance: int) -> None:
        """Set the balance."""
        await next(self._turns)
        self._row["balance"] = balance

    async def replace(self, old: int, new: int) -> bool:
        """Set the balance unless it is no longer `old`; return whether it was set."""
        await next(self._turns)
        if self._row["balance"] != old:
            return False
        self._row["balance"] = new
        return True


async def deposit_carelessly(account: Account, amount: int) -> None:
    """Add to the balance; wrong if another task writes between the read and the write."""
    balance = await account.read()
    await account.write(balance + amount)


async def deposit(account: Account, amount: int) -> None:
    """Add to the balance; try again if another task was faster."""
    balance = await account.read()
    while not await account.replace(balance, balance + amount):
        balance = await account.read()


async def test_a_careless_deposit_is_lost() -> None:
    """Both read 0 before either writes, so the second write loses the 10."""
    row = {"balance": 0}
    async with thp.future_dominos(expected=4) as futs:
        ours, theirs = Account(row, [futs[1], futs[3]]), Account(row, [futs[2], futs[4]])
        futs.begin()
        await asyncio.gather(deposit_carelessly(ours, 10), deposit_carelessly(theirs, 5))

    assert row == {"balance": 5}


async def test_a_careful_deposit_is_not() -> None:
    """In the same order, the second deposit notices the first and reads again."""
    row = {"balance": 0}
    async with thp.future_dominos(expected=6) as futs:
        ours, theirs = Account(row, [futs[1], futs[3]]), Account(row, [futs[2], futs[4], futs[5], futs[6]])
        futs.begin()
        await asyncio.gather(deposit(ours, 10), deposit(theirs, 5))

    assert row == {"balance": 15}
