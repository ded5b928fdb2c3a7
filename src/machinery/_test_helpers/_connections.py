"""Finds out which servers elsewhere owe an answer.

Here a connection "speaks" when data comes from its other end. It owes an answer if something was sent on it since it
last spoke, or if a task waits to read from it and it has never spoken. Nothing is owed on connections that this loop
has accepted, or that have both ends in this loop.

PYTEST_DONT_REWRITE
"""

from asyncio import Task, current_task
from collections.abc import Callable
from functools import cached_property, partial
from selectors import EVENT_READ
from ssl import SSLObject
from typing import Any

from machinery._test_helpers._asyncio_internals import is_accepted, protocol_of, task_waiting_for_stream, tls_of
from machinery._test_helpers._debts import Debts
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._pieces import Pieces, task_reference
from machinery._test_helpers._socket_names import normal
from machinery._test_helpers._sockets import Connection, Sockets
from machinery._test_helpers._tls import TlsSessions


class Connections:
    """Tracks what happens on the sockets of a loop, and derives which answers are owed."""

    def __init__(self, hook: IdleHook, pieces: Pieces) -> None:
        self.gets_events = hook.reports_events
        """Whether :meth:`note_events` is called with the events of the sockets."""
        self.silent: dict[Connection, bool] = {}
        """Connections made in a block on which neither end has sent anything, and whether they are new."""
        self._hook = hook
        self._pieces = pieces

    # Most blocks connect to nothing. Made on entering, these would take 5 % of the instructions of an empty block.

    @cached_property
    def sockets(self) -> Sockets:
        """The sockets of the loop."""
        return Sockets(self._hook.files, partial(is_accepted, self._hook.loop), self._forget)

    @cached_property
    def _tls(self) -> TlsSessions:
        return TlsSessions()

    @cached_property
    def _debts(self) -> Debts:
        return Debts(self._hook.files, self._pieces, self.sockets)

    def note_registered(self, fd: int) -> None:
        """Note that the loop starts watching a file."""
        self.sockets.note_registered(fd)
        connection = self.sockets.known(fd)
        if connection is not None and connection.is_asked and connection.is_same():
            self._debts.owe(connection)

    def note_sent(self, socket: Any, destination: object) -> None:
        """Note that something was sent."""
        connection = self.sockets.of_socket(socket)
        connection.destination = normal(destination)
        connection.tls = self._tls.link(connection) or connection.tls
        if connection.tls is None:
            connection.tls = self._tls.adopt(connection, tls_of(protocol_of(self._hook.loop, connection.fd)))
        if connection.tls is not None:
            if connection.tls.sends_no_request:
                return
            connection.tls.has_written = False
        self.note_asked(connection)

    def note_asked(self, connection: Connection, task: "Task[Any] | None" = None) -> None:
        """Note that an answer is awaited, by ``task`` or the current task."""
        connection.is_asked = True
        self.silent.pop(connection, None)
        self._debts.owe(connection, task)

    def note_tls_begun(self, tls: SSLObject, method: str) -> None:
        """Note that a TLS method is called."""
        connection = self._tls.note_begun(tls, method)
        if connection is not None and method == "unwrap" and not self.gets_events:
            self.note_asked(connection)

    def note_tls_done(self, tls: SSLObject, method: str, result: object) -> None:
        """Note that a TLS method has returned."""
        connection = self._tls.note_done(tls, method)
        if connection is not None:
            if method in ("do_handshake", "unwrap") or (method == "read" and result):
                self.note_spoken(connection)
            elif method == "write" and not self.gets_events:
                self.note_asked(connection)

    def note_tls_opened(self, fd: int, tls: SSLObject | None) -> bool:
        """Note which TLS object a connection has, where it is not seen on the socket; return whether that is known."""
        session = self._tls.of(tls)
        if session is None:
            return False
        connection = session.connection = self.sockets.of_file(fd)
        connection.tls = session
        self._debts.forgive(connection)
        return True

    def note_accepted(self, socket: Any) -> None:
        """Note that a server in this loop has accepted a connection."""
        self.sockets.note_accepted(socket)

    def note_connected(self, file: Any) -> None:
        """Note that a connection has been made, by its socket or file number; the other end may speak first."""
        connection = self.sockets.of_file(file)
        if connection.ends is not None and not connection.ends.is_datagram:
            connection.asker = task_reference(current_task())
            self.silent[connection] = True

    def note_waiting(self, file: Any) -> None:
        """Note that a task or a library starts waiting for a file.

        If only its number is known, we do not see what is sent on it, so each wait counts as waiting for an answer.
        """
        connection = self.sockets.of_file(file)
        if (isinstance(file, int) and not connection.is_same()) or connection.is_asked or not connection.has_spoken:
            self._debts.owe(connection)

    def note_listening(self, fd: int) -> None:
        """Note that a file is watched only for notifications, which are no answers."""
        self._debts.forgive(self.sockets.of_file(fd))

    def note_events(self, events: Any) -> None:
        """Note what the selector reports."""
        for key, mask in events:
            connection = self.sockets.known(key.fd)
            if connection is not None:
                if mask & EVENT_READ or not connection.is_asked:
                    if connection.tls is None or not connection.tls.is_open:
                        self.note_spoken(connection)
                else:
                    # There is room to send the rest: the other end is reading.
                    self._debts.note_progress(connection)

    def note_spoken(self, connection: Connection) -> None:
        """Note that the other end of a connection has sent something."""
        self.silent.pop(connection, None)
        connection.has_spoken = True
        connection.is_asked = False
        if not self._debts.settle(connection) and self._pieces.has_moved:
            # What arrives after the clock has moved is not part of the previous answer.
            connection.is_answering = False
        if connection.is_answering:
            self._pieces.note_answer(connection, connection.asker)

    def note_received(self, socket: Any) -> None:
        """Note that a task has received something."""
        self.note_spoken(self.sockets.of_socket(socket))

    def note_and_call(self, file: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Run the callback of a file, and note the event, on a loop that does not report its events."""
        self.note_spoken(self.sockets.of_file(file))
        callback(*args)

    def look_around(self) -> None:
        """Drop debts that no task waits for any more, and find tasks that wait for a server to speak first."""
        self._debts.look_around()
        for connection, is_new in list(self.silent.items()):
            task = task_waiting_for_stream(protocol_of(self._hook.loop, connection.fd))
            if task is not None or self.sockets.owes_nothing(connection):
                del self.silent[connection]
            if task is not None:
                self._debts.owe(connection, task)
            elif is_new and connection in self.silent:
                self.silent[connection] = False
                connection.is_answering = True
                self._pieces.note_answer(connection, connection.asker)

    def _forget(self, connection: Connection) -> None:
        self.silent.pop(connection, None)
        self._debts.forgive(connection)
