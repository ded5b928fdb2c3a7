"""Work elsewhere: in executors, threads, child processes and the resolver. While it is under way, nothing moves."""

from asyncio import BaseEventLoop, SubprocessTransport
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from functools import partial
from logging import getLogger
from math import inf
from sys import _getframe, modules
from threading import Thread, get_ident
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from machinery._test_helpers._asyncio_internals import keeps_functions_here
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._known_tools import (
    ANYIO,
    busy_anyio_threads,
    thread_of_anyio_callback,
    waits_for_a_loop,
)
from machinery._test_helpers._report import MAX_LISTED
from machinery._test_helpers._source import Place, brief, location, place_of_caller, safe_getattr
from machinery._test_helpers._time_module import bound_to_clock

logger = getLogger("machinery.test_helpers")

HOLD_LIMIT = 2.0
"""For how many real seconds of idleness a piece of work holds the clock and the dominos, counted from its beginning."""

REPEATED_LIMIT = 0.1
"""The same for work of a kind that has exceeded that limit before; half of it each time that happens again."""

SECOND_CHANCES = 10
SECOND_CHANCE = 0.05
"""For how many real seconds, in each of the next moves, work that exceeded its limit holds again."""

STANDSTILL_LIMIT = 10.0
"""For how many real seconds of idleness anything may hold the clock at one instant."""

_POLL = 0.005

_LOOK_UPS = ("create_connection", "create_datagram_endpoint", "create_server", "getaddrinfo", "getnameinfo")
"""Methods that may resolve names outside of any executor."""


class Piece:
    """A piece of work under way."""

    __slots__ = ("began", "chances", "is_over_limit", "kind", "limit", "place", "thread", "what")

    def __init__(self, kind: Hashable, what: Callable[[], str], place: Place | None) -> None:
        self.kind = kind
        """New work of the kind of what has exceeded its limit gets less time."""
        self.what = what
        """Returns its description."""
        self.place = place
        """The user's line that began it."""
        self.began = 0.0
        """For how long the loop had been idle in all by then."""
        self.limit = HOLD_LIMIT
        self.is_over_limit = False
        self.chances = SECOND_CHANCES
        self.thread: int | None = None
        """The thread that does it, once that is known."""


