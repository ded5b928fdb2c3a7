"""Web servers in another process and in a thread, through httpx and aiohttp."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

import aiohttp
import httpx
import uvicorn

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services.elsewhere import passing, really_within

Get = Callable[[str], Coroutine[object, object, str]]
Client = Callable[[float], AbstractAsyncContextManager[Get]]


@asynccontextmanager
async def by_httpx(limit: float) -> AsyncIterator[Get]:
    """Give what reads a page, with a timeout for each step."""
    async with httpx.AsyncClient(timeout=limit, trust_env=False) as client:

        async def get(url: str) -> str:
            return (await client.get(url)).text

        yield get


@asynccontextmanager
async def by_aiohttp(limit: float) -> AsyncIterator[Get]:
    """Give what reads a page, with a timeout for the whole."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(limit)) as session:

        async def get(url: str) -> str:
            async with session.get(url) as response:
                return await response.text()

        yield get


CLIENTS = [by_httpx, by_aiohttp]
TIMEOUTS = (httpx.TimeoutException, TimeoutError)
with_both = pytest.mark.parametrize("client", CLIENTS, ids=["httpx", "aiohttp"])


class InThread(uvicorn.Server):
    """A server whose thread gets no signals."""

    def run_in_thread(self) -> Iterator[str]:
        """Run for as long as somebody wants the address."""
        ready = threading.Event()
        main = self.startup

        async def startup(*args: object, **kwargs: object) -> None:
            await main()
            ready.set()

        self.startup = startup  # type: ignore[method-assign]
        thread = threading.Thread(target=self.run)
        thread.start()
        ready.wait()
        try:
            yield f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}/"
        finally:
            self.should_exit = True
            thread.join()


@pytest.fixture
def uvicorn_in_thread() -> Iterator[str]:
    """Run uvicorn in a thread with a loop of its own, whose time is real, and give its address."""

    async def application(
        scope: dict[str, bytes], receive: object, send: Callable[[dict[str, object]], Awaitable[None]]
    ) -> None:
        await asyncio.sleep(float(scope["query_string"] or 0))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await send({"type": "http.response.body", "body": b"k"})

    config = uvicorn.Config(application, port=0, lifespan="off", log_level="critical", ws="none")
    yield from InThread(config).run_in_thread()


@pytest.mark.proves("C1")
@with_both
async def test_a_server_in_another_process_takes_no_virtual_time(
    client: Client, web_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answers, whose head and body come apart, meet no timeout of one tick."""
    async with thp.mocked_call_later():
        with passing(0):
            async with client(0.1) as get:
                for delay in (0, 0, 0.5):
                    assert (await get(f"{web_server}?{delay}")).isdigit()

    assert logged(caplog) == []


@pytest.mark.proves("C1")
@with_both
async def test_a_server_in_a_thread_takes_no_virtual_time(
    client: Client, uvicorn_in_thread: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own sleeps are real, ours are not."""
    async with thp.mocked_call_later(), client(0.1) as get:
        with passing(3 * 3600), really_within(10):
            for delay in (0, 0.1, 0.3):
                assert await get(f"{uvicorn_in_thread}?{delay}") == "ok"
                await asyncio.sleep(3600)

    assert logged(caplog) == []


@pytest.mark.proves("C5", "C7")
@with_both
async def test_the_timeout_strikes_where_the_server_takes_longer_than_the_bound(
    client: Client, web_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At its virtual time, and the warning names the server."""
    async with thp.mocked_call_later(), client(5) as get:
        with passing(5), really_within(15), pytest.raises(TIMEOUTS):
            await get(f"{web_server}?4")

    (warning,) = logged(caplog)
    assert web_server.split("/")[2] in warning


@pytest.mark.proves("C1")
@with_both
async def test_many_requests_at_once_take_no_virtual_time(
    client: Client, web_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty connections, each with an answer of its own speed."""
    async with thp.mocked_call_later():
        with passing(0):
            async with client(0.1) as get, asyncio.TaskGroup() as tasks:
                for n in range(20):
                    tasks.create_task(get(f"{web_server}?{n / 50}"))

    assert logged(caplog) == []


async def test_aiohttp_closes_connections_that_were_idle_for_fifteen_virtual_seconds(web_server: str) -> None:
    """Its pool asks a clock that is a name taken out of `time`, which follows the virtual one."""
    async with thp.mocked_call_later(), by_aiohttp(0.1) as get:
        first = await get(web_server)
        await asyncio.sleep(10)
        assert await get(web_server) == first
        await asyncio.sleep(16)
        assert await get(web_server) != first


async def test_httpx_closes_connections_that_were_idle_for_five_virtual_seconds(web_server: str) -> None:
    """Its pool asks `time.monotonic`."""
    async with thp.mocked_call_later(), by_httpx(0.1) as get:
        first = await get(web_server)
        await asyncio.sleep(4)
        assert await get(web_server) == first
        await asyncio.sleep(6)
        assert await get(web_server) != first


@pytest.mark.proves("C4")
@with_both
async def test_dominos_order_requests(client: Client, web_server: str, caplog: pytest.LogCaptureFixture) -> None:
    """The slowest answer is the first, if the dominos say so."""
    order: list[int] = []

    async with client(30) as get, thp.future_dominos(expected=3) as futs, asyncio.TaskGroup() as tasks:

        async def ask(n: int) -> None:
            await futs[n]
            await get(f"{web_server}?{0.4 / n**2}")
            order.append(n)

        for n in (1, 2, 3):
            tasks.create_task(ask(n))
        futs.begin()

    assert order == [1, 2, 3]
    assert logged(caplog) == []
