"""Where the helpers meet the loop: whatever a loop waits with, it is asked before it waits."""

import asyncio
import contextlib
import contextvars
import math
import queue
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _asyncio_internals, _known_tools, _timers, _virtual_loop, _wakeups
from machinery._test_helpers._idle_selector import SelectorHook

Main = Callable[[], Coroutine[Any, Any, None]]


class Proactor:
    """Waits as the proactor of Windows does: operations that are over get their results while it waits."""

    def __init__(self) -> None:
        self._completions: queue.SimpleQueue[asyncio.Future[str] | None] = queue.SimpleQueue()
        self.timeouts: list[float | None] = []

    def complete(self, operation: asyncio.Future[str] | None) -> None:
        """End an operation, from any thread; without one, only wake the loop."""
        self._completions.put(operation)

    def select(self, timeout: float | None = None) -> list[object]:
        """Wait until an operation is over."""
        self.timeouts.append(timeout)
        with contextlib.suppress(queue.Empty):
            operation = self._completions.get(timeout is None or timeout > 0, timeout)
            if operation is not None:
                operation.set_result("completed")
            return [operation]
        return []


def proactor_loop(proactor: Proactor) -> asyncio.AbstractEventLoop:
    """Make a loop on a proactor, by the names that asyncio has for it on Windows."""
    methods = {
        "_process_events": lambda loop, events: None,
        "_write_to_self": lambda loop: proactor.complete(None),
    }
    loop: asyncio.AbstractEventLoop = type("ProactorLoop", (asyncio.BaseEventLoop,), methods)()
    vars(loop)["_selector"] = proactor
    return loop


@pytest.fixture
def proactor() -> Proactor:
    """Give what a loop waits with."""
    return Proactor()


@pytest.fixture
def run(proactor: Proactor) -> Callable[[Main], None]:
    """Give what runs a coroutine on a loop of that proactor."""

    def run(main: Main) -> None:
        before = set(vars(proactor))
        with contextlib.closing(proactor_loop(proactor)) as loop:
            loop.run_until_complete(asyncio.wait_for(main(), 60))
            assert not {"time", "call_later", "call_at", "close"} & set(vars(loop))
        assert set(vars(proactor)) == before

    return run


class TestProactors:
    """What is not run on Windows is run on a stand-in."""

    @pytest.mark.proves("B3", "T7")
    def test_time_passes_without_waiting(self, proactor: Proactor, run: Callable[[Main], None]) -> None:
        """While timers are virtual the proactor is asked, but never to wait."""

        async def main() -> None:
            async with thp.mocked_call_later():
                await asyncio.sleep(0)
                begin = len(proactor.timeouts)
                for _ in range(10):
                    await asyncio.sleep(3600)

                assert time.time() == 36000
                assert set(proactor.timeouts[begin:]) == {0}

        run(main)

    @pytest.mark.proves("B3", "T7")
    def test_an_operation_that_is_over_comes_before_the_next_deadline(
        self, proactor: Proactor, run: Callable[[Main], None]
    ) -> None:
        """Completions are events like those of sockets."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later():
                for _ in range(5):
                    operation: asyncio.Future[str] = loop.create_future()
                    loop.call_later(1, proactor.complete, operation)
                    async with asyncio.timeout(1.1):
                        assert await operation == "completed"

                assert time.time() == 5

        run(main)

    @pytest.mark.proves("B3", "T11")
    def test_an_idle_loop_waits_for_real_operations_and_timers(
        self, proactor: Proactor, run: Callable[[Main], None]
    ) -> None:
        """With nothing virtual to come, the loop waits as it would without us."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            fired = asyncio.Event()
            loop.call_later(0.02, fired.set)
            async with thp.mocked_call_later():
                await fired.wait()
                operation: asyncio.Future[str] = loop.create_future()
                thread = threading.Timer(0.02, proactor.complete, [operation])
                thread.start()
                await operation
                thread.join()
                assert time.time() == 0

        run(main)

    @pytest.mark.proves("B3", "T8", "D9")
    def test_dominos_fall(self, run: Callable[[Main], None]) -> None:
        """They need no timer, and no time passes for them."""
        order: list[int] = []

        async def take(futs: thp.FutureDominos, *numbers: int) -> None:
            for number in numbers:
                await futs[number]
                order.append(number)

        async def main() -> None:
            async with thp.mocked_call_later(), thp.future_dominos(expected=4) as futs:
                futs.begin()
                await asyncio.gather(take(futs, 2, 3), take(futs, 1, 4))
                assert time.time() == 0

        run(main)

        assert order == [1, 2, 3, 4]

    @pytest.mark.proves("B3", "T0")
    def test_what_ends_the_loop_ends_it_from_a_timer_too(self, proactor: Proactor) -> None:
        """`loop.stop()` in a callback stops the loop, which can go on later."""
        with contextlib.closing(proactor_loop(proactor)) as loop:
            block = thp.mocked_call_later()
            m = loop.run_until_complete(block.__aenter__())
            loop.call_later(5, loop.stop)
            loop.run_forever()
            stopped_at = time.time()
            loop.run_until_complete(m.add(1))
            at_the_end = time.time()
            loop.run_until_complete(block.__aexit__(None, None, None))

        assert (stopped_at, at_the_end) == (5, 6)


