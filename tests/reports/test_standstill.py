"""Time that stands still ends with `Stuck`, and programs that end by themselves do not."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _clock_mover
from tests.loops import Run, on_every_loop
from tests.reports.reading import plain, records, report_of, wait_for_ever

pytestmark = pytest.mark.usefixtures("quiet_loop", "no_debug_mode")

Spin = Callable[[], Coroutine[None, None, None]]


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lower the limits, and give the number of rounds."""
    monkeypatch.setattr(_clock_mover, "STANDSTILL_ROUNDS", 1000)
    monkeypatch.setattr(_clock_mover, "STANDSTILL_SECONDS", 0)
    return 1000


async def spin_until_past() -> None:
    """Wait until the clock is past a time that it never passes."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    while loop.time() <= now:
        future = loop.create_future()
        loop.call_at(now, future.set_result, None)
        await future  # SPINS


async def spin_in_the_past() -> None:
    """Wait for a time that has been."""
    loop = asyncio.get_running_loop()
    while True:
        future = loop.create_future()
        loop.call_at(loop.time() - 60, future.set_result, None)
        await future  # SPINS


async def spin_with_a_limit_of_zero() -> None:
    """Look again and again whether something is there."""
    never = asyncio.get_running_loop().create_future()
    while not never.done():
        await asyncio.wait([never], timeout=0)  # SPINS


async def spin_in_a_child() -> None:
    """Let another task do it."""
    await asyncio.create_task(spin_until_past())


spins = pytest.mark.parametrize(
    ("spin", "line"),
    [
        (spin_until_past, "await future"),
        (spin_in_the_past, "await future"),
        (spin_with_a_limit_of_zero, "await asyncio.wait([never], timeout=0)"),
        (spin_in_a_child, "await future"),
    ],
)


class TestTimeThatStandsStill:
    """Timers of one instant that follow each other without end."""

    @pytest.mark.proves("R7")
    @spins
    @pytest.mark.parametrize("child", [False, True], ids=["own task", "child"])
    async def test_the_task_that_sets_timers_for_now_is_named_with_its_line(
        self, few_rounds: int, spin: Spin, line: str, child: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whichever task of the block that is, and nothing else is logged."""

        async def body() -> None:
            async with thp.mocked_call_later():
                await asyncio.sleep(5)
                if child:
                    task = asyncio.ensure_future(spin())
                    task.set_name("spinner")
                    await asyncio.wait([task])
                else:
                    await spin()

        with pytest.raises(thp.Stuck) as caught:
            await body()

        task = "task 'spinner'" if child else "the task of this block"
        if spin is spin_in_a_child:
            task = "task 'Task-N' (spin_until_past)"
        assert plain(str(caught.value)) == [
            "time stands still at 5.0",
            f"  timers due at once, or calls of add(0), have followed each other {few_rounds:,} times",
            f"  the latest: {task} waits at HERE: {line}  # SPINS",
        ]
        assert [record.getMessage() for record in records(caplog)] == []

    @pytest.mark.proves("R7")
    @pytest.mark.parametrize("child", [False, True], ids=["own task", "child"])
    async def test_a_task_that_adds_nothing_again_and_again_is_named(self, few_rounds: int, child: bool) -> None:
        """The clock does not move for it."""

        async def poll(m: thp.MockedCallLater) -> None:
            while True:
                await m.add(0)  # SPINS

        async def body() -> None:
            async with thp.mocked_call_later() as m:
                await (asyncio.create_task(poll(m), name="poller") if child else poll(m))

        with pytest.raises(thp.Stuck) as caught:
            await body()

        task = "task 'poller'" if child else "the task of this block"
        assert plain(str(caught.value)) == [
            "time stands still at 0.0",
            f"  timers due at once, or calls of add(0), have followed each other {few_rounds:,} times",
            f"  the latest: {task} waits at HERE: await m.add(0)  # SPINS",
        ]

    @pytest.mark.proves("R7")
    async def test_adding_nothing_again_and_again_is_ended_where_no_task_waits_for_it(self, few_rounds: int) -> None:
        """A coroutine can be run by callbacks."""

        async def body() -> None:
            async with thp.mocked_call_later() as m:

                def add(_: object = None) -> None:
                    if not ended.is_set():
                        waits_for = m.add(0).send(None)
                        waits_for._asyncio_future_blocking = False
                        waits_for.add_done_callback(add)

                add()
                try:
                    await wait_for_ever()
                finally:
                    ended.set()

        ended = asyncio.Event()
        with pytest.raises(thp.Stuck) as caught:
            await body()

        assert plain(str(caught.value)) == [
            "time stands still at 0.0",
            f"  timers due at once, or calls of add(0), have followed each other {few_rounds:,} times",
            "  the latest: Future.set_result",
        ]

    @pytest.mark.proves("R7")
    async def test_tasks_that_pass_it_on_through_timers_are_named(self, few_rounds: int) -> None:
        """The message has the timer, and the report both tasks."""

        async def pass_on(mine: asyncio.Queue[int], other: asyncio.Queue[int]) -> None:
            while True:
                asyncio.get_running_loop().call_later(0, other.put_nowait, await mine.get())

        async def body() -> None:
            async with thp.mocked_call_later():
                ping, pong = asyncio.Queue[int](), asyncio.Queue[int]()
                tasks = [
                    asyncio.create_task(pass_on(ping, pong), name="ping"),
                    asyncio.create_task(pass_on(pong, ping), name="pong"),
                ]
                ping.put_nowait(1)
                await asyncio.wait(tasks)

        with pytest.raises(thp.Stuck) as caught:
            await body()

        source = "asyncio.get_running_loop().call_later(0, other.put_nowait, await mine.get())"
        assert plain(str(caught.value))[2] == f"  the latest: Queue.put_nowait, set at HERE: {source[:77]}"
        if asyncio.get_running_loop().__class__.__module__.startswith("asyncio"):
            assert [line for line in report_of(caught.value) if "kept busy" in line] == [
                f"    kept busy by task 'ping' at HERE: {source}",
                f"    kept busy by task 'pong' at HERE: {source}",
            ]

    @pytest.mark.proves("R7")
    @pytest.mark.parametrize("real", ["socket", "thread", "timer"])
    async def test_what_could_still_wake_the_loop_makes_no_difference(self, few_rounds: int, real: str) -> None:
        """It does not end the series, since nothing comes of it."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            if real == "thread":
                stop = threading.Event()
                thread = threading.Thread(target=stop.wait, name="idler")
                thread.start()
                undo.callback(thread.join)
                undo.callback(stop.set)
            elif real == "socket":
                ours, theirs = map(undo.enter_context, socket.socketpair())
                loop.add_reader(ours, print, theirs)
                undo.callback(loop.remove_reader, ours)
            else:
                undo.callback(loop.call_later(3600, print).cancel)
            with pytest.raises(thp.Stuck):
                async with thp.mocked_call_later():
                    await spin_until_past()

    @pytest.mark.proves("R7")
    async def test_while_something_comes_from_a_socket_time_does_not_stand_still(
        self, few_rounds: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be what the program waits for."""
        monkeypatch.setattr(_clock_mover, "STANDSTILL_ROUNDS", 3 * few_rounds)
        loop = asyncio.get_running_loop()
        calls: list[int] = []
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add_reader(ours, lambda: ours.recv(1))
            async with thp.mocked_call_later():
                while len(calls) < 10 * few_rounds:
                    calls.append(1)
                    if len(calls) % (few_rounds // 4) == 99:
                        theirs.send(b"x")
                    future = loop.create_future()
                    loop.call_later(0, future.set_result, None)
                    await future
            loop.remove_reader(ours)

        assert len(calls) == 10 * few_rounds

    @pytest.mark.proves("R7", "B3")
    @on_every_loop
    def test_while_something_waits_in_a_socket_time_does_not_stand_still(self, run: Run, few_rounds: int) -> None:
        """On uvloop, what comes from sockets is seen only while it waits there."""
        calls: list[int] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            with ours, theirs:
                theirs.send(b"x")
                loop.add_reader(ours, calls.append, 1)
                async with thp.mocked_call_later():
                    for _ in range(5 * few_rounds):
                        future = loop.create_future()
                        loop.call_later(0, future.set_result, None)
                        await future
                loop.remove_reader(ours)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_clock_mover, "STANDSTILL_ROUNDS", 3 * few_rounds)
            run(main())

        assert calls != []

    @pytest.mark.proves("R7")
    @pytest.mark.parametrize(("rounds", "seconds"), [(1000, 3600), (10**9, 0)], ids=["in no time", "in few rounds"])
    async def test_both_limits_have_to_be_exceeded(
        self, monkeypatch: pytest.MonkeyPatch, rounds: int, seconds: float
    ) -> None:
        """A quick program has many rounds in a second, and a slow one few."""
        monkeypatch.setattr(_clock_mover, "STANDSTILL_ROUNDS", rounds)
        monkeypatch.setattr(_clock_mover, "STANDSTILL_SECONDS", seconds)
        async with thp.mocked_call_later():
            loop = asyncio.get_running_loop()
            for _ in range(5000):
                future = loop.create_future()
                loop.call_later(0, future.set_result, None)
                await future

    @pytest.mark.proves("R7")
    def test_the_limits_are_those_of_the_guarantee(self) -> None:
        """100,000 rounds and a second."""
        assert (_clock_mover.STANDSTILL_ROUNDS, _clock_mover.STANDSTILL_SECONDS) == (100_000, 1)

    @pytest.mark.proves("R7")
    @pytest.mark.parametrize("delay", [0, -1], ids=["zero", "negative"])
    async def test_a_callback_that_sets_itself_again_for_now_is_named(self, few_rounds: int, delay: float) -> None:
        """The message names the callback and the line where it was set."""
        calls = []

        async def body() -> None:
            async with thp.mocked_call_later(start_time=7):
                loop = asyncio.get_running_loop()

                def again() -> None:
                    calls.append(loop.call_later(delay, again))

                await asyncio.sleep(1)
                again()
                await wait_for_ever()

        with pytest.raises(thp.Stuck) as caught:
            await body()
        calls[-1].cancel()

        assert plain(str(caught.value)) == [
            "time stands still at 8.0",
            f"  timers due at once, or calls of add(0), have followed each other {few_rounds:,} times",
            "  the latest: again, set at HERE: calls.append(loop.call_later(delay, again))",
        ]
        assert report_of(caught.value)[0].startswith("virtual time is at 8.0, 1 s after its start ")
        # What runs it is ours, and nothing to look at.
        assert [line for line in report_of(caught.value) if "kept busy" in line] == []
        assert few_rounds <= len(calls) <= few_rounds + 10

    @pytest.mark.proves("R10")
    async def test_the_watchdog_of_another_test_keeps_nothing_busy(self, few_rounds: int) -> None:
        """alt-pytest-asyncio leaves its timers in the loop that all tests share, and one may be due by now."""

        def timeout_task() -> None:
            pass

        timeout_task.__module__ = "alt_pytest_asyncio.plugin"

        async def body() -> None:
            async with thp.mocked_call_later():
                loop = asyncio.get_running_loop()

                def again() -> None:
                    loop.call_soon(timeout_task)
                    calls.append(loop.call_later(0, again))

                again()
                await wait_for_ever()

        calls: list[asyncio.TimerHandle] = []
        with pytest.raises(thp.Stuck) as caught:
            await body()
        calls[-1].cancel()

        assert [line for line in report_of(caught.value) if "kept busy" in line] == []

    @pytest.mark.proves("R7")
    async def test_a_series_that_ends_by_itself_is_not_disturbed(self) -> None:
        """Time goes on after them."""
        calls = []
        async with thp.mocked_call_later() as m:
            loop = asyncio.get_running_loop()

            def again() -> None:
                calls.append(loop.time())
                if len(calls) < 20_000:
                    loop.call_later(0, again)

            again()
            await asyncio.sleep(1)

            assert (len(calls), loop.time(), m.pending) == (20_000, 1, [])

    @pytest.mark.proves("R7")
    async def test_a_thousand_callbacks_for_one_moment_are_no_standstill(self) -> None:
        """None of them sets another one."""
        called: list[float] = []
        async with thp.mocked_call_later():
            loop = asyncio.get_running_loop()
            for number in range(5000):
                loop.call_later(0, called.append, number)
            await asyncio.sleep(1)

        assert called == list(range(5000))

    @pytest.mark.proves("R7")
    async def test_a_callback_that_lets_time_pass_now_and_then_is_no_standstill(self) -> None:
        """However often it is called."""
        called: list[float] = []
        async with thp.mocked_call_later():
            loop = asyncio.get_running_loop()

            def again() -> None:
                called.append(loop.time())
                if len(called) < 5000:
                    loop.call_later(0 if len(called) % 500 else 1, again)

            again()
            await asyncio.sleep(20)

        assert len(called) == 5000
