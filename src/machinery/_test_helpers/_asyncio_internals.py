"""Everything in asyncio and uvloop that is not documented and that this package relies on.

``loop._selector.select``
    Asyncio's own loops, on every platform, block in this one call. When they ask it to wait, they have nothing left to
    run. Without it, entering a block raises ``RuntimeError``.
``loop._ready``, ``loop._stopping``
    Whether the loop has something to do after a listener acted while it was idle.
    Without them it runs one more iteration to find out. Reports list what is in ``_ready``.
``type(loop)._run_once``
    The scheduler of these loops. It reads ``loop.time()`` to serve the loop's own timers, which stay in real time.
    Without it every caller gets virtual time, and those timers fire early or late.
``loop._scheduled``, ``loop._debug``
    Whether it matters what the scheduler reads. On an unknown loop it always does, which costs more.
``selector._fd_to_key``, ``selector._selector.poll``, ``loop._ssock``, ``loop._signal_handlers``
    Whether the selector can report anything at all, and quicker than through ``select``.
    Without them it is polled in each iteration, which costs more.
``loop._scheduled``, ``loop._ssock``, ``loop._signal_handlers``, ``concurrent.futures.thread._worker``
    What could still wake the loop. Without them deadlocks are not detected.
the slots of ``asyncio.Handle`` and ``asyncio.TimerHandle``
    Set and cleared in one step. If this Python has others, asyncio does it, which costs more.
``asyncio._get_running_loop``
    Documented for those who write event loops: the running loop, or ``None``.
``asyncio.Handle._run``
    Calls a handle's callback in its context and reports what it raises to the loop.
    Without it this package cannot be imported.
``loop.slow_callback_duration``, ``asyncio``'s logger
    Documented, but not the text of the warning in debug mode, which virtual timers log like others.
``asyncio.BaseEventLoop.time``
    Its code object tells that another loop of the same thread reads the time.
    Without it, that loop reads virtual time.
``loop._default_executor``
    Whether a call in the default executor stays in this process and interpreter.
``_coro``, ``_fut_waiter``, ``_asyncio_awaited_by``, ``_exception``, ``_log_traceback`` of tasks, ``_children`` of
gathering futures, ``_task`` of timeouts, ``_callback``, ``_args``, ``_source_traceback`` of handles, the name of the
coroutine behind ``asyncio.sleep(0)``, the names of the functions that run loops and callbacks
    Who waits for what, and who set it. Without them reports say less.
``loop._transports``, ``_stream_reader`` of stream protocols, ``_waiter`` of stream readers
    Whether a task waits for a server to speak first. Without them a server gets only some 50 ms for that.
``loop._transports``, ``_server`` of transports
    Whether a connection that is older than the block was accepted. Without them the client seems to owe an answer.
``loop._transports``, ``_sslobj`` of asyncio's protocol for TLS
    What a connection that is older than the block sends inside TLS. Without them session tickets count as answers.
``asyncio.futures._set_result_unless_cancelled``
    What ends a sleep. Without it all timers are treated as timeouts, before which answers get more time.
``call_soon``, ``call_soon_threadsafe`` of uvloop
    Documented, but not that futures and tasks look them up on the instance, nor that callbacks run in iterations
    between which sockets are read.
    Without the first the clock never moves; without the second it moves before what has arrived on sockets is read.
``loop._get_backend_id`` of uvloop
    The file descriptor that is readable when any socket of the loop is.
    Without it, protocols that talk to each other without futures, tasks or callbacks may be overtaken.

PYTEST_DONT_REWRITE
"""

import asyncio
import selectors
from asyncio import AbstractEventLoop, BaseEventLoop, Handle, Task, TimerHandle, _get_running_loop, all_tasks
from collections.abc import Callable, Container, Iterator, Mapping, Sized
from functools import cached_property, partial
from logging import getLogger
from os.path import abspath, dirname, sep
from ssl import SSLObject
from sys import _getframe, modules
from types import CodeType, FrameType, FunctionType, SimpleNamespace
from typing import Any, Protocol

run_handle = Handle._run
running_loop_or_none = _get_running_loop
LOOP_TIME = BaseEventLoop.time.__code__
_SLOTS = "_args _callback _cancelled _context _loop _repr _scheduled _source_traceback _when __weakref__"
HANDLE_SLOTS_ARE_KNOWN = {*Handle.__slots__, *TimerHandle.__slots__} == {*_SLOTS.split()}

_asyncio_logger = getLogger("asyncio")
ASYNCIO_FOLDER = dirname(abspath(asyncio.__file__)) + sep
_RUNS_CALLBACKS = {"_run", "run", "run_forever", "run_until_complete"}
TASK_MODULES = {"asyncio.futures", "asyncio.tasks", "asyncio.timeouts"}
"""The modules whose callbacks are set on behalf of a task."""

_EpollSelector = getattr(selectors, "EpollSelector", None)
_SLEEP = asyncio.sleep.__code__
_end_of_sleep = getattr(asyncio.futures, "_set_result_unless_cancelled", Task)
_NO_TRANSPORTS: Mapping[int, Any] = {}
_UNKNOWN_LOOP = SimpleNamespace(_scheduled=True, _debug=True)


