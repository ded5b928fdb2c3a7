"""A block is entered wholly or not at all."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

import machinery
from machinery import test_helpers as thp
from machinery._test_helpers import _idle, _time_module, _time_names, _work
from machinery._test_helpers._undo import UndoStack
from tests.loops import Run, on_every_loop
from tests.state import state_of

REAL_TIME = time.time
SOURCE = str(Path(machinery.__file__).parent)
BLOCKS: dict[str, Callable[[], AbstractAsyncContextManager[object]]] = {
    "virtual time": thp.mocked_call_later,
    "virtual time with dates": lambda: thp.mocked_call_later(datetime=True),
    "dominos": lambda: thp.future_dominos(expected=2),
}


CANNOT_FAIL = {"<genexpr>", "__enter__", "__exit__", "let_go", "detach"}


class Failing:
    """Lets one call fail, of those to functions of this package and those that these make."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.place = ""

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        """Count the call; as a profiling function, this ends once it has raised."""
        # A generator is also called to be closed, where what is raised is only printed. Nor can it fail to enter a file
        # that is open, to release a lock, or to leave the file of a probing socket object to its owner.
        function = frame.f_code.co_name if event == "call" else getattr(arg, "__name__", "")
        is_ours = frame.f_code.co_filename.startswith(SOURCE) and function not in CANNOT_FAIL
        if is_ours and event in ("call", "c_call"):
            self.left -= 1
            if self.left == 0:
                self.place = f"call {arg} in line {frame.f_lineno} of {frame.f_code.co_filename}"
                raise ZeroDivisionError


async def enter(block: AbstractAsyncContextManager[object], failing: Failing) -> None:
    """Enter a block while one of the calls fails."""
    sys.setprofile(failing)
    try:
        await block.__aenter__()
    finally:
        sys.setprofile(None)


def everything(loop: asyncio.AbstractEventLoop, app: Any) -> list[object]:
    """Return all that a block may change in the process."""
    return [
        *state_of(loop),
        dict(vars(app)),
        REAL_TIME() > 1_000_000_000,
        repr(_time_module._lock),
        _time_module._open,
        dict(_time_module._of_thread),
        list(_time_module.clocks_with_dates),
        loop in _idle.IdleHook.of_loop,
        len(_work.WorkElsewhere._of_hook),
    ]


@pytest.mark.proves("T18", "B6", "N1")
@on_every_loop
@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS.keys())
def test_whatever_call_fails_all_is_as_before(
    run: Run, make: Callable[[], AbstractAsyncContextManager[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call that entering makes fails once; the error is the one that is seen, and the next block works."""
    app: Any = ModuleType("app")
    app.now = time.time
    # Each call while all modules are looked at would be a case, and they are thousands.
    monkeypatch.setattr(_time_names, "modules", {"app": app, "time": time})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = everything(loop, app)
        for number in range(1, 10_000):
            block, failing = make(), Failing(number)
            try:
                await enter(block, failing)
            except ZeroDivisionError:
                assert (failing.place, *everything(loop, app)) == (failing.place, *before)
            else:
                await block.__aexit__(ValueError, ValueError(), None)
                assert everything(loop, app) == before
                if failing.left > 0:
                    break
        assert number > 50
        async with thp.mocked_call_later(datetime=True):
            assert app.now() == time.time() == datetime.now(UTC).timestamp() == 0

    run(main())


@pytest.mark.proves("T15")
def test_all_steps_are_undone_though_some_fail() -> None:
    """In reverse order; the last failure is raised, and those before it are its context."""
    undone: list[int] = []

    def undo(number: int) -> None:
        undone.append(number)
        if number in (1, 3):
            raise ValueError(number)

    steps = UndoStack()
    for number in range(5):
        steps.append((undo, (number,)))
    with pytest.raises(ValueError, match="1") as caught:
        steps.close()
    steps.close()

    assert undone == [4, 3, 2, 1, 0]
    assert repr(caught.value.__context__) == "ValueError(3)"
