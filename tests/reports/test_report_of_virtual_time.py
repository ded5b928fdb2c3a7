"""The report of a block of virtual time."""

import asyncio
import contextlib
import functools
import gc
import itertools
import math
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from unittest import SkipTest

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _virtual_time
from tests.reports.reading import FIRST, Boom, logged, plain, records, report_of, wait_for_ever

pytestmark = pytest.mark.usefixtures("quiet_loop")


class Unspeakable:
    """Something that cannot be shown."""

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def __repr__(self) -> str:
        raise self.failure

    def __call__(self, *args: object) -> None:
        """Do nothing, as a callback."""


class Wordy:
    """Something that has much to say."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words

    def __call__(self) -> None:
        """Do nothing, as a callback."""


class TestWhatLeavesTheBlock:
    """The exception itself, with the report in its notes."""

    @pytest.mark.proves("R1")
    @pytest.mark.parametrize(
        "kind", [AssertionError, KeyError, Boom, KeyboardInterrupt, SystemExit, BaseExceptionGroup]
    )
    async def test_every_exception_gets_the_report_and_is_otherwise_as_it_was(self, kind: type[BaseException]) -> None:
        """Its type, arguments, identity, cause and context stay."""
        cause = ValueError("cause")
        args = ("words", [Boom("inner")]) if kind is BaseExceptionGroup else ("words", 5)
        error = kind(*args)
        with pytest.raises(kind) as caught:
            async with thp.mocked_call_later():
                raise error from cause

        assert caught.value is error
        assert (error.args, error.__cause__, error.__context__) == (args, cause, None)
        assert report_of(error)[0].startswith("virtual time is at 0.0, ")

    @pytest.mark.proves("R1")
    async def test_notes_that_were_there_stay_in_front(self) -> None:
        """The user's own notes come first."""
        error = Boom()
        error.add_note("mine")
        with pytest.raises(Boom):
            async with thp.mocked_call_later():
                raise error

        assert report_of(error)[:1] == ["mine"]
        assert report_of(error)[1].startswith("virtual time is at")

    @pytest.mark.proves("R1")
    async def test_each_block_adds_its_own_report(self) -> None:
        """The inner block's comes first."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later(name="outer", start_time=5), thp.mocked_call_later(name="inner"):
                raise Boom

        assert [line[:29] for line in report_of(caught.value) if " is at " in line] == [
            "virtual time 'inner' is at 0.",
            "virtual time 'outer' is at 5.",
        ]

    @pytest.mark.proves("R1")
    async def test_an_exception_that_takes_no_notes_is_left_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        """The report goes to the log, and the exception is the one that is seen."""

        class NotelessError(Exception):
            def add_note(self, note: str) -> None:
                raise Boom(note)

        error = NotelessError()
        with pytest.raises(NotelessError) as caught:
            async with thp.mocked_call_later(name="shop"):
                raise error

        assert caught.value is error
        assert [plain(message)[:2] for message in logged(caplog)] == [
            [
                "NotelessError takes no notes, so the report of the block is here",
                "virtual time 'shop' is at 0.0, 0 s after its start (... real time; precision 0.1 s)",
            ]
        ]

    @pytest.mark.proves("R1")
    @pytest.mark.parametrize("kind", [SkipTest, pytest.skip.Exception])
    async def test_a_test_that_skips_itself_gets_no_report(self, kind: type[BaseException]) -> None:
        """It would be taken for the reason of the skip."""
        error = kind("no network")
        with pytest.raises(kind):
            async with thp.mocked_call_later():
                raise error

        assert report_of(error) == []

    @pytest.mark.proves("R1")
    async def test_a_generator_that_is_closed_gets_no_report(self, caplog: pytest.LogCaptureFixture) -> None:
        """Closing a generator is no failure."""
        left = []

        async def fixture() -> AsyncIterator[None]:
            try:
                async with thp.mocked_call_later():
                    yield
            except GeneratorExit as closed:
                left.append(report_of(closed))
                raise

        generator = fixture()
        await anext(generator)
        assert hasattr(generator, "aclose")
        await generator.aclose()

        assert (left, logged(caplog)) == ([[]], [])

    @pytest.mark.proves("R1")
    async def test_a_block_that_ends_well_says_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing is logged above DEBUG."""
        async with thp.mocked_call_later():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wait_for_ever(), 5)

        assert logged(caplog) == []


