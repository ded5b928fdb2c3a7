"""What is said of an order that fails."""

import asyncio
import contextlib
import gc
import logging
import re
import socket
import threading
from collections.abc import Callable, Coroutine

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _deadlocks, _explore, _scenario_run
from machinery.test_helpers import Outside
from tests.reports.reading import Boom, logged, plain

pytestmark = pytest.mark.usefixtures("quiet_loop")

ORDER = "explore: order {} of at most {} fails; * marks what departs from first come, first served"


def order_of(error: BaseException) -> list[str]:
    """Return the lines of the note on the order, as `plain` shows them, and long ones in one piece."""
    note = error.__notes__[-1]
    assert note.startswith("explore: ")
    return plain(re.sub(r"\n {6}", " ", note))


def fail_unless(log: list[str], *expected: str) -> Callable[[Outside], Coroutine[object, object, None]]:
    """Return a scenario of some tasks, each with some answers, that fails if these arrive in just this order."""

    async def scenario(outside: Outside) -> None:
        order: list[str] = []

        async def ask(labels: str) -> None:
            for label in labels:
                await outside(label)
                order.append(label)

        await asyncio.gather(*map(ask, log))
        assert order != list(expected)

    return scenario


class TestNote:
    """The note on the order."""

    @pytest.mark.proves("E6")
    async def test_it_tells_the_order_and_how_to_make_it_again(self) -> None:
        """With dominos too, if the clock does not move."""
        with pytest.raises(AssertionError) as failed:
            await thp.explore(fail_unless(["ab", "c"], "a", "b", "c"))

        assert order_of(failed.value) == [
            ORDER.format(4, 200),
            "    1. a (1), awaited at HERE by task 'Task-N' (ask)",
            "  * 2. b (3), awaited at HERE by task 'Task-N' (ask), ahead of c (2)",
            "    3. c (2), awaited at HERE by task 'Task-N' (ask)",
            "  to run this order alone: await explore(scenario, replay='1 3')",
            "  to make it with future_dominos(expected=3): the calls of outside, in the order in which they are made,"
            " await dominos 1, 3, 2",
        ]

    @pytest.mark.proves("E6")
    async def test_it_tells_what_comes_in_the_middle(self) -> None:
        """The clock or an answer, in the same iteration or later."""

        async def scenario(outside: Outside) -> None:
            log: list[str] = []

            async def first() -> None:
                await outside("first")
                log.append("begin")
                await asyncio.sleep(0)
                log.append("end")

            async def other(name: str, awaitable: Coroutine[object, object, object]) -> None:
                await awaitable
                log.append(name)

            await asyncio.gather(first(), other("second", outside("second")), other("slept", asyncio.sleep(5)))
            assert log != ["begin", "second", "end", "slept"]

        with pytest.raises(AssertionError) as failed:
            await thp.explore(scenario, replay="1 2@0 clock@1")

        assert order_of(failed.value) == [
            "explore: this order fails; * marks what departs from first come, first served",
            "    1. first (1), awaited at HERE by task 'Task-N' (first)",
            "  * 2. second (2), awaited at HERE by task 'Task-N' (other), in the same iteration,"
            " while the loop is busy",
            "  * 3. the clock moves to 5.0, 1 iteration later, while the loop is busy",
            "  to run this order alone: await explore(scenario, replay='1 2@0 clock@1')",
            "  dominos cannot make this order, since they fall only while the loop is idle and the clock stands",
        ]

    @pytest.mark.proves("E6")
    async def test_it_tells_what_had_not_arrived(self) -> None:
        """Ten of that, and the scenario is called so."""

        async def scenario(outside: Outside) -> None:
            tasks = [asyncio.create_task(outside(f"{number}")) for number in range(12)]
            await asyncio.sleep(1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await outside("late")
            del tasks
            raise Boom

        with pytest.raises(Boom) as failed:
            await thp.explore(scenario, replay="clock 13 2")

        lines = order_of(failed.value)
        assert lines[1:6] == [
            "  * 1. the clock moves to 1.0, ahead of 0 (1)",
            "  * 2. late (13), awaited at HERE by the scenario itself, ahead of 0 (1)",
            "    not arrived: 0 (1), awaited by task 'Task-N' (Answers.outside)",
            "    not arrived: 1 (2), awaited by task 'Task-N' (Answers.outside)",
            "    not arrived: 2 (3), awaited by task 'Task-N' (Answers.outside)",
        ]
        assert lines[13:15] == [
            "    and 2 more not arrived",
            "  to run this order alone: await explore(scenario, replay='clock 13')",
        ]

    @pytest.mark.proves("E6")
    async def test_it_lists_a_hundred_steps(self) -> None:
        """And counts the others."""

        async def scenario(outside: Outside) -> None:
            for number in range(103):
                await outside(f"{number}")
            raise Boom

        with pytest.raises(Boom) as failed:
            await thp.explore(scenario)

        lines = order_of(failed.value)
        assert lines[_explore.MOST_STEPS] == "    100. 99 (100), awaited at HERE by the scenario itself"
        assert lines[_explore.MOST_STEPS + 1] == "    and 3 more"

    @pytest.mark.proves("E6")
    async def test_it_says_nothing_of_dominos_without_answers(self) -> None:
        """A scenario may fail before it waits for anything."""

        async def scenario(outside: Outside) -> None:
            raise Boom

        with pytest.raises(Boom) as failed:
            await thp.explore(scenario)

        assert order_of(failed.value) == [
            ORDER.format(1, 200),
            "  to run this order alone: await explore(scenario, replay='')",
        ]

    @pytest.mark.proves("E6")
    async def test_the_report_of_virtual_time_comes_before_it(self) -> None:
        """It shows what waited when the scenario failed, before that was cancelled."""

        async def scenario(outside: Outside) -> None:
            task = asyncio.create_task(asyncio.sleep(3600), name="sleeper")
            await outside("answer")
            assert task.done()

        with pytest.raises(AssertionError) as failed:
            await thp.explore(scenario)

        reports = [note for note in failed.value.__notes__ if note.startswith("virtual time is at 0.0")]
        assert len(reports) == 1
        assert "pending at 3600.0, in 3600 s: task 'sleeper'" in reports[0]

    @pytest.mark.proves("E6")
    async def test_the_traceback_has_no_frame_of_ours_that_pytest_shows(self) -> None:
        """It goes from the test into the scenario."""

        async def scenario(outside: Outside) -> None:
            raise Boom

        with pytest.raises(Boom) as failed:
            await thp.explore(scenario)

        visible = [entry.name for entry in failed.traceback if not entry.ishidden(failed)]
        assert visible == ["test_the_traceback_has_no_frame_of_ours_that_pytest_shows", "scenario"]

    @pytest.mark.proves("E6")
    async def test_it_is_logged_if_the_exception_takes_no_notes(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing is raised in its place."""

        class Stubborn(Exception):
            def add_note(self, note: str) -> None:
                raise TypeError

        async def scenario(outside: Outside) -> None:
            raise Stubborn

        with caplog.at_level(logging.WARNING), pytest.raises(Stubborn):
            await thp.explore(scenario)

        assert logged(caplog)[-1].startswith("Stubborn is leaving explore()\nexplore: order 1 of at most 200 fails; ")

    @pytest.mark.proves("E6")
    async def test_the_numbers_of_dominos_make_the_same_order(self) -> None:
        """As the how-to shows it."""
        scenario = fail_unless(["ab", "cd"], "c", "d", "a", "b")
        with pytest.raises(AssertionError) as failed:
            await thp.explore(scenario)
        numbers = iter(order_of(failed.value)[-1].rpartition("dominos ")[2].split(", "))

        with pytest.raises(AssertionError, match=r"^assert \['c', 'd', 'a', 'b'\] !="):
            async with thp.future_dominos(expected=4) as futs:

                async def outside(label: str, *, channel: object = None) -> None:
                    await futs[int(next(numbers))]

                futs.begin()
                await scenario(outside)

    @pytest.mark.proves("E6", "R12")
    async def test_an_exception_that_several_runs_raise_has_one_report_and_one_traceback(self) -> None:
        """Of the order that is shown: a mock raises the same object in each run, and each run is a block."""
        error = Boom()

        async def scenario(outside: Outside) -> None:
            order: list[str] = []

            async def ask(label: str) -> None:
                await outside(label)
                order.append(label)

            await asyncio.gather(*map(ask, "abcde"))
            if order.index("e") < order.index("a"):
                raise error

        # More runs than one are needed to find it, to simplify it, and to see whether it fails again.
        with pytest.raises(Boom) as failed:
            await thp.explore(scenario, runs=20)

        heads = [note.partition(" ")[0] for note in error.__notes__]
        assert heads == ["virtual", "explore:"]
        visible = [entry.name for entry in failed.traceback if not entry.ishidden(failed)]
        name = "test_an_exception_that_several_runs_raise_has_one_report_and_one_traceback"
        assert visible == [name, "scenario"]

    @pytest.mark.proves("E6", "R13")
    async def test_long_labels_and_labels_of_several_lines_are_shortened(self) -> None:
        """Such as SQL; no line of the note is too long."""

        async def scenario(outside: Outside) -> None:
            for label in ("SELECT *\nFROM t", "x" * 200, *("b" * 30)):
                await outside(label)
            raise Boom

        with pytest.raises(Boom) as failed:
            await thp.explore(scenario)

        lines = failed.value.__notes__[-1].splitlines()
        assert lines[1].startswith("    1. SELECT * FROM t (1), awaited")
        assert all(line.startswith("  ") for line in lines[1:])
        too_long = [line for line in lines if len(line) > 100 and "replay=" not in line]
        assert too_long == []

    @pytest.mark.proves("E6", "R13")
    async def test_a_label_that_cannot_be_shown_hides_no_failure(self) -> None:
        """Making the note never raises."""

        class Odd(str):
            def __format__(self, spec: str) -> str:
                raise ZeroDivisionError

        async def scenario(outside: Outside) -> None:
            await outside(Odd("answer"))
            raise Boom

        with pytest.raises(Boom):
            await thp.explore(scenario)


class TestSearch:
    """Which of the failing orders is reported."""

    @pytest.mark.proves("E5", "E6")
    async def test_what_is_found_at_random_is_made_simpler(self) -> None:
        """As few departures as possible are left, and the order fails again."""

        async def scenario(outside: Outside) -> None:
            late: list[int] = []

            async def ask(number: int) -> None:
                await outside("answer")
                assert number != 0 or len(late) < 4
                late.append(number)

            await asyncio.gather(*map(ask, range(8)))

        with pytest.raises(AssertionError) as failed:
            await thp.explore(scenario, runs=100)

        lines = order_of(failed.value)
        number = int(lines[0].split()[2])
        assert number > 50
        assert len([line for line in lines if line.startswith("  *")]) == 4

    @pytest.mark.proves("E6")
    async def test_no_more_runs_than_wanted_make_it_simpler(self) -> None:
        """One or two of them leave out few departures."""

        async def scenario(outside: Outside) -> None:
            late: list[int] = []

            async def ask(number: int) -> None:
                await outside("answer")
                assert number != 0 or len(late) < 2
                late.append(number)

            await asyncio.gather(*map(ask, range(20)))

        departures = []
        for seed in range(20):
            try:
                await thp.explore(scenario, runs=2, seed=seed)
            except AssertionError as error:
                departures.append(len([line for line in order_of(error) if line.startswith("  *")]))

        assert max(departures) > 2

    @pytest.mark.proves("E6")
    async def test_it_tells_that_something_else_than_the_order_decides(self) -> None:
        """The same order did not fail again at once."""
        runs = 0

        async def scenario(outside: Outside) -> None:
            nonlocal runs
            runs += 1
            await asyncio.gather(outside("a"), outside("b"))
            assert runs != 3

        with pytest.raises(AssertionError) as failed:
            await thp.explore(scenario)

        assert order_of(failed.value)[-1] == _explore.FAILED_ONCE
        assert runs == 4

    @pytest.mark.proves("E6")
    async def test_another_failure_is_not_the_same(self) -> None:
        """The type of the exception counts."""
        errors = iter([Boom, ZeroDivisionError])

        async def scenario(outside: Outside) -> None:
            raise next(errors)

        with pytest.raises(Boom) as failed:
            await thp.explore(scenario)

        assert order_of(failed.value)[-1] == _explore.FAILED_ONCE

    @pytest.mark.proves("E9")
    async def test_a_replay_that_does_not_fit_shows_what_failed(self) -> None:
        """As the cause."""

        async def scenario(outside: Outside) -> None:
            await outside("answer")
            raise Boom

        with pytest.raises(ValueError, match=r"step 1 of replay='2', which is 2") as failed:
            await thp.explore(scenario, replay="2")
        assert isinstance(failed.value.__cause__, Boom)

        with pytest.raises(Boom):
            await thp.explore(scenario, replay="1 2")


class TestWhatIsNoFailure:
    """Exceptions that leave at once."""

    @pytest.mark.proves("E7")
    async def test_a_skip(self) -> None:
        """It has no note."""
        runs = 0

        async def scenario(outside: Outside) -> None:
            nonlocal runs
            runs += 1
            pytest.skip("not here")

        with pytest.raises(pytest.skip.Exception) as skipped:
            await thp.explore(scenario)

        assert runs == 1
        assert not hasattr(skipped.value, "__notes__")

    @pytest.mark.proves("E7")
    async def test_a_cancellation_from_outside(self, caplog: pytest.LogCaptureFixture) -> None:
        """What the run has started is cancelled too, and the order is logged as well."""
        ended: list[str] = []

        async def wait_for_ever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("other")

        async def scenario(outside: Outside) -> None:
            other = asyncio.create_task(wait_for_ever())
            await outside("answer")
            task.cancel()
            try:
                await other
            finally:
                ended.append("scenario")

        task = asyncio.create_task(thp.explore(scenario))
        with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError) as cancelled:
            await task

        assert task.cancelled()
        assert sorted(ended) == ["other", "scenario"]
        assert order_of(cancelled.value)[:2] == [
            "explore: cancelled in this order; * marks what departs from first come, first served",
            "    1. answer (1), awaited at HERE by the scenario itself",
        ]
        assert cancelled.value.__notes__[-1] in logged(caplog)

    @pytest.mark.proves("E7")
    async def test_a_cancellation_of_its_own_is_a_failure(self) -> None:
        """Nobody has cancelled the test."""

        async def scenario(outside: Outside) -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError) as failed:
            await thp.explore(scenario)

        assert order_of(failed.value)[0] == ORDER.format(1, 200)

    @pytest.mark.proves("E7")
    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt(self, error: type[BaseException]) -> None:
        """It ends the loop, as always."""

        async def scenario(outside: Outside) -> None:
            await outside("answer")
            raise error

        with pytest.raises(error), asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(thp.explore(scenario))
        gc.collect()

    @pytest.mark.proves("E6")
    async def test_pytest_fail_is_a_failure(self) -> None:
        """Though it is no `Exception`."""

        async def scenario(outside: Outside) -> None:
            pytest.fail("wrong")

        with pytest.raises(pytest.fail.Exception) as failed:
            await thp.explore(scenario)

        assert order_of(failed.value)[0] == ORDER.format(1, 200)


async def never_set(outside: Outside) -> None:
    """Wait for ever, after an answer."""
    await outside("answer")
    await asyncio.Event().wait()


class TestStuck:
    """A deadlock in one of the orders."""

    @pytest.fixture(autouse=True)
    def _no_patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let waiting for real time take longer than a test may."""
        monkeypatch.setattr(_deadlocks, "STUCK_AFTER", 1000.0)
        monkeypatch.setattr(_scenario_run, "UNSURE_AFTER", 1000.0)

    @pytest.mark.proves("E7")
    async def test_a_deadlock_is_reported_at_once(self) -> None:
        """No real time passes."""
        with pytest.raises(thp.Stuck, match=r"^deadlock: every task is waiting, no answer is outstanding") as failed:
            await thp.explore(never_set)

        assert order_of(failed.value)[:2] == [
            ORDER.format(1, 200),
            "    1. answer (1), awaited at HERE by the scenario itself",
        ]

    @pytest.mark.proves("E7")
    async def test_a_scenario_that_keeps_the_cancellation_to_itself_is_reported_too(self) -> None:
        """It is cancelled again."""

        async def scenario(outside: Outside) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

        with pytest.raises(thp.Stuck):
            await thp.explore(scenario)

    @pytest.mark.proves("E7")
    async def test_where_it_is_not_certain_it_takes_some_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket might still have something, but nothing that explore knows of."""
        monkeypatch.setattr(_scenario_run, "UNSURE_AFTER", 0.02)
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add_reader(ours, print)
            try:
                with pytest.raises(thp.Stuck) as failed:
                    await thp.explore(never_set)
            finally:
                loop.remove_reader(ours)

        assert order_of(failed.value)[0] == ORDER.format(1, 200)

    @pytest.mark.proves("E7")
    async def test_work_elsewhere_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However long it takes."""
        monkeypatch.setattr(_scenario_run, "UNSURE_AFTER", 0.001)
        asked = threading.Semaphore(0)
        on_idle = _scenario_run.EarlyDetector.on_idle

        def note(detector: _scenario_run.EarlyDetector, idle_seconds: float) -> float:
            asked.release()
            return on_idle(detector, idle_seconds)

        monkeypatch.setattr(_scenario_run.EarlyDetector, "on_idle", note)

        def work() -> None:
            for _ in range(3):
                asked.acquire()

        async def scenario(outside: Outside) -> None:
            await asyncio.to_thread(work)

        await thp.explore(scenario, replay="")
