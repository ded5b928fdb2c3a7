"""A websocket server in a thread, and the pings by which a connection is kept alive."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("websockets")

from websockets.asyncio.client import connect
from websockets.sync.server import ServerConnection, serve

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services.elsewhere import passing, really_within


@pytest.fixture
def echo() -> Iterator[str]:
    """Run a server that sends back what it gets, and give its address."""

    def send_back(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(send_back, "127.0.0.1", 0, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.proves("C3")
async def test_a_connection_is_kept_alive_for_a_virtual_hour(echo: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each ping of the hour is answered before the clock moves on, and then the connection still works."""
    async with thp.mocked_call_later(), connect(echo, proxy=None, ping_interval=20, ping_timeout=1) as client:
        with passing(3610), really_within(20):
            # Not at the time of a ping: its answer would count for the message too.
            await asyncio.sleep(3610)
        with passing(0):
            await client.send("still there?")
            assert await client.recv() == "still there?"

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_a_thousand_messages_take_no_virtual_time(echo: str, caplog: pytest.LogCaptureFixture) -> None:
    """Connecting, talking and closing meet no timeout of one tick."""
    async with thp.mocked_call_later():
        with passing(0):
            async with connect(echo, proxy=None, open_timeout=0.1, close_timeout=0.1) as client, asyncio.timeout(0.1):
                for n in range(1000):
                    await client.send(str(n))
                    assert await client.recv() == str(n)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_waiting_for_a_message_holds_nothing(echo: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who listens to a server that says nothing gives up at the virtual time."""
    async with thp.mocked_call_later(), connect(echo, proxy=None, ping_interval=None) as client:
        with passing(3600), really_within(10), pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await client.recv()

    assert logged(caplog) == []


@pytest.mark.proves("C5")
async def test_a_server_that_does_not_answer_the_handshake_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """At the virtual time, once the bound is over."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with thp.mocked_call_later():
            with passing(10), really_within(15), pytest.raises(TimeoutError):
                async with connect(f"ws://127.0.0.1:{port}", proxy=None, open_timeout=10):
                    pytest.fail("nobody has answered")

    (warning,) = logged(caplog)
    assert f"127.0.0.1:{port}" in warning
