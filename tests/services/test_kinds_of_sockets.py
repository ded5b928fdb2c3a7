"""Sockets that look like others: accepted before the block, named, of the same port, or known by their numbers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from machinery import test_helpers as thp
from tests.reports.reading import logged
from tests.services.elsewhere import Lines, passing, really_within


def own_address() -> str:
    """Return an address of this machine that is not a loopback one; skip the test if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: it is only looked up which way it would go.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


@pytest.mark.proves("C2")
@pytest.mark.parametrize("way", ["server", "closed server", "own address"])
async def test_a_connection_accepted_earlier_owes_nothing(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whether or not its server still listens; the client elsewhere does not answer."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
    host = own_address() if way == "own address" else "127.0.0.1"
    listening = socket.create_server(("0.0.0.0" if way == "own address" else host, 0))
    port = listening.getsockname()[1]
    with socket.socket() as client:
        server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listening)
        client.connect((host, port))
        writer = await accepted
        if way == "closed server":
            server.close()
        async with thp.mocked_call_later():
            with passing(3600), really_within(10):
                writer.write(b"tick")
                await asyncio.sleep(3600)
        writer.close()
        server.close()

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_a_server_of_datagrams_in_this_loop_may_be_named(caplog: pytest.LogCaptureFixture) -> None:
    """`localhost` is 127.0.0.1."""
    loop = asyncio.get_running_loop()
    async with thp.mocked_call_later():
        server, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        client, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        with passing(3600), really_within(10):
            client.sendto(b"x", ("localhost", server.get_extra_info("sockname")[1]))
            await asyncio.sleep(3600)
        server.close()
        client.close()

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_a_socket_of_datagrams_is_not_the_server_of_the_same_port(lines: Lines) -> None:
    """Ports of TCP and of UDP have nothing to do with each other."""
    loop = asyncio.get_running_loop()
    async with thp.mocked_call_later():
        datagrams, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=lines.tcp)
        reader, writer = await asyncio.open_connection(*lines.tcp)
        with passing(0):
            async with asyncio.timeout(1):
                writer.write(b"0.3 hello\n")
                assert await reader.readline() == b"hello\n"
        writer.close()
        datagrams.close()


@pytest.mark.proves("C2")
async def test_a_file_number_of_a_known_socket_is_waited_for_like_the_socket(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Waiting alone holds nothing, once the server has spoken."""
    loop = asyncio.get_running_loop()

    async def readable(fd: int) -> None:
        ready = asyncio.Event()
        loop.add_reader(fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(fd)

    async with thp.mocked_call_later():
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, lines.tcp)
            sock.send(b"0.1 hello\n")
            await readable(sock.fileno())
            assert sock.recv(100) == b"hello\n"
            with passing(5), really_within(10), pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await readable(sock.fileno())

    assert logged(caplog) == []
