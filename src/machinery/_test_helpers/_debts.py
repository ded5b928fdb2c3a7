"""The answers that servers elsewhere owe.

PYTEST_DONT_REWRITE
"""

from asyncio import Task, current_task
from collections.abc import Callable, Collection, Hashable
from functools import partial
from sys import _getframe
from typing import Any

from machinery._test_helpers._pieces import Piece, Pieces
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._socket_names import Address, address_text
from machinery._test_helpers._sockets import Connection, Sockets
from machinery._test_helpers._source import location, place_of_caller, task_name, waits_at


class Debts:
    """The answers that are owed on the connections of a loop."""

    def __init__(self, files: Callable[[], Collection[int]], pieces: Pieces, sockets: Sockets) -> None:
        self._files = files
        self._pieces = pieces
        self._sockets = sockets
        self._owing: set[Connection] = set()

    def owe(self, connection: Connection, task: "Task[Any] | None" = None) -> None:
        """Note that an answer is owed from now on, unless one is owed already or no server elsewhere could answer."""
        server = self._sockets.server_of(connection)
        key: Hashable = connection
        kind: Hashable = connection
        if connection.is_datagram:
            key, kind = (connection, server), ("datagrams", server)
        piece = self._pieces.under_way.get(key)
        if (piece is not None and not piece.is_over_limit) or self._sockets.is_known_to_owe_nothing(connection):
            return
        self._pieces.begin(key, owed_answer(kind, server, task))
        self._owing.add(connection)
        if key in connection.debts:
            connection.debts.remove(key)
        connection.debts.append(key)

    def settle(self, connection: Connection) -> bool:
        """Note that a connection has spoken; return whether it owed an answer."""
        piece = None
        if connection.debts and not self._sockets.owes_nothing(connection):
            # If datagrams went to several destinations, we assume that the last one has answered.
            piece = self._pieces.end(connection.debts.pop())
        self.forgive(connection)
        if piece is None:
            return False
        connection.asker = piece.task
        connection.is_answering = True
        return True

    def note_progress(self, connection: Connection) -> None:
        """Note that the other end is reading what was sent to it."""
        for key in connection.debts:
            self._pieces.note_progress(key)

    def look_around(self) -> None:
        """Drop debts that turned out to be none, and those that no task waits for any more."""
        watched = self._files() if self._owing else ()
        for connection in list(self._owing):
            # By now, servers in this loop have begun to listen.
            if connection.fd not in watched or self._sockets.owes_nothing(connection):
                self.forgive(connection)

    def forgive(self, connection: Connection) -> None:
        """Forget what is owed on a connection."""
        self._owing.discard(connection)
        for key in connection.debts:
            self._pieces.abandon(key)
        connection.debts.clear()


def owed_answer(kind: Hashable, server: Address | None, task: "Task[Any] | None" = None) -> Piece:
    """Return a piece of work for the answer that a server owes to a task, or to the current one."""
    piece = Piece(kind, str, place_of_caller(_getframe(1)), task or current_task())
    piece.what = partial(_describe, piece, server)
    piece.is_debt = True
    return piece


def _describe(piece: Piece, server: Address | None) -> str:
    who = "a server that is being connected to" if server is None else address_text(server)
    owes = f"{who} has owed an answer for {monotonic() - piece.began_at:.1f} s"
    task = piece.task()
    if task is not None and not task.done():
        return f"{owes} to {task_name(task)} at {waits_at(task)}"
    return owes if piece.place is None else f"{owes}, asked at {location(piece.place)}"