def selector_of(loop: AbstractEventLoop) -> Any:
    """Return what a loop waits with; ``None`` if it has no such thing."""
    selector = getattr(loop, "_selector", None)
    return selector if callable(getattr(selector, "select", None)) else None


def is_uvloop(loop: AbstractEventLoop) -> bool:
    """Return whether a loop is uvloop's."""
    return any(ancestor.__module__.split(".")[0] == "uvloop" for ancestor in type(loop).__mro__)


def uvloop_backend(loop: AbstractEventLoop) -> int | None:
    """Return the file descriptor that is readable when any socket of a uvloop is."""
    backend = getattr(loop, "_get_backend_id", None)
    return None if backend is None else int(backend())


class HasNow(Protocol):
    """A clock."""

    now: float


class LoopTime:
    """Reads a clock until its block ends, for all callers but the scheduler of a loop.

    The scheduler compares the time with the deadlines of timers in real time: those set before the block, and
    watchdogs. In debug mode it measures how long callbacks take. Its calls are told from others by their code. Without
    such timers and outside debug mode, it does not matter what it reads.
    """

    def __init__(self, loop: AbstractEventLoop, real_time: Callable[[], float], clock: HasNow) -> None:
        self.is_closed = False
        """Set when the block ends. Somebody may have saved the method inside the block and put it back later."""
        self._scheduler: Any = loop if isinstance(loop, BaseEventLoop) else _UNKNOWN_LOOP
        self._kind = type(loop)
        self._real_time = real_time
        self._clock = clock

    def time(self) -> float:
        """Return the time."""
        scheduler = self._scheduler
        if self.is_closed or (
            (scheduler._scheduled or scheduler._debug) and _getframe(1).f_code in self._scheduler_codes
        ):
            return self._real_time()
        return self._clock.now

    @cached_property
    def _scheduler_codes(self) -> tuple[CodeType, ...]:
        # Loops may extend the `_run_once` that they inherit. A tuple, since to hash code takes a microsecond.
        functions = [vars(ancestor).get("_run_once") for ancestor in reversed(self._kind.__mro__)]
        return tuple([function.__code__ for function in functions if isinstance(function, FunctionType)])


def has_standard_time(loop: AbstractEventLoop) -> bool:
    """Return whether ``loop.time`` is ``time.monotonic``."""
    return type(loop).time is BaseEventLoop.time


def ready_queue(loop: AbstractEventLoop) -> Any:
    """Return the handles that a loop is about to run; something truthy if that is unknown."""
    return getattr(loop, "_ready", True)


def is_stopping(loop: AbstractEventLoop) -> bool:
    """Return whether a loop ends after this iteration, or may do so."""
    return bool(getattr(loop, "_stopping", True))


def real_timers(loop: AbstractEventLoop) -> Iterator[TimerHandle]:
    """Return the timers that the loop itself keeps, which are in real time."""
    return (handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled())


def signal_handlers(loop: AbstractEventLoop) -> Any:
    """Return the signals that a loop handles."""
    return getattr(loop, "_signal_handlers", ())


def is_own_pipe(loop: AbstractEventLoop, fd: int) -> bool | None:
    """Return whether a file is the one by which other threads wake the loop; ``None`` if that is unknown."""
    pipe = getattr(loop, "_ssock", None)
    return None if pipe is None else fd == pipe.fileno()


def registered_files(loop: AbstractEventLoop, selector: Any) -> Sized:
    """Return the files of a selector, of which one is the loop's own pipe; something empty if that is unknown."""
    pipe, files = getattr(loop, "_ssock", None), getattr(selector, "_fd_to_key", ())
    known = _is_standard_selector(selector) and isinstance(loop, BaseEventLoop)
    return files if known and pipe is not None and pipe.fileno() in files else ()


def quick_poll(selector: Any) -> Callable[[], object]:
    """Return what tells whether a selector has events; half the work for epoll, which keeps what it has reported."""
    # Some other selectors also have a `poll`, of milliseconds.
    if type(selector) is _EpollSelector and "select" not in vars(selector):
        return partial(selector._selector.poll, 0, 1)
    return partial(selector.select, 0)


def _is_standard_selector(selector: object) -> bool:
    """Return whether a selector is one of Python's own, unchanged."""
    return type(selector).__module__ == "selectors" and "select" not in vars(selector)


def failure_of(task: Task[Any]) -> BaseException | None:
    """Return the exception that ended a task, without marking it as retrieved."""
    return getattr(task, "_exception", None) if task.done() else None


def is_retrieved(task: Task[Any]) -> bool:
    """Return whether somebody has read the exception of a failed task."""
    return not getattr(task, "_log_traceback", True)


def ready_tasks(loop: AbstractEventLoop) -> Iterator[Task[Any]]:
    """Return the tasks that a loop is about to run."""
    for callback in ready_callbacks(loop):
        task = getattr(callback, "__self__", None)
        if isinstance(task, Task):
            yield task


