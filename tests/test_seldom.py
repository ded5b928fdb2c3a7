"""What happens seldom, part by part."""

import asyncio
import gc
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _pieces, _source, _thread_work, _wakeups, _work
from machinery._test_helpers._known_tools import ANYIO
from machinery._test_helpers._loops import idle_hook
from machinery._test_helpers._report import VirtualTimeSnapshot, virtual_time_report
from tests.reports.reading import report_of


@pytest.mark.proves("T13", "R2")
def test_a_wait_that_only_add_could_end_says_so_first() -> None:
    """Where timers are pending and the clock never moves by itself."""
    snapshot = VirtualTimeSnapshot(
        name="", now=0.0, passed=0, real_seconds=2, precision=1, only_add_moves=True, pending_count=1, waits=True
    )

    assert list(virtual_time_report(snapshot))[1] == (
        "  look here first: only add() moves this clock, since autojump_threshold is infinite"
    )


@pytest.mark.proves("T17", "T13")
async def test_an_outer_clock_stands_while_an_inner_one_waits() -> None:
    """The inner one waits for real time to pass, and is the one that moves."""
    async with thp.mocked_call_later() as outer:
        asyncio.get_running_loop().call_later(1, int)
        async with thp.mocked_call_later(autojump_threshold=0.01) as inner:
            await asyncio.sleep(1)
            assert inner.called_times == [1]
            assert outer.called_times == []


@pytest.mark.proves("B3", "R6")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop there")
def test_nothing_is_ever_certain_on_uvloop() -> None:
    """What it has open cannot be seen."""
    import uvloop

    async def main() -> None:
        hook = idle_hook(asyncio.get_running_loop())
        assert hook.real_time() > 0
        assert not hook.nothing_can_wake()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.proves("R4")
async def test_a_waiter_without_a_task_is_not_listed() -> None:
    """Somebody has driven the awaitable by hand."""

    async def body() -> None:
        async with thp.future_dominos(expected=1) as futs:
            waiting = futs[1].__await__()
            next(waiting)
            waiting.close()
            driven.append(futs[1].__await__())
            next(driven[0])
            raise KeyError

    driven: list[Any] = []
    with pytest.raises(KeyError) as caught:
        await body()
    assert not any("is awaited by" in line for line in report_of(caught.value))


@pytest.mark.proves("R12")
def test_no_line_is_looked_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls may be nested without end."""
    monkeypatch.setattr(_source, "_MOST_FRAMES", 0)

    assert _source.place_of_caller(sys._getframe()) is None


@pytest.mark.proves("R3", "R13")
async def test_many_forgotten_failures_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Ten are named."""

    async def fail() -> None:
        raise ValueError("forgotten")

    async def body() -> None:
        # What other tests have forgotten.
        gc.collect()
        async with thp.mocked_call_later():
            for _ in range(13):
                asyncio.get_running_loop().create_task(fail())
            await asyncio.sleep(1)
            gc.collect()
            raise KeyError

    with pytest.raises(KeyError) as caught:
        await body()
    assert sum("ValueError('forgotten')" in line for line in report_of(caught.value)) == 10
    assert "  and 3 more failed tasks" in report_of(caught.value)


@pytest.mark.proves("R8")
def test_files_of_a_loop_without_a_known_pipe_could_wake_it() -> None:
    """Which one is the pipe cannot be told."""
    selector = SimpleNamespace(get_map=lambda: {3: SimpleNamespace(fd=3)})
    loop: Any = SimpleNamespace()

    assert list(_wakeups._files(loop, selector)) == ["something that this kind of loop does not show"]


@pytest.mark.proves("T12")
async def test_work_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is not at work any more is forgotten, and ending it again does nothing."""
    hook = idle_hook(asyncio.get_running_loop())
    work = _work.WorkElsewhere(hook)
    pieces = work._pieces
    thread = threading.Thread()
    pieces.begin(thread, _pieces.Piece("kind", lambda: "work", None))
    monkeypatch.setitem(sys.modules, ANYIO, sys)
    monkeypatch.setattr(_thread_work, "busy_anyio_threads", lambda loop: [])

    assert work.running() == []
    pieces.end(thread)
    assert not pieces.under_way
