"""Deadlocks end with `Stuck`, and nothing else does."""

import asyncio
import contextlib
import ctypes
import math
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _deadlocks, _wakeups
from machinery._test_helpers._real_time import monotonic
from tests.reports.reading import FIRST, Boom, logged, plain, report_of, wait_for_ever

HOPELESS = "deadlock: every task is waiting and nothing is left to wake one"
Block = Callable[[], AbstractAsyncContextManager[object]]

pytestmark = pytest.mark.usefixtures("quiet_loop", "deadlock_patience")


def virtual_time() -> AbstractAsyncContextManager[object]:
    """Give a block of virtual time."""
    return thp.mocked_call_later()


def dominos() -> AbstractAsyncContextManager[object]:
    """Give a block of dominos, of which none is left to fall."""
    return thp.future_dominos(expected=0)


either = pytest.mark.parametrize("block", [virtual_time, dominos])


class Uncounted:
    """A real timer that counts as the watchdog of a test framework, so that Stuck is raised in spite of it."""

    __module__ = "alt_pytest_asyncio.plugin"

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def __call__(self) -> None:
        """Do what there is to do."""
        self._act()


def after(seconds: float, act: Callable[[], object]) -> asyncio.TimerHandle:
    """Do something after some real seconds, which do not count as something that could wake the test."""
    return asyncio.get_running_loop().call_later(seconds, Uncounted(act))


@pytest.fixture(autouse=True)
def _alone() -> None:
    """Let the threads of earlier tests come to their end: what they could wake is not certain."""
    ends = time.monotonic() + 10
    while list(_wakeups._busy_threads()) and time.monotonic() < ends:
        time.sleep(0.01)


@pytest.fixture(autouse=True)
async def _on_a_loop_of_asyncio() -> None:
    """Skip the test on other loops, of which nothing is ever certain."""
    if not type(asyncio.get_running_loop()).__module__.startswith("asyncio"):
        pytest.skip("of other loops nothing is ever certain")


