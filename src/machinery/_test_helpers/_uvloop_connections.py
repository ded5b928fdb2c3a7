"""What the TCP connections of uvloop have sent and received, as the system tells on Linux: its transports do not."""

import socket
from collections.abc import Awaitable, Callable, Iterable
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM
from struct import unpack_from
from typing import Any

from machinery._test_helpers._connections import Connections
from machinery._test_helpers._socket_names import SOCKET
from machinery._test_helpers._sockets import Connection

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_SENT_AT, _RECEIVED_AT = 200, 128
"""Where `tcpi_bytes_sent` and `tcpi_bytes_received` are in the kernel's `struct tcp_info`."""

_LENGTH = 256

Counts = tuple[int, int]


class UvloopConnections:
    """Compares how much each connection has sent and received with what it had when looked at last.

    If both have changed since then, the answer is taken to have come after the question.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._counts: dict[int, tuple[Connection, Counts]] = {}

    def add(self, files: Iterable[int]) -> None:
        """Look at these files from now on, if they are TCP connections."""
        for fd in files:
            counts = _counts_of(fd)
            if counts is not None:
                self._counts[fd] = self._connections.of_file(fd), counts

    def look(self) -> None:
        """Note what has been sent and received."""
        for fd, (connection, (sent, received)) in list(self._counts.items()):
            counts = _counts_of(fd)
            if counts is None or counts[0] < sent or counts[1] < received:
                # It was closed, and something else may have its number.
                del self._counts[fd]
            elif counts != (sent, received):
                self._counts[fd] = connection, counts
                if counts[1] > received:
                    self._connections.note_spoken(connection)
                else:
                    self._connections.note_asked(connection)

    def connecting(self, connect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a replacement for ``loop.create_connection``."""

        async def create_connection(*args: Any, **kwargs: Any) -> Any:
            transport, protocol = await connect(*args, **kwargs)
            self.add([transport.get_extra_info("socket").fileno()])
            return transport, protocol

        return create_connection


def _counts_of(fd: int) -> Counts | None:
    """Return how many bytes a connection has sent and received; ``None`` if that cannot be told."""
    if _TCP_INFO is None:
        return None
    # With its kind given, nothing is asked of the system to make the object.
    connection = SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP, fd)
    try:
        info = connection.getsockopt(IPPROTO_TCP, _TCP_INFO, _LENGTH)
    except OSError:
        return None
    finally:
        # The file belongs to the loop.
        connection.detach()
    if len(info) < _SENT_AT + 8:
        return None
    return unpack_from("Q", info, _SENT_AT)[0], unpack_from("Q", info, _RECEIVED_AT)[0]
