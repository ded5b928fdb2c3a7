"""Loops that are not asyncio's usual one: that of Windows, by a stand-in, and those of which nothing is known."""

import asyncio
import math
import selectors
import socket
import threading
import time
from asyncio.proactor_events import BaseProactorEventLoop
from collections.abc import Callable, Coroutine, Iterator, Sequence

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _idle_selector
from machinery._test_helpers._idle import Turn
from tests.reports.reading import logged
from tests.state import state_of


class Proactor:
    """Does for its loop what the completion ports of Windows do, as far as sockets that are read and written go.

    As there, `select` hands out operations that are over, whose futures it has set itself.
    """

    def __init__(self) -> None:
        self._results: list[asyncio.Future[object]] = []
        self._waiting = selectors.DefaultSelector()

    def set_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Be told for whom to work."""
        self._loop = loop

    def recv(self, conn: socket.socket, nbytes: int, flags: int = 0) -> asyncio.Future[object]:
        """Begin to read."""
        return self._begin(conn, selectors.EVENT_READ, lambda: conn.recv(nbytes, flags))

    def send(self, conn: socket.socket, buf: bytes, flags: int = 0) -> asyncio.Future[object]:
        """Begin to write."""
        return self._begin(conn.dup(), selectors.EVENT_WRITE, lambda: conn.send(buf, flags))

    def _begin(self, conn: socket.socket, event: int, finish: Callable[[], object]) -> asyncio.Future[object]:
        assert self._loop is not None
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting.register(conn, event, (future, finish))
        future.add_done_callback(lambda future: self._waiting.unregister(conn))
        if event == selectors.EVENT_WRITE:
            future.add_done_callback(lambda future: conn.close())
        return future

    def select(self, timeout: float | None = None) -> list[asyncio.Future[object]]:
        """Wait until something is over, or for some seconds."""
        if not self._results:
            self._poll(timeout)
        results, self._results = self._results, []
        return results

    def _poll(self, timeout: float | None) -> None:
        if timeout is not None and timeout < 0:
            raise ValueError("negative timeout")
        for key, _ in self._waiting.select(timeout):
            future, finish = key.data
            if not future.done():
                future.set_result(finish())
                self._results.append(future)

    def close(self) -> None:
        """Be closed by the loop."""
        self._waiting.close()


@pytest.fixture
def proactor() -> Proactor:
    """Give something that waits as the loop of Windows does."""
    return Proactor()


@pytest.fixture
def runner(proactor: Proactor) -> Iterator[asyncio.Runner]:
    """Give a runner whose loop is that of Windows, but for the completion ports."""

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = BaseProactorEventLoop(proactor)
        # The part for Windows does this, so that other threads can wake the loop.
        loop.call_soon(vars(BaseProactorEventLoop)["_loop_self_reading"], loop)
        return loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        yield runner


class TestTheLoopOfWindows:
    """It is idle when it asks its proactor to wait."""

    @pytest.mark.proves("B3", "T0", "T9")
    def test_time_is_virtual(self, runner: asyncio.Runner) -> None:
        """Hours pass at once, by themselves and by hand."""

        async def body() -> None:
            async with thp.mocked_call_later() as m:
                await asyncio.sleep(3600)
                await m.add(60)
                assert time.time() == 3660
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), 40)
                assert m.called_times == [3600, 3700]

        runner.run(body())

    @pytest.mark.proves("B3", "T7")
    def test_what_is_on_its_way_through_sockets_is_not_overtaken(self, runner: asyncio.Runner) -> None:
        """No timeout strikes while two ends of a connection have something to say."""

        async def body() -> None:
            loop = asyncio.get_running_loop()
            near, far = socket.socketpair()

            async def echo() -> None:
                while data := await loop.sock_recv(far, 100):
                    await loop.sock_sendall(far, data)

            with far:
                with near:
                    for end in (near, far):
                        end.setblocking(False)
                    echoing = asyncio.create_task(echo())
                    async with thp.mocked_call_later(), asyncio.timeout(1):
                        for _ in range(20):
                            await loop.sock_sendall(near, b"hello")
                            assert await loop.sock_recv(near, 100) == b"hello"
                        assert time.time() == 0
                await echoing

        runner.run(body())

    @pytest.mark.proves("B3", "T12")
    def test_work_in_threads_holds_the_clock(self, runner: asyncio.Runner) -> None:
        """A thread that ends wakes the loop."""

        async def body() -> None:
            async with thp.mocked_call_later(), asyncio.timeout(5):
                await asyncio.to_thread(threading.Event().wait, 0.05)
                assert time.time() == 0

        runner.run(body())

    @pytest.mark.proves("B3")
    def test_what_a_bare_socket_sends_is_not_waited_for(
        self, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The loop does not know the socket, and could not tell when an answer comes."""

        async def body() -> None:
            with socket.socket(type=socket.SOCK_DGRAM) as silent, socket.socket(type=socket.SOCK_DGRAM) as sending:
                silent.bind(("127.0.0.1", 0))
                async with thp.mocked_call_later():
                    sending.sendto(b"counted", silent.getsockname())
                    await asyncio.sleep(3600)
                    assert time.time() == 3600

        runner.run(body())

        assert logged(caplog) == []

    @pytest.mark.proves("B3", "D2", "W1")
    def test_dominos_fall_in_order(self, runner: asyncio.Runner) -> None:
        """Each falls when what the earlier one woke has run, and who waits for all others goes on last."""
        order: list[object] = []

        async def body() -> None:
            async with thp.future_dominos(expected=3) as futs:

                async def work() -> None:
                    for number in (1, 3):
                        await futs[number]
                        await asyncio.sleep(0)
                        order.append(number)

                task = asyncio.create_task(work())
                futs.begin()
                await futs[2]
                order.append(2)
                await thp.wait_all_tasks_blocked()
                order.append("blocked")
                await task

        runner.run(body())

        assert order == [1, 2, 3, "blocked"]

    @pytest.mark.proves("B3", "B6")
    def test_everything_is_put_back(self, runner: asyncio.Runner, proactor: Proactor) -> None:
        """After the block the loop asks its proactor itself, and time is real."""

        async def body() -> None:
            before = state_of(asyncio.get_running_loop())
            async with thp.mocked_call_later(), thp.future_dominos(expected=0):
                assert "select" in vars(proactor)
                await asyncio.sleep(5)
            assert state_of(asyncio.get_running_loop()) == before
            assert "select" not in vars(proactor)
            await asyncio.sleep(0.01)

        runner.run(body())


