"""Finds out which servers elsewhere owe an answer.

A connection owes one when something was sent on it since it last spoke, or when somebody has begun to wait for it and
it has not spoken at all. Nothing is owed on connections that this loop accepted, and where both ends are in this loop.
"""

from asyncio import Task, current_task
from collections.abc import Callable, Hashable
from functools import partial
from selectors import EVENT_READ
from sys import _getframe
from typing import Any
from weakref import ref

from machinery._test_helpers._asyncio_internals import stream_waiter, task_waiting_for
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._own_ends import OwnEnds
from machinery._test_helpers._pieces import Piece, Pieces
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._socket_names import SOCKET, Address, Ends, address_text, ends_of, ends_of_file, normal
from machinery._test_helpers._source import location, place_of_caller, task_name, waits_at


class Connection:
    """A socket of this loop."""

    def __init__(self, fd: int, ends: Ends | None, socket: Any = None) -> None:
        self.fd = fd
        self.ends = ends
        self.socket: Callable[[], Any] = _nothing if socket is None else ref(socket)
        """Returns the object, if one is known and still there."""
        self.owes_nothing: bool | None = None
        """Whether nobody elsewhere can owe anything on it, once that has been found out."""
        self.is_asked = False
        """Whether something was sent since it last spoke."""
        self.has_spoken = False
        self.is_answering = False
        """Whether it has given an answer of which more may follow."""
        self.asker: Task[Any] | None = None
        """Who has asked for that answer."""
        self.destination: Address | None = None
        """To which the last datagram was sent."""
        self.debts: list[Hashable] = []
        """The keys of the answers that are owed, the latest last."""

    def is_same(self) -> bool:
        """Return whether its file is known to be still the same, and not one that has got its number since."""
        socket = self.socket()
        return socket is not None and socket.fileno() == self.fd


