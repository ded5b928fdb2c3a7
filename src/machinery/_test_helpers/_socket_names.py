"""The addresses of the two ends of a socket, and how reports show them.

PYTEST_DONT_REWRITE
"""

import socket as _socket
from socket import AF_INET, AF_INET6, SO_ACCEPTCONN, SO_TYPE, SOCK_DGRAM, SOL_SOCKET
from typing import Any, NamedTuple

from machinery._test_helpers._source import brief

SOCKET: type[_socket.socket] = next(each for each in _socket.socket.__mro__ if each.__module__ == _socket.__name__)
"""Python's own class; pytest-socket puts a subclass in its place."""

_UNIX = getattr(_socket, "AF_UNIX", None)
_MAPPED = "::ffff:"
_ANY_HOST = {"0.0.0.0", "::"}
_THIS_HOST = ("127.", "::1")

Address = tuple[str, int] | str | bytes
"""A host and its port, or the path of a Unix socket."""


class Ends(NamedTuple):
    """The two ends of a socket."""

    local: Address | None
    peer: Address | None
    """The other end; ``None`` if there is none, or if it has no address."""
    is_unix: bool
    is_datagram: bool
    is_listening: bool

    @property
    def is_connecting(self) -> bool:
        """Whether it is not connected yet."""
        return self.peer is None and not (self.is_unix or self.is_datagram or self.is_listening)

    def is_at(self, address: Address | None) -> bool:
        """Return whether this socket receives what is sent to an address."""
        if self.local == address or not isinstance(self.local, tuple) or not isinstance(address, tuple):
            return self.local is not None and self.local == address
        (host, port), (wanted, wanted_port) = self.local, address
        return port == wanted_port and host in _ANY_HOST and wanted.startswith(_THIS_HOST)

    def serves(self, address: Address | None) -> bool:
        """Return whether this socket has accepted a connection whose local address is this one."""
        if self.is_listening and isinstance(self.local, tuple) and isinstance(address, tuple):
            # Whatever address of this machine that is, a server on all of them has it.
            return self.local[1] == address[1] and self.local[0] in (address[0], *_ANY_HOST)
        return self.is_listening and self.is_at(address)

    def __str__(self) -> str:
        if self.is_listening:
            return f"a client of {address_text(self.local)}"
        if self.peer is not None:
            return f"the connection to {address_text(self.peer)}"
        return f"what is sent to {address_text(self.local)}" if self.local is not None else "an unnamed socket"


def ends_of(socket: Any) -> Ends | None:
    """Return the ends of a socket; ``None`` if it is not a TCP, UDP or Unix socket."""
    try:
        if socket.family not in (AF_INET, AF_INET6, _UNIX):
            return None
        kind = socket.getsockopt(SOL_SOCKET, SO_TYPE)
        local, peer = normal(socket.getsockname()), _peer(socket)
        is_listening = peer is None and kind != SOCK_DGRAM and bool(socket.getsockopt(SOL_SOCKET, SO_ACCEPTCONN))
    except OSError:
        return None
    return Ends(local, peer, socket.family == _UNIX, kind == SOCK_DGRAM, is_listening)


def ends_of_file(fd: int) -> Ends | None:
    """Return the ends of a file if it is a socket."""
    try:
        socket = SOCKET(fileno=fd)
    except OSError:
        return None
    try:
        return ends_of(socket)
    finally:
        # The file belongs to other code, and must not be closed with our object.
        socket.detach()


def _peer(socket: Any) -> Address | None:
    try:
        return normal(socket.getpeername())
    except OSError:
        return None


def normal(address: Any) -> Address | None:
    """Return an address in a form that is equal for both ends of a connection; ``None`` for an empty one."""
    if isinstance(address, tuple):
        host, port = address[:2]
        host = str(host).partition("%")[0].removeprefix(_MAPPED)
        return "127.0.0.1" if host == "localhost" else host, port
    return address or None


def address_text(address: Any) -> str:
    """Return an address as people write it."""
    if not isinstance(address, tuple):
        return address if isinstance(address, str) else brief(address)
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
