"""Where a task waits, where a timer was set, and what things are called: read off when something has failed."""

import asyncio
import contextlib
import functools
import gc
import inspect
import linecache
import os
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ASYNCIO = os.path.dirname(os.path.abspath(asyncio.__file__))
_NOT_THE_USERS = (_ASYNCIO + os.sep, _PACKAGE + os.sep, os.path.abspath(contextlib.__file__))
_STANDARD_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_INSTALLED = f"{os.sep}site-packages{os.sep}"
_WIDTH = 80
_DEEPEST = 1000

Origin = tuple[CodeType, int]
"""The code that did something and the instruction it was at; unlike a frame, it keeps nothing else alive."""

Place = tuple[CodeType, int]
"""The code that does something and the line it is at."""


def waits_at(task: "asyncio.Task[Any]") -> str:
    """Return where a task waits: the innermost line of its coroutines that is neither asyncio's nor ours."""
    return _innermost((frame.f_code, frame.f_lineno) for frame in _frames(task))


def raised_at(traceback: TracebackType | None) -> str:
    """Return where an exception came from: the innermost line that is neither asyncio's nor ours."""
    places = []
    while traceback is not None:
        places.append((traceback.tb_frame.f_code, traceback.tb_lineno))
        traceback = traceback.tb_next
    return _innermost(places)


def set_at(origin: Origin | None) -> str | None:
    """Return the line of an origin; ``None`` if there is none, or if that is asyncio's or ours."""
    if origin is None or _hidden(origin[0]):
        return None
    code, instruction = origin
    line = next((line for begin, end, line in code.co_lines() if begin <= instruction < end and line), 0)
    return _described((code, line))


def first_of_users(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames at its beginning that are not the user's."""
    while traceback is not None and _hidden(traceback.tb_frame.f_code):
        traceback = traceback.tb_next
    return traceback


def only_users(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without asyncio's frames and ours, so that it ends where the user waited."""
    entries = []
    while traceback is not None:
        if not _hidden(traceback.tb_frame.f_code):
            entries.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(entries):
        traceback = TracebackType(traceback, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return traceback


def has_begun(task: "asyncio.Task[Any]") -> bool:
    """Return whether a task has run at all."""
    coro = task.get_coro()
    return not (inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED)


def yields_only(task: "asyncio.Task[Any]") -> bool:
    """Return whether a task waits for nothing but its next turn, as with ``asyncio.sleep(0)``."""
    frames = list(_frames(task))
    return bool(frames) and frames[-1].f_code.co_name == "__sleep0"


def coroutine_of(task: "asyncio.Task[Any]") -> str:
    """Return what the first coroutine of a task is called that is the user's: a runner may have put its own around."""
    codes = (frame.f_code for frame in _frames(task))
    names = (_short(code.co_qualname) for code in codes if not _hidden(code) and not _of_library(code.co_filename))
    return next(names, name_of(task.get_coro()))


def name_of(callback: object) -> str:
    """Return what a callback or coroutine is called where it is defined."""
    while type(callback) is functools.partial:
        callback = callback.func
    name = peek(callback, "__qualname__")
    return _short(name) if isinstance(name, str) else brief(callback)


def peek(value: object, name: str) -> object:
    """Return an attribute; ``None`` if there is none, or if a proxy raises on the way to it."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def brief(value: object) -> str:
    """Return a repr on one line, cut to a width, whatever the repr does."""
    try:
        text = repr(value)
    # Some that are not an Exception get here too, such as what pytest.fail raises.
    except BaseException as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return _cut(" ".join(text[: 10 * _WIDTH].split()))


def _short(name: str) -> str:
    return _cut(name.rpartition("<locals>.")[2])


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _frames(task: "asyncio.Task[Any]") -> Iterator[FrameType]:
    """Go from the outermost of the suspended frames of a task to the one that waits last."""
    awaitable: object = task.get_coro()
    for _ in range(_DEEPEST):
        frame, inner = _inside(awaitable)
        if frame is not None:
            yield frame
        if inner is None:
            break
        awaitable = inner


def _inside(awaitable: object) -> tuple[FrameType | None, object]:
    """Return the frame of a suspended awaitable, and what it waits for in turn."""
    for prefix, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        if hasattr(awaitable, inner):
            return getattr(awaitable, f"{prefix}_frame"), getattr(awaitable, inner)
    # What `async for` and `__await__` put around a generator or coroutine says nothing of it, but refers to it.
    for inside in gc.get_referents(awaitable) if awaitable is not None else ():
        if inspect.isasyncgen(inside) or inspect.isgenerator(inside):
            return None, inside
        if inspect.isawaitable(inside) and not asyncio.isfuture(inside):
            return None, inside
    return None, None


def _innermost(places: Iterable[Place]) -> str:
    """Describe the innermost place that is the user's own, and the one in a library that was entered from there."""
    places = list(places)
    visible = [place for place in places if not _hidden(place[0])]
    if not visible:
        asyncios = [code.co_qualname for code, _ in places if code.co_filename.startswith(_ASYNCIO)]
        return f"asyncio's own {asyncios[0]}" if asyncios else "a place unknown"
    users = [place for place in visible if not _of_library(place[0].co_filename)]
    if not users or users[-1] is visible[-1]:
        return _described(visible[-1])
    return f"{_described(users[-1])} (inside {_location(visible[-1])})"


def _of_library(path: str) -> bool:
    return path.startswith(_STANDARD_LIBRARY) or _INSTALLED in path


def _hidden(code: CodeType) -> bool:
    return code.co_filename.startswith(_NOT_THE_USERS)


def _described(place: Place) -> str:
    """Return the file, the line and what stands there."""
    source = _cut(linecache.getline(place[0].co_filename, place[1]).strip())
    return f"{_location(place)}: {source}" if source else _location(place)


def _location(place: Place) -> str:
    code, line = place
    path = code.co_filename
    if _of_library(path):
        return f"{path.rpartition(_INSTALLED)[2].removeprefix(_STANDARD_LIBRARY)}:{line}"
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):
        # There is no current directory any more, or it is on another drive.
        relative = path
    return f"{path if relative.startswith(os.pardir) else relative}:{line}"
