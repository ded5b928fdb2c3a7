"""What happens seldom: blocks outside of tasks, loops that tell little, many timeouts, reports that fail."""

import asyncio
import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from types import SimpleNamespace

import anyio.to_thread
import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _mocked_call_later, _real_work, _where
from machinery._test_helpers._seam import _facts, _probe_seam, _selector_seam
from tests.loops import Run, on_every_loop


def step(coro: Coroutine[object, object, object]) -> object:
    """Run a coroutine that does not wait, outside of any task."""
    with pytest.raises(StopIteration) as stopped:
        coro.send(None)
    return stopped.value.value


class TestOutsideOfTasks:
    """Whoever drives coroutines by hand has no task."""

    @on_every_loop
    @pytest.mark.proves("B6", "T1")
    def test_a_block_can_be_entered_and_left_by_a_callback(self, run: Run) -> None:
        """Time is virtual from one to the other, and the last callback of the clock may be the one that leaves."""
        times: list[float] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()
            real = time.time
            over = asyncio.Event()
            block = thp.mocked_call_later()

            def enter() -> None:
                step(block.__aenter__())
                loop.call_later(3600, leave)

            def leave() -> None:
                times.append(time.time())
                step(block.__aexit__(None, None, None))
                over.set()

            loop.call_soon(enter)
            await over.wait()
            assert time.time is real

        run(body())

        assert times == [3600]

    @pytest.mark.proves("R1", "B6")
    async def test_an_exception_that_a_callback_lets_out_gets_its_note(self) -> None:
        """There is no task to speak of, and nothing to take back."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[BaseException] = loop.create_future()
        block = thp.future_dominos(expected=1, name="row")

        def enter_and_leave() -> None:
            step(block.__aenter__())
            error = ValueError("boom")
            step(block.__aexit__(ValueError, error, None))
            over.set_result(error)

        loop.call_soon(enter_and_leave)
        error = await over

        assert str(error) == "boom"
        assert error.__notes__[0].startswith("dominos 'row'")

    @pytest.mark.proves("W2")
    async def test_waiting_for_all_tasks_by_hand_is_over_once(self) -> None:
        """The loop rests on, though nobody takes notice, and what is real still happens."""
        waiting = thp.wait_all_tasks_blocked()
        waiting.send(None)

        await asyncio.sleep(0.01)

        assert step(waiting) is None

    @pytest.mark.proves("W2", "B6")
    def test_waiting_for_all_tasks_ends_with_the_loop(self) -> None:
        """Who is asked next finds the waiting cancelled."""
        loop = asyncio.new_event_loop()
        waiting = thp.wait_all_tasks_blocked()

        def wait_and_stop() -> None:
            waiting.send(None)
            loop.stop()

        loop.call_soon(wait_and_stop)
        loop.run_forever()
        loop.close()

        with pytest.raises(asyncio.CancelledError):
            waiting.send(None)


class TestLoopsThatAreClosed:
    """While something is open on them, and whoever opened it never comes back."""

    @pytest.mark.proves("B6", "D8")
    def test_nothing_stays_replaced_on_the_loop(self) -> None:
        """Neither by dominos nor by who waits for all tasks."""
        loop = asyncio.new_event_loop()
        selector = loop._selector  # type: ignore[attr-defined]
        before = set(vars(loop)), set(vars(selector))
        block, waiting = thp.future_dominos(expected=1), thp.wait_all_tasks_blocked()

        def open_both_and_stop() -> None:
            step(block.__aenter__())
            waiting.send(None)
            loop.stop()

        loop.call_soon(open_both_and_stop)
        loop.run_forever()
        loop.close()

        assert (set(vars(loop)), set(vars(selector))) == before
        waiting.close()

    @pytest.mark.proves("D8")
    def test_dominos_can_be_left_when_their_loop_has_been_closed_over_their_head(self) -> None:
        """The exception of the body is not masked, though nobody who waits can be told any more."""
        loop = asyncio.new_event_loop()
        block = thp.future_dominos(expected=1)

        def open_it_and_stop() -> None:
            futs = step(block.__aenter__())
            futs[1].add_done_callback(print)  # type: ignore[index]
            loop.stop()

        loop.call_soon(open_it_and_stop)
        loop.run_forever()
        type(loop).close(loop)

        assert step(block.__aexit__(ValueError, ValueError("of the body"), None)) is False


class TestUvloop:
    """What is known there by other means, or not at all."""

    uvloop = pytest.importorskip("uvloop")

    @pytest.mark.proves("T11", "B3")
    def test_a_watchdog_strikes_in_real_time(self) -> None:
        """Set inside the block, it does not wait for the clock."""
        struck: list[float] = []

        def strike() -> None:
            struck.append(time.time())

        strike.__module__ = "alt_pytest_asyncio.plugin"

        async def body() -> None:
            async with thp.mocked_call_later():
                asyncio.get_running_loop().call_later(0.01, strike)
                await asyncio.sleep(3600)
                while not struck:
                    await asyncio.to_thread(time.sleep, 0.001)

        self.uvloop.run(body())

        assert struck == [3600]

    @pytest.mark.proves("R8", "B3")
    def test_nobody_is_told_to_give_up(self) -> None:
        """What could still wake this loop is never certain, so that standing time is not the end."""
        calls = 0

        async def body() -> None:
            loop = asyncio.get_running_loop()
            done = asyncio.Event()

            def again() -> None:
                nonlocal calls
                calls += 1
                if calls == 2500:
                    done.set()
                else:
                    loop.call_later(0, again)

            async with thp.mocked_call_later():
                again()
                await done.wait()

        self.uvloop.run(body())

        assert calls == 2500

    @pytest.mark.proves("B3")
    def test_without_its_backend_sockets_are_taken_to_be_quiet(self) -> None:
        """A loop that does not show what it waits on is watched by rounds alone."""
        assert not _probe_seam._poll_of(SimpleNamespace())()  # type: ignore[arg-type]


class TestWhatIsNotTold:
    """Loops and handles that do not show what others do."""

    @pytest.mark.proves("R8")
    async def test_a_selector_that_does_not_list_its_files_makes_nothing_certain(self) -> None:
        """There may be some."""
        seam = _selector_seam.SelectorSeam(asyncio.get_running_loop(), SimpleNamespace(select=lambda timeout: []))

        assert "something that this loop does not tell of" in list(seam.wakers())

    @pytest.mark.proves("R8")
    @pytest.mark.skipif(sys.platform == "win32", reason="loops handle no signals there")
    async def test_a_handler_of_the_interrupt_counts_when_it_is_the_loops(self) -> None:
        """Only Python's and asyncio.Runner's own do not."""
        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        try:
            handled = list(_facts.signals_handled(loop))
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)

        assert f"a handler of signal {signal.SIGINT}" in handled

    @pytest.mark.proves("B4")
    async def test_a_handle_that_was_made_before_debug_mode_has_no_origin_to_mend(self) -> None:
        """It stays as it is."""
        handle = asyncio.Handle(print, (), SimpleNamespace(get_debug=lambda: False))  # type: ignore[arg-type]
        before = repr(handle)

        _facts.forget_callers(handle, 2)

        assert repr(handle) == before

    @pytest.mark.proves("R13")
    async def test_a_chain_of_coroutines_is_followed_only_so_far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The place told is then one further out."""
        monkeypatch.setattr(_where, "_DEEPEST", 2)

        async def inner() -> None:
            await asyncio.sleep(3600)

        async def outer() -> None:
            await inner()

        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        told = _where.waits_at(task)
        task.cancel()

        assert told.endswith("await asyncio.sleep(3600)")


