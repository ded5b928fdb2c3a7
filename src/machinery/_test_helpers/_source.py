"""Where a task waits, where a timer was set, and what things are called, for reports.

PYTEST_DONT_REWRITE
"""

import contextlib
import os
from asyncio import Task, isfuture
from collections.abc import Iterator, Sequence
from functools import cache, partial
from gc import get_referents
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CORO_CREATED,
    getcoroutinestate,
    isasyncgen,
    isawaitable,
    iscoroutine,
    isgenerator,
)
from linecache import getline
from os import getcwd
from os.path import abspath, dirname
from types import CodeType, FrameType, TracebackType
from typing import Any

from machinery._test_helpers._asyncio_internals import (
    ASYNCIO_FOLDER,
    coroutine_of,
    is_sleep,
    is_sleep_zero,
    runs_callbacks,
)

_HIDDEN = (ASYNCIO_FOLDER, dirname(dirname(abspath(__file__))) + os.sep, abspath(contextlib.__file__))
"""Where lines are of no use to a reader: in asyncio, in this package, in context managers made by contextlib."""

_SITE_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STANDARD_LIBRARY = dirname(abspath(os.__file__)) + os.sep
_PACKAGE = f"{__name__.rpartition('.')[0]}."
_SEPARATOR = os.sep
_WIDTH = 80
_MOST_FRAMES = 1000
_SUSPENDABLE = CO_ASYNC_GENERATOR | CO_COROUTINE | CO_GENERATOR

Origin = tuple[CodeType, int]
"""The code that did something and the instruction it was at; unlike a frame, it keeps nothing else alive."""

Place = tuple[CodeType, int]
"""The code that does something and its line."""


def waits_at(task: "Task[Any]") -> str:
    """Return where a task waits: the innermost line of its coroutines that is neither asyncio's nor ours."""
    return _innermost([(frame.f_code, frame.f_lineno) for frame in frames_of(task)])


def raised_at(traceback: TracebackType | None) -> str:
    """Return where an exception came from: the innermost line that is neither asyncio's nor ours."""
    places = []
    while traceback is not None:
        places.append((traceback.tb_frame.f_code, traceback.tb_lineno))
        traceback = traceback.tb_next
    return _innermost(places)


def set_at(origin: Origin | None) -> str | None:
    """Return the line of an origin; ``None`` if there is none, or if it is in asyncio or in this package."""
    if origin is None or _is_hidden(origin[0]):
        return None
    code, instruction = origin
    line = next((line for begin, end, line in code.co_lines() if begin <= instruction < end and line), 0)
    return _line((code, line))


def place_of_caller(frame: FrameType | None) -> Place | None:
    """Return the innermost place, from a frame outwards, that is the user's own."""
    for _ in range(_MOST_FRAMES):
        if frame is None or runs_callbacks(frame.f_code):
            break
        if not _is_hidden(frame.f_code) and not _is_library(frame.f_code.co_filename):
            return frame.f_code, frame.f_lineno
        frame = frame.f_back
    return None


def location(place: Place) -> str:
    """Return the file and line of a place, the file relative to the current directory where that is shorter."""
    code, line = place
    path = code.co_filename
    if _is_library(path):
        return f"{_inside_library(path)}:{line}"
    try:
        folder = getcwd() + _SEPARATOR
    except OSError:
        # There is no current directory any more.
        folder = ""
    return f"{path.removeprefix(folder)}:{line}"


