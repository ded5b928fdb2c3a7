"""A database in a thread of its own, of which the loop knows nothing."""

import asyncio
import time

import pytest

pytest.importorskip("aiosqlite")

import aiosqlite

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@on_every_loop
@pytest.mark.proves("T13")
def test_queries_are_not_overtaken(run: Run) -> None:
    """A session that is written with timeouts around each query is over after an hour, and no timeout has struck."""

    async def body() -> None:
        async with (
            thp.mocked_call_later(autojump_threshold=0.2),
            aiosqlite.connect(":memory:") as db,
        ):
            async with asyncio.timeout(5):
                await db.execute("create table sessions (ends real)")
                await db.execute("insert into sessions values (?)", [time.time() + 3600])
            await asyncio.sleep(3600)
            async with asyncio.timeout(5), db.execute("select ends <= ? from sessions", [time.time()]) as rows:
                assert await rows.fetchone() == (1,)
            assert time.time() == 3600

    run(body())
