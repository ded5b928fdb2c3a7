"""What holds nothing, though sockets are involved: nobody elsewhere owes an answer."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services.elsewhere import passing, really_within

needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")


async def answer_after_an_hour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line with itself."""
    while line := await reader.readline():
        await asyncio.sleep(3600)
        writer.write(line)
    writer.close()


async def in_a_thread(work: Callable[[], object]) -> object:
    """Wait for a thread of which the loop knows nothing."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def run() -> None:
        result = work()
        loop.call_soon_threadsafe(done.set_result, result)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return await done
    finally:
        thread.join()


@pytest.mark.proves("C2")
async def test_our_own_server_of_a_client_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    """The client has the last word each hour of the server, and does not speak for long."""
    async with thp.mocked_call_later():
        server = await asyncio.start_server(answer_after_an_hour, "127.0.0.1", 0)

        def ask() -> list[bytes]:
            with socket.create_connection(server.sockets[0].getsockname()) as connection:
                answers = connection.makefile("rb")
                lines = []
                for n in range(5):
                    connection.sendall(f"{n}\n".encode())
                    lines.append(answers.readline())
                answers.close()
                return lines

        async with server:
            with passing(5 * 3600), really_within(10):
                assert await in_a_thread(ask) == [f"{n}\n".encode() for n in range(5)]

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_a_client_elsewhere_that_stays_connected(caplog: pytest.LogCaptureFixture) -> None:
    """What our server sends it, unasked, is not answered, and need not be."""
    connected = asyncio.Event()

    async def tick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        for _ in range(100):
            writer.write(b"tick\n")
            await asyncio.sleep(60)
        writer.close()

    async with thp.mocked_call_later(), await asyncio.start_server(tick, "127.0.0.1", 0) as server:
        with socket.socket() as client:
            # The system connects them before the server accepts.
            client.connect(server.sockets[0].getsockname())
            await connected.wait()
            with passing(100 * 60), really_within(10):
                await asyncio.sleep(100 * 60)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
@pytest.mark.parametrize("hosts", ["127.0.0.1", ["127.0.0.1", "::1"], "::"], ids=["IPv4", "both", "mapped"])
async def test_both_ends_in_this_loop(hosts: str | list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Also where the server sees an IPv4 client at an IPv6 address, as a dual-stack socket does."""
    if hosts == "::":
        if not socket.has_dualstack_ipv6():
            pytest.skip("there are no dual-stack sockets on this system")
        listening = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        listening = None

    async with thp.mocked_call_later():
        if listening is None:
            server = await asyncio.start_server(answer_after_an_hour, hosts, 0)
        else:
            server = await asyncio.start_server(answer_after_an_hour, sock=listening)
        async with server:
            port = next(s.getsockname()[1] for s in server.sockets if listening or s.family == socket.AF_INET)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with passing(100 * 3600), really_within(10):
                for n in range(100):
                    writer.write(f"{n}\n".encode())
                    assert await reader.readline() == f"{n}\n".encode()
            with passing(3599), pytest.raises(TimeoutError):
                async with asyncio.timeout(3599):
                    writer.write(b"too late\n")
                    await reader.readline()
            writer.close()
            await writer.wait_closed()
            # Then the server's end has been closed as well.
            await asyncio.sleep(3600)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
