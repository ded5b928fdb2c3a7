"""TLS, whose handshake and records are answers of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from ssl import SSLContext

import pytest

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services import elsewhere
from tests.services.elsewhere import passing, really_within
from tests.services.test_owes_nothing import answer_after_an_hour

Certificates = tuple[SSLContext, SSLContext]
Address = tuple[str, int]


@pytest.fixture
def tls_lines(certificates: Certificates) -> Iterator[Address]:
    """Run a server over TLS in threads."""
    with elsewhere.answering_by_tls(certificates[0]) as address:
        yield address


@pytest.mark.proves("C1")
async def test_the_handshake_and_the_answers_take_no_virtual_time(
    tls_lines: Address, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """They meet no timeout of one tick, nor that of the handshake."""
    async with thp.mocked_call_later():
        with passing(0):
            async with asyncio.timeout(0.1):
                reader, writer = await asyncio.open_connection(
                    *tls_lines, ssl=certificates[1], ssl_handshake_timeout=0.1
                )
                for delay in ("0.3", "0", "parts"):
                    writer.write(f"{delay} yes\n".encode())
                    assert await reader.readline() == b"yes\n"
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_a_connection_that_has_its_answer_holds_nothing(
    tls_lines: Address, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """What the server still sends after the handshake is no answer that somebody waits for."""
    async with thp.mocked_call_later():
        reader, writer = await asyncio.open_connection(*tls_lines, ssl=certificates[1])
        writer.write(b"0 yes\n")
        assert await reader.readline() == b"yes\n"
        with passing(1000 * 3600):
            for _ in range(1000):
                await asyncio.sleep(3600)
        with passing(0):
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_so_do_those_of_a_connection_that_begins_without_tls(
    tls_lines: Address, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """As those of databases and mail servers do."""
    async with thp.mocked_call_later():
        with passing(0):
            async with asyncio.timeout(0.1):
                reader, writer = await asyncio.open_connection(*tls_lines)
                await writer.start_tls(certificates[1], server_hostname="127.0.0.1", ssl_handshake_timeout=0.1)
                for delay in ("0.3", "0", "parts"):
                    writer.write(f"{delay} yes\n".encode())
                    assert await reader.readline() == b"yes\n"
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_a_tls_connection_may_be_older_than_the_block(
    tls_lines: Address, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Their handshake was not seen."""
    reader, writer = await asyncio.open_connection(*tls_lines, ssl=certificates[1])
    async with thp.mocked_call_later():
        with passing(0):
            async with asyncio.timeout(0.1):
                writer.write(b"0.3 yes\n")
                assert await reader.readline() == b"yes\n"
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_both_ends_in_this_loop(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    """Our own server answers after an hour."""
    async with (
        thp.mocked_call_later(),
        await asyncio.start_server(answer_after_an_hour, "127.0.0.1", 0, ssl=certificates[0]) as server,
    ):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=certificates[1])
        with passing(10 * 3600), really_within(10):
            for _ in range(10):
                writer.write(b"yes\n")
                assert await reader.readline() == b"yes\n"
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_a_server_in_a_loop_of_another_thread(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own TLS does not concern our block."""
    ready: asyncio.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, Address]] = asyncio.Queue()
    ours = asyncio.get_running_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def serve() -> None:
        over = asyncio.Event()
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificates[0]) as server:
            address = server.sockets[0].getsockname()
            ours.call_soon_threadsafe(ready.put_nowait, (asyncio.get_running_loop(), over, address))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    theirs, over, address = await ready.get()
    try:
        async with thp.mocked_call_later():
            with passing(0):
                async with asyncio.timeout(0.1):
                    reader, writer = await asyncio.open_connection(*address, ssl=certificates[1])
                    writer.write(b"yes\n")
                    assert await reader.readline() == b"yes\n"
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    finally:
        theirs.call_soon_threadsafe(over.set)
        thread.join()

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_httpx_over_tls_takes_no_virtual_time(
    tls_lines: Address, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that does not speak HTTP gives an error, and no timeout strikes before it."""
    httpx = pytest.importorskip("httpx")

    async with thp.mocked_call_later():
        with passing(0):
            async with httpx.AsyncClient(timeout=0.1, verify=certificates[1], trust_env=False) as client:
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(f"https://127.0.0.1:{tls_lines[1]}/")

    assert logged(caplog) == []