class WorkElsewhere:
    """The pieces of work that a loop has under way elsewhere, and for how long they hold what moves on that loop."""

    _of_hook: ClassVar[WeakKeyDictionary[IdleHook, "WorkElsewhere"]] = WeakKeyDictionary()

    def __init__(self, hook: IdleHook) -> None:
        self.under_way: dict[Hashable, Piece] = {}
        """By what stands for the piece: a future, a transport, a thread, a connection."""
        self.thresholds: dict[object, float | None] = {}
        """The ``autojump_threshold`` of each open block of virtual time, the innermost last."""
        self._hook = hook
        self._loop = hook.loop
        self._blocks = 0
        self._limits: dict[Hashable, float] = {}
        self._warned: set[Hashable] = set()
        self._held_since: float | None = None
        """Since when nothing moves because of work, counted as the idle time in all by then."""
        self._asked_at: float | None = None
        self._begun_since_move: dict[Place, int] = {}
        self._ignored: set[Place] = set()
        self._calling_threads: set[int] = set()
        self._children: list[SubprocessTransport] = []
        self._run_in_executor: Callable[..., Any] = self._loop.run_in_executor
        self._call_soon_threadsafe: Callable[..., Any] = self._loop.call_soon_threadsafe
        self._attributes: dict[str, object] = {
            "run_in_executor": self.run_in_executor,
            "call_soon_threadsafe": self.call_soon_threadsafe,
            "subprocess_exec": self._while_it_runs(self._loop.subprocess_exec),
            "subprocess_shell": self._while_it_runs(self._loop.subprocess_shell),
        }
        if not isinstance(self._loop, BaseEventLoop):
            # Asyncio's own loops resolve names in an executor, where that is counted; uvloop does it out of sight.
            for name in _LOOK_UPS:
                self._attributes[name] = self._while_awaited(getattr(self._loop, name))

    @classmethod
    def opened(cls, hook: IdleHook, undo: Callable[..., object]) -> "WorkElsewhere":
        """Return what is shared by the blocks of a loop, for one more block; ``undo`` is given what ends that."""
        work = cls._of_hook.get(hook)
        if work is None:
            work = cls(hook)
        undo(work._close)
        work._blocks += 1
        cls._of_hook[hook] = work
        if work._blocks == 1:
            hook.patches.add(work._attributes)
        return work

    def _close(self) -> None:
        self._blocks -= 1
        if self._blocks <= 0:
            self._hook.patches.remove(self._attributes)
            self._of_hook.pop(self._hook, None)

    @property
    def may_hold(self) -> bool:
        """Whether :meth:`wait` has anything to do."""
        # Once work has held something, the move that follows has to be noted too.
        return bool(self.under_way) or self._held_since is not None or ANYIO in modules

    def wait_for_dominos(self, row: object, idle_seconds: float) -> float:
        """Return for how many more real seconds no domino may fall; 0 or less means that one falls now."""
        threshold = next(reversed(self.thresholds.values())) if self.thresholds else None
        if threshold is not None and threshold < inf:
            return threshold - idle_seconds
        return self.wait(row) if self.may_hold else 0

    def wait(self, mover: object) -> float:
        """Return for how many more real seconds nothing may move; 0 or less means that the caller moves now."""
        self._look_around()
        now = self._hook.total_idle_seconds
        holding = [piece for piece in list(self.under_way.values()) if not self._is_free(piece)]
        wait = max((piece.began + piece.limit - now for piece in holding if not piece.is_over_limit), default=0.0)
        if wait > 0:
            if self._held_since is None:
                self._held_since = now
            wait = min(wait, self._held_since + STANDSTILL_LIMIT - now)
            if wait > 0:
                # Nobody tells when a thread that has called into this loop begins to wait for it.
                may_begin = any(piece.thread in self._calling_threads for piece in holding)
                return min(wait, _POLL) if may_begin else wait
            holding = self._ignore_what_keeps_beginning(holding)
        if self._hook.has_events():
            # What a thread has brought since the loop looked comes first.
            return _POLL
        self._note_over_limit(mover, [piece for piece in holding if not piece.is_over_limit])
        wait = self._second_chance([piece for piece in holding if piece.chances > 0], now)
        if wait <= 0:
            self._held_since = self._asked_at = None
            self._begun_since_move.clear()
        return wait

    def running(self) -> list[str]:
        """Describe what is under way, whether or not it holds."""
        self._look_around()
        return [
            f"{piece.what()}{', over its limit' if piece.is_over_limit else ''}" for piece in self.under_way.values()
        ]

    def begin(self, key: Hashable, piece: Piece) -> None:
        """Note that a piece of work has begun."""
        piece.began = self._hook.total_idle_seconds
        piece.limit = self._limits.get(piece.kind, HOLD_LIMIT)
        self.under_way[key] = piece
        if piece.place is not None:
            self._begun_since_move[piece.place] = self._begun_since_move.get(piece.place, 0) + 1

    def end(self, key: Hashable) -> None:
        """Note that a piece of work has ended."""
        piece = self.under_way.pop(key, None)
        if piece is not None:
            if piece.thread is not None:
                self._calling_threads.discard(piece.thread)
            if not piece.is_over_limit:
                self._limits.pop(piece.kind, None)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Begin work in an executor, as the loop does."""
        piece = Piece(("executor", _identity(func)), partial(_call, func), place_of_caller(_getframe(1)))
        run = func
        if keeps_functions_here(self._loop, executor):
            run = bound_to_clock(partial(_run_and_note_thread, piece, func))
        future = self._run_in_executor(executor, run, *args)
        if hasattr(future, "add_done_callback") and not future.done():
            self.begin(future, piece)
            future.add_done_callback(self.end)
        return future

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
        """Call a callback from another thread, as the loop does."""
        handle = self._call_soon_threadsafe(callback, *args, **kwargs)
        thread = thread_of_anyio_callback(callback)
        if thread is not None:
            # It has finished one piece of work, and may have got the next by the time somebody looks.
            self.end(thread)
        else:
            self._calling_threads.add(get_ident())
        return handle

    def _is_free(self, piece: Piece) -> bool:
        """Return whether a piece holds nothing: begun where too much was, or its thread waits for this loop."""
        if piece.place is not None and piece.place in self._ignored:
            return True
        return piece.thread in self._calling_threads and waits_for_a_loop(piece.thread)

    def _second_chance(self, pieces: list[Piece], now: float) -> float:
        if not pieces:
            return 0
        if self._asked_at is None:
            self._asked_at = now
        wait = self._asked_at + SECOND_CHANCE - now
        if wait <= 0:
            for piece in pieces:
                piece.chances -= 1
        return wait

    def _note_over_limit(self, mover: object, pieces: list[Piece]) -> None:
        new = [piece for piece in pieces if piece.kind not in self._warned]
        self._warned.update(piece.kind for piece in new)
        for piece in pieces:
            piece.is_over_limit = True
            limit = self._limits.get(piece.kind)
            self._limits[piece.kind] = REPEATED_LIMIT if limit is None else limit / 2
        if new:
            logger.warning(
                "%s goes on without waiting for %s, under way for %s real seconds"
                " (autojump_threshold sets how long to wait)",
                repr(mover),
                ", ".join(piece.what() + _begun_at(piece.place) for piece in new[:MAX_LISTED]),
                HOLD_LIMIT,
            )

    def _ignore_what_keeps_beginning(self, holding: list[Piece]) -> list[Piece]:
        most = max(self._begun_since_move.values(), default=0)
        places = [place for place, count in self._begun_since_move.items() if count > 1 or most == 1]
        self._ignored.update(places)
        logger.warning(
            "nothing has moved for %s real seconds, since work keeps beginning at %s: work that begins there is not"
            " waited for any more",
            STANDSTILL_LIMIT,
            ", ".join(location(place) for place in places[:MAX_LISTED]) or "an unknown place",
        )
        return [piece for piece in holding if not self._is_free(piece)]

    def _while_awaited(self, begin: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        name = getattr(begin, "__qualname__", type(begin).__qualname__)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            key = object()
            self.begin(key, Piece(("call", name), lambda: f"{name}()", place_of_caller(_getframe(1))))
            try:
                return await begin(*args, **kwargs)
            finally:
                self.end(key)

        return awaited

    def _while_it_runs(self, begin: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        begin_and_count = self._while_awaited(begin)

        async def run(*args: Any, **kwargs: Any) -> Any:
            transport, protocol = await begin_and_count(*args, **kwargs)
            command = safe_getattr(transport.get_extra_info("subprocess"), "args")
            what = f"process {transport.get_pid()}" + ("" if command is None else f", {brief(command)}")
            self.begin(transport, Piece(("process", brief(command)), lambda: what, place_of_caller(_getframe(1))))
            self._children.append(transport)
            return transport, protocol

        return run

    def _look_around(self) -> None:
        """Forget the children that have ended, and find anyio's busy threads, of which nobody tells."""
        for child in self._children[:]:
            if child.get_returncode() is not None:
                self._children.remove(child)
                self.end(child)
        if ANYIO in modules:
            threads = busy_anyio_threads(self._loop)
            for key in [key for key in self.under_way if isinstance(key, Thread) and key not in threads]:
                self.end(key)
            for thread in threads:
                if thread not in self.under_way:
                    piece = Piece(("thread", thread.ident), partial("work in thread {!r}".format, thread.name), None)
                    piece.thread = thread.ident
                    self.begin(thread, piece)


def _run_and_note_thread(piece: Piece, func: Callable[..., Any], *args: Any) -> Any:
    piece.thread = get_ident()
    return func(*args)


def _unwrapped(func: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(func, partial):
        # asyncio.to_thread passes Context.run, with the function as its first argument.
        in_context = isinstance(getattr(func.func, "__self__", None), Context)
        func = func.args[0] if in_context and func.args else func.func
    return func


def _identity(func: Callable[..., Any]) -> Hashable:
    func = _unwrapped(func)
    return getattr(func, "__code__", None) or _call(func)


def _call(func: Callable[..., Any]) -> str:
    func = _unwrapped(func)
    return f"{getattr(func, '__qualname__', type(func).__qualname__)}()"


def _begun_at(place: Place | None) -> str:
    return "" if place is None else f", begun at {location(place)}"