class TestWhatIsTold:
    """The facts."""

    @pytest.mark.proves("R2", "R3")
    async def test_where_the_clock_stands_and_what_is_pending_was_called_died_and_waits(self) -> None:
        """All of them in one report."""
        with pytest.raises(AssertionError) as caught:
            async with thp.mocked_call_later(name="shop", start_time=100, precision=0.5):
                loop = asyncio.get_running_loop()
                event = asyncio.Event()

                async def fetch() -> None:
                    await asyncio.sleep(30)

                async def fail() -> None:
                    await asyncio.sleep(1)
                    raise Boom(7)

                async def limited() -> None:
                    async with asyncio.timeout(50):
                        await event.wait()

                tasks = [
                    asyncio.create_task(fetch()),
                    asyncio.create_task(fail(), name="failing"),
                    asyncio.create_task(limited(), name="limited"),
                    asyncio.create_task(wait_for_ever(), name="waiting"),
                ]
                handles = [
                    loop.call_later(60, print, 1),
                    loop.call_at(161, functools.partial(event.set)),
                    loop.call_later(2, event.is_set),
                ]
                await asyncio.sleep(2)
                assert tasks == []

        assert report_of(caught.value) == [
            "virtual time 'shop' is at 102.0, 2 s after its start (... real time; precision 0.5 s)",
            f"  {FIRST}task 'failing' failed: Boom(7) at HERE: raise Boom(7)",
            "  pending at 130.0, in 28 s: task 'Task-N' (fetch) waits at HERE: await asyncio.sleep(30)",
            "  pending at 150.0, in 48 s: timeout of task 'limited', which waits at HERE: await event.wait()",
            "  pending at 160.0, in 58 s: print, set at HERE: loop.call_later(60, print, 1),",
            "  pending at 161.0, in 59 s: Event.set, set at HERE: loop.call_at(161, functools.partial(event.set)),",
            "  last timer fired, due at 102.0: the end of a sleep or wait",
            "  task 'waiting' waits at HERE: await asyncio.Event().wait()",
        ]
        for handle in handles:
            handle.cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)

    @pytest.mark.proves("R2")
    async def test_the_callback_that_was_called_last_is_named_with_its_line(self) -> None:
        """Also when nothing is pending."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later() as m:
                asyncio.get_running_loop().call_later(4.95, wait_for_ever.__str__)
                await m.add(7)
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  no timer is pending",
            "  last timer fired, due at 4.95: object.__str__, set at HERE:"
            " asyncio.get_running_loop().call_later(4.95, wait_for_ever.__str__)",
        ]

    @pytest.mark.proves("R2")
    async def test_a_timeout_that_nobody_has_left_is_told_with_its_task(self) -> None:
        """It is pending, although there is nothing left that it could end."""

        async def enter() -> None:
            await asyncio.timeout(5).__aenter__()

        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                await asyncio.create_task(enter(), name="careless")
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  pending at 5.0, in 5 s: timeout of task 'careless', which has ended",
            "  no timer has fired yet",
        ]

    @pytest.mark.proves("R2")
    async def test_called_times_that_the_test_has_emptied_do_not_matter(self) -> None:
        """The list belongs to the test."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later() as m:
                await asyncio.sleep(1)
                m.called_times.clear()
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  no timer is pending",
            "  last timer fired, due at 1.0: the end of a sleep or wait",
        ]

    @pytest.mark.proves("R2")
    async def test_a_clock_that_only_add_moves_says_so(self) -> None:
        """Who forgets `add` is told where to look."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later(autojump_threshold=math.inf):
                task = asyncio.create_task(asyncio.sleep(5), name="sleeper")
                await asyncio.sleep(0)
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  only add() moves this clock, since autojump_threshold is infinite",
            "  pending at 5.0, in 5 s: task 'sleeper' waits at asyncio's sleep",
            "  no timer has fired yet",
        ]
        task.cancel()

    @pytest.mark.proves("R2")
    async def test_real_work_is_named(self) -> None:
        """A thread by its function, a process by its number and command."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                sleep = asyncio.to_thread(asyncio.run, asyncio.sleep(0.05))
                thread = asyncio.create_task(sleep, name="thread")
                child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
                raise Boom

        running = [line for line in report_of(caught.value) if "under way in real time" in line]
        assert running == [
            "  under way in real time: run()",
            f"  under way in real time: process {child.pid}, ({sys.executable!r}, '-c', 'input()')",
        ]
        child.kill()
        await child.wait()
        await thread

    @pytest.mark.usefixtures("work_patience")
    @pytest.mark.proves("R2")
    async def test_real_work_that_time_has_moved_past_is_named_as_such(self) -> None:
        """It is the reason for a timeout around it."""
        stop = threading.Event()
        with pytest.raises(TimeoutError) as caught:
            async with thp.mocked_call_later(), asyncio.timeout(5):
                await asyncio.to_thread(stop.wait)
        stop.set()

        running = [line for line in report_of(caught.value) if "under way in real time" in line]
        assert running == ["  under way in real time: Event.wait(), over its limit"]

    @pytest.mark.proves("R3")
    async def test_a_task_whose_end_somebody_has_seen_is_not_where_to_look_first(self) -> None:
        """Exceptions that nobody has retrieved come first."""

        async def fail(number: int) -> None:
            raise Boom(number)

        with pytest.raises(AssertionError) as caught:
            async with thp.mocked_call_later():
                tasks = [asyncio.create_task(fail(number), name=f"task {number}") for number in (1, 2)]
                with contextlib.suppress(Boom):
                    await tasks[0]
                assert tasks == []

        assert report_of(caught.value)[1:3] == [
            f"  {FIRST}task 'task 2' failed: Boom(2) at HERE: raise Boom(number)",
            "  task 'task 1' failed: Boom(1) at HERE: raise Boom(number)",
        ]
        assert isinstance(tasks[1].exception(), Boom)

    @pytest.mark.proves("R3")
    async def test_naming_a_dead_task_does_not_count_as_seeing_it(self) -> None:
        """Asyncio still warns of an exception that nobody has retrieved."""
        # What earlier tests have left would be told as well.
        gc.collect()
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))

        async def fail() -> None:
            raise Boom

        with contextlib.suppress(ValueError):
            async with thp.mocked_call_later():
                task = asyncio.create_task(fail())
                await asyncio.sleep(1)
                raise ValueError
        del task
        gc.collect()
        asyncio.get_running_loop().set_exception_handler(None)

        assert told == ["Task exception was never retrieved"]


