"""Work that is really done while time is virtual: in threads, in processes, by the resolver."""

import asyncio
import contextvars
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from machinery._test_helpers._seam import Seam, work_in_anyio
from machinery._test_helpers._where import brief, peek

PATIENCE = 2.0
"""For how many real seconds of rest a piece of work holds the clock."""


_LOOK_UP = ("create_connection", "create_datagram_endpoint", "create_server", "getaddrinfo", "getnameinfo")
"""What looks names up, or may do so even for an address."""


class Work:
    """A piece of work, and how long the loop had rested when it began."""

    def __init__(self, what: object, began: float) -> None:
        self.what = what
        self.began = began


class Child:
    """A process that the loop has started."""

    def __init__(self, transport: asyncio.SubprocessTransport) -> None:
        self.transport = transport

    def ended(self) -> bool:
        """Return whether the loop knows that it has ended."""
        return self.transport.get_returncode() is not None


class RealWork:
    """Counts the real work that a loop has under way, standing in front of the methods of the loop that begin it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seam: Seam) -> None:
        self.under_way: dict[object, Work] = {}
        """What has begun: futures, processes and other things that stand for a piece of work."""
        self._overtaken: dict[object, object] = {}
        """What holds the clock no more, though it is under way."""
        self._loop = loop
        self._seam = seam
        self._run_in_executor: Callable[..., asyncio.Future[Any]] = loop.run_in_executor
        self.layer: dict[str, object] = {
            "run_in_executor": self.run_in_executor,
            "subprocess_exec": self._while_it_runs(loop.subprocess_exec),
            "subprocess_shell": self._while_it_runs(loop.subprocess_shell),
        }
        if not isinstance(loop, asyncio.BaseEventLoop):
            # Asyncio's own loops look names up in an executor, where they are counted; uvloop does so out of sight.
            for name in _LOOK_UP:
                self.layer[name] = self._while_awaited(getattr(loop, name))

    def running(self) -> list[str]:
        """Describe what is under way, whether or not it holds the clock."""
        self._look_around()
        overtaken = [f"{_in_full(what)}, which time has moved past" for what in self._overtaken.values()]
        return [_in_full(work.what) for work in self.under_way.values()] + overtaken

    def holds_for(self) -> float:
        """Return for how many more real seconds of rest the clock is held, 0 or less for no longer."""
        self._look_around()
        if not self.under_way:
            return 0
        return max(work.began for work in self.under_way.values()) + PATIENCE - self._seam.rest

    def overtake(self) -> list[str]:
        """Let what is under way hold the clock no more, and describe it."""
        self._look_around()
        overtaken = {key: work.what for key, work in self.under_way.items()}
        self._overtaken |= overtaken
        self.under_way.clear()
        return [_describe(what) for what in overtaken.values()]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Begin work in an executor, as the loop does."""
        future = self._run_in_executor(executor, func, *args)
        self.under_way[future] = Work(func, self._seam.rest)
        future.add_done_callback(self._end)
        return future

    def _while_awaited(self, begin: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            key = object()
            self.under_way[key] = Work(begin, self._seam.rest)
            try:
                return await begin(*args, **kwargs)
            finally:
                self._end(key)

        return awaited

    def _while_it_runs(self, begin: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        begin_and_count = self._while_awaited(begin)

        async def run(*args: Any, **kwargs: Any) -> Any:
            transport, protocol = await begin_and_count(*args, **kwargs)
            self.under_way[transport] = Work(Child(transport), self._seam.rest)
            return transport, protocol

        return run

    def _look_around(self) -> None:
        """Forget the children that have ended, and see which of anyio's threads are at work, which nobody tells us."""
        threads = set(work_in_anyio(self._loop))
        known = {key: work.what for key, work in self.under_way.items()} | self._overtaken
        for key, what in known.items():
            if (what is key and key not in threads) or (isinstance(what, Child) and what.ended()):
                self._end(key)
        for thread in threads - self._overtaken.keys():
            self.under_way.setdefault(thread, Work(thread, self._seam.rest))

    def _end(self, key: object) -> None:
        self.under_way.pop(key, None)
        self._overtaken.pop(key, None)


def _in_full(what: object) -> str:
    process = what.transport.get_extra_info("subprocess") if isinstance(what, Child) else None
    command = peek(process, "args")
    return _describe(what) if command is None else f"{_describe(what)}, {brief(command)}"


def _describe(what: object) -> str:
    if isinstance(what, functools.partial):
        # asyncio.to_thread hands over Context.run with the function in front of its arguments.
        in_context = isinstance(getattr(what.func, "__self__", None), contextvars.Context)
        return _describe(what.args[0] if in_context else what.func)
    if isinstance(what, threading.Thread):
        return f"work in the thread {what.name!r}"
    if isinstance(what, Child):
        return f"process {what.transport.get_pid()}"
    return f"{getattr(what, '__qualname__', type(what).__qualname__)}()"
