"""Redis through redis-py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("redis")

import redis.asyncio as redis
from redis.exceptions import ConnectionError as NoConnectionIsFree

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services.databases import Redis
from tests.services.elsewhere import passing, really_within


@asynccontextmanager
async def client(server: Redis, **options: Any) -> AsyncIterator[redis.Redis]:
    """Give a client of an empty database."""
    async with redis.Redis.from_url(server.url, decode_responses=True, **options) as connected:
        await connected.flushdb()
        yield connected


@pytest.mark.proves("C1")
async def test_commands_take_no_virtual_time(redis_server: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Connecting and asking meets no timeout of one tick."""
    async with thp.mocked_call_later():
        with passing(0):
            async with client(redis_server, socket_timeout=0.1, socket_connect_timeout=0.1) as cache:
                for n in range(50):
                    await cache.set("n", n)
                    assert await cache.get("n") == str(n)

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_so_they_do_by_a_unix_socket(redis_server: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """A pipeline of a hundred commands is one question with a long answer."""
    async with thp.mocked_call_later():
        with passing(0):
            async with redis.Redis(unix_socket_path=str(redis_server.socket), socket_timeout=0.1) as cache:
                async with cache.pipeline() as pipeline:
                    for n in range(100):
                        pipeline.set(f"n{n}", "x" * 10_000)
                        pipeline.get(f"n{n}")
                    assert len(await pipeline.execute()) == 200
                await cache.flushdb()

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_a_pop_that_the_server_ends_takes_no_virtual_time(
    redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The server counts real seconds, here half of one."""
    async with thp.mocked_call_later(), client(redis_server, socket_timeout=None) as queue:
        with passing(0):
            async with asyncio.timeout(0.1):
                assert await queue.blpop(["jobs"], timeout=0.5) is None

    assert logged(caplog) == []


@pytest.mark.proves("C5")
async def test_a_blocking_pop_is_answered_after_a_virtual_minute(
    redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for a job gets one a minute, at these times; the bound is paid once, and told once."""
    done: list[tuple[float, object]] = []

    async with thp.mocked_call_later(), client(redis_server, socket_timeout=None) as queue:

        async def work() -> None:
            while len(done) < 10:
                popped = await queue.blpop(["jobs"], timeout=0)
                assert popped is not None
                done.append((time.time(), popped[1]))

        with passing(600), really_within(15):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(work())
                for n in range(10):
                    await asyncio.sleep(60)
                    await queue.rpush("jobs", f"job {n}")

    assert done == [(60 * (n + 1), f"job {n}") for n in range(10)]
    assert len(logged(caplog)) == 1


@pytest.mark.proves("C2")
async def test_subscribers_hear_at_the_virtual_time_at_which_somebody_publishes(
    redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Waiting for messages holds nothing."""
    heard: list[tuple[float, str]] = []
    arrived = asyncio.Event()

    async with thp.mocked_call_later(), client(redis_server) as news, news.pubsub() as subscription:
        await subscription.subscribe("news")

        async def listen() -> None:
            async for message in subscription.listen():
                if message["type"] == "message":
                    heard.append((time.time(), message["data"]))
                    arrived.set()
                if len(heard) == 3:
                    return

        with really_within(10):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(listen())
                for n in range(3):
                    await asyncio.sleep(3600)
                    arrived.clear()
                    await news.publish("news", n)
                    await arrived.wait()

    assert heard == [(3600, "0"), (7200, "1"), (10800, "2")]
    assert logged(caplog) == []


async def test_a_subscriber_gives_up_at_the_virtual_time(redis_server: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was published within a minute."""
    async with thp.mocked_call_later(), client(redis_server) as news, news.pubsub() as subscription:
        await subscription.subscribe("silence")
        assert (await subscription.get_message(timeout=1) or {})["type"] == "subscribe"
        with passing(60), really_within(10):
            assert await subscription.get_message(timeout=60) is None

    assert logged(caplog) == []


async def test_who_waits_for_a_connection_gives_up_at_the_virtual_time(redis_server: Redis) -> None:
    """Twenty seconds, if nobody gives one back."""
    async with thp.mocked_call_later():
        # Its methods have no types.
        pool: Any = redis.BlockingConnectionPool.from_url(redis_server.url, max_connections=1, timeout=20)
        connection = await pool.get_connection()
        with passing(20), pytest.raises(NoConnectionIsFree):
            await pool.get_connection()
        await pool.release(connection)
        await pool.aclose()


@pytest.mark.proves("C4")
async def test_dominos_order_what_two_clients_do(redis_server: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Both read before either writes, so one increment is lost."""
    async with client(redis_server) as cache, thp.future_dominos(expected=4) as futs:
        await cache.set("n", 0)

        async def increment(reads: thp.Domino, writes: thp.Domino) -> None:
            await reads
            n = int(await cache.get("n") or 0)
            await writes
            await cache.set("n", n + 1)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(increment(futs[1], futs[3]))
            tasks.create_task(increment(futs[2], futs[4]))
            futs.begin()
        assert await cache.get("n") == "1"

    assert logged(caplog) == []
