"""What tasks, handles, signals and threads do not tell officially."""

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from machinery._test_helpers._where import brief, peek

ANYIO = "anyio._backends._asyncio"
run_handle = asyncio.Handle._run
_TIMER = threading.Timer.run.__code__


def is_watchdog(module: object) -> bool:
    """Tell by its module a callback with which alt-pytest-asyncio ends a test that takes too long, in real time."""
    return isinstance(module, str) and module.startswith("alt_pytest_asyncio.")


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what ended a task, without telling asyncio that somebody has seen it."""
    return getattr(task, "_exception", None) if task.done() else None


def was_noticed(task: asyncio.Task[Any]) -> bool:
    """Return whether somebody has seen what ended a task."""
    return not getattr(task, "_log_traceback", True)


def waited_for(task: asyncio.Task[Any]) -> object:
    """Return the future that a task waits for."""
    return getattr(task, "_fut_waiter", None)


def gathered_by(awaited: object) -> list[object]:
    """Return the tasks and futures that a future of ``asyncio.gather`` waits for."""
    return list(getattr(awaited, "_children", ()))


def timed_by(callback: object) -> asyncio.Task[Any] | None:
    """Return the task that a callback of ``asyncio.timeout`` would end."""
    task = peek(peek(callback, "__self__"), "_task")
    return task if isinstance(task, asyncio.Task) else None


def called_by(handle: asyncio.Handle) -> tuple[object, tuple[object, ...]]:
    """Return the callback of a handle and its arguments."""
    return getattr(handle, "_callback", None), getattr(handle, "_args", None) or ()


def ready(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Return the callbacks that a loop is about to call."""
    return [called_by(handle)[0] for handle in getattr(loop, "_ready", ()) if not handle.cancelled()]


def forget_callers(handle: asyncio.Handle, count: int) -> None:
    """Let a handle made in debug mode name as its origin not the latest callers, but one further out."""
    traceback = getattr(handle, "_source_traceback", None)
    if traceback:
        del traceback[-count:]


def signals_handled(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """Describe the signals that could reach the code under test; asyncio's SIGINT and pytest-timeout's do not count."""
    for number in signal.valid_signals() - {signal.SIGINT}:
        handler = signal.getsignal(number)
        if callable(handler) and getattr(handler, "__module__", None) != "pytest_timeout":
            yield f"a handler of signal {number}"
    for number in getattr(loop, "_signal_handlers", None) or ():
        yield f"a handler of signal {number}"


def work_in_anyio(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Return the worker threads in which ``anyio.to_thread`` is at work for a loop, which knows nothing of them."""
    return [
        thread
        for thread in threading.enumerate()
        if type(thread).__module__ == ANYIO
        and getattr(thread, "loop", None) is loop
        # One that is to stop has been given that as its last piece of work, and never says that it is done.
        and getattr(thread, "stopping", None) is False
        and getattr(getattr(thread, "queue", None), "unfinished_tasks", 0) > 0
    ]


def threads_busy() -> Iterator[str]:
    """Describe the other threads, except those of a pool that wait for work, and those of test tools."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for thread, frame in sys._current_frames().items():
        if thread != threading.get_ident() and not _waits_for_work(frame) and not _of_test_tools(frame):
            yield f"thread {brief(names.get(thread, thread))}"


def _waits_for_work(frame: FrameType) -> bool:
    """Return whether a thread of a pool has no work: at hand or in its queue, for which it has yet to wake."""
    # Not imported here: without a pool, nobody needs it.
    pool_worker = getattr(sys.modules.get("concurrent.futures.thread"), "_worker", None)
    if frame.f_code is not getattr(pool_worker, "__code__", None):
        return False
    queue = frame.f_locals.get("work_queue")
    return frame.f_locals.get("work_item") is None and queue is not None and bool(queue.empty())


def _of_test_tools(frame: FrameType | None) -> bool:
    """Tell the threads in which pytest-timeout waits to strike, and pytest-xdist for its next order."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("execnet."):
            return True
        timer = frame.f_locals.get("self") if frame.f_code is _TIMER else None
        if getattr(getattr(timer, "function", None), "__module__", None) == "pytest_timeout":
            return True
        frame = frame.f_back
    return False
