"""What the TCP connections of uvloop have sent and received. Linux tells us; the transports of uvloop do not.

PYTEST_DONT_REWRITE
"""

import socket
from asyncio import StreamReaderProtocol, Task
from collections.abc import Awaitable, Callable, Iterable
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM
from struct import unpack_from
from typing import Any
from weakref import ref

from machinery._test_helpers._asyncio_internals import task_waiting_for_stream
from machinery._test_helpers._connections import Connections
from machinery._test_helpers._socket_names import SOCKET
from machinery._test_helpers._sockets import Connection

_TCP_INFO = getattr(socket, "TCP_INFO", -1)
_socket: Any = SOCKET.__base__
"""The C class, which is faster to create."""

_SENT_AT, _RECEIVED_AT = 200, 128
"""Where `tcpi_bytes_sent` and `tcpi_bytes_received` are in the kernel's `struct tcp_info`."""

_LENGTH = _SENT_AT + 8


class UvloopConnections:
    """Compares how much each connection has sent and received with the last check.

    If both have changed, we assume that the answer came after the request.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._watched: dict[int, Watched] = {}

    def add(self, files: Iterable[int]) -> None:
        """Check these files from now on, if they are TCP connections."""
        for fd in files:
            self._drop(fd)
            try:
                watched = Watched(fd, self._connections.sockets.of_file(fd))
            except OSError:
                # It is not a TCP connection.
                continue
            self._watched[fd] = watched

    def close(self) -> None:
        """Stop checking."""
        for fd in list(self._watched):
            self._drop(fd)

    def look(self) -> None:
        """Note what has been sent and received."""
        for fd, watched in list(self._watched.items()):
            sent, received = watched.sent, watched.received
            try:
                watched.update()
            except OSError:
                self._drop(fd)
                continue
            if watched.sent < sent or watched.received < received:
                # It was closed, and another connection has reused its number.
                self._drop(fd)
                continue
            has_spoken = watched.received > received
            if watched.sent > sent or (not has_spoken and watched.is_waited_for_in_silence()):
                self._connections.note_asked(watched.connection, watched.waiting_task())
            if has_spoken:
                self._connections.note_spoken(watched.connection)

    def _drop(self, fd: int) -> None:
        watched = self._watched.pop(fd, None)
        if watched is not None:
            watched.let_go()

    def connecting(self, connect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a replacement for ``loop.create_connection``."""

        async def create_connection(*args: Any, **kwargs: Any) -> Any:
            transport, protocol = await connect(*args, **kwargs)
            sock = transport.get_extra_info("socket")
            if sock is None:
                # The protocol has aborted it already.
                return transport, protocol
            fd = sock.fileno()
            if not self._connections.note_tls_opened(fd, transport.get_extra_info("ssl_object")):
                self.add([fd])
                self._connections.note_connected(fd)
                if fd in self._watched and isinstance(protocol, StreamReaderProtocol):
                    self._watched[fd].protocol = ref(protocol)
            return transport, protocol

        return create_connection

    def starting_tls(self, start: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a replacement for ``loop.start_tls``."""

        async def start_tls(*args: Any, **kwargs: Any) -> Any:
            transport = await start(*args, **kwargs)
            fd = transport.get_extra_info("socket").fileno()
            self._connections.note_tls_opened(fd, transport.get_extra_info("ssl_object"))
            self._drop(fd)
            return transport

        return start_tls


class Watched:
    """A connection, and how much it had sent and received at the last check."""

    def __init__(self, fd: int, connection: Connection) -> None:
        self.connection = connection
        self.protocol: Callable[[], Any] = _unknown
        self.sent = self.received = 0
        self.is_silent = True
        """Whether neither end has sent anything, and no task has waited for it."""
        # With family, type and protocol given, creating the object needs no system call.
        self._socket = _socket(AF_INET, SOCK_STREAM, IPPROTO_TCP, fd)
        try:
            self.update()
        except BaseException:
            self.let_go()
            raise

    def update(self) -> None:
        """Ask the kernel."""
        info = self._socket.getsockopt(IPPROTO_TCP, _TCP_INFO, _LENGTH)
        if len(info) < _LENGTH:
            raise OSError("this kernel does not report the bytes sent")
        (self.received,), (self.sent,) = unpack_from("Q", info, _RECEIVED_AT), unpack_from("Q", info, _SENT_AT)

    def is_waited_for_in_silence(self) -> bool:
        """Return whether a task has just begun to wait for what the other end will say first."""
        was_silent = self.is_silent
        if was_silent:
            self.is_silent = not self.sent and not self.received and self.waiting_task() is None
        return was_silent and not self.is_silent and not self.received

    def waiting_task(self) -> Task[Any] | None:
        """Return the task that waits for its stream, if there is one."""
        return task_waiting_for_stream(self.protocol())

    def let_go(self) -> None:
        """Detach from the file, which belongs to the loop."""
        self._socket.detach()


def _unknown() -> None:
    return None
