"""Replaces methods of the socket class while a block is open, to notice what a loop's own thread sends and accepts.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from ssl import SSLObject
from threading import Lock
from typing import Any, Protocol

from machinery._test_helpers._asyncio_internals import running_loop_or_none
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
_lock = Lock()


def watch(loop: AbstractEventLoop, watcher: SocketWatcher) -> None:
    """Notify a watcher of what happens while its loop is running."""
    with _lock:
        is_first = not _watchers
        _watchers[loop] = watcher
        if is_first:
            _hooks.install()
            _tls_hooks.install()


def unwatch(loop: AbstractEventLoop) -> None:
    """Stop notifying; without watchers the class is as it was."""
    with _lock:
        if _watchers.pop(loop, None) is not None and not _watchers:
            _tls_hooks.remove()
            _hooks.remove()


class Hooks:
    """Replacements for methods of a class, which are made once.

    They may be removed while only some are installed. As sets of :class:`Patches`, which can also be removed in any
    order, they would take 5 % of the instructions of an empty block.
    """

    def __init__(self, target: type, makers: dict[str, Callable[[Any], object]]) -> None:
        self._target = target
        # Windows has no sendmsg.
        self._makers = {name: make for name, make in makers.items() if hasattr(target, name)}
        self._methods_of: Callable[[type], tuple[object, ...]] = attrgetter(*self._makers)
        self._replaced: tuple[object, ...] = ()
        self._replacements: dict[str, object] = {}
        self._own: dict[str, object] = {}
        """Those of the replaced methods that the class does not inherit."""

    def install(self) -> None:
        """Replace the methods; what replaces them is made anew if other code has changed them."""
        methods = self._methods_of(self._target)
        if methods != self._replaced:
            own = vars(self._target)
            self._own = {name: own[name] for name in self._makers if name in own}
            pairs = zip(self._makers.items(), methods, strict=True)
            self._replacements = {name: make(method) for (name, make), method in pairs}
            self._replaced = methods
        for name, replacement in self._replacements.items():
            setattr(self._target, name, replacement)

    def remove(self) -> None:
        """Put the methods back, except where somebody else has since replaced them again."""
        current, own = vars(self._target).get, self._own
        for name, replacement in self._replacements.items():
            if current(name) is replacement:
                if name in own:
                    setattr(self._target, name, own[name])
                else:
                    delattr(self._target, name)


def _sending(destination: Callable[[tuple[Any, ...]], object], send: Callable[..., Any]) -> Callable[..., Any]:
    """Return a replacement for a method that sends; ``destination`` finds the destination in its arguments."""

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


_hooks = Hooks(
    SOCKET,
    {
        "accept": _accepting,
        "send": partial(_sending, _none),
        "sendall": partial(_sending, _none),
        "sendto": partial(_sending, _last),
        "sendmsg": partial(_sending, _fourth),
    },
)
_tls_hooks = Hooks(
    SSLObject, {name: partial(_speaking_tls, name) for name in ("do_handshake", "read", "unwrap", "write")}
)
