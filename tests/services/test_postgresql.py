"""PostgreSQL through asyncpg, psycopg and SQLAlchemy."""

from __future__ import annotations

import asyncio
import time

import pytest

pytest.importorskip("asyncpg")
pytest.importorskip("psycopg")
pytest.importorskip("psycopg_pool")
pytest.importorskip("sqlalchemy")

import asyncpg
import psycopg
import psycopg_pool
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as NoConnectionIsFree
from sqlalchemy.ext.asyncio import create_async_engine

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services.databases import PostgreSQL
from tests.services.elsewhere import passing, really_within

of_both_drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


def url(postgresql: PostgreSQL, driver: str) -> str:
    """Return what SQLAlchemy calls a database."""
    return postgresql.dsn.replace("postgresql:", f"postgresql+{driver}:")


class TestAsyncpg:
    """asyncpg, which uses transports and protocols."""

    @pytest.mark.proves("C1")
    async def test_connecting_and_asking_takes_no_virtual_time(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Timeouts of one tick do not strike."""
        async with thp.mocked_call_later():
            with passing(0):
                connection = await asyncpg.connect(postgresql.dsn, timeout=0.1, command_timeout=0.1)
                for n in range(20):
                    assert await connection.fetchval("select $1::int", n) == n
                await connection.close(timeout=0.1)

        assert logged(caplog) == []

    @pytest.mark.proves("C1")
    async def test_so_it_does_by_a_unix_socket(self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture) -> None:
        """PostgreSQL is often reached that way."""
        async with thp.mocked_call_later(), asyncio.timeout(0.1):
            connection = await asyncpg.connect(
                host=str(postgresql.sockets), port=postgresql.port, user="postgres", database="postgres"
            )
            assert await connection.fetchval("select inet_client_addr()") is None
            await connection.close()

        assert logged(caplog) == []

    @pytest.mark.proves("C1")
    async def test_a_slow_query_takes_no_virtual_time(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It meets neither the timeout of the driver nor that of the test, though both are shorter."""
        async with thp.mocked_call_later():
            connection = await asyncpg.connect(postgresql.dsn, command_timeout=0.5)
            with passing(0):
                async with asyncio.timeout(0.1):
                    await connection.execute("select pg_sleep(0.7)")
            await connection.close()

        assert logged(caplog) == []

    @pytest.mark.proves("C5")
    async def test_a_query_that_does_not_end_meets_its_timeout(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At its virtual time, once the bound is over; the connection is of use afterwards."""
        async with thp.mocked_call_later():
            connection = await asyncpg.connect(postgresql.dsn)
            with passing(1), really_within(15), pytest.raises(TimeoutError):
                await connection.execute("select pg_sleep(60)", timeout=1)
            assert await connection.fetchval("select 7") == 7
            await connection.close()

        (warning,) = logged(caplog)
        assert f"127.0.0.1:{postgresql.port}" in warning

    @pytest.mark.proves("C2")
    async def test_an_idle_pool_of_fifty_costs_nothing(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A year passes in days beside the connections, which are as good as before."""
        async with (
            asyncpg.create_pool(postgresql.dsn, min_size=50, max_size=50, max_inactive_connection_lifetime=0) as pool,
            thp.mocked_call_later(),
        ):
            with passing(365 * 86400), really_within(10):
                for _ in range(365):
                    await asyncio.sleep(86400)
            with passing(0):
                assert await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(50))) == [*range(50)]

        assert logged(caplog) == []

    async def test_the_pool_closes_connections_at_their_virtual_time(self, postgresql: PostgreSQL) -> None:
        """One is closed five minutes after it was used."""
        async with (
            thp.mocked_call_later(),
            asyncpg.create_pool(postgresql.dsn, min_size=0, max_inactive_connection_lifetime=300) as pool,
        ):
            await pool.fetchval("select 7")
            await asyncio.sleep(299)
            assert pool.get_size() == 1
            await asyncio.sleep(2)
            assert pool.get_size() == 0

    @pytest.mark.proves("C1")
    async def test_a_thousand_queries_and_sleeps(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each sleep ends at its time, and each query takes none."""
        async with thp.mocked_call_later():
            connection = await asyncpg.connect(postgresql.dsn)
            with passing(1000 * 3600), really_within(25):
                for n in range(1000):
                    assert await connection.fetchval("select $1::int", n) == n
                    await asyncio.sleep(3600)
            await connection.close()

        assert logged(caplog) == []


class TestPsycopg:
    """psycopg, which has the loop watch its files only while it waits."""

    @pytest.mark.proves("C1")
    async def test_connecting_and_asking_takes_no_virtual_time(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Timeouts of one tick do not strike, nor do those of psycopg's own."""
        async with thp.mocked_call_later():
            with passing(0):
                async with asyncio.timeout(0.1):
                    async with await psycopg.AsyncConnection.connect(postgresql.dsn, connect_timeout=2) as connection:
                        for n in range(20):
                            cursor = await connection.execute("select %s::int", [n])
                            assert await cursor.fetchone() == (n,)

        assert logged(caplog) == []

    @pytest.mark.proves("C1")
    async def test_a_slow_query_takes_no_virtual_time(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It does not meet a timeout that is shorter."""
        async with thp.mocked_call_later(), await psycopg.AsyncConnection.connect(postgresql.dsn) as connection:
            with passing(0):
                async with asyncio.timeout(0.1):
                    await connection.execute("select pg_sleep(0.7)")

        assert logged(caplog) == []

    async def test_a_connection_of_the_pool_is_there_within_a_tick(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Though the pool connects when it is opened, in tasks of its own."""
        async with thp.mocked_call_later():
            with passing(0):
                async with (
                    psycopg_pool.AsyncConnectionPool(
                        postgresql.dsn, min_size=1, max_size=2, timeout=0.1, open=False
                    ) as pool,
                    pool.connection() as connection,
                ):
                    cursor = await connection.execute("select 7")
                    assert await cursor.fetchone() == (7,)

        assert logged(caplog) == []

    async def test_who_waits_for_a_connection_gives_up_at_the_virtual_time(self, postgresql: PostgreSQL) -> None:
        """Thirty seconds, if nobody gives one back."""
        async with (
            thp.mocked_call_later(),
            psycopg_pool.AsyncConnectionPool(postgresql.dsn, min_size=1, max_size=1, timeout=30, open=False) as pool,
            pool.connection(),
        ):
            with passing(30), pytest.raises(psycopg_pool.PoolTimeout):
                async with pool.connection():
                    pytest.fail("there is no second connection")

    async def test_the_pool_closes_connections_that_it_does_not_need_for_ten_minutes(
        self, postgresql: PostgreSQL
    ) -> None:
        """Its clock is a name taken out of `time`, which follows the virtual one."""
        async with (
            thp.mocked_call_later(),
            psycopg_pool.AsyncConnectionPool(postgresql.dsn, min_size=1, max_size=3, max_idle=600, open=False) as pool,
        ):
            async with pool.connection(), pool.connection(), pool.connection():
                pass
            assert pool.get_stats()["pool_size"] == 3
            await asyncio.sleep(3600)
            async with pool.connection() as connection:
                await connection.execute("select 7")
            assert pool.get_stats()["pool_size"] == 1


class TestSQLAlchemy:
    """SQLAlchemy's asyncio extension."""

    @of_both_drivers
    async def test_transactions_take_no_virtual_time(
        self, postgresql: PostgreSQL, driver: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Connecting, a slow statement and committing meet no timeout of one tick."""
        async with thp.mocked_call_later():
            engine = create_async_engine(url(postgresql, driver))
            with passing(0):
                async with asyncio.timeout(0.1):
                    async with engine.begin() as connection:
                        assert await connection.scalar(text("select 7 from pg_sleep(0.3)")) == 7
                    await engine.dispose()

        assert logged(caplog) == []

    @of_both_drivers
    async def test_who_waits_for_a_connection_gives_up_at_the_virtual_time(
        self, postgresql: PostgreSQL, driver: str
    ) -> None:
        """Thirty seconds, if nobody gives one back."""
        async with thp.mocked_call_later():
            engine = create_async_engine(url(postgresql, driver), pool_size=1, max_overflow=0, pool_timeout=30)
            async with engine.connect() as connection:
                assert await connection.scalar(text("select 7")) == 7
                with passing(30), pytest.raises(NoConnectionIsFree):
                    async with engine.connect():
                        pytest.fail("there is no second connection")
            await engine.dispose()

    async def test_connections_are_replaced_after_their_virtual_lifetime(self, postgresql: PostgreSQL) -> None:
        """`pool_recycle` compares with `time.time`, which moves."""
        async with thp.mocked_call_later():
            engine = create_async_engine(url(postgresql, "asyncpg"), pool_size=1, pool_recycle=1800)

            async def server_process() -> object:
                async with engine.connect() as connection:
                    return await connection.scalar(text("select pg_backend_pid()"))

            first = await server_process()
            await asyncio.sleep(1700)
            assert await server_process() == first
            await asyncio.sleep(200)
            assert await server_process() != first
            await engine.dispose()


class TestNotifications:
    """What the server says by itself; nobody owes it."""

    @pytest.mark.proves("C2")
    async def test_asyncpg_hears_at_the_virtual_time_at_which_somebody_notifies(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A connection that only listens lets hours pass at once."""
        heard: list[tuple[float, str]] = []
        arrived = asyncio.Event()

        def note(connection: object, process: int, channel: str, payload: str) -> None:
            heard.append((time.time(), payload))
            arrived.set()

        async with thp.mocked_call_later():
            listening, speaking = await asyncpg.connect(postgresql.dsn), await asyncpg.connect(postgresql.dsn)
            await listening.add_listener("news", note)
            with really_within(10):
                for n in range(3):
                    await asyncio.sleep(3600)
                    arrived.clear()
                    await speaking.execute(f"notify news, '{n}'")
                    await arrived.wait()
            await listening.remove_listener("news", note)
            await listening.close()
            await speaking.close()

        assert heard == [(3600, "0"), (7200, "1"), (10800, "2")]
        assert logged(caplog) == []

    @pytest.mark.proves("C2")
    async def test_so_does_psycopg(self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture) -> None:
        """Its generator looks for news every tenth of a second, and whenever there is something to read."""
        heard: list[tuple[float, str]] = []
        arrived = asyncio.Event()

        async with (
            thp.mocked_call_later(),
            await psycopg.AsyncConnection.connect(postgresql.dsn, autocommit=True) as listening,
            await psycopg.AsyncConnection.connect(postgresql.dsn, autocommit=True) as speaking,
        ):

            async def listen() -> None:
                async for notification in listening.notifies(stop_after=3):
                    heard.append((time.time(), notification.payload))
                    arrived.set()

            await listening.execute("listen news")
            with really_within(10):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(listen())
                    for n in range(3):
                        await asyncio.sleep(60)
                        arrived.clear()
                        await speaking.execute(f"notify news, '{n}'")
                        await arrived.wait()

        assert heard == [(60, "0"), (120, "1"), (180, "2")]
        assert logged(caplog) == []

    @pytest.mark.proves("C2")
    async def test_a_connection_of_psycopg_older_than_the_block_may_listen(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It has asked nothing in the block."""
        async with await psycopg.AsyncConnection.connect(postgresql.dsn, autocommit=True) as listening:
            await listening.execute("listen silence")
            async with thp.mocked_call_later():
                with passing(60), really_within(10):
                    assert [notification async for notification in listening.notifies(timeout=60)] == []

        assert logged(caplog) == []

    @pytest.mark.proves("C2")
    async def test_psycopg_stops_listening_at_the_virtual_time(
        self, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing was said within a minute."""
        async with (
            thp.mocked_call_later(),
            await psycopg.AsyncConnection.connect(postgresql.dsn, autocommit=True) as listening,
        ):
            await listening.execute("listen silence")
            with passing(60), really_within(10):
                assert [notification async for notification in listening.notifies(timeout=60)] == []

        assert logged(caplog) == []
