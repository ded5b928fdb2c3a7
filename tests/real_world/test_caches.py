"""What forgets: cachetools, async-lru, aiocache and a Redis of fakeredis."""

import asyncio
import time

import pytest

pytest.importorskip("aiocache")
pytest.importorskip("async_lru")
pytest.importorskip("cachetools")
pytest.importorskip("fakeredis")

from aiocache import SimpleMemoryCache
from async_lru import alru_cache
from cachetools import TTLCache
from fakeredis import FakeAsyncRedis

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@pytest.mark.proves("T1")
async def test_cachetools_forgets_what_is_too_old() -> None:
    """What was put in for an hour is there for an hour less a tick."""
    async with thp.mocked_call_later():
        # The default is the function that was in `time` when cachetools was imported, which is real.
        cache = TTLCache[str, int](10, ttl=3600, timer=time.monotonic)
        cache["key"] = 1
        await asyncio.sleep(3599.9)
        assert cache.get("key") == 1
        await asyncio.sleep(0.1)
        assert cache.get("key") is None


@on_every_loop
@pytest.mark.proves("T0")
def test_async_lru_calls_again_when_a_result_is_too_old(run: Run) -> None:
    """Within five minutes there is one call, and then one more."""
    calls: list[float] = []

    async def body() -> None:
        @alru_cache(ttl=300)
        async def load() -> None:
            calls.append(time.time())

        async with thp.mocked_call_later():
            for _ in range(7):
                await load()
                await asyncio.sleep(60)
            await load.cache_close()

    run(body())

    assert calls == [0, 300]


@on_every_loop
@pytest.mark.proves("T0")
def test_aiocache_forgets_and_gives_up_in_virtual_time(run: Run) -> None:
    """A value lives for its ten minutes."""

    async def body() -> None:
        async with thp.mocked_call_later():
            cache = SimpleMemoryCache()
            await cache.set("key", "value", ttl=600)
            await asyncio.sleep(599)
            assert await cache.get("key") == "value"
            await asyncio.sleep(1)
            assert await cache.get("key") is None

    run(body())


@on_every_loop
@pytest.mark.proves("T0", "T1", "T14")
def test_redis_expires_keys_and_waits_for_items(run: Run) -> None:
    """A key is gone after its minute; a blocking pop returns with an item, or with nothing after its timeout."""

    async def body() -> None:
        async with thp.mocked_call_later(datetime=True, start_time=1_700_000_000) as m:
            redis = FakeAsyncRedis()
            await redis.set("key", "value", ex=60)
            assert await redis.ttl("key") == 60
            await m.add(59)
            assert await redis.get("key") == b"value"
            await m.add(2)
            assert await redis.get("key") is None

            began = time.time()
            assert await redis.blpop(["queue"], timeout=30) is None
            assert time.time() - began == 30
            popping = asyncio.ensure_future(redis.blpop(["queue"], timeout=3600))
            await m.add(1800)
            await redis.rpush("queue", "item")
            assert await popping == (b"queue", b"item")
            assert time.time() - began == 30 + 1800
            await redis.aclose()

    run(body())
