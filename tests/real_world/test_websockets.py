"""A websockets server and client, with the pings by which they keep a connection alive."""

import asyncio
import time

import pytest

pytest.importorskip("websockets")

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.server import ServerProtocol

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_a_connection_that_answers_pings_outlives_hours_of_silence(run: Run) -> None:
    """Pings go back and forth every 20 seconds for three hours, and then the connection still works."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def body() -> None:
        async with thp.mocked_call_later(), serve(echo, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}", proxy=None) as client:
                await asyncio.sleep(3 * 3600)
                await client.send("still there?")
                assert await client.recv() == "still there?"

    run(body())


@on_every_loop
@pytest.mark.proves("T0", "T7")
def test_a_connection_that_does_not_answer_pings_is_closed(run: Run) -> None:
    """The first ping goes out after 20 seconds, and 20 seconds later the client gives up."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        writer.writelines(protocol.data_to_send())
        await reader.read()
        writer.close()

    async def body() -> None:
        async with thp.mocked_call_later():
            server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server, connect(f"ws://127.0.0.1:{port}", proxy=None, close_timeout=5) as client:
                with pytest.raises(ConnectionClosedError, match=r"keepalive ping timeout"):
                    await client.recv()
                assert 40 <= time.time() <= 45

    run(body())
