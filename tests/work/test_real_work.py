"""Work elsewhere holds the clock: threads, processes, name look-ups."""

import asyncio
import contextlib
import functools
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import anyio.to_thread
import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _idle_selector, _idle_uvloop, _thread_work
from machinery._test_helpers._idle import COUNTED_AT_ONCE
from machinery._test_helpers._real_time import monotonic
from tests.loops import Run, on_every_loop
from tests.programs import PYTHON
from tests.reports.reading import logged
from tests.state import state_of

AWHILE = 0.05
NAP = [*PYTHON, "-c", f"import time; time.sleep({AWHILE}); print('done')"]
FOR_EVER = [*PYTHON, "-c", "input()"]

Work = Callable[[], Awaitable[object]]


async def in_default_executor() -> object:
    """Work in the executor of the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, time.sleep, AWHILE)


async def in_thread() -> object:
    """Work in a thread, the way of asyncio."""
    return await asyncio.to_thread(time.sleep, AWHILE)


async def in_thread_by_anyio() -> object:
    """Work in a thread, the way of anyio, which has threads of its own."""
    return await anyio.to_thread.run_sync(time.sleep, AWHILE)


async def by_resolver() -> object:
    """Look an address up, and the name of what was found."""
    loop = asyncio.get_running_loop()
    await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    return await loop.getnameinfo(("127.0.0.1", 80))


async def in_process() -> object:
    """Run a program and read what it prints."""
    process = await asyncio.create_subprocess_exec(*NAP, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.split() == [b"done"]
    return out


async def in_process_that_prints_nothing() -> object:
    """Run a program and wait for its end alone."""
    process = await asyncio.create_subprocess_exec(*NAP, stdout=subprocess.DEVNULL)
    return await process.wait()


async def in_shell() -> object:
    """Run a program by the shell."""
    process = await asyncio.create_subprocess_shell(subprocess.list2cmdline(NAP), stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.split() == [b"done"]
    return out


async def in_process_by_anyio() -> object:
    """Run a program, the way of anyio."""
    done = await anyio.run_process(NAP)
    assert done.stdout.split() == [b"done"]
    return done


KINDS = [
    in_default_executor,
    in_thread,
    in_thread_by_anyio,
    by_resolver,
    in_process,
    in_process_that_prints_nothing,
    in_shell,
    in_process_by_anyio,
]


@pytest.fixture
def slow_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the look-ups of asyncio's own loops take their time."""

    def slowed(look_up: Callable[..., object]) -> Callable[..., object]:
        def looked_up_slowly(*args: object, **kwargs: object) -> object:
            time.sleep(AWHILE)
            return look_up(*args, **kwargs)

        return looked_up_slowly

    for name in ("getaddrinfo", "getnameinfo"):
        monkeypatch.setattr(socket, name, slowed(getattr(socket, name)))


