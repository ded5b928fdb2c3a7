"""Replacements, while a block is open, for the methods of a loop that connect, read and watch sockets.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Awaitable, Callable
from sys import _getframe
from typing import Any

from machinery._test_helpers._connections import Connections
from machinery._test_helpers._debts import owed_answer
from machinery._test_helpers._known_tools import only_listens
from machinery._test_helpers._pieces import Pieces
from machinery._test_helpers._socket_names import normal


class SocketCalls:
    """Replacements for methods of a loop, which note which task waits for which socket.

    On a loop that does not report the events of its sockets, they note these events too.
    """

    # Methods, and not partial objects, since those take 3 % of the instructions of an empty block.

    def __init__(self, loop: AbstractEventLoop, connections: Connections, pieces: Pieces) -> None:
        self._connections = connections
        self._pieces = pieces
        self._sock_connect: Callable[..., Awaitable[Any]] = loop.sock_connect
        self._sock_recv = loop.sock_recv
        self._sock_recv_into = loop.sock_recv_into
        self._sock_recvfrom = loop.sock_recvfrom
        self._sock_recvfrom_into = loop.sock_recvfrom_into
        self._add_reader: Callable[..., Any] = loop.add_reader
        self._add_writer: Callable[..., Any] = loop.add_writer
        self.attributes: dict[str, object] = {
            "sock_connect": self.sock_connect,
            "sock_recv": self.sock_recv,
            "sock_recv_into": self.sock_recv_into,
            "sock_recvfrom": self.sock_recvfrom,
            "sock_recvfrom_into": self.sock_recvfrom_into,
            "add_reader": self.add_reader,
            "add_writer": self.add_writer,
        }

    async def sock_connect(self, sock: Any, address: Any) -> Any:
        """Connect; the server owes an answer until this has returned."""
        key, server = object(), normal(address)
        self._pieces.begin(key, owed_answer(("connect", server), server))
        try:
            connected = await self._sock_connect(sock, address)
        except CancelledError:
            self._pieces.abandon(key)
            raise
        finally:
            self._pieces.end(key)
        self._connections.note_connected(sock)
        return connected

    def sock_recv(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        """Receive."""
        return self._receive(self._sock_recv, sock, *args, **kwargs)

    def sock_recv_into(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        """Receive."""
        return self._receive(self._sock_recv_into, sock, *args, **kwargs)

    def sock_recvfrom(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        """Receive."""
        return self._receive(self._sock_recvfrom, sock, *args, **kwargs)

    def sock_recvfrom_into(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        """Receive."""
        return self._receive(self._sock_recvfrom_into, sock, *args, **kwargs)

    async def _receive(self, receive: Callable[..., Awaitable[Any]], sock: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._connections.note_waiting(sock)
        received = await receive(sock, *args, **kwargs)
        # If there was something to read already, the selector was not polled, so it reports no event.
        self._connections.note_received(sock)
        return received

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        """Watch a file for reading."""
        return self._add(self._add_reader, fd, callback, *args)

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> Any:
        """Watch a file for writing."""
        return self._add(self._add_writer, fd, callback, *args)

    def _add(self, add: Callable[..., Any], fd: Any, callback: Any, *args: Any) -> Any:
        connections = self._connections
        if connections.gets_events:
            added = add(fd, callback, *args)
        else:
            added = add(fd, connections.note_and_call, fd, callback, args)
        if isinstance(fd, int) and only_listens(_getframe(2)):
            connections.note_listening(fd)
        else:
            connections.note_waiting(fd)
        return added
