"""Dominos decide in which order concurrent transactions of PostgreSQL do what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("asyncpg")

import asyncpg

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services.databases import PostgreSQL
from tests.services.elsewhere import passing, really_within


@asynccontextmanager
async def accounts(postgresql: PostgreSQL) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Connection]]:
    """Give two connections to a database in which Ann's account holds 100."""
    one, two = await asyncpg.connect(postgresql.dsn), await asyncpg.connect(postgresql.dsn)
    try:
        await one.execute("drop table if exists account; create table account (owner text primary key, amount int)")
        await one.execute("insert into account values ('Ann', 100)")
        yield one, two
    finally:
        await asyncio.gather(one.close(), two.close())


async def amount(connection: asyncpg.Connection) -> object:
    """Return what Ann's account holds."""
    return await connection.fetchval("select amount from account where owner = 'Ann'")


ADD = "update account set amount = amount + $1 where owner = 'Ann'"


@pytest.mark.proves("C4")
@pytest.mark.parametrize("slow", ["shop", "bank"])
async def test_a_lost_update_is_lost_whoever_is_slow(
    postgresql: PostgreSQL, slow: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both read 100, the shop writes first, and the bank overwrites that; the server's speed decides nothing."""
    order: list[str] = []

    async def pay(name: str, connection: asyncpg.Connection, sum: int, reads: thp.Domino, writes: thp.Domino) -> None:
        await reads
        wait = 0.3 if name == slow else 0.0
        before = await connection.fetchval("select amount from account, pg_sleep($1) where owner = 'Ann'", wait)
        order.append(f"{name} read {before}")
        await writes
        await connection.execute("update account set amount = $1 from pg_sleep($2)", before + sum, wait)
        order.append(f"{name} wrote")

    async with accounts(postgresql) as (one, two):
        async with thp.future_dominos(expected=4) as futs, asyncio.TaskGroup() as tasks:
            tasks.create_task(pay("bank", one, 1, futs[1], futs[4]))
            tasks.create_task(pay("shop", two, 10, futs[2], futs[3]))
            futs.begin()
        assert order == ["bank read 100", "shop read 100", "shop wrote", "bank wrote"]
        assert await amount(one) == 101

    assert logged(caplog) == []


@pytest.mark.proves("C4", "C5")
@pytest.mark.parametrize("virtual", [False, True], ids=["in real time", "in virtual time"])
async def test_a_row_lock_that_a_later_domino_releases_costs_the_bound_once(
    postgresql: PostgreSQL, virtual: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The update that waits for the lock is passed after the bound; then the lock is released, and it is done."""
    order: list[str] = []

    async def hold(connection: asyncpg.Connection, locks: thp.Domino, commits: thp.Domino) -> None:
        await locks
        async with connection.transaction():
            await connection.execute(ADD, 1)
            order.append("locked")
            await commits
        order.append("committed")

    async def wait(connection: asyncpg.Connection, updates: thp.Domino) -> None:
        await updates
        order.append("waits")
        await connection.execute(ADD, 10)
        order.append("updated")

    async def transfer(one: asyncpg.Connection, two: asyncpg.Connection) -> None:
        async with thp.future_dominos(expected=3) as futs, asyncio.TaskGroup() as tasks:
            tasks.create_task(hold(one, futs[1], futs[3]))
            tasks.create_task(wait(two, futs[2]))
            futs.begin()

    async with accounts(postgresql) as (one, two):
        with really_within(12):
            if virtual:
                async with thp.mocked_call_later(), asyncio.timeout(0.1):
                    with passing(0):
                        await transfer(one, two)
            else:
                await transfer(one, two)
        assert sorted(order[2:]) == ["committed", "updated"]
        assert order[:2] == ["locked", "waits"]
        assert await amount(one) == 111

    (warning,) = logged(caplog)
    assert f"127.0.0.1:{postgresql.port}" in warning


@pytest.mark.proves("C5")
async def test_a_row_lock_that_time_releases(postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture) -> None:
    """A transaction that stays open for a virtual minute keeps another waiting for exactly that long."""
    async with thp.mocked_call_later(), accounts(postgresql) as (one, two):

        async def hold() -> None:
            async with one.transaction():
                await one.execute(ADD, 1)
                locked.set()
                await asyncio.sleep(60)

        locked = asyncio.Event()
        with passing(60), really_within(12):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(hold())
                await locked.wait()
                await two.execute(ADD, 10)
        assert await amount(one) == 111

    assert len(logged(caplog)) == 1


@pytest.mark.proves("C4")
async def test_an_hourly_job_meets_a_purchase(postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture) -> None:
    """Both helpers together: each hour interest is paid, and in the third hour a purchase comes in between."""
    paid: list[tuple[float, object]] = []

    async with (
        accounts(postgresql) as (one, two),
        thp.mocked_call_later() as m,
        thp.future_dominos(expected=3) as futs,
    ):

        async def pay_interest() -> None:
            while True:
                await asyncio.sleep(3600)
                before = await amount(one)
                assert isinstance(before, int)
                if time.time() == 3 * 3600:
                    await futs[1]
                    await futs[3]
                await one.execute("update account set amount = $1 from pg_sleep(0.05)", before + 10)
                paid.append((time.time(), await amount(one)))

        async def purchase() -> None:
            await futs[2]
            await two.execute(ADD, -50)

        job, buying = asyncio.create_task(pay_interest()), asyncio.create_task(purchase())
        futs.begin()
        await m.add(4 * 3600)
        await buying
        job.cancel()

    assert paid == [(3600, 110), (7200, 120), (10800, 130), (14400, 140)]
    assert logged(caplog) == []