@contextlib.contextmanager
def held_up() -> Iterator[threading.Event]:
    """Give an event for work to wait for, and set it at last, so that the loop can end its threads."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


class TestHolding:
    """Work elsewhere takes no virtual time."""

    @on_every_loop
    @pytest.mark.usefixtures("slow_resolver")
    @pytest.mark.parametrize("work", KINDS, ids=lambda work: work.__name__)
    @pytest.mark.proves("T12", "B3")
    def test_no_timeout_strikes_because_work_takes_real_time(
        self, run: Run, work: Work, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The clock stands while the work is done, and a timeout that is far off in real time does not strike."""

        async def body() -> None:
            async with thp.mocked_call_later(), asyncio.timeout(5):
                await work()
                assert time.time() == 0
                await asyncio.sleep(1)
                assert time.time() == 1

        run(body())

        assert logged(caplog) == []

    @on_every_loop
    @pytest.mark.parametrize(
        "make",
        [ThreadPoolExecutor, lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn"))],
        ids=["threads", "processes"],
    )
    @pytest.mark.proves("T12")
    def test_executors_of_the_users_own_hold_the_clock(self, run: Run, make: Callable[[], Executor]) -> None:
        """The executor may be the user's own."""

        async def body() -> None:
            with make() as executor:
                # A process takes a while to start, on a slow machine more than work may take.
                executor.submit(abs, 1).result()
                async with thp.mocked_call_later(), asyncio.timeout(5):
                    await asyncio.get_running_loop().run_in_executor(executor, time.sleep, AWHILE)
                    assert time.time() == 0

        run(body())

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_work_is_done_before_the_next_deadline(self, run: Run) -> None:
        """Work ends before even a short sleep does."""
        order: list[object] = []

        async def body() -> None:
            async def work() -> None:
                await in_thread()
                order.append("worked")

            async with thp.mocked_call_later(), asyncio.TaskGroup() as tasks:
                tasks.create_task(work())
                await asyncio.sleep(0.1)
                order.append("slept")

        run(body())

        assert order == ["worked", "slept"]

    @on_every_loop
    @pytest.mark.proves("T9", "T12")
    def test_time_that_is_added_waits_for_work_too(self, run: Run) -> None:
        """Work that is under way when `add` is called is done before the amount has passed."""
        order: list[object] = []

        async def body() -> None:
            async with thp.mocked_call_later() as m:
                work = asyncio.ensure_future(in_thread())
                work.add_done_callback(lambda work: order.append(time.time()))
                await m.add(3600)
                order.append(time.time())

        run(body())

        assert order == [0, 3600]

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_pieces_of_work_one_after_the_other_each_hold_the_clock(self, run: Run, work_patience: float) -> None:
        """The bound applies to each, not to their sum."""

        async def body() -> None:
            async with thp.mocked_call_later(), asyncio.timeout(5):
                for _ in range(4):
                    await in_thread()
                assert time.time() == 0

        run(body())

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_what_work_raises_is_raised_where_it_is_awaited(self, run: Run) -> None:
        """Work that has failed no longer holds the clock."""

        async def body() -> None:
            async with thp.mocked_call_later():
                with pytest.raises(ZeroDivisionError, match=r"^division by zero$"):
                    await asyncio.to_thread(lambda: 1 / 0)
                with pytest.raises(FileNotFoundError):
                    await asyncio.create_subprocess_exec("/there is no such program")
                with pytest.raises(socket.gaierror):
                    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", "no such service")
                await asyncio.sleep(3600)
                assert time.time() == 3600

        run(body())

    @on_every_loop
    @pytest.mark.proves("T12", "T17")
    def test_work_begun_in_an_inner_block_holds_the_outer_clock_as_well(self, run: Run) -> None:
        """Work that outlives the block in which it began still holds the clock around that block."""
        order: list[object] = []

        async def body() -> None:
            async with thp.mocked_call_later():
                async with thp.mocked_call_later(start_time=100):
                    work = asyncio.ensure_future(in_thread())
                    await asyncio.sleep(0)
                work.add_done_callback(lambda work: order.append(time.time()))
                await asyncio.sleep(3600)
                order.append(time.time())

        run(body())

        assert order == [0, 3600]

    @on_every_loop
    @pytest.mark.proves("T12", "T15")
    def test_work_that_goes_on_does_not_delay_leaving(self, run: Run) -> None:
        """The block is left while its work is still under way, and the result is there afterwards."""

        async def body() -> None:
            with held_up() as released:
                async with thp.mocked_call_later():
                    work = asyncio.ensure_future(asyncio.to_thread(released.wait))
                    await asyncio.sleep(0)
                assert not work.done()
            assert await work

        run(body())


class TestTheBound:
    """Work that does not end stops the clock for a limited time."""

    @pytest.mark.proves("T12")
    async def test_after_two_real_seconds_time_moves_on(self, caplog: pytest.LogCaptureFixture) -> None:
        """One warning names it, and it is not waited for again."""
        began = time.perf_counter()

        with held_up() as released:
            async with thp.mocked_call_later(name="shop"):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(asyncio.to_thread(released.wait)), 5)
                assert time.time() == 5
                assert 2 <= time.perf_counter() - began < 30
                await asyncio.sleep(3600)
                assert time.time() == 3605

        [warning] = logged(caplog)
        assert [fact for fact in ("'shop'", "2.0", "Event.wait()", "autojump_threshold") if fact not in warning] == []

    @on_every_loop
    @pytest.mark.usefixtures("work_patience")
    @pytest.mark.proves("T12")
    def test_overtaken_work_no_longer_holds_the_clock_but_later_work_does(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Only what began after the warning is waited for from then on."""

        async def body() -> None:
            with held_up() as released:
                async with thp.mocked_call_later():
                    lost = asyncio.ensure_future(asyncio.to_thread(released.wait))
                    await asyncio.sleep(1)
                    assert time.time() == 1
                    await in_thread()
                    assert time.time() == 1
                    await asyncio.sleep(1)
            await lost

        run(body())

        assert len(logged(caplog)) == 1

    @on_every_loop
    @pytest.mark.usefixtures("work_patience")
    @pytest.mark.proves("T12")
    def test_one_warning_names_all_that_is_overtaken(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        """Functions are named whatever they are wrapped in, and processes by their number."""
        numbers: list[int] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()
            with held_up() as released:
                async with thp.mocked_call_later():
                    begun = [
                        loop.run_in_executor(None, released.wait),
                        loop.run_in_executor(None, functools.partial(released.wait, 60)),
                        asyncio.ensure_future(asyncio.to_thread(released.wait)),
                    ]
                    process = await asyncio.create_subprocess_exec(*FOR_EVER, stdin=subprocess.PIPE)
                    numbers.append(process.pid)
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(process.wait(), 5)
            await asyncio.gather(*begun)
            await process.communicate(b"\n")

        run(body())

        (warning,) = logged(caplog)
        assert warning.count("Event.wait()") == 3
        assert str(numbers[0]) in warning

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_events_from_outside_do_not_make_it_longer(self, run: Run, work_patience: float) -> None:
        """A peer that keeps sending does not extend the bound."""
        most = 1000
        beats: list[bytes] = []

        async def body() -> None:
            near, far = socket.socketpair()
            near.setblocking(False)
            loop = asyncio.get_running_loop()
            stop = threading.Event()

            def beat() -> None:
                for _ in range(most):
                    if stop.wait(work_patience / 10):
                        return
                    far.send(b"x")

            heart = threading.Thread(target=beat)
            with near, far, held_up() as released:
                loop.add_reader(near, lambda: beats.append(near.recv(100)))
                heart.start()
                try:
                    async with thp.mocked_call_later():
                        with pytest.raises(TimeoutError):
                            await asyncio.wait_for(asyncio.shield(asyncio.to_thread(released.wait)), 5)
                finally:
                    stop.set()
                    heart.join()
                    loop.remove_reader(near)

        run(body())

        assert 0 < len(beats) < most

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_time_in_which_the_loop_is_busy_does_not_count(
        self, run: Run, work_patience: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Only idle time counts towards the bound."""

        async def body() -> None:
            with held_up() as released:

                def compute() -> None:
                    time.sleep(work_patience)
                    released.set()

                async with thp.mocked_call_later(), asyncio.timeout(5):
                    asyncio.get_running_loop().call_soon(compute)
                    await asyncio.to_thread(released.wait)
                    assert time.time() == 0

        run(body())

        assert logged(caplog) == []

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_a_pause_of_the_whole_machine_does_not_count(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Work elsewhere has paused as well."""
        paused = threading.Event()

        def monotonic_with_pause() -> float:
            return monotonic() + 30 * paused.is_set()

        def work() -> None:
            # The loop waits by then.
            threading.Event().wait(AWHILE)
            paused.set()
            threading.Event().wait(2 * COUNTED_AT_ONCE)

        async def body() -> None:
            async with thp.mocked_call_later(), asyncio.timeout(5):
                await asyncio.to_thread(work)
                assert time.time() == 0

        for hook in (_idle_selector, _idle_uvloop):
            monkeypatch.setattr(hook, "monotonic", monotonic_with_pause)
        run(body())

        assert logged(caplog) == []

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_work_whose_waiter_was_cancelled_does_not_hold_the_clock(
        self, run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even though its thread is still busy."""
        look_up = socket.getaddrinfo

        async def body() -> None:
            with held_up() as released:
                # Otherwise the look-up on asyncio's own loops may be over before it is cancelled.
                monkeypatch.setattr(socket, "getaddrinfo", lambda *args: released.wait() and look_up(*args))
                async with thp.mocked_call_later():
                    waiting = asyncio.ensure_future(asyncio.to_thread(released.wait))
                    looking_up = asyncio.ensure_future(asyncio.get_running_loop().getaddrinfo("localhost", 80))
                    await asyncio.sleep(0)
                    waiting.cancel()
                    looking_up.cancel()
                    await asyncio.wait([waiting, looking_up])
                    assert waiting.cancelled()
                    assert looking_up.cancelled()
                    await asyncio.sleep(3600)
                    assert time.time() == 3600

        run(body())

        assert logged(caplog) == []

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_a_killed_process_does_not_hold_the_clock(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        """A process holds the clock only while it runs."""

        async def body() -> None:
            async with thp.mocked_call_later():
                process = await asyncio.create_subprocess_exec(*FOR_EVER, stdin=subprocess.PIPE)
                process.kill()
                await asyncio.sleep(3600)
                assert process.returncode is not None
                assert time.time() == 3600
                await process.communicate()

        run(body())

        assert logged(caplog) == []


class TestAroundTheBlock:
    """Only work that was started inside the block counts."""

    @on_every_loop
    @pytest.mark.proves("T12")
    def test_work_started_before_the_block_does_not_hold_the_clock(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The clock moves at once, without a warning."""

        async def body() -> None:
            with held_up() as released:
                work = asyncio.ensure_future(asyncio.to_thread(released.wait))
                await asyncio.sleep(0)
                async with thp.mocked_call_later():
                    await asyncio.sleep(3600)
            await work

        run(body())

        assert logged(caplog) == []

    @on_every_loop
    @pytest.mark.proves("T12", "T15", "B6")
    def test_the_loop_does_its_work_as_before_when_the_block_is_left(self, run: Run) -> None:
        """The methods of the loop are its own again."""

        async def body() -> None:
            loop = asyncio.get_running_loop()
            before = state_of(loop)
            with contextlib.suppress(ZeroDivisionError):
                async with thp.mocked_call_later():
                    assert state_of(loop) != before
                    raise ZeroDivisionError
            assert state_of(loop) == before

        run(body())


class TestThreadsOfAnyio:
    """The loop does not know of them."""

    @pytest.mark.proves("T12")
    async def test_work_that_is_overtaken_is_named_by_its_thread(
        self, work_patience: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What it runs is not known."""
        released = threading.Event()
        async with thp.mocked_call_later():
            work = asyncio.ensure_future(anyio.to_thread.run_sync(released.wait))
            await asyncio.sleep(3600)
            released.set()
            await work

        [warning] = logged(caplog)
        assert "'AnyIO worker thread'" in warning

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
        monkeypatch.setattr(_thread_work, "busy_anyio_threads", none_at_work)
        with near, far:
            loop.add_reader(near, read)
            async with thp.mocked_call_later():
                await asyncio.sleep(5)
            loop.remove_reader(near)

        assert times == [0]
