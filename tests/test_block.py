"""Entering, leaving and using a block in ways that cannot work."""

import asyncio
import gc
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _asyncio_internals, _known_tools, _real_time, _task_watch, _time_module
from machinery._test_helpers._clock import NEVER, Clock, shortest_decimal
from tests.loops import Run, on_every_loop
from tests.reports.reading import logged, report_of
from tests.state import state_of

OTHER_LOOP = r"^<.+> belongs to the \w+ at (0x\w+), but the \w+ at (?!\1)0x\w+ is running: .*loop_scope$"


@pytest.mark.proves("T15")
async def test_a_block_is_entered_once() -> None:
    """A second time says what to do, and leaving one that was not entered does too."""
    block = thp.mocked_call_later()
    with pytest.raises(RuntimeError, match=r"^this block has not been entered: use it in `async with`$"):
        await block.__aexit__(None, None, None)
    async with block:
        pass
    with pytest.raises(
        RuntimeError, match=r"^this block has been entered before: call mocked_call_later or future_dominos again$"
    ):
        await block.__aenter__()


@pytest.mark.proves("B6", "T18")
@on_every_loop
@pytest.mark.parametrize(
    "step",
    ["_idle.Patches.add", "_work.WorkElsewhere.opened", "_time_module.show", "_block.DeadlockDetector"],
)
def test_a_step_of_entering_that_fails_leaves_nothing(run: Run, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps before it are undone, and its error is the one that is seen."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = state_of(loop)
        with monkeypatch.context() as patch:
            patch.setattr(f"machinery._test_helpers.{step}", lambda *args, **kwargs: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                async with thp.mocked_call_later():
                    pytest.fail("entered")
        assert state_of(loop) == before

    run(main())


@pytest.mark.proves("B3")
def test_a_block_used_from_another_loop_names_both() -> None:
    """Nothing of it works there, and nothing hangs."""
    with asyncio.Runner() as runner, asyncio.Runner() as other:
        time_block, dominos_block = thp.mocked_call_later(), thp.future_dominos(expected=1)
        m = runner.run(time_block.__aenter__())
        futs = runner.run(dominos_block.__aenter__())

        async def get_domino() -> thp.Domino:
            return futs[1]

        domino = runner.run(get_domino())

        async def use() -> None:
            async def wait_for_domino() -> None:
                await domino

            def read_pending() -> None:
                print(m.pending)

            def read_called_times() -> None:
                print(m.called_times)

            for call in (futs.begin, futs.finished.is_set, lambda: futs[1], read_pending, read_called_times):
                with pytest.raises(RuntimeError, match=OTHER_LOOP):
                    call()
            for coroutine in (m.add(1), futs.finished.wait(), wait_for_domino()):
                with pytest.raises(RuntimeError, match=OTHER_LOOP):
                    await coroutine

        other.run(use())
        runner.run(dominos_block.__aexit__(ValueError, ValueError(), None))
        runner.run(time_block.__aexit__(None, None, None))


@pytest.mark.proves("T14", "T18")
@pytest.mark.parametrize("start_time", [1e18, 1e300, -1e15])
async def test_a_start_time_that_is_no_date_is_refused(start_time: float) -> None:
    """Only where dates are asked for; the next block is not disturbed."""
    with pytest.raises(
        ValueError, match=r"^with datetime=True, start_time must be a date .*, got \S+ seconds since 1970$"
    ):
        async with thp.mocked_call_later(datetime=True, start_time=start_time, precision=1e290):
            pytest.fail("entered")
    async with thp.mocked_call_later(datetime=True, start_time=5):
        assert datetime.now(UTC) == datetime.fromtimestamp(5, UTC)


@pytest.mark.proves("T14")
async def test_a_clock_beyond_all_dates_shows_the_last_one() -> None:
    """The clock goes on though the calendar does not."""
    async with thp.mocked_call_later(datetime=True):
        for seconds in (1e12, 1e20):
            await asyncio.sleep(seconds)
            assert datetime.now(UTC).year == 9999


@pytest.mark.proves("T14")
async def test_the_date_is_the_time_in_whole_microseconds() -> None:
    """At every tick."""
    async with thp.mocked_call_later(datetime=True, start_time=1_777_636_800.1234, precision=0.0001):
        for _ in range(200):
            now = datetime.now(UTC)
            shown = int(now.replace(microsecond=0).timestamp()) * 1_000_000 + now.microsecond
            assert shown == time.time_ns() // 1000
            await asyncio.sleep(0.0001)


@pytest.mark.proves("T14", "T18")
async def test_dates_are_refused_while_another_tool_replaces_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """time-machine, imported under freezegun, would keep freezegun's dates and crash the interpreter later."""
    monkeypatch.setattr("datetime.datetime", type("Frozen", (datetime,), {}))
    with pytest.raises(RuntimeError, match=r"^datetime=True does not work while .* replaces datetime\.datetime: "):
        async with thp.mocked_call_later(datetime=True):
            pass
    monkeypatch.undo()

    async with thp.mocked_call_later(datetime=True, start_time=5):
        assert datetime.now(UTC).timestamp() == 5


@pytest.mark.proves("T18")
async def test_an_aware_datetime_is_a_start_time() -> None:
    """A naive one is refused, and the error says why."""
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    async with thp.mocked_call_later(start_time=noon, datetime=True):
        assert datetime.now(UTC) == noon
    with pytest.raises(TypeError, match=r"^start_time must be an aware datetime, got .* without a time zone: .*$"):
        async with thp.mocked_call_later(start_time=noon.replace(tzinfo=None)):
            pytest.fail("entered")


@pytest.mark.proves("T14")
async def test_dates_belong_to_one_thread_at_a_time() -> None:
    """A second thread that asks for them is refused, and does not move them without asking."""
    refused: list[BaseException] = []

    async def other() -> None:
        try:
            async with thp.mocked_call_later(datetime=True):
                pass
        except RuntimeError as error:
            refused.append(error)
        async with thp.mocked_call_later():
            await asyncio.sleep(3600)

    async with thp.mocked_call_later(datetime=True, start_time=5):
        thread = threading.Thread(target=asyncio.run, args=(other(),))
        thread.start()
        thread.join()
        assert datetime.now(UTC) == datetime.fromtimestamp(5, UTC)

    assert "in use by a block in another thread" in str(refused[0])


@pytest.mark.proves("R3")
async def test_a_forgotten_failure_is_told_to_the_loop_and_in_the_report(caplog: pytest.LogCaptureFixture) -> None:
    """The task is not kept alive, so asyncio complains when it would without the block."""

    async def fail() -> None:
        raise ValueError("forgotten")

    async def body() -> None:
        async with thp.mocked_call_later():
            # The task is not kept, on purpose.
            asyncio.get_running_loop().create_task(fail())
            await asyncio.sleep(1)
            gc.collect()
            assert any("never retrieved" in record.getMessage() for record in caplog.records)
            raise KeyError

    with pytest.raises(KeyError) as caught:
        await body()
    assert any("ValueError('forgotten')" in line for line in report_of(caught.value))


@pytest.mark.proves("R3")
async def test_a_task_that_failed_in_its_eager_start_is_named_by_its_coroutine() -> None:
    """It has no coroutine any more when the report is made."""
    loop: Any = asyncio.get_running_loop()

    async def explode() -> None:
        raise ValueError("at once")

    failed = loop.create_task(explode())
    await asyncio.wait([failed])

    def create_task(coro: Any, **kwargs: Any) -> Any:
        coro.close()
        return failed

    async def body() -> None:
        vars(loop)["create_task"] = create_task
        try:
            async with thp.mocked_call_later():
                assert asyncio.create_task(explode()) is asyncio.create_task(explode()) is failed
                raise KeyError
        finally:
            del vars(loop)["create_task"]

    with pytest.raises(KeyError) as caught:
        await body()
    assert any("explode" in line for line in report_of(caught.value))
    # Otherwise asyncio logs it in whatever test runs when the task is collected.
    assert isinstance(failed.exception(), ValueError)


@pytest.mark.proves("T2", "T19")
def test_what_cannot_be_shorter_is_shown_as_it_is() -> None:
    """Infinity, and floats that need all their digits."""
    clock = Clock(start_time=0, precision=1)

    assert clock.deadline(NEVER, NEVER) == NEVER
    assert shortest_decimal(0.1 + 0.05) == 0.15
    assert shortest_decimal(1.0000000000000007) == 1.0000000000000007


@pytest.mark.proves("R5")
def test_a_chain_of_exceptions_without_end_is_no_cancellation() -> None:
    """It is followed for a while only."""
    first, second = TimeoutError(), TimeoutError()
    first.__cause__, second.__cause__ = second, first

    assert not _task_watch._comes_of_cancellation(first)
    assert not _task_watch._comes_of_cancellation(ValueError())


@pytest.mark.proves("B5")
def test_a_time_read_within_a_real_reading_stays_real() -> None:
    """A loop's own method may call another such method."""
    inner = _real_time.in_real_time(_real_time.monotonic)

    assert _real_time.in_real_time(inner)() > 0
    assert _real_time.threads_reading_it == set()


@pytest.mark.proves("B4")
async def test_a_slow_timer_is_logged_in_debug_mode(caplog: pytest.LogCaptureFixture) -> None:
    """As any slow callback is."""
    loop = SimpleNamespace(slow_callback_duration=0.1)
    handle: Any = "the handle"

    _asyncio_internals.warn_if_slow(loop, handle, 0.05)  # type: ignore[arg-type]
    _asyncio_internals.warn_if_slow(loop, handle, 0.15)  # type: ignore[arg-type]

    assert [record.getMessage() for record in caplog.records] == ["Executing 'the handle' took 0.150 seconds"]


@pytest.mark.proves("T12")
def test_a_thread_that_has_ended_waits_for_nothing() -> None:
    """Its frames are gone."""
    assert not _known_tools.waits_for_a_loop(-1, [])


@pytest.mark.proves("T1")
async def test_work_that_begins_when_its_block_has_been_left_reads_real_time() -> None:
    """It may have waited for a thread for so long."""
    async with thp.mocked_call_later(start_time=100):
        read = _time_module.bound_to_clock(time.time)
        inside = read()

    assert inside == 100
    assert read() > 1_000_000_000


@pytest.mark.proves("R5")
def test_a_block_watches_the_task_that_entered_it_though_the_loop_stops_in_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Some runners run the loop once before they wait for the task of the test, which has begun by then."""
    inside, stopped = asyncio.Event(), asyncio.Event()

    async def client() -> None:
        async with thp.mocked_call_later():
            inside.set()
            await asyncio.Event().wait()

    async def test() -> None:
        task = asyncio.create_task(client(), name="client")
        await stopped.wait()
        task.cancel()
        await asyncio.wait([task])

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(test())
        loop.run_until_complete(inside.wait())
        stopped.set()
        loop.run_until_complete(task)

    (report,) = logged(caplog)
    assert report.startswith("cancelled from outside the block")
