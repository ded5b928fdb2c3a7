"""What tasks, handles, signals and threads do not tell officially."""

import asyncio
import concurrent.futures.thread
import signal
import sys
import threading
from typing import Any

ANYIO = "anyio._backends._asyncio"
run_handle = asyncio.Handle._run
_POOL_WORKER = getattr(getattr(concurrent.futures.thread, "_worker", None), "__code__", None)


def is_watchdog(callback: object) -> bool:
    """Tell the callbacks by which alt-pytest-asyncio ends a test that takes too long: they strike in real time."""
    module = getattr(callback, "__module__", None)
    return isinstance(module, str) and module.startswith("alt_pytest_asyncio.")


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what ended a task, without telling asyncio that somebody has seen it."""
    return getattr(task, "_exception", None) if task.done() else None


def waited_for(task: asyncio.Task[Any]) -> object:
    """Return the future that a task waits for."""
    return getattr(task, "_fut_waiter", None)


def gathered_by(awaited: object) -> list[object]:
    """Return the tasks and futures that a future of ``asyncio.gather`` waits for."""
    return list(getattr(awaited, "_children", ()))


def timed_by(callback: object) -> asyncio.Task[Any] | None:
    """Return the task that a callback of ``asyncio.timeout`` would end."""
    task = getattr(getattr(callback, "__self__", None), "_task", None)
    return task if isinstance(task, asyncio.Task) else None


def called_by(handle: asyncio.Handle) -> tuple[object, tuple[object, ...]]:
    """Return the callback of a handle and its arguments."""
    return getattr(handle, "_callback", None), getattr(handle, "_args", None) or ()


def forget_callers(handle: asyncio.Handle, count: int) -> None:
    """Let a handle made in debug mode name as its origin not the latest callers, but one further out."""
    traceback = getattr(handle, "_source_traceback", None)
    if traceback:
        del traceback[-count:]


def signals_are_handled(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a signal could reach the code under test; asyncio's SIGINT and pytest-timeout's do not count."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals() - {signal.SIGINT}]
    return bool(getattr(loop, "_signal_handlers", None)) or any(
        callable(handler) and getattr(handler, "__module__", None) != "pytest_timeout" for handler in handlers
    )


def work_in_anyio() -> list[object]:
    """Return the worker threads in which ``anyio.to_thread`` is at work: the loop knows nothing of them."""
    workers = (thread for thread in threading.enumerate() if type(thread).__module__ == ANYIO)
    return [thread for thread in workers if getattr(getattr(thread, "queue", None), "unfinished_tasks", 0)]


def threads_are_busy() -> bool:
    """Return whether another thread runs, other than those of a pool that wait for work."""
    return any(
        thread != threading.get_ident() and frame.f_code is not _POOL_WORKER
        for thread, frame in sys._current_frames().items()
    )