class Connections:
    """The sockets of a loop, and the answers that servers elsewhere owe on them."""

    def __init__(self, hook: IdleHook, pieces: Pieces) -> None:
        self.hears = hook.reports_events
        """Whether it is told what the sockets do."""
        self.silent: set[Connection] = set()
        """Connections made in a block on which nobody has said anything."""
        self._hook = hook
        self._loop = hook.loop
        self._pieces = pieces
        self._own_ends = OwnEnds(hook.files)
        self._destinations: dict[Address | None, bool] = {}
        """Where datagrams were sent, and whether that is in this loop."""
        self._by_fd: dict[int, Connection] = {}
        self._owing: set[Connection] = set()

    def note_registered(self, fd: int) -> None:
        """Note that the loop begins to watch a file."""
        self._own_ends.note_registered(fd)
        connection = self._by_fd.get(fd)
        if connection is not None and connection.is_asked and connection.is_same():
            self._owe(connection)

    def note_sent(self, socket: Any, destination: object) -> None:
        """Note that something was sent."""
        connection = self._of_socket(socket)
        connection.destination = normal(destination)
        self.note_asked(connection)

    def note_asked(self, connection: Connection) -> None:
        """Note that an answer is awaited."""
        connection.is_asked = True
        self.silent.discard(connection)
        self._owe(connection)

    def note_accepted(self, socket: Any) -> None:
        """Note that a server in this loop has accepted a connection."""
        self._own_ends.note_accepted(socket)

    def note_connected(self, socket: Any) -> None:
        """Note that a connection has been made, on which the other end may speak first."""
        connection = self._of_socket(socket)
        if connection.ends is not None and not connection.ends.is_datagram and not self._owes_nothing(connection):
            self.silent.add(connection)
            connection.asker = current_task()
            connection.is_answering = True
            self._pieces.note_answer(connection, connection.asker)

    def note_waiting(self, file: Any) -> None:
        """Note that somebody begins to wait for a file.

        What is sent on one that is known by its number only is not seen, so each wait for it is for an answer.
        """
        connection = self.of_file(file)
        if isinstance(file, int) or connection.is_asked or not connection.has_spoken:
            self._owe(connection)

    def note_listening(self, fd: int) -> None:
        """Note that somebody only listens for what the other end may say."""
        connection = self._by_fd.get(fd)
        if connection is not None:
            self._forgive(connection)

    def note_events(self, events: Any) -> None:
        """Note what the selector reports."""
        for key, mask in events:
            connection = self._by_fd.get(key.fd)
            if connection is not None:
                if mask & EVENT_READ or not connection.is_asked:
                    self.note_spoken(connection)
                else:
                    # There is room to send the rest: the other end is reading.
                    for debt in connection.debts:
                        self._pieces.note_progress(debt)

    def note_spoken(self, connection: Connection) -> None:
        """Note that a connection has spoken."""
        self.silent.discard(connection)
        connection.has_spoken = True
        connection.is_asked = False
        if self._owes_nothing(connection):
            self._forgive(connection)
        elif connection.debts:
            # Of datagrams to several destinations, the last is taken to be the one that was answered.
            piece = self._pieces.end(connection.debts.pop())
            self._forgive(connection)
            connection.asker = None if piece is None else piece.task
            connection.is_answering = True
            self._pieces.note_answer(connection, connection.asker)
        elif connection.is_answering:
            connection.is_answering = not self._pieces.has_moved
            if connection.is_answering:
                self._pieces.note_answer(connection, connection.asker)

    def note_received(self, socket: Any) -> None:
        """Note that a task has received something."""
        self.note_spoken(self._of_socket(socket))

    def hear(self, file: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Call what somebody has set for a file of a loop that does not report what its sockets do."""
        self.note_spoken(self.of_file(file))
        callback(*args)

    def look_around(self) -> None:
        """Forget what is no debt or what nobody waits for any more, and find who waits for a first word."""
        if self._owing:
            watched = self._hook.files()
            for connection in list(self._owing):
                # By now, servers in this loop have begun to listen.
                if connection.fd not in watched or self._owes_nothing(connection):
                    self._forgive(connection)
        for connection in list(self.silent):
            waiter = stream_waiter(self._loop, connection.fd)
            if waiter is not None:
                self.silent.discard(connection)
                self._owe(connection, task_waiting_for(self._loop, waiter))

    def of_file(self, file: Any) -> Connection:
        """Return the connection of a socket or of the number of a file."""
        if isinstance(file, SOCKET):
            return self._of_socket(file)
        fd = file if isinstance(file, int) else file.fileno()
        connection = self._by_fd.get(fd)
        return connection if connection is not None and connection.is_same() else self._found(fd, ends_of_file(fd))

    def _of_socket(self, socket: Any) -> Connection:
        fd = socket.fileno()
        connection = self._by_fd.get(fd)
        if connection is None or connection.socket() is not socket:
            connection = self._found(fd, ends_of(socket), socket)
        elif connection.ends is not None and connection.ends.is_connecting:
            connection.ends = ends_of(socket)
        return connection

    def _found(self, fd: int, ends: Ends | None, socket: Any = None) -> Connection:
        """Return the connection of a file, which may be another than before."""
        self._own_ends.note_used(fd, ends)
        connection = self._by_fd.get(fd)
        if connection is None or connection.ends is None or connection.ends != ends:
            if connection is not None:
                self.silent.discard(connection)
                self._forgive(connection)
            connection = self._by_fd[fd] = Connection(fd, ends, socket)
        elif socket is not None:
            connection.socket = ref(socket)
        return connection

    def _owe(self, connection: Connection, task: "Task[Any] | None" = None) -> None:
        """Note that an answer is owed from now on, unless that is known already or cannot be."""
        ends = connection.ends
        key: Hashable = connection
        kind: Hashable = connection
        address = None if ends is None else ends.peer
        if ends is not None and ends.is_datagram:
            address = connection.destination or address
            key, kind = (connection, address), ("datagrams", address)
        piece = self._pieces.under_way.get(key)
        if (
            (piece is not None and not piece.is_over_limit)
            or connection.owes_nothing
            or self._destinations.get(address)
        ):
            return
        self._pieces.begin(key, debt(kind, address, task))
        self._owing.add(connection)
        if key in connection.debts:
            connection.debts.remove(key)
        connection.debts.append(key)

    def _owes_nothing(self, connection: Connection) -> bool:
        """Return whether nobody elsewhere could answer."""
        ends = connection.ends
        if ends is None:
            return True
        if ends.is_datagram:
            address = connection.destination or ends.peer
            if address is not None and address not in self._destinations:
                self._destinations[address] = self._own_ends.has(address)
            return address is None or self._destinations[address]
        if connection.owes_nothing is None and not ends.is_connecting:
            connection.owes_nothing = self._own_ends.owes_nothing(ends, connection.socket())
        return bool(connection.owes_nothing)

    def _forgive(self, connection: Connection) -> None:
        self._owing.discard(connection)
        for debt in connection.debts:
            self._pieces.abandon(debt)
        connection.debts.clear()


def debt(kind: Hashable, server: Address | None, task: "Task[Any] | None" = None) -> Piece:
    """Return the answer that a server owes to a task, or to the current one."""
    piece = Piece(kind, str, place_of_caller(_getframe(1)), task or current_task())
    piece.what = partial(_describe, piece, server)
    piece.is_debt = True
    return piece


def _describe(piece: Piece, server: Address | None) -> str:
    who = "a server that is being connected to" if server is None else address_text(server)
    owes = f"{who} owes an answer for {monotonic() - piece.began_at:.1f} s"
    if piece.task is not None and not piece.task.done():
        return f"{owes} to {task_name(piece.task)} at {waits_at(piece.task)}"
    return owes if piece.place is None else f"{owes}, asked at {location(piece.place)}"


def _nothing() -> Any:
    return None
