"""FastAPI and Starlette: through httpx on the test's own loop, and through Starlette's TestClient on its loop."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import asyncio
import time

import httpx
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient

from machinery import test_helpers as thp


def make_app() -> FastAPI:
    """Make an app that caches an exchange rate for a minute, and streams it every 30 seconds."""
    app = FastAPI()
    cached, expires = 0.0, 0.0

    async def ask_the_bank() -> float:
        await asyncio.sleep(2)
        return time.time()

    @app.get("/rate")
    async def rate() -> float:
        nonlocal cached, expires
        if time.time() >= expires:
            cached = await ask_the_bank()
            expires = time.time() + 60
        return cached

    @app.websocket("/rates")
    async def rates(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await asyncio.sleep(30)
            await socket.send_json(await rate())

    return app


async def test_a_cached_rate_is_loaded_again_after_a_minute() -> None:
    """The first request loads it in 2 seconds; it is fresh for 60 seconds after that."""
    transport = httpx.ASGITransport(make_app())
    async with thp.mocked_call_later() as m, httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        assert (await client.get("/rate")).json() == 2

        await m.add(59.9)
        assert (await client.get("/rate")).json() == 2

        await m.add(0.1)
        assert (await client.get("/rate")).json() == 64


def test_the_same_with_the_sync_client() -> None:
    """TestClient runs the app on a loop in another thread, so the block is entered there."""
    with TestClient(make_app()) as client:
        assert client.portal is not None
        with client.portal.wrap_async_context_manager(thp.mocked_call_later()) as m:
            assert client.get("/rate").json() == 2

            client.portal.call(m.add, 60)
            assert client.get("/rate").json() == 64


def test_a_websocket_sends_every_half_minute() -> None:
    """Each message comes 30 seconds after the one before it, plus the 2 seconds that a stale rate takes to load."""
    with TestClient(make_app()) as client:
        assert client.portal is not None
        with (
            client.portal.wrap_async_context_manager(thp.mocked_call_later()),
            client.websocket_connect("/rates") as socket,
        ):
            assert [socket.receive_json() for _ in range(3)] == [32, 32, 94]
