"""Finds out which servers elsewhere owe an answer.

A connection owes one when something was sent on it since it last spoke, or when somebody has begun to wait for it and
it has not spoken at all. Nothing is owed on connections that this loop accepted, and where both ends are in this loop.

PYTEST_DONT_REWRITE
"""

from asyncio import Task, current_task
from collections.abc import Callable, Hashable
from functools import partial
from selectors import EVENT_READ
from ssl import SSLObject
from sys import _getframe
from typing import Any

from machinery._test_helpers._asyncio_internals import task_waiting_for_stream, transport_of
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._pieces import Piece, Pieces, task_reference
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._socket_names import Address, address_text, normal
from machinery._test_helpers._sockets import Connection, Sockets
from machinery._test_helpers._source import location, place_of_caller, task_name, waits_at
from machinery._test_helpers._tls import TlsSessions


class Connections:
    """The sockets of a loop, and the answers that servers elsewhere owe on them."""

    def __init__(self, hook: IdleHook, pieces: Pieces) -> None:
        self.hears = hook.reports_events
        """Whether it is told what the sockets do."""
        self.silent: dict[Connection, bool] = {}
        """Connections made in a block on which nobody has said anything, and whether they are new."""
        self._hook = hook
        self._loop = hook.loop
        self._pieces = pieces
        self._sockets = Sockets(hook.files, self._forget)
        self._tls = TlsSessions()
        self._owing: set[Connection] = set()

    def note_registered(self, fd: int) -> None:
        """Note that the loop begins to watch a file."""
        self._sockets.note_registered(fd)
        connection = self._sockets.known(fd)
        if connection is not None and connection.is_asked and connection.is_same():
            self._owe(connection)

    def note_sent(self, socket: Any, destination: object) -> None:
        """Note that something was sent."""
        connection = self._sockets.of_socket(socket)
        connection.destination = normal(destination)
        connection.tls = self._tls.link(connection) or connection.tls
        if connection.tls is not None:
            if connection.tls.keeps_silent:
                return
            connection.tls.has_written = False
        self.note_asked(connection)

    def note_asked(self, connection: Connection, task: "Task[Any] | None" = None) -> None:
        """Note that an answer is awaited, by a task if that is known and not the current one."""
        connection.is_asked = True
        self.silent.pop(connection, None)
        self._owe(connection, task)

    def note_tls_begun(self, tls: SSLObject, method: str) -> None:
        """Note that a method that speaks TLS is called."""
        self._tls.note_begun(tls, method)

    def note_tls_done(self, tls: SSLObject, method: str, result: object) -> None:
        """Note that such a method has returned."""
        connection = self._tls.note_done(tls, method, result)
        if connection is not None:
            self.note_spoken(connection)

    def note_accepted(self, socket: Any) -> None:
        """Note that a server in this loop has accepted a connection."""
        self._sockets.note_accepted(socket)

    def note_connected(self, socket: Any) -> None:
        """Note that a connection has been made, on which the other end may speak first."""
        connection = self._sockets.of_socket(socket)
        if connection.ends is not None and not connection.ends.is_datagram:
            connection.asker = task_reference(current_task())
            self.silent[connection] = True

    def note_waiting(self, file: Any) -> None:
        """Note that somebody begins to wait for a file.

        What is sent on one that is known by its number only is not seen, so each wait for it is for an answer.
        """
        connection = self._sockets.of_file(file)
        if isinstance(file, int) or connection.is_asked or not connection.has_spoken:
            self._owe(connection)

    def note_listening(self, fd: int) -> None:
        """Note that somebody only listens for what the other end may say."""
        connection = self._sockets.known(fd)
        if connection is not None:
            self._forgive(connection)

    def note_events(self, events: Any) -> None:
        """Note what the selector reports."""
        for key, mask in events:
            connection = self._sockets.known(key.fd)
            if connection is not None:
                if mask & EVENT_READ or not connection.is_asked:
                    if connection.tls is None or not connection.tls.is_open:
                        self.note_spoken(connection)
                else:
                    # There is room to send the rest: the other end is reading.
                    for key in connection.debts:
                        self._pieces.note_progress(key)

    def note_spoken(self, connection: Connection) -> None:
        """Note that a connection has spoken."""
        self.silent.pop(connection, None)
        connection.has_spoken = True
        connection.is_asked = False
        piece = None
        if connection.debts and not self._sockets.owes_nothing(connection):
            # Of datagrams to several destinations, the last is taken to be the one that was answered.
            piece = self._pieces.end(connection.debts.pop())
            if piece is not None:
                connection.asker = piece.task
            connection.is_answering = True
        self._forgive(connection)
        if connection.is_answering:
            # What comes after the clock has moved is no part of an answer that was given before.
            connection.is_answering = piece is not None or not self._pieces.has_moved
        if connection.is_answering:
            self._pieces.note_answer(connection, connection.asker)

    def note_received(self, socket: Any) -> None:
        """Note that a task has received something."""
        self.note_spoken(self._sockets.of_socket(socket))

    def hear(self, file: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Call what somebody has set for a file of a loop that does not report what its sockets do."""
        self.note_spoken(self._sockets.of_file(file))
        callback(*args)

    def of_file(self, fd: int) -> Connection:
        """Return the connection of a file."""
        return self._sockets.of_file(fd)

    def look_around(self) -> None:
        """Forget what is no debt or what nobody waits for any more, and find who waits for a first word."""
        if self._owing:
            watched = self._hook.files()
            for connection in list(self._owing):
                # By now, servers in this loop have begun to listen.
                if connection.fd not in watched or self._sockets.owes_nothing(connection):
                    self._forgive(connection)
        for connection, is_new in list(self.silent.items()):
            task = task_waiting_for_stream(transport_of(self._loop, connection.fd))
            if task is not None or self._sockets.owes_nothing(connection):
                del self.silent[connection]
            if task is not None:
                self._owe(connection, task)
            elif is_new and connection in self.silent:
                self.silent[connection] = False
                connection.is_answering = True
                self._pieces.note_answer(connection, connection.asker)

    def _owe(self, connection: Connection, task: "Task[Any] | None" = None) -> None:
        """Note that an answer is owed from now on, unless that is known already or cannot be."""
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

    def _forget(self, connection: Connection) -> None:
        self.silent.pop(connection, None)
        self._forgive(connection)

    def _forgive(self, connection: Connection) -> None:
        self._owing.discard(connection)
        for key in connection.debts:
            self._pieces.abandon(key)
        connection.debts.clear()


def owed_answer(kind: Hashable, server: Address | None, task: "Task[Any] | None" = None) -> Piece:
    """Return the answer that a server owes to a task, or to the current one."""
    piece = Piece(kind, str, place_of_caller(_getframe(1)), task or current_task())
    piece.what = partial(_describe, piece, server)
    piece.is_debt = True
    return piece


def _describe(piece: Piece, server: Address | None) -> str:
    who = "a server that is being connected to" if server is None else address_text(server)
    owes = f"{who} owes an answer for {monotonic() - piece.began_at:.1f} s"
    task = piece.task()
    if task is not None and not task.done():
        return f"{owes} to {task_name(task)} at {waits_at(task)}"
    return owes if piece.place is None else f"{owes}, asked at {location(piece.place)}"
