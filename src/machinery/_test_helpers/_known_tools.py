"""What this package knows of other packages.

They are anyio, asgiref, alt-pytest-asyncio, execnet, psycopg, pytest and two of its plugins, and unittest.
Where one of them changes, only what is said of it here gets lost: its work is not seen, or a report says too much.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import as_completed, wait
from functools import partial
from gc import get_referents
from sys import _current_frames, modules
from threading import Thread, Timer
from threading import enumerate as all_threads
from types import FrameType, FunctionType, MethodType
from typing import Any

ANYIO = "anyio._backends._asyncio"
"""The module that has to be loaded for there to be threads of anyio."""

_PACKAGE = f"{__name__.rpartition('.')[0]}."
_ASGIREF = {"asgiref.current_thread_executor", "asgiref.sync"}
_FRAMES_OF_A_WAIT = 5
_WAITS = frozenset(each.__code__ for each in (ThreadFuture.result, ThreadFuture.exception, as_completed, wait))


def is_watchdog(module: object) -> bool:
    """Return whether a callback, by its module, is the timer by which alt-pytest-asyncio ends a test."""
    return isinstance(module, str) and module.startswith("alt_pytest_asyncio.")


def is_timeout_signal(handler: object) -> bool:
    """Return whether a signal handler is the one by which pytest-timeout ends a test."""
    return getattr(handler, "__module__", None) == "pytest_timeout"


def is_skip(error: BaseException) -> bool:
    """Return whether an exception skips a test: a note would be shown as part of the reason."""
    kinds = (
        getattr(modules.get("_pytest.outcomes"), "Skipped", None),
        getattr(modules.get("unittest.case"), "SkipTest", None),
    )
    return any(isinstance(kind, type) and isinstance(error, kind) for kind in kinds)


def busy_anyio_threads(loop: AbstractEventLoop) -> list[Thread]:
    """Return the worker threads in which ``anyio.to_thread`` runs something for a loop, which does not know of them."""
    return [
        thread
        for thread in all_threads()
        if type(thread).__module__ == ANYIO
        and getattr(thread, "loop", None) is loop
        # One that is to stop gets that as its last piece of work, and never marks it as done.
        and getattr(thread, "stopping", None) is False
        and getattr(getattr(thread, "queue", None), "unfinished_tasks", 0) > 0
    ]


def serves_another_task(main: Any) -> bool:
    """Return whether a coroutine only hands a test or a fixture to the task in which anyio's plugin runs them all."""
    frame = getattr(main, "cr_frame", None)
    return frame is not None and frame.f_globals["__name__"] == ANYIO and main.__qualname__.startswith("TestRunner.")


def only_runs_tests(frames: Sequence[FrameType]) -> bool:
    """Return whether a task, by its frames, is anyio's plugin or alt-pytest-asyncio waiting for that of a test."""
    names = [str(frame.f_globals.get("__name__")) for frame in frames]
    is_runner = bool(frames) and frames[0].f_code.co_qualname.startswith(("TestRunner.", "Converter."))
    return is_runner and all(name == ANYIO or name.startswith(("alt_pytest_asyncio.", _PACKAGE)) for name in names)


def is_test_tools_thread(thread: object, frame: FrameType | None) -> bool:
    """Return whether a thread is pytest-timeout's timer, execnet's (for pytest-xdist) or pytest-rerunfailures'."""
    function = getattr(thread, "function", None)
    if isinstance(thread, Timer) and getattr(function, "__module__", None) == "pytest_timeout":
        return True
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(("execnet.", "pytest_rerunfailures")):
            return True
        frame = frame.f_back
    return False


def thread_of_anyio_callback(callback: object) -> Thread | None:
    """Return the worker thread of anyio that makes its result known by calling this in the loop, if it is one."""
    thread = getattr(callback, "__self__", None)
    return thread if isinstance(thread, Thread) and type(thread).__module__ == ANYIO else None


def results_set_by(*parts: Any, depth: int = 3) -> Iterator[ThreadFuture[Any]]:
    """Yield the futures that a callback and its arguments refer to, since it may set them for a thread that waits.

    Of ``asyncio.run_coroutine_threadsafe`` and of anyio the callback is a closure.
    """
    for part in parts:
        if isinstance(part, ThreadFuture):
            yield part
        elif depth:
            inner = part if isinstance(part, tuple) else ()
            if isinstance(part, partial):
                inner = part.func, *part.args, *part.keywords.values()
            elif isinstance(part, (FunctionType, MethodType)):
                cells = getattr(part, "__closure__", None) or ()
                # A cell without contents is one of a variable that has been deleted.
                contents = [content for cell in cells for content in get_referents(cell)]
                inner = getattr(part, "__self__", None), *contents
            yield from results_set_by(*inner, depth=depth - 1)


def waits_for_a_loop(thread: int, results: Collection[ThreadFuture[Any]]) -> bool:
    """Return whether a thread that has called into a loop waits for a result.

    :param results: those that the loop will still set; without any, the thread waits for something else, or has only
        not noticed yet that its result is there. Those of asgiref are not known.

    That is what ``asyncio.run_coroutine_threadsafe``, ``anyio.from_thread`` and asgiref's ``async_to_sync`` do. Only
    the code of its frames is looked at: to read the variables of a running thread may crash some interpreters.
    """
    frame = _current_frames().get(thread)
    waits = _WAITS if results else ()
    for _ in range(_FRAMES_OF_A_WAIT):
        if frame is None:
            break
        if frame.f_code in waits or frame.f_globals.get("__name__") in _ASGIREF:
            return True
        frame = frame.f_back
    return False


def only_listens(frame: FrameType | None) -> bool:
    """Return whether a file is watched for psycopg's ``notifies()``, which asks the server nothing.

    :param frame: that of the caller of ``add_reader``.
    """
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("psycopg."):
        if frame.f_code.co_name == "notifies":
            return True
        frame = frame.f_back
    return False
