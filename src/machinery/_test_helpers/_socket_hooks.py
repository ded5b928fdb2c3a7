"""Replaces methods of the socket class while a block is open, to notice what a loop's own thread sends and accepts.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from ssl import SSLObject
from threading import Lock
from typing import Any, Protocol

from machinery._test_helpers._asyncio_internals import running_loop_or_none
from machinery._test_helpers._patches import Patches
from machinery._test_helpers._socket_names import SOCKET


class SocketWatcher(Protocol):
    """Something that is notified of what the sockets of a loop do."""

    def note_sent(self, socket: Any, destination: object) -> None:
        """Note that something was sent on a socket, to a destination if one was given."""
        ...

    def note_accepted(self, socket: Any) -> None:
        """Note that a socket was returned by ``accept``."""
        ...

    def note_tls_begun(self, tls: SSLObject, method: str) -> None:
        """Note that a TLS method is called."""
        ...

    def note_tls_done(self, tls: SSLObject, method: str, result: object) -> None:
        """Note that a TLS method has returned."""
        ...


_watchers: dict[AbstractEventLoop | None, SocketWatcher] = {}
_hooks: dict[str, object] = {}
_tls_hooks: dict[str, object] = {}
_patches = Patches(SOCKET)
_tls_patches = Patches(SSLObject)
_lock = Lock()


def watch(loop: AbstractEventLoop, watcher: SocketWatcher) -> None:
    """Notify a watcher of what happens while its loop is running."""
    with _lock:
        if not _watchers:
            # Other code may have replaced these methods before, so they are looked up each time.
            _hooks.update(_make_hooks())
            _tls_hooks.update({name: _speaking_tls(name, getattr(SSLObject, name)) for name in _TLS_METHODS})
            _patches.add(_hooks)
            _tls_patches.add(_tls_hooks)
        _watchers[loop] = watcher


def unwatch(loop: AbstractEventLoop) -> None:
    """Stop notifying; without watchers the class is as it was."""
    with _lock:
        if _watchers.pop(loop, None) is not None and not _watchers:
            _tls_patches.remove(_tls_hooks)
            _patches.remove(_hooks)


def _make_hooks() -> dict[str, object]:
    # Windows has no sendmsg.
    sends = {name: getattr(SOCKET, name) for name in _DESTINATIONS if hasattr(SOCKET, name)}
    sending = {name: _sending(send, _DESTINATIONS[name]) for name, send in sends.items()}
    return {"accept": _accepting(SOCKET.accept), **sending}


def _sending(send: Callable[..., Any], destination: Callable[[tuple[Any, ...]], object]) -> Callable[..., Any]:
    def send_and_note(self: Any, *args: Any) -> Any:
        sent = send(self, *args)
        watcher = _watchers.get(running_loop_or_none())
        if watcher is not None:
            watcher.note_sent(self, destination(args))
        return sent

    return send_and_note


def _speaking_tls(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call_and_note(self: Any, *args: Any, **kwargs: Any) -> Any:
        watcher = _watchers.get(running_loop_or_none())
        if watcher is None:
            return method(self, *args, **kwargs)
        watcher.note_tls_begun(self, name)
        result = method(self, *args, **kwargs)
        watcher.note_tls_done(self, name, result)
        return result

    return call_and_note


def _accepting(accept: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def accept_and_note(self: Any) -> Any:
        accepted = accept(self)
        watcher = _watchers.get(running_loop_or_none())
        if watcher is not None:
            watcher.note_accepted(accepted[0])
        return accepted

    return accept_and_note


def _none(args: tuple[Any, ...]) -> object:
    return None


def _last(args: tuple[Any, ...]) -> object:
    return args[-1]


def _fourth(args: tuple[Any, ...]) -> object:
    return args[3] if len(args) > 3 else None


_TLS_METHODS = ("do_handshake", "read", "unwrap", "write")
_DESTINATIONS = {"send": _none, "sendall": _none, "sendto": _last, "sendmsg": _fourth}
"""How to find the destination in the arguments of each method that sends."""
