"""Replacements, while a block is open, for the methods of a loop that connect, read and watch sockets.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Awaitable, Callable
from functools import partial
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
    # Partial objects take a third of the instructions of nested functions to make.
    calls: dict[str, object] = {"sock_connect": partial(_connect, connections, pieces, loop.sock_connect)}
    for name in _RECEIVING:
        calls[name] = partial(_receive, connections, getattr(loop, name))
    for name in _ADDING:
        calls[name] = partial(_add, connections, getattr(loop, name))
    return calls


async def _connect(
    connections: Connections, pieces: Pieces, connect: Callable[..., Awaitable[Any]], /, sock: Any, address: Any
) -> Any:
    key, server = object(), normal(address)
    pieces.begin(key, owed_answer(("connect", server), server))
    try:
        connected = await connect(sock, address)
    except CancelledError:
        pieces.abandon(key)
        raise
    finally:
        pieces.end(key)
    connections.note_connected(sock)
    return connected


async def _receive(
    connections: Connections, receive: Callable[..., Awaitable[Any]], /, sock: Any, *args: Any, **kwargs: Any
) -> Any:
    connections.note_waiting(sock)
    received = await receive(sock, *args, **kwargs)
    # If there was something to read already, the selector was not polled, so it reports no event.
    connections.note_received(sock)
    return received


def _add(connections: Connections, add: Callable[..., Any], /, fd: Any, callback: Any, *args: Any) -> Any:
    if connections.gets_events:
        added = add(fd, callback, *args)
    else:
        added = add(fd, connections.note_and_call, fd, callback, args)
    if isinstance(fd, int) and only_listens(_getframe(1)):
        connections.note_listening(fd)
    else:
        connections.note_waiting(fd)
    return added