class TestTheLastMoment:
    """A thread may end between the look at the sockets and the look at the threads."""

    @pytest.mark.proves("R8")
    async def test_what_a_thread_has_brought_before_it_ended_is_not_overlooked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is no time to give up while there is something to read."""
        monkeypatch.setattr("machinery._test_helpers._owner.PATIENCE", 0.05)
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        brought = 0

        def nobody_is_busy() -> Iterator[str]:
            nonlocal brought
            if not brought:
                brought += 1
                loop.call_soon_threadsafe(woken.set)
            yield from ()

        monkeypatch.setattr(_selector_seam, "threads_busy", nobody_is_busy)
        async with thp.future_dominos(expected=0):
            await woken.wait()

        assert brought == 1


class TestThreadsOfAnyio:
    """The loop is not told of them."""

    @pytest.mark.proves("T12")
    async def test_work_that_is_overtaken_is_named_by_its_thread(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What it does is not known."""
        for module in (_real_work, _mocked_call_later):
            monkeypatch.setattr(module, "PATIENCE", 0.1)
        released = threading.Event()
        async with thp.mocked_call_later():
            work = asyncio.ensure_future(anyio.to_thread.run_sync(released.wait))
            await asyncio.sleep(3600)
            released.set()
            await work

        assert [record.getMessage().partition("seconds: ")[2].partition(" (see")[0] for record in caplog.records] == [
            "work in the thread 'AnyIO worker thread'"
        ]

    @pytest.mark.proves("T12", "T7")
    async def test_what_a_thread_brings_at_the_last_moment_comes_before_the_clock_moves(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thread may end between the look at the sockets and the look at the threads."""
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        times: list[float] = []
        looks = 0

        def none_at_work(loop: asyncio.AbstractEventLoop) -> list[object]:
            nonlocal looks
            looks += 1
            if looks == 1:
                far.send(b"x")
            return []

        def read() -> None:
            near.recv(1)
            times.append(time.time())

        await anyio.to_thread.run_sync(int)
        monkeypatch.setattr(_real_work, "work_in_anyio", none_at_work)
        with near, far:
            loop.add_reader(near, read)
            async with thp.mocked_call_later():
                await asyncio.sleep(5)
            loop.remove_reader(near)

        assert times == [0]


class TestManyTimeouts:
    """Code may live on timeouts that strike."""

    @pytest.mark.proves("R5")
    async def test_only_so_many_reports_are_kept_in_a_second(self) -> None:
        """Each of them was a cancellation, and none is seen outside; the last exception has its note all the same."""
        struck = 0
        with pytest.raises(ZeroDivisionError) as caught:
            async with thp.mocked_call_later():
                for _ in range(25):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await asyncio.sleep(2)
                    struck += 1
                raise ZeroDivisionError

        assert struck == 25
        assert caught.value.__notes__[0].startswith("virtual time stands at 25.0")

    @pytest.mark.proves("R5")
    async def test_a_timeout_error_of_ones_own_is_no_cancellation(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing is logged for it."""
        with pytest.raises(TimeoutError):
            async with thp.mocked_call_later():
                raise TimeoutError

        assert caplog.records == []

    @pytest.mark.proves("R5", "R13")
    async def test_a_very_long_chain_of_timeouts_is_not_followed_to_its_end(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whether a cancellation stands there does not matter any more."""
        error: BaseException = asyncio.CancelledError()
        for _ in range(1000):
            outer = TimeoutError()
            outer.__cause__ = error
            error = outer

        with pytest.raises(TimeoutError) as caught:
            async with thp.mocked_call_later():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await asyncio.sleep(2)
                await asyncio.sleep(2)
                raise error

        assert caught.value.__notes__[0].startswith("virtual time stands at 3.0")
        assert caplog.records == []


class TestReportsThatFail:
    """A report is never what fails a test."""

    @pytest.mark.proves("R13")
    async def test_what_had_been_told_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rest is replaced by why it is missing."""

        def report(block: object, error: BaseException | None) -> Iterator[str]:
            yield "the beginning"
            raise ZeroDivisionError

        monkeypatch.setattr(_mocked_call_later, "report_virtual_time", report)
        with pytest.raises(ValueError, match="boom") as caught:
            async with thp.mocked_call_later():
                raise ValueError("boom")

        assert caught.value.__notes__ == [
            "the beginning\n  (no more can be told: ZeroDivisionError was raised on the way)"
        ]


class TestDoneCallbacks:
    """Of dominos."""

    @pytest.mark.proves("D2")
    async def test_a_coroutine_function_is_refused(self) -> None:
        """It would never be awaited."""

        async def forgotten(domino: object) -> None:
            pytest.fail("this cannot be reached")

        async with thp.future_dominos(expected=1) as futs:
            with pytest.raises(TypeError, match=r"^a done-callback must be a plain function, got the coroutine .*"):
                futs[1].add_done_callback(forgotten)  # type: ignore[arg-type]
            futs[1].set_result(None)
