"""Tracks work outside the loop: in executors, threads, child processes, the resolver and servers.

PYTEST_DONT_REWRITE
"""

from asyncio import BaseEventLoop, SubprocessTransport
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from sys import _getframe, modules
from typing import Any, ClassVar

from machinery._test_helpers._connections import Connections
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import ANYIO
from machinery._test_helpers._pieces import Pause, Piece, Pieces
from machinery._test_helpers._socket_calls import SocketCalls
from machinery._test_helpers._socket_hooks import unwatch, watch
from machinery._test_helpers._source import brief, place_of_caller, safe_getattr
from machinery._test_helpers._thread_work import ThreadWork
from machinery._test_helpers._undo import UndoStack
from machinery._test_helpers._uvloop_connections import UvloopConnections

_LOOK_UPS = ("create_connection", "create_datagram_endpoint", "create_server", "getaddrinfo", "getnameinfo")
"""Methods that may resolve names outside of any executor."""


class WorkElsewhere:
    """Tracks the work that a loop has under way elsewhere, and for how long that holds the clock and the dominos."""

    _of_hook: ClassVar[dict[IdleHook, "WorkElsewhere"]] = {}

    def __init__(self, hook: IdleHook) -> None:
        self.thresholds: dict[object, float | None] = {}
        """The ``autojump_threshold`` of each open block of virtual time, the innermost last."""
        self._hook = hook
        self._loop = hook.loop
        self._blocks = 0
        self._pieces = Pieces(hook)
        self._connections = Connections(hook, self._pieces)
        self._children: list[SubprocessTransport] = []
        self._threads = ThreadWork(self._loop, self._pieces)
        self._real_subprocess_exec: Callable[..., Awaitable[Any]] = self._loop.subprocess_exec
        self._real_subprocess_shell: Callable[..., Awaitable[Any]] = self._loop.subprocess_shell
        self._attributes: dict[str, object] = {
            **self._threads.attributes,
            "subprocess_exec": self._subprocess_exec,
            "subprocess_shell": self._subprocess_shell,
            **SocketCalls(self._loop, self._connections, self._pieces).attributes,
        }
        self._counters: UvloopConnections | None = None
        if not isinstance(self._loop, BaseEventLoop):
            # Asyncio's own loops resolve names in an executor, which we track; uvloop does not.
            for name in _LOOK_UPS:
                self._attributes[name] = partial(self._awaited, getattr(self._loop, name))
            self._counters = UvloopConnections(self._connections)
            self._attributes["create_connection"] = self._counters.connecting(
                partial(self._awaited, self._loop.create_connection)
            )
            self._attributes["start_tls"] = self._counters.starting_tls(self._loop.start_tls)

    @classmethod
    def opened(cls, hook: IdleHook, undo: UndoStack) -> "WorkElsewhere":
        """Return the object that the blocks of a loop share, for one more block; ``undo`` is given the clean-up."""
        work = cls._of_hook.get(hook)
        if work is None:
            work = cls(hook)
        undo.append((work._close, ()))
        work._blocks += 1
        cls._of_hook[hook] = work
        if work._blocks == 1:
            work._install()
        return work

    def _install(self) -> None:
        self._hook.patches.add(self._attributes)
        watch(self._loop, self._connections)
        if self._hook.reports_events:
            self._hook.note_events = self._connections.note_events
        elif self._counters is not None:
            self._counters.add(self._hook.files())
            self._hook.before_probe = self._counters.look
        self._hook.work_is_under_way = self._is_under_way
        self._hook.note_registered = self._connections.note_registered

    def _close(self) -> None:
        self._blocks -= 1
        if self._blocks <= 0:
            self._hook.note_events = self._hook.note_registered = self._hook.before_probe = None
            if self._counters is not None:
                self._counters.close()
            self._hook.work_is_under_way = bool
            unwatch(self._loop)
            self._hook.patches.remove(self._attributes)
            self._of_hook.pop(self._hook, None)

    @property
    def may_hold(self) -> bool:
        """Whether :meth:`hold_seconds` has anything to do."""
        pieces = self._pieces
        if pieces.under_way or not pieces.has_moved or self._connections.silent:
            return True
        return ANYIO in modules

    def domino_hold_seconds(self, row: object, idle_seconds: float, pause: Pause) -> float:
        """Return for how many more real seconds no domino may fall; 0 or less means that one falls now."""
        threshold = next(reversed(self.thresholds.values())) if self.thresholds else None
        if threshold is not None and threshold < inf:
            return threshold - idle_seconds
        return self.hold_seconds(row, pause) if self.may_hold else 0

    def hold_seconds(self, mover: object, pause: Pause) -> float:
        """Return for how many more real seconds nothing may move; 0 or less means that the caller moves now.

        :param pause: returns for how long the caller does not move after an answer to a task.
        """
        self._look_around()
        return self._pieces.hold_seconds(mover, pause)

    def _is_under_way(self) -> bool:
        self._look_around()
        return bool(self._pieces.under_way)

    def running(self) -> list[str]:
        """Describe the work under way, whether or not it holds the clock."""
        self._look_around()
        return [
            f"{piece.what()}{', over its limit' if piece.is_over_limit else ''}"
            for piece in self._pieces.under_way.values()
        ]

    async def _awaited(self, begin: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Track a call until it has returned."""
        key, name = object(), getattr(begin, "__qualname__", type(begin).__qualname__)
        self._pieces.begin(key, Piece(("call", name), lambda: f"{name}()", place_of_caller(_getframe(1))))
        try:
            return await begin(*args, **kwargs)
        finally:
            self._pieces.end(key)

    def _subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        return self._run_process(self._real_subprocess_exec, *args, **kwargs)

    def _subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:
        return self._run_process(self._real_subprocess_shell, *args, **kwargs)

    async def _run_process(self, begin: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Track a child process until it has ended."""
        transport, protocol = await self._awaited(begin, *args, **kwargs)
        command = safe_getattr(transport.get_extra_info("subprocess"), "args")
        what = f"process {transport.get_pid()}" + ("" if command is None else f", {brief(command)}")
        self._pieces.begin(transport, Piece(("process", brief(command)), lambda: what, place_of_caller(_getframe(1))))
        self._children.append(transport)
        return transport, protocol

    def _look_around(self) -> None:
        """Check what causes no event: children that have ended, busy threads of anyio, connections with no reader."""
        self._connections.look_around()
        self._threads.look_around()
        for child in self._children[:]:
            if child.get_returncode() is not None:
                self._children.remove(child)
                self._pieces.end(child)
