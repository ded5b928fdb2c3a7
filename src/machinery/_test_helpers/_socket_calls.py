"""Replacements, while a block is open, for the methods of a loop that connect, read and watch sockets.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from sys import _getframe
from typing import Any

from machinery._test_helpers._connections import Connections
from machinery._test_helpers._debts import owed_answer
from machinery._test_helpers._known_tools import only_listens
from machinery._test_helpers._pieces import Pieces
from machinery._test_helpers._socket_names import normal

_RECEIVING = ("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into")
_ADDING = ("add_reader", "add_writer")


def socket_calls(loop: AbstractEventLoop, connections: Connections, pieces: Pieces) -> dict[str, object]:
    """Return replacements for methods of a loop, which note which task waits for which socket.

    On a loop that does not report the events of its sockets, they note these events too.
    """
    calls: dict[str, object] = {"sock_connect": _connecting(loop.sock_connect, connections, pieces)}
    calls |= {name: _receiving(getattr(loop, name), connections) for name in _RECEIVING}
    return calls | {name: _adding(getattr(loop, name), connections) for name in _ADDING}


def _connecting(
    connect: Callable[..., Awaitable[Any]], connections: Connections, pieces: Pieces
) -> Callable[..., Awaitable[Any]]:
    async def sock_connect(sock: Any, address: Any) -> Any:
        key, server = object(), normal(address)
        pieces.begin(key, owed_answer(("connect", server), server))
        try:
            connected = await connect(sock, address)
        finally:
            pieces.end(key)
        connections.note_connected(sock)
        return connected

    return sock_connect


def _receiving(receive: Callable[..., Awaitable[Any]], connections: Connections) -> Callable[..., Awaitable[Any]]:
    async def sock_receive(sock: Any, *args: Any, **kwargs: Any) -> Any:
        connections.note_waiting(sock)
        received = await receive(sock, *args, **kwargs)
        # If there was something to read already, the selector was not polled, so it reports no event.
        connections.note_received(sock)
        return received

    return sock_receive


def _adding(add: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    def add_watcher(fd: Any, callback: Any, *args: Any) -> Any:
        if connections.gets_events:
            added = add(fd, callback, *args)
        else:
            added = add(fd, connections.note_and_call, fd, callback, args)
        if isinstance(fd, int) and only_listens(_getframe(1)):
            connections.note_listening(fd)
        else:
            connections.note_waiting(fd)
        return added

    return add_watcher
