"""Where a task waits, where a timer was set, and what things are called: read off when something has failed."""

import asyncio
import contextlib
import functools
import gc
import inspect
import os
from types import CodeType, FrameType, TracebackType
from typing import Any

_NOT_THE_USERS = tuple(os.path.dirname(os.path.abspath(file)) + os.sep for file in (asyncio.__file__, __file__))
_WIDTH = 80

Origin = tuple[CodeType, int]
"""The code that did something and the instruction it was at; unlike a frame, it keeps nothing else alive."""


def waits_at(task: "asyncio.Task[Any]") -> str:
    """Return the file and line where a task waits: of its innermost coroutine that is neither asyncio's nor ours."""
    found = None
    awaitable: object = task.get_coro()
    for _ in range(1000):
        frame, inner = _inside(awaitable)
        if frame is not None and not _hidden(frame.f_code):
            found = frame
        if inner is None:
            break
        awaitable = inner
    return "a place unknown" if found is None else _place(found.f_code, found.f_lineno)


def raised_at(traceback: TracebackType | None) -> str:
    """Return the file and line that an exception came from, as above."""
    found = None
    while traceback is not None:
        if not _hidden(traceback.tb_frame.f_code):
            found = traceback
        traceback = traceback.tb_next
    return "a place unknown" if found is None else _place(found.tb_frame.f_code, found.tb_lineno)


def first_of_users(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames at its beginning that are not the user's."""
    while traceback is not None and (
        _hidden(traceback.tb_frame.f_code) or traceback.tb_frame.f_code.co_filename == contextlib.__file__
    ):
        traceback = traceback.tb_next
    return traceback


def set_at(origin: Origin | None) -> str | None:
    """Return the file and line of an origin; ``None`` if there is none, or if that is asyncio's or ours."""
    if origin is None:
        return None
    code, instruction = origin
    if _hidden(code):
        return None
    line = next((line for begin, end, line in code.co_lines() if begin <= instruction < end and line), 0)
    return _place(code, line)


def yields_only(task: "asyncio.Task[Any]") -> bool:
    """Return whether a task waits for nothing but its next turn, as with ``asyncio.sleep(0)``."""
    awaitable: object = task.get_coro()
    for _ in range(1000):
        frame, inner = _inside(awaitable)
        if inner is None:
            return frame is not None and frame.f_code.co_name == "__sleep0"
        awaitable = inner
    return False


def name_of(callback: object) -> str:
    """Return what a callback is called."""
    if isinstance(callback, functools.partial):
        return name_of(callback.func)
    name = getattr(callback, "__qualname__", None)
    return name if isinstance(name, str) else brief(callback)


def brief(value: object) -> str:
    """Return a repr on one line, cut to a width, whatever the repr does."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _inside(awaitable: object) -> tuple[FrameType | None, object]:
    """Return the frame of a suspended awaitable, and what it waits for in turn."""
    for prefix, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        if hasattr(awaitable, inner):
            return getattr(awaitable, f"{prefix}_frame"), getattr(awaitable, inner)
    # What `async for` and `__await__` put around a generator or coroutine says nothing of it, but refers to it.
    for inside in gc.get_referents(awaitable) if awaitable is not None else ():
        if inspect.isasyncgen(inside) or inspect.iscoroutine(inside) or inspect.isgenerator(inside):
            return None, inside
    return None, None


def _hidden(code: CodeType) -> bool:
    return code.co_filename.startswith(_NOT_THE_USERS)


def _place(code: CodeType, line: int) -> str:
    path = code.co_filename
    try:
        relative = os.path.relpath(path)
    except ValueError:
        relative = path
    return f"{path if relative.startswith(os.pardir) else relative}:{line}"
