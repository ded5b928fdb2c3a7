"""Tornado's loop, server and client."""

import asyncio
import time
from datetime import timedelta

import pytest

pytest.importorskip("tornado")

from tornado import gen
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets
from tornado.util import TimeoutError as GivenUp
from tornado.web import Application, RequestHandler

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


class Slow(RequestHandler):
    """Answers after as many seconds as the path says."""

    async def get(self, seconds: str) -> None:
        """Wait, then answer."""
        await gen.sleep(float(seconds))
        self.write("ok")


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_the_client_gives_up_after_its_timeout(run: Run) -> None:
    """An answer after 19 seconds is in time for the usual timeout of 20, one after 21 is not."""

    async def body() -> None:
        async with thp.mocked_call_later():
            sockets = bind_sockets(0, "127.0.0.1")
            server = HTTPServer(Application([("/(.*)", Slow)]))
            server.add_sockets(sockets)
            address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
            client = AsyncHTTPClient(force_instance=True)
            assert (await client.fetch(f"{address}/19")).body == b"ok"
            assert time.time() == 19
            with pytest.raises(HTTPClientError, match=r"^Timeout during request$"):
                await client.fetch(f"{address}/21")
            assert time.time() == 19 + 20
            # Until the server has noticed.
            await asyncio.sleep(10)
            client.close()
            server.stop()
            await server.close_all_connections()

    run(body())


@on_every_loop
@pytest.mark.proves("T0", "T9")
def test_a_periodic_callback_keeps_its_period(run: Run) -> None:
    """A callback every 90 seconds is called 40 times in an hour, and not once after it was stopped."""

    async def body() -> None:
        times: list[float] = []
        async with thp.mocked_call_later(start_time=1000) as m:
            periodic = PeriodicCallback(lambda: times.append(time.time()), timedelta(seconds=90))
            periodic.start()
            await m.add(3600)
            periodic.stop()
            await m.add(3600)
        assert times == [1090 + 90 * n for n in range(len(times))]
        assert len(times) == 40

    run(body())


@on_every_loop
@pytest.mark.proves("T0")
def test_with_timeout_strikes_in_virtual_time(run: Run) -> None:
    """A future that is never set is given up after an hour, and timers of the loop fire before that."""
    order: list[object] = []

    async def body() -> None:
        async with thp.mocked_call_later():
            IOLoop.current().call_later(1800, order.append, "half an hour")
            with pytest.raises(GivenUp):
                await gen.with_timeout(timedelta(hours=1), asyncio.Future())
            order.append(time.time())

    run(body())

    assert order == ["half an hour", 3600]