def ready_callbacks(loop: AbstractEventLoop) -> list[object]:
    """Return the callbacks that a loop is about to call."""
    return [callback_of(handle)[0] for handle in getattr(loop, "_ready", ()) if not handle.cancelled()]


def is_waiting_pool_worker(frame: FrameType) -> bool:
    """Return whether a thread, by its innermost frame, is a pool's and waits for work."""
    worker = getattr(modules.get("concurrent.futures.thread"), "_worker", None)
    return frame.f_code is getattr(worker, "__code__", None)


def awaited_future(task: Task[Any]) -> object:
    """Return the future that a task waits for."""
    return getattr(task, "_fut_waiter", None)


def protocol_of(loop: AbstractEventLoop, fd: int) -> Any:
    """Return the protocol that a loop has for a file; ``None`` if there is none."""
    transport = getattr(loop, "_transports", _NO_TRANSPORTS).get(fd)
    return None if transport is None else transport.get_protocol()


def is_accepted(loop: AbstractEventLoop, fd: int) -> bool:
    """Return whether a file is a connection that a server of the loop has accepted."""
    return getattr(getattr(loop, "_transports", _NO_TRANSPORTS).get(fd), "_server", None) is not None


def tls_of(protocol: Any) -> SSLObject | None:
    """Return the TLS object of asyncio's own protocol for TLS."""
    return getattr(protocol, "_sslobj", None)


def task_waiting_for_stream(protocol: Any) -> Task[Any] | None:
    """Return the task that waits for the stream of a protocol to bring something."""
    waiter = getattr(getattr(protocol, "_stream_reader", None), "_waiter", None)
    return None if waiter is None else next((task for task in all_tasks() if awaited_future(task) is waiter), None)


def ends_sleep(handle: Handle) -> bool:
    """Return whether a timer ends an ``asyncio.sleep``, and not a timeout."""
    return getattr(handle, "_callback", None) is _end_of_sleep


def gathered(future: object) -> list[object]:
    """Return the tasks and futures that a future of ``asyncio.gather`` waits for."""
    return list(getattr(future, "_children", ()))


def coroutine_of(task: Task[Any]) -> Any:
    """Return the coroutine of a task; ``None`` if it has forgotten it, as one does that ended in its eager start.

    For such a task, ``get_coro()`` of CPython 3.12.1 crashes the interpreter.
    """
    return task._coro if hasattr(task, "_coro") else task.get_coro()


def awaited_by(task: Task[Any]) -> Container[object]:
    """Return the tasks that await a task, also through functions of asyncio; Python tells this since 3.14."""
    return getattr(task, "_asyncio_awaited_by", None) or ()


def callback_of(handle: Handle) -> tuple[Any, tuple[Any, ...]]:
    """Return the callback of a handle and its arguments; of one that runs another handle, those of the other."""
    callback, args = getattr(handle, "_callback", None), getattr(handle, "_args", None) or ()
    if callback is run_handle and args and isinstance(args[0], Handle):
        return callback_of(args[0])
    return callback, args


def task_timed_out_by(callback: object) -> Task[Any] | None:
    """Return the task that a callback of ``asyncio.timeout`` would end."""
    timeout = getattr(callback, "__self__", None) if getattr(callback, "__module__", None) in TASK_MODULES else None
    task = getattr(timeout, "_task", None)
    return task if isinstance(task, Task) else None


def is_sleep(code: CodeType) -> bool:
    """Return whether a coroutine is ``asyncio.sleep``."""
    return code is _SLEEP


def runs_callbacks(code: CodeType) -> bool:
    """Return whether a frame of asyncio runs a loop or a callback: the frames outside of it are not to blame."""
    return code.co_name in _RUNS_CALLBACKS and code.co_filename.startswith(ASYNCIO_FOLDER)


def is_sleep_zero(code: CodeType) -> bool:
    """Return whether a coroutine is the one behind ``asyncio.sleep(0)``."""
    return code.co_name == "__sleep0"


def hide_callers(handle: Handle, count: int) -> None:
    """Drop the innermost callers from the origin that a handle has in debug mode."""
    traceback = getattr(handle, "_source_traceback", None)
    if traceback:
        del traceback[-count:]


def warn_if_slow(loop: AbstractEventLoop, handle: Handle, seconds: float) -> None:
    """Log what the loop logs in debug mode when a callback takes long."""
    if seconds >= getattr(loop, "slow_callback_duration", float("inf")):
        _asyncio_logger.warning("Executing %r took %.3f seconds", handle, seconds)


def keeps_functions_here(loop: AbstractEventLoop, executor: object) -> bool:
    """Return whether an executor calls functions in threads of this interpreter, and so takes any function."""
    if executor is None:
        executor = getattr(loop, "_default_executor", None)
    kinds = [(kind.__module__, kind.__name__) for kind in type(executor).__mro__]
    return executor is None or (
        ("concurrent.futures.thread", "ThreadPoolExecutor") in kinds
        and ("concurrent.futures.interpreter", "InterpreterPoolExecutor") not in kinds
    )