@needs_unix_sockets
async def test_both_ends_of_a_unix_socket_in_this_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The client's end has no name of its own."""
    path = str(tmp_path / "s")
    async with thp.mocked_call_later(), await asyncio.start_unix_server(answer_after_an_hour, path):
        reader, writer = await asyncio.open_unix_connection(path)
        with passing(10 * 3600), really_within(10):
            for _ in range(10):
                writer.write(b"yes\n")
                assert await reader.readline() == b"yes\n"
        writer.close()
        await writer.wait_closed()

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_a_socketpair_in_this_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Two tasks talk to each other, by streams and by the loop's own calls."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=far)
        async with thp.mocked_call_later():

            async def answer() -> None:
                for _ in range(10):
                    received = await loop.sock_recv(near, 100)
                    await asyncio.sleep(3600)
                    await loop.sock_sendall(near, received)

            answering = asyncio.create_task(answer())
            with passing(10 * 3600), really_within(10):
                for _ in range(10):
                    writer.write(b"yes\n")
                    assert await reader.readline() == b"yes\n"
            await answering
        writer.close()
        await writer.wait_closed()

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_datagrams_between_two_sockets_of_this_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Each is answered an hour later."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as near, socket.socket(type=socket.SOCK_DGRAM) as far:
        for end in (near, far):
            end.bind(("127.0.0.1", 0))
            end.setblocking(False)
        async with thp.mocked_call_later():

            async def answer() -> None:
                for _ in range(10):
                    received, address = await loop.sock_recvfrom(far, 100)
                    await asyncio.sleep(3600)
                    await loop.sock_sendto(far, received, address)

            answering = asyncio.create_task(answer())
            with passing(10 * 3600), really_within(10):
                for _ in range(10):
                    await loop.sock_sendto(near, b"yes", far.getsockname())
                    assert await loop.sock_recv(near, 100) == b"yes"
            await answering

    assert logged(caplog) == []


@pytest.mark.proves("C2")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot wait for these")
async def test_files_that_are_no_sockets(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody waits for a pipe into which nobody writes."""
    loop = asyncio.get_running_loop()
    reads, writes = os.pipe()
    arrived = asyncio.Event()
    try:
        loop.add_reader(reads, arrived.set)
        async with thp.mocked_call_later():
            with passing(3600), really_within(10), pytest.raises(TimeoutError):
                async with asyncio.timeout(3600):
                    await arrived.wait()
    finally:
        loop.remove_reader(reads)
        os.close(reads)
        os.close(writes)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="only Linux has these")
async def test_a_socket_to_the_kernel(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody waits for news of network devices, by a socket at whose other end is no server."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as news:
        news.setblocking(False)
        async with thp.mocked_call_later():
            with passing(3600), really_within(10), pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_recv(news, 100), 3600)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_our_own_server_of_an_unknown_kind(caplog: pytest.LogCaptureFixture) -> None:
    """Its addresses cannot be read, as with the sockets of virtual machines; it works, and holds nothing."""

    class Unknown(socket.socket):
        """Accepts connections that say that they are of another family."""

        family = 99  # type: ignore[assignment]

    loop = asyncio.get_running_loop()
    with Unknown() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        async with thp.mocked_call_later():
            with socket.create_connection(listening.getsockname()) as client:
                accepted, _ = await loop.sock_accept(listening)
                with accepted:
                    await loop.sock_sendall(accepted, b"hello")
                    with passing(3600), really_within(10):
                        await asyncio.sleep(3600)
                    assert client.recv(100) == b"hello"

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_a_closed_socket() -> None:
    """To read from one is the error that it is without a block, and then time passes."""
    loop = asyncio.get_running_loop()
    closed = socket.socket()
    closed.setblocking(False)
    closed.close()
    async with thp.mocked_call_later():
        with pytest.raises((OSError, ValueError), match="file descriptor"):
            await loop.sock_recv(closed, 100)
        with passing(3600), really_within(10):
            await asyncio.sleep(3600)


@pytest.mark.proves("C2")
async def test_a_server_that_nobody_asks(caplog: pytest.LogCaptureFixture) -> None:
    """A year passes beside a listening socket."""
    async with thp.mocked_call_later(), await asyncio.start_server(answer_after_an_hour, "127.0.0.1", 0):
        with passing(365 * 86400), really_within(10):
            for _ in range(365):
                await asyncio.sleep(86400)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_a_server_elsewhere_that_has_hung_up(caplog: pytest.LogCaptureFixture) -> None:
    """What is sent to it afterwards will not be answered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        async with thp.mocked_call_later():
            accepted, _ = listening.accept()
            accepted.shutdown(socket.SHUT_WR)
            assert await reader.read() == b""
            writer.write(b"hello?\n")
            with passing(3600), really_within(10):
                await asyncio.sleep(3600)
        accepted.close()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert logged(caplog) == []