class Selector(selectors.DefaultSelector):
    """A selector of somebody's own, which notes how long it is asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Note the timeout, and wait."""
        self.timeouts.append(timeout)
        return super().select(timeout)


class TestSelectors:
    """What asyncio's loops have everywhere but on Windows."""

    @pytest.mark.proves("B3", "T7")
    def test_a_selector_of_ones_own_is_asked_once_for_each_jump(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An idle loop looks for events once and does not wait; without us it would have waited."""
        monkeypatch.delitem(sys.modules, _known_tools.ANYIO, raising=False)
        selector = Selector()

        async def main() -> None:
            async with thp.mocked_call_later():
                await asyncio.sleep(1)
                begin = len(selector.timeouts)
                await asyncio.sleep(math.pi)

                assert selector.timeouts[begin:].count(0) == len(selector.timeouts[begin:])
                assert 1 <= len(selector.timeouts[begin:]) <= 4

        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            runner.run(main())

    @pytest.mark.proves("T15", "B6")
    @pytest.mark.parametrize("leave", [asyncio.sleep, asyncio.wait_for], ids=["normally", "by an exception"])
    @pytest.mark.parametrize("kind", [Selector, selectors.DefaultSelector])
    def test_the_selector_is_as_before(
        self, kind: type[selectors.DefaultSelector], leave: Callable[..., Awaitable[object]]
    ) -> None:
        """With the last block nothing is left on it, and what others had put there before has been asked in it."""
        selector = kind()
        spied: list[float | None] = []

        def spy(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            spied.append(timeout)
            return kind.select(selector, timeout)

        async def main() -> None:
            vars(selector)["select"] = spy
            with contextlib.suppress(TypeError):
                async with thp.mocked_call_later(), thp.mocked_call_later():
                    assert vars(selector)["select"] is not spy
                    spied.clear()
                    await asyncio.sleep(1)
                    assert spied
                    await leave(0)
            assert vars(selector)["select"] is spy

        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            runner.run(main())

    @pytest.mark.proves("B3", "T7")
    @pytest.mark.skipif(sys.platform == "win32", reason="loops handle no signals there")
    @pytest.mark.parametrize("busy", [False, True], ids=["at rest", "busy"])
    def test_signals_are_served_though_no_file_is_open(self, monkeypatch: pytest.MonkeyPatch, busy: bool) -> None:
        """They come through the pipe by which threads wake the loop, and nothing else tells of them."""
        # Its threads make the clock look once more.
        monkeypatch.delitem(sys.modules, _known_tools.ANYIO, raising=False)
        called: list[object] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later():
                loop.add_signal_handler(signal.SIGUSR1, lambda: called.append(loop.time()))
                loop.call_later(1, signal.raise_signal, signal.SIGUSR1)
                loop.call_later(1.1, called.append, "the next deadline")
                await asyncio.sleep(1)
                for _ in range(busy * 10):
                    await asyncio.sleep(0)
                assert not busy or called == [1]
                await asyncio.sleep(1)
                loop.remove_signal_handler(signal.SIGUSR1)

        asyncio.run(main())

        assert called == [1, "the next deadline"]

    @pytest.mark.proves("B3", "T7")
    @pytest.mark.parametrize("busy", [False, True], ids=["at rest", "busy"])
    def test_what_a_file_brings_comes_before_the_next_deadline(
        self, monkeypatch: pytest.MonkeyPatch, busy: bool
    ) -> None:
        """One more file than the pipe is enough to be asked for."""
        monkeypatch.delitem(sys.modules, _known_tools.ANYIO, raising=False)
        called: list[object] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            here, there = socket.socketpair()
            with here, there:
                async with thp.mocked_call_later():
                    loop.add_reader(here, lambda: (here.recv(1), called.append(loop.time())))
                    loop.call_later(1, there.send, b"x")
                    loop.call_later(1.1, called.append, "the next deadline")
                    await asyncio.sleep(1)
                    for _ in range(busy * 10):
                        await asyncio.sleep(0)
                    assert not busy or called == [1]
                    await asyncio.sleep(1)
                    loop.remove_reader(here)

        asyncio.run(main())

        assert called == [1, "the next deadline"]

    @pytest.mark.proves("D2", "T7")
    @pytest.mark.skipif(sys.platform == "win32", reason="loops have a selector of another kind there")
    def test_what_a_thread_has_made_ready_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also when it came after the loop had looked, and before it waits."""
        # Its threads make the loop look once more.
        monkeypatch.delitem(sys.modules, _known_tools.ANYIO, raising=False)
        called: list[object] = []

        async def main() -> None:
            loop: Any = asyncio.get_running_loop()
            async with thp.future_dominos(expected=1) as futs:
                futs[1].add_done_callback(lambda _: called.append("the domino"))
                futs.begin()
                loop.call_soon_threadsafe(called.append, "ready")
                loop._selector.select(5)
                assert not futs[1].done()
                await futs[1]

        asyncio.run(main())

        assert called == ["ready", "the domino"]

    @pytest.mark.proves("T7")
    def test_timers_that_wake_nobody_are_all_served(self) -> None:
        """However many follow one another, the loop looks at its own timers in between."""
        called: list[int] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later():
                for delay in range(1, 301):
                    loop.call_later(delay, called.append, delay)
                await asyncio.sleep(301)

        asyncio.run(main())

        assert called == [*range(1, 301)]


class TestHandles:
    """What is made by hand, so that a timer costs less."""

    @pytest.mark.proves("T0", "B5")
    async def test_a_handle_lacks_nothing_that_asyncio_gives_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is as its class would make it, in every slot that this Python has."""
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        slots = {*asyncio.Handle.__slots__, *asyncio.TimerHandle.__slots__} - {"__weakref__"}
        async with thp.mocked_call_later():
            timers = []
            for are_known in (_asyncio_internals.HANDLE_SLOTS_ARE_KNOWN, False):
                monkeypatch.setattr(_virtual_loop, "HANDLE_SLOTS_ARE_KNOWN", are_known)
                timers.append(loop.call_later(1.5, print, "x", context=context))
            by_hand, by_its_class = timers

            assert {name: getattr(by_hand, name) for name in slots} == {
                name: getattr(by_its_class, name) for name in slots
            }
            assert repr(by_hand) == repr(by_its_class)

            for timer in timers:
                timer.cancel()
                assert timer.cancelled()
                assert _asyncio_internals.callback_of(timer) == (None, ())

    @pytest.mark.proves("T0", "B5")
    async def test_handles_of_an_unknown_kind_are_left_to_asyncio(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Python whose handles have other slots makes them itself."""
        for module in (_timers, _virtual_loop):
            monkeypatch.setattr(module, "HANDLE_SLOTS_ARE_KNOWN", False)
        async with thp.mocked_call_later() as m:
            cancelled = asyncio.get_running_loop().call_later(1, print)
            cancelled.cancel()
            await asyncio.sleep(2)

            assert cancelled.cancelled()
            assert m.called_times == [2]


class TestWhatCouldWakeALoop:
    """What an idle loop could still be woken by."""

    @pytest.mark.proves("R8")
    async def test_a_selector_that_does_not_list_its_files_makes_nothing_certain(self) -> None:
        """There may be some."""
        hook = SelectorHook(asyncio.get_running_loop(), SimpleNamespace(select=lambda timeout: []))

        assert "something that this kind of loop does not show" in list(hook.possible_wakeups())

    @pytest.mark.proves("R8")
    @pytest.mark.skipif(sys.platform == "win32", reason="loops handle no signals there")
    async def test_a_handler_of_the_interrupt_counts_when_it_is_the_loops(self) -> None:
        """Only Python's and asyncio.Runner's own do not."""
        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        try:
            handled = list(_wakeups._signals(loop))
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)

        assert f"a handler of signal {signal.SIGINT}" in handled
