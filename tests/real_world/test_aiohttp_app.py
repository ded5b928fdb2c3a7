"""An aiohttp app behind aiohttp's own test client."""

import pytest

pytest.importorskip("aiohttp")

import asyncio
import time

from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer

from machinery import test_helpers as thp


def make_app() -> web.Application:
    """Make an app that needs ten minutes for a report."""

    async def report(request: web.Request) -> web.Response:
        await asyncio.sleep(600)
        return web.json_response({"finished": time.time()})

    app = web.Application()
    app.router.add_get("/report", report)
    return app


async def test_three_reports_are_made_at_once() -> None:
    """Three requests of ten minutes take ten minutes together."""
    async with thp.mocked_call_later(), TestClient(TestServer(make_app())) as client:

        async def ask() -> float:
            async with client.get("/report", timeout=ClientTimeout()) as response:
                return float((await response.json())["finished"])

        assert set(await asyncio.gather(ask(), ask(), ask())) == {600}