class TestBounds:
    """A report is short, and making it never fails."""

    @pytest.mark.proves("R13")
    async def test_the_ten_nearest_timers_are_named_and_the_rest_is_counted(self) -> None:
        """However many there are."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later() as m:
                loop = asyncio.get_running_loop()
                timers = [loop.call_later(seconds, print) for seconds in range(1350, 0, -1)]
                raise Boom

        pending = [line for line in report_of(caught.value) if "pending" in line]
        assert [line.partition(":")[0] for line in pending] == [
            *(f"  pending at {seconds}.0, in {seconds} s" for seconds in range(1, 11)),
            "  and 1,340 more pending timers",
        ]
        assert m.pending == []
        for timer in timers:
            timer.cancel()

    @pytest.mark.proves("R13")
    async def test_ten_waiting_and_ten_dead_tasks_are_named_and_the_rest_is_counted(self) -> None:
        """A report fits on a screen."""

        async def fail() -> None:
            raise Boom

        with pytest.raises(AssertionError) as caught:
            async with thp.mocked_call_later():
                dead = [asyncio.create_task(fail()) for _ in range(12)]
                waiting = [asyncio.create_task(wait_for_ever(), name=f"waiting {number}") for number in range(13)]
                await asyncio.sleep(1)
                assert dead == []

        report = report_of(caught.value)
        assert len(report) == 1 + 11 + 2 + 11
        assert [line for line in report if "more" in line] == ["  and 2 more failed tasks", "  and 3 more tasks"]
        await asyncio.gather(*dead, return_exceptions=True)
        for task in waiting:
            task.cancel()

    @pytest.mark.proves("R13")
    @pytest.mark.usefixtures("no_debug_mode")
    @pytest.mark.parametrize(
        ("callback", "shown"),
        [
            pytest.param(Unspeakable(Boom()), "<Unspeakable whose repr raised Boom>", id="raises"),
            pytest.param(
                Unspeakable(RecursionError()), "<Unspeakable whose repr raised RecursionError>", id="recursion"
            ),
            pytest.param(Unspeakable(SystemExit()), "<Unspeakable whose repr raised SystemExit>", id="no-Exception"),
            pytest.param(Wordy("one\ntwo\n\tthree"), "one two three", id="lines"),
            pytest.param(Wordy("x" * 10_000_000), "x" * 77 + "...", id="huge"),
        ],
    )
    async def test_no_repr_breaks_a_report(self, callback: Unspeakable | Wordy, shown: str) -> None:
        """Whatever it raises or gives, a thing is shown on one short line."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                loop = asyncio.get_running_loop()
                timer = loop.call_later(5, callback)
                raise Boom

        assert [line for line in report_of(caught.value) if "pending at" in line] == [
            f"  pending at 5.0, in 5 s: {shown}, set at HERE: timer = loop.call_later(5, callback)"
        ]
        timer.cancel()

    @pytest.mark.proves("R13")
    async def test_an_exception_of_a_task_that_cannot_be_shown_breaks_no_report(self) -> None:
        """Its task is named all the same."""

        class SilentError(Exception):
            def __repr__(self) -> str:
                raise Boom

        async def fail() -> None:
            raise SilentError

        with pytest.raises(AssertionError) as caught:
            async with thp.mocked_call_later():
                task = asyncio.create_task(fail(), name="silent")
                await asyncio.sleep(1)
                assert not task.done()

        assert report_of(caught.value)[1:2] == [
            f"  {FIRST}task 'silent' failed: <SilentError whose repr raised Boom> at HERE: raise SilentError"
        ]
        assert isinstance(task.exception(), SilentError)

    @pytest.mark.proves("R13")
    async def test_names_are_cut_and_stay_on_their_line(self) -> None:
        """The block's and the tasks'."""
        long = "a\nb" * 100
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later(name=long):
                task = asyncio.create_task(wait_for_ever(), name=long)
                await asyncio.sleep(0)
                raise Boom

        report = report_of(caught.value)
        assert [len(line) < 200 for line in report] == [True] * 4
        assert r"virtual time 'a\nba\nb" in report[0]
        assert r"task 'a\nba\nb" in report[1]
        task.cancel()

    @pytest.mark.proves("R13")
    @pytest.mark.usefixtures("no_debug_mode")
    async def test_a_callback_whose_attributes_raise_breaks_no_report(self) -> None:
        """Such as a proxy of something that is not there."""

        class Proxy:
            def __getattribute__(self, name: str) -> object:
                raise RuntimeError(name)

            def __call__(self) -> None:
                """Do nothing."""

        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                loop = asyncio.get_running_loop()
                timer = loop.call_later(5, functools.partial(Proxy()))
                raise Boom

        assert report_of(caught.value)[1].startswith("  pending at 5.0, in 5 s: ")
        timer.cancel()

    @pytest.mark.proves("R13")
    async def test_a_report_that_fails_keeps_what_it_has_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its last line says why the rest is missing."""

        def report(time: object) -> Iterator[str]:
            yield "the beginning"
            raise ZeroDivisionError

        monkeypatch.setattr(_virtual_time, "virtual_time_report", report)
        with pytest.raises(ValueError, match="boom") as caught:
            async with thp.mocked_call_later():
                raise ValueError("boom")

        assert caught.value.__notes__ == ["the beginning\n  (the rest of this report failed with ZeroDivisionError)"]


async def cancelled(body: Coroutine[None, None, None]) -> None:
    """Cancel a body once it waits as far as it comes."""
    task = asyncio.create_task(body, name="body")
    await thp.wait_all_tasks_blocked()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


class TestCancelledFromOutside:
    """By a watchdog, or by a runner that closes."""

    @pytest.mark.proves("R5")
    async def test_the_report_is_logged_once_and_shows_what_waited_when_that_happened(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Though a task group has ended its tasks by the time that the cancellation leaves the block."""

        async def body() -> None:
            async with thp.mocked_call_later(name="shop") as m, asyncio.TaskGroup() as tasks:
                tasks.create_task(wait_for_ever(), name="child")
                assert m.pending == []

        await cancelled(body())

        [message] = logged(caplog)
        report = plain(message)
        # On uvloop, and beside threads of other tests, what could still wake it stands in between.
        assert report == [
            "cancelled from outside the block",
            "virtual time 'shop' is at 0.0, 0 s after its start (... real time; precision 0.1 s)",
            "  the task of this block waits at HERE:"
            ' async with thp.mocked_call_later(name="shop") as m, asyncio.TaskGroup() as ta...',
            "  task 'child' waits at HERE: await asyncio.Event().wait()",
            *report[4:-2],
            "  no timer is pending",
            "  no timer has fired yet",
        ]

    @pytest.mark.proves("R5")
    async def test_the_note_of_the_cancellation_says_the_same(self, caplog: pytest.LogCaptureFixture) -> None:
        """For runners that show it."""
        notes = []

        async def body() -> None:
            try:
                async with thp.mocked_call_later():
                    await wait_for_ever()
            except asyncio.CancelledError as error:
                notes.append(["cancelled from outside the block", *report_of(error)])
                raise

        await cancelled(body())

        assert [plain(message) for message in logged(caplog)] == notes

    @pytest.mark.proves("R5")
    async def test_the_tasks_of_a_gather_are_shown_where_they_waited(self, caplog: pytest.LogCaptureFixture) -> None:
        """Cancelling a gather cancels them."""

        async def body() -> None:
            async with thp.mocked_call_later():
                await asyncio.gather(wait_for_ever(), wait_for_ever())

        await cancelled(body())

        report = plain(logged(caplog)[0])
        assert report[2:5] == [
            "  the task of this block waits at HERE: await asyncio.gather(wait_for_ever(), wait_for_ever())",
            "  task 'Task-N' (wait_for_ever) waits at HERE: await asyncio.Event().wait()",
            "  task 'Task-N' (wait_for_ever) waits at HERE: await asyncio.Event().wait()",
        ]

    @pytest.mark.proves("R5")
    async def test_all_tasks_cancelled_at_once_are_shown_where_they_waited(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As a runner does when it closes."""

        async def body() -> None:
            async with thp.mocked_call_later():
                await wait_for_ever()

        tasks = [asyncio.create_task(wait_for_ever(), name="other"), asyncio.create_task(body())]
        await thp.wait_all_tasks_blocked()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

        assert plain(logged(caplog)[0])[2:4] == [
            "  the task of this block waits at HERE: await asyncio.Event().wait()",
            "  task 'other' waits at HERE: await asyncio.Event().wait()",
        ]

    @pytest.mark.proves("R5")
    async def test_a_timeout_in_the_block_shows_what_waited_when_it_struck(self) -> None:
        """The report is made when it strikes, before a task group ends its tasks."""
        with pytest.raises(TimeoutError) as caught:
            async with thp.mocked_call_later(), asyncio.timeout(5), asyncio.TaskGroup() as tasks:
                tasks.create_task(wait_for_ever(), name="child")

        assert "  task 'child' waits at HERE: await asyncio.Event().wait()" in report_of(caught.value)

    @pytest.mark.proves("R5")
    async def test_a_failure_after_a_timeout_is_reported_as_it_is_then(self) -> None:
        """Not as it was when the timeout struck."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                try:
                    async with asyncio.timeout(5):
                        await wait_for_ever()
                except TimeoutError:
                    await asyncio.sleep(10)
                    raise Boom  # noqa: B904

        assert report_of(caught.value)[0].startswith("virtual time is at 15.0, ")

    @pytest.mark.proves("R5")
    async def test_the_latest_of_many_timeouts_is_the_one_that_is_shown(self) -> None:
        """Even though not every timeout has a report of its own."""
        with pytest.raises(TimeoutError) as caught:
            async with thp.mocked_call_later():
                for _ in range(50):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await wait_for_ever()
                async with asyncio.timeout(1):
                    await wait_for_ever()

        assert report_of(caught.value)[0].startswith("virtual time is at 51.0, ")

    @pytest.mark.proves("R5")
    async def test_after_many_timeouts_what_waited_is_still_kept_now_and_then(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For a watchdog that strikes long after the last timeout."""
        monkeypatch.setattr("machinery._test_helpers._task_watch._KEEP_EVERY", -1)
        with pytest.raises(TimeoutError) as caught:
            async with thp.mocked_call_later():
                for _ in range(50):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await wait_for_ever()
                async with asyncio.timeout(1), asyncio.TaskGroup() as tasks:
                    tasks.create_task(wait_for_ever(), name="child")

        assert report_of(caught.value)[0].startswith("virtual time is at 51.0, ")
        assert "  task 'child' waits at HERE: await asyncio.Event().wait()" in report_of(caught.value)

    @pytest.mark.proves("R5")
    async def test_after_many_timeouts_a_failure_has_its_own_report(self) -> None:
        """Each timeout was a cancellation that nobody outside saw, and not every one has a report."""
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
        assert report_of(caught.value)[0].startswith("virtual time is at 25.0, ")

    @pytest.mark.proves("R5")
    async def test_a_timeout_around_the_block_that_is_handled_logs_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The test goes on and may pass."""
        callbacks = []

        async def body() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0), thp.mocked_call_later():
                    await wait_for_ever()
            # The step of the task into which the cancellation was thrown keeps it.
            await asyncio.sleep(0)
            callbacks.append(repr(asyncio.current_task()))

        await asyncio.create_task(body())

        assert logged(caplog) == []
        assert "_log_if_it_ends" not in callbacks[0]

    @pytest.mark.proves("R5")
    async def test_a_task_group_around_the_block_that_a_task_of_it_ends_logs_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The failure of that task is what the test is told."""

        async def fail() -> None:
            raise Boom

        async def body() -> None:
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as tasks, thp.mocked_call_later():
                    tasks.create_task(fail())
                    await wait_for_ever()
            assert caught.group_contains(Boom)

        await asyncio.create_task(body())

        assert logged(caplog) == []

    @pytest.mark.proves("R5")
    async def test_a_watchdog_that_swallows_its_own_cancellation_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The task ends without an exception, but nobody has taken the cancellation back."""

        async def body() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                async with thp.mocked_call_later():
                    await wait_for_ever()
            await asyncio.sleep(0)

        task = asyncio.create_task(body())
        await thp.wait_all_tasks_blocked()
        task.cancel()
        await task
        await asyncio.sleep(0)

        assert [plain(message)[0] for message in logged(caplog)] == ["cancelled from outside the block"]

    @pytest.mark.proves("R5")
    async def test_a_timeout_error_of_ones_own_is_no_cancellation(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing is logged for it."""
        with pytest.raises(TimeoutError):
            async with thp.mocked_call_later():
                raise TimeoutError

        assert records(caplog) == []

    @pytest.mark.proves("R5", "R13")
    async def test_a_very_long_chain_of_timeouts_is_not_followed_to_its_end(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A cancellation beyond the bound is not found."""
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

        assert report_of(caught.value)[0].startswith("virtual time is at 3.0, ")
        assert records(caplog) == []


class TestTimeThatGoesOn:
    """A clock that never stops moving."""

    @pytest.mark.proves("R2")
    @pytest.mark.usefixtures("no_debug_mode")
    async def test_a_loop_that_repeats_itself_for_ever_is_pointed_at(self, caplog: pytest.LogCaptureFixture) -> None:
        """The report says so after many callbacks."""
        enough = asyncio.Event()

        async def retry() -> None:
            async with thp.mocked_call_later():
                for count in itertools.count():
                    await asyncio.sleep(1)
                    if count > 1000:
                        enough.set()

        task = asyncio.create_task(retry())
        await enough.wait()
        task.cancel()
        await asyncio.wait([task])

        report = plain(logged(caplog)[0])
        assert report[3].endswith(" in 1 s: the task of this block waits at HERE: await asyncio.sleep(1)")
        assert report[2].startswith(f"  {FIRST}")
        assert report[2].endswith(" timers have fired: something keeps setting new ones")


class TestBusyLoop:
    """A loop that is never idle."""

    @pytest.mark.proves("R10")
    async def test_a_task_that_polls_with_sleep_0_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        """With its line and advice."""

        async def poll() -> None:
            for _ in itertools.count():
                await asyncio.sleep(0)

        async def body() -> None:
            async with thp.mocked_call_later():
                asyncio.create_task(poll(), name="poller")
                await asyncio.sleep(5)

        task = asyncio.create_task(body())
        for _ in range(500):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        assert plain(logged(caplog)[0])[2:7] == [
            f"  {FIRST}the event loop is never idle, so neither the clock nor the dominos can move",
            "    kept busy by task 'poller' at HERE: await asyncio.sleep(0)",
            "    wait for an event instead of calling sleep(0), or sleep for longer than 0",
            "  pending at 5.0, in 5 s: the task of this block waits at HERE: await asyncio.sleep(5)",
            "  no timer has fired yet",
        ]

    @pytest.mark.proves("R10")
    async def test_a_callback_that_calls_itself_again_and_again_is_named(self) -> None:
        """Also without a task."""
        stop: list[bool] = []

        async def body() -> None:
            async with thp.mocked_call_later():
                loop = asyncio.get_running_loop()

                def again() -> None:
                    if not stop:
                        loop.call_soon(again)

                again()
                await asyncio.sleep(5)

        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await body()
        stop.append(True)

        error = caught.value.__cause__
        assert error is not None
        if asyncio.get_running_loop().__class__.__module__.startswith("asyncio"):
            assert "    kept busy by again" in report_of(error)

    @pytest.mark.proves("R10")
    async def test_a_loop_that_rests_is_not_called_busy(self) -> None:
        """Not even after many callbacks."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                for _ in range(500):
                    await asyncio.sleep(1)
                raise Boom

        assert [line for line in report_of(caught.value) if "never idle" in line] == []


class TestRepr:
    """One line, available at any time."""

    @pytest.mark.proves("R11")
    async def test_it_is_one_line_with_the_clock_and_what_is_pending_at_any_moment(self) -> None:
        """Before, during and after."""
        async with thp.mocked_call_later(name="a\nb") as m:
            reprs = [repr(m)]
            timers = [asyncio.get_running_loop().call_later(seconds, print) for seconds in range(1, 2000)]
            reprs.append(repr(m))
            for timer in timers:
                timer.cancel()
            await asyncio.sleep(5)
            reprs.append(repr(m))
        reprs.append(repr(m))

        assert reprs == [
            r"<virtual time 'a\nb' at 0.0, nothing pending>",
            r"<virtual time 'a\nb' at 0.0, 1999 pending, next at 1.0>",
            r"<virtual time 'a\nb' at 5.0, nothing pending>",
            r"<virtual time 'a\nb' at 5.0, nothing pending, closed>",
        ]
