"""Tracks work in executors and in threads of anyio, and threads that wait for the loop.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Hashable
from contextvars import Context
from functools import partial
from sys import _getframe, modules
from threading import Thread, get_ident
from typing import Any

from machinery._test_helpers._asyncio_internals import keeps_functions_here
from machinery._test_helpers._known_tools import ANYIO, busy_anyio_threads, results_set_by, thread_of_anyio_callback
from machinery._test_helpers._pieces import Piece, Pieces
from machinery._test_helpers._source import place_of_caller
from machinery._test_helpers._time_module import bound_to_clock


class ThreadWork:
    """Tracks the work that a loop has started in threads and executors."""

    def __init__(self, loop: AbstractEventLoop, pieces: Pieces) -> None:
        self._loop = loop
        self._pieces = pieces
        self._run_in_executor: Callable[..., Any] = loop.run_in_executor
        self._call_soon_threadsafe: Callable[..., Any] = loop.call_soon_threadsafe
        self.attributes: dict[str, object] = {
            "run_in_executor": self.run_in_executor,
            "call_soon_threadsafe": self.call_soon_threadsafe,
        }

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Start work in an executor, as the loop does."""
        piece = Piece(("executor", _identity(func)), partial(_call, func), place_of_caller(_getframe(1)))
        run = func
        if keeps_functions_here(self._loop, executor):
            run = bound_to_clock(partial(_run_and_note_thread, piece, func))
        future = self._run_in_executor(executor, run, *args)
        if hasattr(future, "add_done_callback") and not future.done():
            self._pieces.begin(future, piece)
            future.add_done_callback(self._pieces.end)
        return future

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
        """Call a callback from another thread, as the loop does."""
        thread = thread_of_anyio_callback(callback)
        if thread is None:
            # The loop may serve the call before this has returned.
            self._pieces.note_call(get_ident(), results_set_by(callback, args))
        handle = self._call_soon_threadsafe(callback, *args, **kwargs)
        if thread is not None:
            # It has finished one piece of work, and may have got the next one before we check.
            self._pieces.end(thread)
        return handle

    def look_around(self) -> None:
        """Find the busy threads of anyio, which are started without the loop."""
        if ANYIO not in modules:
            return
        threads = busy_anyio_threads(self._loop)
        for key in [key for key in self._pieces.under_way if isinstance(key, Thread) and key not in threads]:
            self._pieces.end(key)
        for thread in threads:
            if thread not in self._pieces.under_way:
                piece = Piece(("thread", thread.ident), partial("work in thread {!r}".format, thread.name), None)
                piece.thread = thread.ident
                self._pieces.begin(thread, piece)


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