def drop_hidden_start(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of this package and asyncio that it begins with."""
    while traceback is not None and _is_hidden(traceback.tb_frame.f_code):
        traceback = traceback.tb_next
    return traceback


def drop_hidden(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of this package and asyncio, so that it ends where the user waited."""
    entries = []
    while traceback is not None:
        if not _is_hidden(traceback.tb_frame.f_code):
            entries.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(entries):
        traceback = TracebackType(traceback, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return traceback


def has_begun(task: "Task[Any]") -> bool:
    """Return whether a task has run at all."""
    coro = coroutine_of(task)
    return not (iscoroutine(coro) and getcoroutinestate(coro) == CORO_CREATED)


def only_yields(task: "Task[Any]") -> bool:
    """Return whether a task waits for nothing but its next turn, as with ``asyncio.sleep(0)``."""
    frames = list(frames_of(task))
    return bool(frames) and is_sleep_zero(frames[-1].f_code)


def is_asleep(task: "Task[Any]") -> bool:
    """Return whether a task waits for the end of ``asyncio.sleep``."""
    frames = list(frames_of(task))
    return bool(frames) and is_sleep(frames[-1].f_code)


def is_wrapper(task: "Task[Any]") -> bool:
    """Return whether a task runs only code of asyncio and ours: asyncio has made it around an awaitable."""
    return all(_is_hidden(frame.f_code) for frame in frames_of(task))


def task_name(task: "Task[Any]", coroutine: str | None = None) -> str:
    """Name a task; asyncio's own names are followed by that of its coroutine."""
    name = task.get_name()
    # Up to Python 3.13, an eager task without a name is called `None`.
    if name.startswith("Task-") or name == "None":
        coroutine = coroutine or _coroutine_of(task)
        if coroutine:
            return f"task {brief(name)} ({coroutine})"
    return f"task {brief(name)}"


def _coroutine_of(task: "Task[Any]") -> str | None:
    """Return the name of a task's outermost coroutine that is the user's: test runners wrap theirs around it."""
    codes = [frame.f_code for frame in frames_of(task)]
    names = (_short(code.co_qualname) for code in codes if not _is_hidden(code) and not _is_library(code.co_filename))
    coroutine: object = coroutine_of(task)
    return next(names, None if coroutine is None else name_of(coroutine))


def name_of(callback: object) -> str:
    """Return the qualified name of a callback or coroutine."""
    while type(callback) is partial:
        callback = callback.func
    name = safe_getattr(callback, "__qualname__")
    return _short(name) if isinstance(name, str) else brief(callback)


def is_own(callback: object) -> bool:
    """Return whether a callback belongs to this package."""
    return str(safe_getattr(callback, "__module__")).startswith(_PACKAGE)


def safe_getattr(value: object, name: str) -> object:
    """Return an attribute; ``None`` if there is none, or if looking it up raises."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def brief(value: object) -> str:
    """Return a repr on one line, cut to a width; it never raises."""
    try:
        text = repr(value)
    # Not only Exception: pytest.fail raises another kind.
    except BaseException as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return shortened(text)


def shortened(text: str) -> str:
    """Return a text on one line, cut to a width."""
    return _cut(" ".join(text[: 10 * _WIDTH].split()))


def frames_of(task: "Task[Any]") -> Iterator[FrameType]:
    """Yield the suspended frames of a task, outermost first."""
    awaitable: object = coroutine_of(task)
    for _ in range(_MOST_FRAMES):
        frame, inner = _step_inside(awaitable)
        if frame is not None:
            yield frame
        if inner is None:
            break
        awaitable = inner


def awaiting(frame: FrameType | None) -> list[CodeType]:
    """Return the code of a running coroutine and of those that await it, innermost first."""
    codes = []
    while frame is not None and frame.f_code.co_flags & _SUSPENDABLE:
        codes.append(frame.f_code)
        frame = frame.f_back
    return codes


def is_still_awaited_by(task: "Task[Any]", codes: Sequence[CodeType]) -> bool:
    """Return whether a task is still in the innermost of these coroutines, or in any that is the user's."""
    now = {frame.f_code for frame in frames_of(task)}
    return codes[0] in now or any(
        code in now and not _is_hidden(code) and not _is_library(code.co_filename) for code in codes
    )


def _step_inside(awaitable: object) -> tuple[FrameType | None, object]:
    """Return the frame of a suspended awaitable, and what it waits for in turn."""
    for prefix, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        if hasattr(awaitable, inner):
            return getattr(awaitable, f"{prefix}_frame"), getattr(awaitable, inner)
    # The objects behind `async for` and `__await__` do not tell what they wrap, but refer to it.
    for inside in get_referents(awaitable) if awaitable is not None else ():
        if isasyncgen(inside) or isgenerator(inside):
            return None, inside
        if isawaitable(inside) and not isfuture(inside):
            return None, inside
    return None, None


def _innermost(places: list[Place]) -> str:
    """Describe the innermost place that is the user's, and the innermost one in a library called from there."""
    visible = [place for place in places if not _is_hidden(place[0])]
    if not visible:
        asyncios = [code.co_qualname for code, _ in places if code.co_filename.startswith(ASYNCIO_FOLDER)]
        return f"asyncio's {asyncios[0]}" if asyncios else "an unknown place"
    # Compiled extensions have frames too, with lines of files that are not there.
    visible = [place for place in visible if _source(place)] or visible
    users = [place for place in visible if not _is_library(place[0].co_filename)]
    if not users or users[-1] is visible[-1]:
        return _line(visible[-1])
    return f"{_line(users[-1])}\n(inside {location(visible[-1])})"


@cache
def _library_folders() -> tuple[str, ...]:
    # Imported only here: nobody needs it before something has failed.
    from sysconfig import get_paths

    folders = {abspath(path) + _SEPARATOR for name, path in get_paths().items() if name.endswith("lib")}
    # The longest first, since site-packages is mostly inside the standard library.
    return tuple(sorted({*folders, _STANDARD_LIBRARY}, key=len, reverse=True))


@cache
def _is_library(path: str) -> bool:
    return path.startswith((*_library_folders(), "<frozen ")) or any(folder in path for folder in _SITE_PACKAGES)


def _inside_library(path: str) -> str:
    for folder in _SITE_PACKAGES:
        path = path.rpartition(folder)[2]
    return next((path.removeprefix(folder) for folder in _library_folders() if path.startswith(folder)), path)


def _is_hidden(code: CodeType) -> bool:
    return code.co_filename.startswith(_HIDDEN)


def _source(place: Place) -> str:
    """Return what stands at a place, if that can be trusted."""
    path, line = place[0].co_filename, place[1]
    return getline(path, line).strip() if path.endswith((".py", ".pyw", ">")) else ""


def _line(place: Place) -> str:
    where, source = location(place), _source(place)
    return f"{where}:\n{_cut(source)}" if source else where


def _short(name: str) -> str:
    return _cut(name.rpartition("<locals>.")[2])


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