class TestNothingCanHappenAnyMore:
    """Every task waits, and nothing real is open or running."""

    @pytest.mark.proves("R6")
    @either
    async def test_a_wait_that_cannot_end_is_ended(self, block: Block) -> None:
        """By an AssertionError with the report, in virtual time and in dominos alike."""
        with pytest.raises(thp.Stuck) as caught:
            async with block():
                await wait_for_ever()

        assert isinstance(caught.value, AssertionError)
        assert str(caught.value) == HOPELESS
        assert report_of(caught.value)[1] == "  the task of this block waits at HERE: await asyncio.Event().wait()"

    @pytest.mark.proves("R6")
    async def test_its_name_is_that_of_the_public_module(self) -> None:
        """`machinery.test_helpers.Stuck`."""
        assert (thp.Stuck.__module__, thp.Stuck.__qualname__) == ("machinery.test_helpers", "Stuck")

    @pytest.mark.proves("R6")
    @either
    async def test_the_report_shows_where_all_tasks_waited_before_any_was_cancelled(self, block: Block) -> None:
        """Also those of a task group, which ends its tasks first."""
        with pytest.raises(thp.Stuck) as caught:
            async with block(), asyncio.TaskGroup() as tasks:
                tasks.create_task(wait_for_ever(), name="one")
                tasks.create_task(wait_for_ever(), name="two")

        assert report_of(caught.value)[1:4] == [
            "  the task of this block waits at HERE: async with block(), asyncio.TaskGroup() as tasks:",
            "  task 'one' waits at HERE: await asyncio.Event().wait()",
            "  task 'two' waits at HERE: await asyncio.Event().wait()",
        ]

    @pytest.mark.proves("R6")
    @either
    async def test_the_task_goes_on_as_if_it_had_never_been_cancelled(self, block: Block) -> None:
        """`asyncio.timeout`, which counts cancellations, works afterwards."""
        with pytest.raises(thp.Stuck):
            async with block():
                await wait_for_ever()

        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(1)

    @pytest.mark.proves("R6")
    async def test_it_comes_only_after_a_while_of_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The wait starts over whenever something runs."""
        monkeypatch.setattr("machinery._test_helpers._deadlocks.STUCK_AFTER", 0.6)
        loop = asyncio.get_running_loop()
        happened: list[float] = []
        for number in range(3):
            after(0.35 * number, lambda: loop.call_soon(lambda: happened.append(monotonic())))
        with pytest.raises(thp.Stuck):
            async with virtual_time():
                await wait_for_ever()

        # On a slow machine less may have happened by then.
        assert monotonic() - happened[-1] >= 0.6

    @pytest.mark.proves("R6")
    async def test_a_clock_that_only_add_moves_gets_stuck_when_nobody_adds(self) -> None:
        """Despite its pending timers."""
        with pytest.raises(thp.Stuck) as caught:
            async with thp.mocked_call_later(autojump_threshold=float("inf")):
                await asyncio.sleep(5)

        assert report_of(caught.value)[1:3] == [
            f"  {FIRST}only add() moves this clock, since autojump_threshold is infinite",
            "  pending at 5.0, in 5 s: the task of this block waits at HERE: await asyncio.sleep(5)",
        ]

    @pytest.mark.proves("R6")
    async def test_dominos_that_nobody_begins_get_stuck(self) -> None:
        """What they wait for is in the report."""
        with pytest.raises(thp.Stuck) as caught:
            async with thp.future_dominos(expected=1) as futs:
                await futs[1]

        assert report_of(caught.value) == [
            "dominos (expected=1): none has fallen",
            f"  {FIRST}begin() has not been called",
            "  domino 1 is awaited by the task of this block at HERE: await futs[1]",
        ]

    @pytest.mark.proves("R6")
    async def test_the_innermost_block_is_the_one_that_is_left(self) -> None:
        """The blocks around it add their reports, as they were at that moment."""
        left = []
        with pytest.raises(thp.Stuck) as caught:
            async with thp.mocked_call_later(name="outer"):
                try:
                    async with thp.future_dominos(expected=0, name="inner"), asyncio.TaskGroup() as tasks:
                        tasks.create_task(wait_for_ever(), name="child")
                except thp.Stuck as error:
                    left.append(error)
                    raise

        report = report_of(caught.value)
        assert left == [caught.value]
        assert [line for line in report if not line.startswith("  ")] == [
            "dominos 'inner' (expected=0): all have fallen",
            "virtual time 'outer' is at 0.0, 0 s after its start (... real time; precision 0.1 s)",
        ]
        assert report.count("  task 'child' waits at HERE: await asyncio.Event().wait()") == 2

    @pytest.mark.proves("R6", "R12")
    @either
    async def test_the_traceback_ends_where_the_user_waited(self, block: Block) -> None:
        """There is no frame of ours or of asyncio's in it."""
        with pytest.raises(thp.Stuck) as caught:
            async with block():
                await wait_for_ever()

        assert [entry.name for entry in caught.traceback] == [
            "test_the_traceback_ends_where_the_user_waited",
            "test_the_traceback_ends_where_the_user_waited",
            "wait_for_ever",
        ]
        assert caught.value.__suppress_context__


