"""The tests on the how-to page about real databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("asyncpg")

import asyncpg

from machinery import test_helpers as thp
from tests.services.databases import PostgreSQL


@pytest.fixture
async def pool(postgresql: PostgreSQL) -> AsyncIterator[asyncpg.Pool]:
    """Connect to a database that has an account."""
    async with asyncpg.create_pool(postgresql.dsn) as pool:
        await pool.execute("drop table if exists account")
        await pool.execute("create table account (amount int)")
        await pool.execute("insert into account values (100)")
        yield pool


async def test_a_query_takes_no_virtual_time(pool: asyncpg.Pool) -> None:
    """Though the timeout is shorter than the query."""
    async with thp.mocked_call_later():
        async with asyncio.timeout(0.1):
            await pool.execute("select pg_sleep(0.3)")
        assert time.time() == 0


async def pay_interest(pool: asyncpg.Pool) -> None:
    """Pay it each hour."""
    while True:
        await asyncio.sleep(3600)
        await pool.execute("update account set amount = amount + 1")


async def test_a_day_of_interest(pool: asyncpg.Pool) -> None:
    """The last payment is done when `add` returns."""
    async with thp.mocked_call_later() as m:
        job = asyncio.create_task(pay_interest(pool))
        await m.add(24 * 3600)
        assert await pool.fetchval("select amount from account") == 124
        job.cancel()


async def deposit(pool: asyncpg.Pool, amount: int, reads: thp.Domino, writes: thp.Domino) -> None:
    """Read, and write what was read plus the amount."""
    await reads
    before = await pool.fetchval("select amount from account")
    await writes
    await pool.execute("update account set amount = $1", before + amount)


async def test_a_lost_update(pool: asyncpg.Pool) -> None:
    """Both read before either writes."""
    async with thp.future_dominos(expected=4) as futs, asyncio.TaskGroup() as tasks:
        tasks.create_task(deposit(pool, 10, reads=futs[1], writes=futs[3]))
        tasks.create_task(deposit(pool, 5, reads=futs[2], writes=futs[4]))
        futs.begin()

    assert await pool.fetchval("select amount from account") == 105  # and not 115
