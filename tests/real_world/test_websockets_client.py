"""A websockets client that connects again when its server is silent."""

import pytest

pytest.importorskip("websockets")

import asyncio
import time
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from machinery import test_helpers as thp


async def follow(url: str, seen: list[object]) -> None:
    """Collect messages; connect again after a minute without one."""
    while True:
        async with connect(url, proxy=None) as connection:
            with suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(60):
                        seen.append(await connection.recv())


async def test_after_a_silent_minute_it_connects_again() -> None:
    """The server sends the time once and then stays silent."""

    async def greet(connection: ServerConnection) -> None:
        await connection.send(f"it is {time.time():g}")
        await connection.wait_closed()

    seen: list[object] = []
    async with thp.mocked_call_later() as m, serve(greet, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        following = asyncio.create_task(follow(f"ws://127.0.0.1:{port}", seen))
        await m.add(130)
        following.cancel()

    assert seen == ["it is 0", "it is 60", "it is 120"]