class TestABodyThatKeepsTheCancellation:
    """The body swallows our cancellation."""

    @pytest.mark.proves("R9")
    @either
    async def test_a_block_that_is_left_without_an_exception_is_stuck_all_the_same(self, block: Block) -> None:
        """It was left only because of the cancellation."""
        with pytest.raises(thp.Stuck):
            async with block():
                with contextlib.suppress(asyncio.CancelledError):
                    await wait_for_ever()

    @pytest.mark.proves("R1", "R9")
    @either
    async def test_another_exception_is_the_one_that_is_seen(self, block: Block) -> None:
        """Its note has the message of Stuck."""
        with pytest.raises(Boom) as caught:
            async with block():
                try:
                    await wait_for_ever()
                except asyncio.CancelledError:
                    raise Boom from None

        assert report_of(caught.value)[0] == HOPELESS
        assert report_of(caught.value)[2] == "  the task of this block waits at HERE: await asyncio.Event().wait()"

    @pytest.mark.proves("R9")
    @either
    async def test_a_body_that_waits_on_is_cancelled_again(self, block: Block) -> None:
        """Until it ends, so it never hangs."""
        kept: list[object] = []
        with pytest.raises(thp.Stuck):
            async with block():
                while len(kept) < 3:
                    try:
                        await wait_for_ever()
                    except asyncio.CancelledError:
                        kept.append(asyncio.current_task())

        task = asyncio.current_task()
        assert kept == [task, task, task]
        assert task is not None
        assert task.cancelling() == 0


class TestCancelledFromOutsideAsWell:
    """A cancellation from outside wins."""

    @pytest.mark.proves("R9")
    @either
    async def test_a_task_that_is_cancelled_by_somebody_ends_cancelled(self, block: Block) -> None:
        """Although its deadlock had already been detected."""
        noted: list[int] = []

        async def body() -> None:
            async with block():
                try:
                    await wait_for_ever()
                finally:
                    task.cancel()
                    noted.append(task.cancelling())

        task = asyncio.create_task(body())
        await asyncio.wait([task])

        assert task.cancelled()
        assert noted == [2]

    @pytest.mark.proves("R9")
    @either
    async def test_a_watchdog_that_is_quicker_is_the_one_that_is_seen(self, block: Block) -> None:
        """Its exception is not touched."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001), block():
                await wait_for_ever()


class TestABlockWhoseTaskHasEnded:
    """As with a fixture that a runner runs in its own task."""

    @pytest.mark.proves("R6")
    @either
    async def test_it_cannot_be_left_and_so_the_report_is_logged_once(
        self, block: Block, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Only a watchdog can end the task that hangs."""
        stack = contextlib.AsyncExitStack()

        async def fixture() -> None:
            await stack.enter_async_context(block())

        await asyncio.create_task(fixture())
        event = asyncio.Event()
        ends = time.monotonic() + 10

        def wake_soon_after_the_report() -> None:
            told = logged(caplog) or time.monotonic() > ends
            after(0.1, event.set if told else wake_soon_after_the_report)

        wake_soon_after_the_report()
        await event.wait()
        await stack.aclose()

        [message] = logged(caplog)
        assert plain(message)[0] == HOPELESS
        assert any(line.endswith(" waits at HERE: await event.wait()") for line in plain(message))

    @pytest.mark.proves("R6")
    async def test_a_block_around_it_is_given_up_in_its_place(self) -> None:
        """If the task of the outer block is the one that waits."""
        stack = contextlib.AsyncExitStack()

        async def fixture() -> None:
            await stack.enter_async_context(thp.mocked_call_later())

        with pytest.raises(thp.Stuck):
            async with thp.future_dominos(expected=0):
                await asyncio.create_task(fixture())
                await wait_for_ever()
        await stack.aclose()


@contextlib.contextmanager
def open_socket() -> Iterator[None]:
    """Let the loop read a socket."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.add_reader(ours, lambda: None)
        yield
        loop.remove_reader(ours)


@contextlib.contextmanager
def busy_thread() -> Iterator[None]:
    """Have a thread that waits for something."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def job_in_the_executor() -> Iterator[None]:
    """Have a thread of the loop's own at work."""
    stop = threading.Event()
    asyncio.get_running_loop().run_in_executor(None, stop.wait)
    try:
        yield
    finally:
        stop.set()


@contextlib.contextmanager
def real_timer() -> Iterator[None]:
    """Have set a timer before the block."""
    handle = asyncio.get_running_loop().call_later(60, print)
    try:
        yield
    finally:
        handle.cancel()