class TestResting:
    """How long a loop has been idle is counted in real seconds."""

    @pytest.mark.proves("T13")
    def test_an_event_begins_a_new_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A listener is told for how long the loop has been idle since something last happened on it."""
        now = 0.0
        told: list[float] = []

        class Selector:
            """Has something to tell after three seconds, then no more."""

            def __init__(self) -> None:
                self.events = [("event", 3.0)]

            def select(self, timeout: float | None = None) -> Sequence[object]:
                nonlocal now
                limit = math.inf if timeout is None else timeout
                if self.events and self.events[0][1] <= limit:
                    event, after = self.events.pop()
                    now += after
                    return [event]
                now += limit
                return []

        class Patient:
            """Acts once the loop has been idle for five seconds."""

            turn = Turn.CLOCKS

            def on_idle(self, rested: float) -> float:
                told.append(rested)
                return 5 - rested

            def on_loop_closed(self) -> None: ...

        monkeypatch.setattr(_idle_selector, "monotonic", lambda: now)
        monkeypatch.setattr(_idle_selector, "COUNTED_AT_ONCE", 5.0)
        loop, selector, patient = asyncio.new_event_loop(), Selector(), Patient()
        try:
            hook = _idle_selector.SelectorHook(loop, selector)
            hook.add(patient)
            assert selector.select() == ["event"]
            assert selector.select() == []
            hook.remove(patient)
        finally:
            loop.close()

        assert told == [0, 0, 5]
        assert hook.total_idle_seconds == 8
        assert "select" not in vars(selector)

    @pytest.mark.proves("T11")
    def test_a_timer_that_is_due_comes_before_listeners(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine that pauses makes both due at once, and a watchdog must not find that its test has ended."""
        now = 0.0
        asked: list[float] = []

        class Selector:
            """Waits for much longer than it should."""

            def select(self, timeout: float | None = None) -> Sequence[object]:
                nonlocal now
                now += 30
                return []

        class Patient:
            """Acts once the loop has been idle for five seconds."""

            turn = Turn.DEADLOCKS

            def on_idle(self, rested: float) -> float:
                asked.append(rested)
                return max(5 - rested, 0)

            def on_loop_closed(self) -> None: ...

        monkeypatch.setattr(_idle_selector, "monotonic", lambda: now)
        loop, selector, patient = asyncio.new_event_loop(), Selector(), Patient()
        try:
            _idle_selector.SelectorHook(loop, selector).add(patient)
            assert selector.select(3) == []
        finally:
            loop.close()

        assert asked == [0]


class UnknownLoop(asyncio.BaseEventLoop):
    """Somebody's loop, of which nobody can tell when it is idle."""


@pytest.mark.parametrize(
    "enter",
    [
        lambda: thp.mocked_call_later().__aenter__(),
        lambda: thp.future_dominos(expected=1).__aenter__(),
        thp.wait_all_tasks_blocked,
    ],
    ids=["mocked_call_later", "future_dominos", "wait_all_tasks_blocked"],
)
@pytest.mark.proves("B3", "T18")
def test_an_unknown_loop_is_refused(enter: Callable[[], Coroutine[object, None, object]]) -> None:
    """The error says what to do, and nothing has been replaced."""
    loop = UnknownLoop()
    before = state_of(loop)
    asyncio._set_running_loop(loop)
    try:
        with pytest.raises(
            RuntimeError,
            match=rf"^a loop of type {__name__}\.UnknownLoop is not supported, since it does not show when it is idle:"
            r" run the test on one of asyncio's own loops or on uvloop$",
        ):
            enter().send(None)
    finally:
        asyncio._set_running_loop(None)
        loop.close()

    assert state_of(loop) == before
