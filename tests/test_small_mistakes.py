"""What small mistakes in the source would break, where no other test would notice."""

import asyncio
import selectors
import socket
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _asyncio_internals, _pieces, _tasks
from machinery._test_helpers._tasks import Tasks
from tests.loops import FACTORIES
from tests.reports.reading import Boom, logged, plain, report_of, wait_for_ever

pytestmark = pytest.mark.usefixtures("quiet_loop")


@pytest.mark.proves("T12")
async def test_work_may_hold_the_clock_again_and_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit for one instant counts from the last move of the clock, and not from the first piece of work."""
    monkeypatch.setattr(_pieces, "STANDSTILL_LIMIT", 1.0)
    async with thp.mocked_call_later() as m:
        for _ in range(5):
            work = asyncio.create_task(asyncio.to_thread(time.sleep, 0.3))
            await asyncio.sleep(1)
            assert work.done()

        assert m.called_times == [1, 2, 3, 4, 5]
    assert logged(caplog) == []


@pytest.mark.proves("R5")
@pytest.mark.parametrize("kind", FACTORIES)
def test_the_whole_report_of_a_cancelled_block_is_told_on_every_loop(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log and in the notes of the cancellation."""
    notes: list[list[str]] = []

    async def body() -> None:
        try:
            async with thp.mocked_call_later(name="shop"), asyncio.TaskGroup() as tasks:
                tasks.create_task(wait_for_ever(), name="child")
                tasks.create_task(asyncio.sleep(5), name="sleeper")
                await stop.wait()
        except asyncio.CancelledError as error:
            notes.append(report_of(error))
            raise

    async def main() -> None:
        task = asyncio.create_task(body())
        # Nothing moves while this task is ready.
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    stop = asyncio.Event()
    with asyncio.Runner(loop_factory=FACTORIES[kind]) as runner:
        runner.run(main())

    report = [line for line in notes[0] if " (main) " not in line]
    wakeups = [line for line in report if "could still be woken by" in line]
    assert [line for line in report if line not in wakeups] == [
        "virtual time 'shop' is at 0.0, 0 s after its start (... real time; precision 0.1 s)",
        "  pending at 5.0, in 5 s: task 'sleeper' waits at asyncio's sleep",
        "  no timer has fired yet",
        "  the task of this block waits at HERE: await stop.wait()",
        "  task 'child' waits at HERE: await asyncio.Event().wait()",
    ]
    if kind == "uvloop":
        assert wakeups == ["  could still be woken by something that uvloop does not show"]
    assert [plain(message) for message in logged(caplog)] == [["cancelled from outside the block", *notes[0]]]


@pytest.mark.proves("R8")
async def test_what_could_still_wake_a_wait_is_told_only_of_a_wait() -> None:
    """A failure has not waited for it."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="poller")
    thread.start()
    try:
        with pytest.raises(Boom) as failed:
            async with thp.mocked_call_later():
                raise Boom
        with pytest.raises(TimeoutError) as timed_out:
            async with thp.mocked_call_later(), asyncio.timeout(1):
                await wait_for_ever()
    finally:
        stop.set()
        thread.join()

    told = ["could still be woken by" in "\n".join(report_of(error.value)) for error in (failed, timed_out)]
    assert told == [False, True]


@pytest.mark.proves("R3", "T4")
async def test_tasks_that_have_ended_well_are_forgotten_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of what was started does not grow, whether or not somebody keeps the tasks."""
    monkeypatch.setattr(_tasks, "_SWEEP_SLACK", 10)
    tasks = Tasks(asyncio.get_running_loop())
    sizes = []

    async def fail() -> None:
        raise Boom

    failed, waiting = tasks.create_task(fail()), tasks.create_task(wait_for_ever())
    await asyncio.wait([failed])
    kept = []
    for _ in range(200):
        kept.append(tasks.create_task(asyncio.sleep(0)))
        await kept[-1]
        sizes.append(len(tasks._started))

    assert max(sizes) <= 30
    assert {failed, waiting} <= set(tasks.started())
    assert isinstance(failed.exception(), Boom)
    waiting.cancel()


@pytest.mark.proves("B6", "T15", "T17")
async def test_what_a_user_replaces_between_two_blocks_stays() -> None:
    """The inner block puts back what it has found, and the outer one leaves it alone."""
    before = time.time
    try:
        async with thp.mocked_call_later(start_time=5):

            def mine() -> float:
                return 77.0

            time.time = mine
            async with thp.mocked_call_later(start_time=9):
                pass
            assert time.time is mine
        assert time.time is mine
    finally:
        time.time = before

    async with thp.mocked_call_later(start_time=5):
        assert time.time() == 5
    assert time.time is before


@pytest.mark.proves("T14")
async def test_the_date_does_not_move_while_real_time_passes() -> None:
    """Only the clock moves it."""
    async with thp.mocked_call_later(datetime=True, start_time=1_777_636_800.5):
        first = datetime.now(UTC)
        began = time.perf_counter()
        while time.perf_counter() < began + 0.01:
            pass

        assert datetime.now(UTC) == first == datetime(2026, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.proves("R12")
async def test_what_a_domino_refuses_points_at_the_line_that_tried_it() -> None:
    """No frame of ours is shown."""
    async with thp.future_dominos(expected=1) as futs:
        futs[1].set_result(None)
        visible = []
        with pytest.raises(asyncio.InvalidStateError) as caught:
            futs[1].set_exception(Boom())
        visible.append({str(entry.path) for entry in caught.traceback.filter(caught)})
        with pytest.raises(asyncio.InvalidStateError) as caught:
            futs[1].set_result(None)
        visible.append({str(entry.path) for entry in caught.traceback.filter(caught)})

    assert visible == [{__file__}, {__file__}]


@pytest.mark.proves("R5")
@pytest.mark.parametrize("explicit", [True, False])
async def test_an_explicit_cause_tells_more_than_the_context(explicit: bool) -> None:
    """A timeout of a library may be raised while something else is handled."""
    with pytest.raises(TimeoutError) as caught:
        async with thp.mocked_call_later():
            try:
                async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
                    tasks.create_task(wait_for_ever(), name="child")
            except TimeoutError as timeout:
                cancellation = timeout.__cause__
            try:
                raise Boom
            except Boom:
                if explicit:
                    raise TimeoutError from cancellation
                raise TimeoutError  # noqa: B904

    assert ("task 'child' waits" in "\n".join(report_of(caught.value))) is explicit


class OwnLoop:
    """A loop with a selector that is not made from asyncio's base class."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._scheduled: list[object] = []
        self._debug = False
        self._ssock, self.peer = socket.socketpair()
        self._selector.register(self._ssock, selectors.EVENT_READ)
        self.times: list[float] = []

    def _run_once(self, read: Any) -> None:
        self.times.append(read())


@pytest.mark.proves("B3", "T11")
def test_on_an_unknown_loop_with_a_selector_nothing_is_taken_for_granted() -> None:
    """Its scheduler reads real time though it seems to have no timers, and which of its files matter is unknown."""
    loop: Any = OwnLoop()
    read = _asyncio_internals.LoopTime(loop, lambda: 100.0, SimpleNamespace(now=5.0)).time
    loop._run_once(read)
    with loop._selector as selector, loop._ssock, loop.peer:
        files = len(_asyncio_internals.registered_files(loop, selector))

    assert (loop.times, read(), files) == ([100.0], 5.0, 0)
