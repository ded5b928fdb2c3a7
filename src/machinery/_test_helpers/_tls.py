"""What is sent and received inside TLS: much of the traffic of such a connection is neither a request nor an answer.

A TLS 1.3 server sends session tickets unasked after the handshake, often when the first request is already on its way.

PYTEST_DONT_REWRITE
"""

from ssl import SSLObject
from typing import Any
from weakref import WeakKeyDictionary


class TlsSession:
    """The TLS state of a connection."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.is_open = False
        """Whether the handshake is over, and closing has not begun."""
        self.has_written = False
        """Whether something was written that has not been sent."""

    @property
    def sends_no_request(self) -> bool:
        """Whether what is sent now is TLS's own traffic, not a request."""
        return self.is_open and not self.has_written


class TlsSessions:
    """The sessions of the clients of a loop."""

    def __init__(self) -> None:
        self._sessions: WeakKeyDictionary[SSLObject, TlsSession] = WeakKeyDictionary()
        self._unsent: TlsSession | None = None
        """The session that has just begun, and whose first bytes are to be sent next."""

    def link(self, connection: Any) -> TlsSession | None:
        """Return the session that has just begun, if any: the first connection to send belongs to it."""
        session, self._unsent = self._unsent, None
        if session is not None:
            session.connection = connection
        return session

    def adopt(self, connection: Any, tls: SSLObject | None) -> TlsSession | None:
        """Return a session for a connection that was made before the block and that sends now."""
        if tls is None:
            return None
        session = self._sessions[tls] = TlsSession()
        session.connection = connection
        session.is_open = session.has_written = True
        return session

    def note_begun(self, tls: SSLObject, method: str) -> Any:
        """Note that a method is called; return the connection, if it is known."""
        session = self._sessions.get(tls)
        if session is None:
            if method != "do_handshake" or tls.server_side:
                return None
            session = self._unsent = self._sessions[tls] = TlsSession()
        if method == "write":
            session.has_written = True
        elif method == "unwrap":
            session.is_open = False
        return session.connection

    def of(self, tls: SSLObject | None) -> TlsSession | None:
        """Return the session of a TLS object, unless it began before the block or is that of a server in this loop."""
        return None if tls is None else self._sessions.get(tls)

    def note_done(self, tls: SSLObject, method: str) -> Any:
        """Note that a method has returned; return the connection, if it is known."""
        session = self._sessions.get(tls)
        if session is None:
            return None
        if method == "do_handshake":
            session.is_open = True
        return session.connection
