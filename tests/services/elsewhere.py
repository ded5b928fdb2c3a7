"""Servers in threads of this process, which share no loop with a test, and what the tests of this folder assert."""

from __future__ import annotations

import asyncio
import logging
import socket
import socketserver
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass


@contextmanager
def passing(seconds: float) -> Iterator[None]:
    """Assert that the body takes exactly so many virtual seconds."""
    began = time.time()
    yield
    assert time.time() == began + seconds


@contextmanager
def really_within(seconds: float) -> Iterator[None]:
    """Assert that the body takes no more real seconds than this."""
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < seconds


@dataclass(frozen=True)
class Lines:
    """Where a server answers, as `answer` says, over TCP, datagrams and a Unix socket."""

    tcp: tuple[str, int]
    datagrams: tuple[str, int]
    unix: str
    """Empty on systems without Unix sockets."""
    released: threading.Event
    """Releases the answers to `held ...`."""

    @property
    def name(self) -> str:
        """How a warning names the server over TCP."""
        return f"127.0.0.1:{self.tcp[1]}"


def answer(question: bytes, released: threading.Event) -> Iterator[bytes]:
    """Give the parts of an answer.

    ``0.3 word`` is answered by the word after 0.3 real seconds, ``parts word`` in two parts, ``held word`` when the
    event is set, ``followed word`` by the word and by ``more`` when the event is set, and ``never word`` not at all.
    """
    how, word = question.split()
    if how == b"never":
        return
    if how == b"held":
        released.wait()
    elif how == b"parts":
        yield word[:1]
        word = word[1:]
    elif how == b"followed":
        yield word + b"\n"
        released.wait()
        word = b"more"
    else:
        time.sleep(float(how))
    yield word + b"\n"


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    """Run a server in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Threads(socketserver.ThreadingMixIn):
    daemon_threads = True
    block_on_close = False


class _TCP(_Threads, socketserver.TCPServer):
    pass


class _Datagrams(_Threads, socketserver.UDPServer):
    pass


def handler_of_lines(released: threading.Event) -> type[socketserver.BaseRequestHandler]:
    """Return what answers each line of a connection."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if self.request.family != getattr(socket, "AF_UNIX", None):
                # The second part of an answer would wait for the client's system to acknowledge the first.
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):
                for line in self.rfile:
                    for part in answer(line, released):
                        self.wfile.write(part)

    return Handler


@contextmanager
def answering() -> Iterator[Lines]:
    """Run the server that `answer` describes."""
    released = threading.Event()
    handler = handler_of_lines(released)

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            question, server = self.request
            if reply := b"".join(answer(question, released)):
                server.sendto(reply, self.client_address)

    with ExitStack() as stack:
        stack.callback(released.set)
        tcp, datagrams = _TCP(("127.0.0.1", 0), handler), _Datagrams(("127.0.0.1", 0), Datagram)
        unix = ""
        if hasattr(socket, "AF_UNIX"):
            unix = stack.enter_context(tempfile.TemporaryDirectory(prefix="services-")) + "/lines"
            stack.enter_context(served(_unix_server(unix, handler)))
        stack.enter_context(served(tcp))
        stack.enter_context(served(datagrams))
        yield Lines(tcp.socket.getsockname(), datagrams.socket.getsockname(), unix, released)


def _unix_server(path: str, handler: type[socketserver.BaseRequestHandler]) -> socketserver.BaseServer:
    class Unix(_Threads, socketserver.UnixStreamServer):
        pass

    return Unix(path, handler)


@contextmanager
def answering_by_tls(identity: ssl.SSLContext) -> Iterator[tuple[str, int]]:
    """Run the server that `answer` describes over TLS, and give its address."""

    class TLS(_TCP):
        def get_request(self) -> tuple[socket.socket, object]:
            connection, address = super().get_request()
            # The handshake is left to the thread that reads.
            return identity.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    server = TLS(("127.0.0.1", 0), handler_of_lines(threading.Event()))
    with served(server):
        yield server.socket.getsockname()


@contextmanager
def seen_in_the_log(happened: asyncio.Event) -> Iterator[list[str]]:
    """Set an event as soon as the helpers warn of anything, and give what they said."""
    messages: list[str] = []

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())
            happened.set()

    logger = logging.getLogger("machinery.test_helpers")
    watching = Watching(logging.WARNING)
    logger.addHandler(watching)
    try:
        yield messages
    finally:
        logger.removeHandler(watching)