@contextlib.contextmanager
def signal_handler_of_the_loop() -> Iterator[None]:
    """Let the loop handle a signal."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
    try:
        yield
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)


@contextlib.contextmanager
def signal_handler() -> Iterator[None]:
    """Handle a signal in Python."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


REAL = [
    open_socket,
    busy_thread,
    job_in_the_executor,
    real_timer,
    signal_handler_of_the_loop,
    signal_handler,
]


class TestNeverWhereSomethingRealCouldStillWakeTheTest:
    """The deadlock patience is 0.02 seconds here, and the waiting task is woken after 0.1."""

    async def waits_until_it_is_woken(self, block: Block, seconds: float = 0.1) -> None:
        """Wait in a block until the timer of a watchdog ends that."""
        event = asyncio.Event()
        after(seconds, event.set)
        try:
            async with block():
                await event.wait()
                raise Boom
        except Boom:
            return

    @pytest.mark.proves("R8")
    @either
    async def test_without_anything_real_the_same_wait_is_ended(self, block: Block) -> None:
        """Shows that the tests below can fail."""
        with pytest.raises(thp.Stuck):
            await self.waits_until_it_is_woken(block, 10)

    @pytest.mark.proves("R8")
    @either
    @pytest.mark.skipif(sys.platform == "win32", reason="signals are not what they are elsewhere")
    @pytest.mark.parametrize("real", REAL, ids=lambda real: real.__name__)
    async def test_it_waits_on(self, block: Block, real: Callable[[], AbstractContextManager[None]]) -> None:
        """Until something happens."""
        with real():
            await self.waits_until_it_is_woken(block)

    @pytest.mark.proves("R8")
    @either
    @pytest.mark.parametrize("inside", [True, False], ids=["inside", "before"])
    async def test_it_waits_on_for_a_child(self, block: Block, inside: bool) -> None:
        """Whether that was started in the block or before."""
        command = [sys.executable, "-c", "import time; time.sleep(0.1)"]
        child = None if inside else await asyncio.create_subprocess_exec(*command)
        async with block():
            child = child or await asyncio.create_subprocess_exec(*command)
            returned = await child.wait()

        assert returned == 0

    @pytest.mark.proves("R8")
    @either
    async def test_it_waits_on_for_a_server(self, block: Block) -> None:
        """Somebody could connect."""
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        await self.waits_until_it_is_woken(block)
        server.close()

    @pytest.mark.proves("R8")
    @either
    async def test_it_waits_on_for_a_connection(self, block: Block) -> None:
        """The peer could send something."""
        ours, theirs = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=ours)
        await self.waits_until_it_is_woken(block)
        writer.close()
        await writer.wait_closed()
        theirs.close()

    @pytest.mark.proves("R8")
    @either
    async def test_beside_idle_connections_the_report_is_logged_before_the_block_is_ended(
        self, block: Block, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The pytest plugin sets for how long it waits on."""
        monkeypatch.setattr(_deadlocks, "HOPELESS_AFTER", 0.2)
        monkeypatch.setattr(_deadlocks.DeadlockDetector, "gives_up_beside_connections_after", 0.4)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        reason = "deadlock: every task is waiting, and only an idle connection could wake one"

        with pytest.raises(thp.Stuck, match=f"^{reason}\n"):
            async with block():
                await wait_for_ever()
        server.close()

        assert [record.partition("\n")[0] for record in logged(caplog)] == [reason]

    @pytest.mark.proves("R6", "R8")
    @either
    async def test_watchdogs_of_tests_that_have_ended_do_not_put_it_off(self, block: Block) -> None:
        """Those of alt-pytest-asyncio stay on the loop, and one may be due every few milliseconds."""
        task = asyncio.current_task()
        assert task is not None
        timers = [after(number / 200, lambda: None) for number in range(1, 6000)]
        timers.append(after(30, task.cancel))

        with pytest.raises(thp.Stuck, match=f"^{HOPELESS}\n"):
            async with block():
                await wait_for_ever()
        for timer in timers:
            timer.cancel()

    @pytest.mark.proves("R5", "R8")
    async def test_what_could_still_wake_it_is_told_when_a_watchdog_ends_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is why the wait was not ended before."""
        stop = threading.Event()

        async def body() -> None:
            async with virtual_time():
                await wait_for_ever()

        timer = asyncio.get_running_loop().call_later(60, stop.set)
        thread = threading.Thread(target=stop.wait, name="poller")
        thread.start()
        task = asyncio.create_task(body())
        await thp.wait_all_tasks_blocked()
        task.cancel()
        await asyncio.wait([task])
        stop.set()
        timer.cancel()

        assert [line for line in plain(logged(caplog)[0]) if "woken" in line] == [
            "  could still be woken by a timer in real time that calls Event.set",
            "  could still be woken by thread 'poller'",
        ]

    @pytest.mark.proves("R7")
    async def test_callbacks_that_poll_at_one_instant_for_a_thread_and_then_stop_are_not_disturbed(self) -> None:
        """There are fewer than 100,000 of them."""
        enough, done = threading.Event(), threading.Event()

        def wait_and_tell() -> None:
            enough.wait()
            done.set()

        thread = threading.Thread(target=wait_and_tell)
        thread.start()
        calls = []
        async with thp.mocked_call_later():
            loop = asyncio.get_running_loop()

            def look() -> None:
                calls.append(1)
                if len(calls) == 2500:
                    enough.set()
                    thread.join()
                if not done.is_set():
                    loop.call_later(0, look)

            look()
            await asyncio.sleep(1)

        assert len(calls) == 2500

    @pytest.mark.proves("R8")
    async def test_what_a_thread_has_brought_before_it_ended_is_not_overlooked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thread may end between the look at the sockets and the look at the threads."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        brought = 0

        def nobody_is_busy() -> Iterator[str]:
            nonlocal brought
            if not brought:
                brought += 1
                loop.call_soon_threadsafe(woken.set)
            yield from ()

        monkeypatch.setattr(_wakeups, "_busy_threads", nobody_is_busy)
        async with thp.future_dominos(expected=0):
            await woken.wait()

        assert brought == 1


class TestWhatDoesNotCountAsReal:
    """Things that cannot wake the test, or only to end it."""

    @pytest.mark.proves("R6")
    @either
    async def test_threads_of_a_pool_that_wait_for_work(self, block: Block) -> None:
        """The executor of the loop keeps those it has used once."""
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.001) for _ in range(3)))
        with pytest.raises(thp.Stuck):
            async with block():
                await asyncio.to_thread(time.sleep, 0.001)
                await wait_for_ever()

    @pytest.mark.proves("R6")
    @either
    async def test_a_timer_that_was_cancelled(self, block: Block) -> None:
        """The loop keeps it until it is due."""
        asyncio.get_running_loop().call_later(60, print).cancel()
        with pytest.raises(thp.Stuck):
            async with block():
                await wait_for_ever()

    @pytest.mark.proves("R6")
    @either
    async def test_the_thread_of_pytest_timeout(self, block: Block) -> None:
        """It can only end the test."""

        def timeout_timer() -> None:
            """Never called."""

        timeout_timer.__module__ = "pytest_timeout"
        watchdog = threading.Timer(60, timeout_timer)
        watchdog.start()
        with pytest.raises(thp.Stuck):
            async with block():
                await wait_for_ever()
        watchdog.cancel()

    @pytest.mark.proves("R6")
    @either
    async def test_the_thread_in_which_pytest_xdist_waits_for_orders(self, block: Block) -> None:
        """It has nothing to do with the test."""
        stop = threading.Event()
        scope: dict[str, Any] = {"__name__": "execnet.gateway_base", "stop": stop}
        exec("def receive():\n    stop.wait()", scope)
        thread = threading.Thread(target=scope["receive"], daemon=True)
        thread.start()
        with pytest.raises(thp.Stuck):
            async with block():
                await wait_for_ever()
        stop.set()
        thread.join()

    @pytest.mark.proves("R6")
    def test_ctrl_c(self) -> None:
        """`asyncio.run` handles SIGINT in every program."""
        handlers: list[object] = []

        async def body() -> None:
            handlers.append(signal.getsignal(signal.SIGINT))
            after(20, asyncio.all_tasks().pop().cancel)
            async with virtual_time():
                await wait_for_ever()

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(thp.Stuck), asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(body())
        finally:
            signal.signal(signal.SIGINT, before)

        assert handlers != [signal.default_int_handler]

    @pytest.mark.proves("R6", "R8")
    @either
    @pytest.mark.parametrize(
        "wait",
        [
            lambda: asyncio.sleep(math.inf),
            lambda: asyncio.sleep(86400 * 366),
            lambda: asyncio.wait_for(wait_for_ever(), 1e9),
            lambda: asyncio.wait([asyncio.get_running_loop().create_future()], timeout=1e300),
        ],
        ids=["for ever", "for a year", "with a limit", "until the end of time"],
    )
    async def test_a_real_timer_that_is_further_away_than_a_day(self, block: Block, wait: Callable[[], Any]) -> None:
        """That is how a task of a wider fixture sleeps for ever."""
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(thp.Stuck):
            async with block():
                await wait_for_ever()
        task.cancel()

    @pytest.mark.proves("R8")
    @either
    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is found by another name")
    async def test_a_thread_that_python_does_not_know(self, block: Block) -> None:
        """A C library may have started it, and nothing tells of it before it calls into Python."""
        library = ctypes.CDLL(None)
        thread = ctypes.c_ulong()
        assert library.pthread_create(ctypes.byref(thread), None, library.sleep, ctypes.c_void_p(1)) == 0
        with pytest.raises(thp.Stuck):
            async with block():
                await wait_for_ever()
        await asyncio.to_thread(library.pthread_join, thread, None)


