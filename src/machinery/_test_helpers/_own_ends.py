"""Tells whether both ends of a connection are in the same loop, or the other end is a server elsewhere.

PYTEST_DONT_REWRITE
"""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

from machinery._test_helpers._socket_names import Address, Ends, ends_of, ends_of_file


class OwnEnds:
    """The addresses of the sockets of a loop."""

    def __init__(self, files: Callable[[], Iterable[int]]) -> None:
        self._files = files
        """Returns the files that the loop watches."""
        self._ends: dict[int, Ends | None] = {}
        self._accepted: WeakSet[Any] = WeakSet()
        self._served: set[Address | None] = set()
        """The local addresses of accepted connections."""

    def note_registered(self, fd: int) -> None:
        """Note that a file may have reused the number of another."""
        self._ends.pop(fd, None)

    def note_used(self, fd: int, ends: Ends | None) -> None:
        """Note the ends of a file that the loop may not be watching."""
        self._ends[fd] = ends

    def note_accepted(self, socket: Any) -> None:
        """Note that a socket was returned by ``accept``."""
        self._accepted.add(socket)
        ends = ends_of(socket)
        self._served.update(() if ends is None or ends.local is None else (ends.local,))

    def owes_nothing(self, ends: Ends, socket: Any) -> bool:
        """Return whether no answer can be owed on a connection: it was accepted, or both ends are in this loop."""
        return (
            ends.peer is None
            or (socket is not None and socket in self._accepted)
            or ends.local in self._served
            or self.has(ends.peer, is_datagram=ends.is_datagram)
            or any(each.serves(ends.local) for each in self._all())
        )

    def has(self, address: Address, *, is_datagram: bool) -> bool:
        """Return whether a socket of this loop receives what is sent to an address."""
        if not is_datagram and address in self._served:
            return True
        return any(each.is_datagram is is_datagram and each.is_at(address) for each in self._all())

    def _all(self) -> list[Ends]:
        for fd in self._files():
            if fd not in self._ends:
                self._ends[fd] = ends_of_file(fd)
        # Files that the loop watched before count too: a task may just not be waiting for them now.
        return [ends for ends in self._ends.values() if ends is not None]
