"""The sockets of a loop, and on which of them no server elsewhere can owe an answer.

PYTEST_DONT_REWRITE
"""

from collections.abc import Callable, Collection, Hashable
from typing import Any
from weakref import ref

from machinery._test_helpers._own_ends import OwnEnds
from machinery._test_helpers._pieces import TaskReference
from machinery._test_helpers._socket_names import SOCKET, Address, Ends, ends_of, ends_of_file
from machinery._test_helpers._tls import TlsSession


class Connection:
    """A socket of this loop."""

    def __init__(self, fd: int, ends: Ends | None, socket: Any = None) -> None:
        self.fd = fd
        self.ends = ends
        self.socket: Callable[[], Any] = _nothing if socket is None else ref(socket)
        """Returns the socket object, if it is known and still exists."""
        self.owes_nothing: bool | None = None
        """Whether no server elsewhere can owe an answer on it; ``None`` until that is known."""
        self.tls: TlsSession | None = None
        self.is_asked = False
        """Whether something was sent on it since it last spoke."""
        self.has_spoken = False
        self.is_answering = False
        """Whether it has sent an answer that more may belong to."""
        self.asker: TaskReference = _nothing
        """Returns the task that has asked for that answer."""
        self.destination: Address | None = None
        """Where the last datagram was sent."""
        self.debts: list[Hashable] = []
        """The keys of the answers that are owed, the latest last."""

    @property
    def is_datagram(self) -> bool:
        """Whether it is a datagram socket."""
        return self.ends is not None and self.ends.is_datagram

    def is_same(self) -> bool:
        """Return whether its file number certainly still belongs to the same socket."""
        socket = self.socket()
        return socket is not None and socket.fileno() == self.fd


class Sockets:
    """The sockets of a loop that have been used in a block."""

    def __init__(
        self,
        files: Callable[[], Collection[int]],
        is_accepted: Callable[[int], bool],
        forget: Callable[[Connection], object],
    ) -> None:
        self._own_ends = OwnEnds(files)
        self._is_accepted = is_accepted
        """Returns whether a file is a connection that a server of the loop has accepted, also before the block."""
        self._forget = forget
        """Called with connections that no longer exist."""
        self._destinations: dict[Address | None, bool] = {}
        """The addresses that datagrams were sent to, and whether each belongs to this loop."""
        self._by_fd: dict[int, Connection] = {}

    def note_registered(self, fd: int) -> None:
        """Note that the loop starts watching a file, which may have reused the number of another."""
        self._own_ends.note_registered(fd)

    def note_accepted(self, socket: Any) -> None:
        """Note that a server in this loop has accepted a connection."""
        self._own_ends.note_accepted(socket)

    def known(self, fd: int) -> Connection | None:
        """Return the connection that last had this file number."""
        return self._by_fd.get(fd)

    def of_file(self, file: Any) -> Connection:
        """Return the connection of a socket or of a file number."""
        if isinstance(file, SOCKET):
            return self.of_socket(file)
        fd = file if isinstance(file, int) else file.fileno()
        connection = self._by_fd.get(fd)
        return connection if connection is not None and connection.is_same() else self._found(fd, ends_of_file(fd))

    def of_socket(self, socket: Any) -> Connection:
        """Return the connection of a socket."""
        fd = socket.fileno()
        connection = self._by_fd.get(fd)
        if connection is None or connection.socket() is not socket:
            connection = self._found(fd, ends_of(socket), socket)
        elif connection.ends is not None and connection.ends.is_connecting:
            connection.ends = ends_of(socket)
        return connection

    def _found(self, fd: int, ends: Ends | None, socket: Any = None) -> Connection:
        """Return the connection of a file, a new one if its number was reused."""
        self._own_ends.note_used(fd, ends)
        connection = self._by_fd.get(fd)
        if connection is None or connection.ends is None or connection.ends != ends:
            if connection is not None:
                self._forget(connection)
            connection = self._by_fd[fd] = Connection(fd, ends, socket)
        elif socket is not None:
            connection.socket = ref(socket)
        return connection

    def server_of(self, connection: Connection) -> Address | None:
        """Return the address of the server that would answer."""
        ends = connection.ends
        return None if ends is None else connection.destination or ends.peer

    def is_known_to_owe_nothing(self, connection: Connection) -> bool:
        """Return whether it is already known that no server elsewhere could answer."""
        # A closed socket has no file number; a selector cannot even be asked for it.
        return connection.fd < 0 or bool(connection.owes_nothing or self._destinations.get(connection.destination))

    def owes_nothing(self, connection: Connection) -> bool:
        """Return whether no server elsewhere could answer; called once servers in this loop have begun to listen."""
        ends, server = connection.ends, self.server_of(connection)
        if ends is None or (ends.is_datagram and server is None):
            return True
        destination = connection.destination
        if destination is not None:
            if destination not in self._destinations:
                self._destinations[destination] = self._own_ends.has(destination, is_datagram=True)
            return self._destinations[destination]
        if connection.owes_nothing is None and not ends.is_connecting:
            is_own = self._own_ends.owes_nothing(ends, connection.socket())
            connection.owes_nothing = is_own or self._is_accepted(connection.fd)
        return bool(connection.owes_nothing)


def _nothing() -> Any:
    return None