class TestAStepThatWasLost:
    """An exception inside asyncio has taken a task its next step, and so nothing can end the task."""

    @pytest.mark.proves("R6")
    @either
    def test_giving_up_a_second_time_logs_the_report_once(self, block: Block, caplog: pytest.LogCaptureFixture) -> None:
        """The task of the block never ends, and a watchdog has to end the test."""

        class LoopWithSignal(asyncio.SelectorEventLoop):
            interrupted = False

            def call_soon(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
                if self.interrupted:
                    # What a signal handler does that strikes here.
                    self.interrupted = False
                    raise Boom
                return super().call_soon(*args, **kwargs)

        loop = LoopWithSignal()
        event = loop.create_future()
        until_told: asyncio.Future[None] = loop.create_future()

        async def body() -> None:
            async with block():
                await event

        def look() -> None:
            if len(logged(caplog)) > 0 and not until_told.done():
                until_told.set_result(None)
            elif not until_told.done():
                loop.call_later(0.2, Uncounted(look))

        async def main() -> None:
            loop.call_later(0.2, Uncounted(look))
            await thp.wait_all_tasks_blocked()
            loop.interrupted = True
            with contextlib.suppress(Boom):
                event.set_result(None)
            await until_told

        task = loop.create_task(body(), name="body")
        loop.run_until_complete(main())
        [message] = logged(caplog)
        assert plain(message)[0] == f"{HOPELESS}; the task of this block was cancelled, but has not ended"
        assert any(line.endswith(" HERE: await event") for line in plain(message))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        coroutine = task.get_coro()
        assert coroutine is not None
        coroutine.close()
        loop.close()
