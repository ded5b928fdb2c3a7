"""What a run is, what it leaves, and what is refused."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _answers
from machinery._test_helpers._block import open_blocks
from machinery.test_helpers import Outside
from tests.by_hand import step
from tests.reports.reading import logged, wait_for_ever
from tests.state import state_of

pytestmark = pytest.mark.usefixtures("quiet_loop")


async def two_answers(outside: Outside) -> None:
    """Wait for two answers at the same time."""
    await asyncio.gather(outside("a"), outside("b"))


class TestResult:
    """What is returned."""

    @pytest.mark.proves("E5")
    async def test_it_tells_how_many_orders_were_tried_and_that_there_are_no_others(self) -> None:
        """Two in either order, one after the other or in one iteration; or the second one when one has just come."""
        orders: list[list[str]] = []

        async def scenario(outside: Outside) -> None:
            orders.append([])

            async def wait_for(label: str) -> None:
                await outside(label)
                orders[-1].append(label)

            await asyncio.gather(wait_for("a"), wait_for("b"))

        explored = await thp.explore(scenario)

        assert explored.complete
        assert explored.runs == len(orders)
        assert orders[0] == ["a", "b"]
        assert ["b", "a"] in orders

    @pytest.mark.proves("E5")
    async def test_it_tells_that_there_are_others(self) -> None:
        """No more orders are tried than wanted."""
        explored = await thp.explore(two_answers, runs=3)

        assert explored == thp.Explored(runs=3, complete=False)

    @pytest.mark.proves("E5")
    async def test_random_orders_depend_on_the_seed(self) -> None:
        """And on nothing else."""

        async def orders(seed: int) -> list[list[int]]:
            found: list[list[int]] = []

            async def scenario(outside: Outside) -> None:
                found.append([])

                async def ask(number: int) -> None:
                    await outside("answer")
                    found[-1].append(number)

                await asyncio.gather(*map(ask, range(8)))

            await thp.explore(scenario, runs=20, seed=seed)
            return found

        assert await orders(0) == await orders(0)
        assert await orders(0) != await orders(1)

    @pytest.mark.proves("E6")
    async def test_a_replay_is_one_run(self) -> None:
        """It tells so."""
        assert await thp.explore(two_answers, replay="2 1") == thp.Explored(runs=1, complete=False)


class TestOneOrder:
    """A scenario in which nothing can be in another order."""

    @pytest.mark.proves("E8")
    @pytest.mark.parametrize("answers", [0, 3])
    async def test_one_order_proves_nothing(self, answers: int) -> None:
        """The warning is for the line that explores."""

        async def scenario(outside: Outside) -> None:
            for _ in range(answers):
                await asyncio.create_task(outside("answer"))

        with pytest.warns(UserWarning, match=r"^explore proves nothing here: the scenario has only one order") as seen:
            explored = await thp.explore(scenario)

        assert explored == thp.Explored(runs=1, complete=True)
        assert [each.filename for each in seen] == [__file__]

    @pytest.mark.proves("E8")
    async def test_one_order_because_of_a_lock_is_no_reason_to_warn(self) -> None:
        """The other task waits for the lock."""

        async def scenario(outside: Outside) -> None:
            lock = asyncio.Lock()

            async def work() -> None:
                async with lock:
                    await outside("answer")

            await asyncio.gather(work(), work())

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert (await thp.explore(scenario)).complete


class TestRule:
    """When something may arrive."""

    @pytest.mark.proves("E3")
    async def test_a_channel_keeps_its_order(self) -> None:
        """Other channels, and what has none, may come before."""
        orders: set[str] = set()

        async def scenario(outside: Outside) -> None:
            order: list[str] = []

            async def receive(label: str, channel: str | None) -> None:
                await outside(label, channel=channel)
                order.append(label)

            await asyncio.gather(receive("1", "x"), receive("2", "x"), receive("a", "y"), receive("b", None))
            orders.add("".join(order))

        await thp.explore(scenario, runs=2000)

        assert all(order.index("1") < order.index("2") for order in orders)
        assert len(orders) == 12

    @pytest.mark.proves("E3")
    async def test_the_clock_may_pass_an_answer(self) -> None:
        """Any number of deadlines."""
        seen: set[float] = set()

        async def scenario(outside: Outside) -> None:
            ticking = asyncio.create_task(tick())
            await outside("answer")
            seen.add(time.time())
            ticking.cancel()

        async def tick() -> None:
            while True:  # noqa: ASYNC110 (a heartbeat)
                await asyncio.sleep(1)

        explored = await thp.explore(scenario, runs=40)

        assert seen >= set(map(float, range(6)))
        assert not explored.complete

    @pytest.mark.proves("E3")
    async def test_the_clock_moves_once_in_the_middle_of_what_an_answer_set_off(self) -> None:
        """And never in the middle of what a deadline or the beginning set off."""
        seen: set[tuple[str, ...]] = set()

        async def scenario(outside: Outside) -> None:
            log: list[str] = []

            async def chain(name: str, first: Awaitable[object]) -> None:
                await first
                for part in range(3):
                    log.append(f"{name}{part}")
                    await asyncio.sleep(0)

            await asyncio.gather(
                chain("begin", asyncio.sleep(0)),
                chain("answer", outside("answer")),
                chain("one", asyncio.sleep(1)),
                chain("two", asyncio.sleep(2)),
            )
            seen.add(tuple(log))

        await thp.explore(scenario, runs=1000)

        def interleaved(first: str, second: str) -> bool:
            return any(
                f"{second}0" in log[log.index(f"{first}0") : log.index(f"{first}2")]
                for log in seen
            )  # fmt: skip

        assert interleaved("answer", "one")
        assert interleaved("answer", "two")
        assert interleaved("one", "answer")
        assert interleaved("begin", "answer")
        assert not interleaved("begin", "one")
        assert not interleaved("one", "two")

    @pytest.mark.proves("E3")
    async def test_a_task_that_polls_gets_an_answer_at_last(self) -> None:
        """Though the loop is never idle."""

        async def scenario(outside: Outside) -> None:
            answer = asyncio.create_task(outside("answer"))
            while not answer.done():  # noqa: ASYNC110 (this is what the test is about)
                await asyncio.sleep(0)

        explored = await thp.explore(scenario, runs=2 * _answers.POLLS + 10)

        assert explored.complete
        assert explored.runs >= _answers.POLLS

    @pytest.mark.proves("E3")
    async def test_what_is_not_idle_is_left_to_others(self) -> None:
        """Dominos fall, and `wait_all_tasks_blocked` ends, before an answer comes to a loop that is idle."""
        log: list[str] = []

        async def note(name: str, awaitable: Awaitable[object]) -> None:
            await awaitable
            log.append(name)

        async def scenario(outside: Outside) -> None:
            async with thp.future_dominos(expected=1) as futs:
                futs.begin()
                await asyncio.gather(
                    note("answer", outside("answer")), note("blocked", thp.wait_all_tasks_blocked()), note("1", futs[1])
                )

        await thp.explore(scenario, replay="")

        assert log == ["1", "blocked", "answer"]

    @pytest.mark.proves("E3")
    async def test_answers_wait_for_work_elsewhere(self) -> None:
        """What a thread brings comes first, whatever the order."""
        log: list[str] = []

        async def scenario(outside: Outside) -> None:
            finish = threading.Event()

            async def work() -> None:
                await asyncio.to_thread(finish.wait)
                log.append("work")

            async def ask() -> None:
                await outside("answer")
                log.append("answer")

            working = asyncio.create_task(work())
            asking = asyncio.create_task(ask())
            await thp.wait_all_tasks_blocked()
            finish.set()
            await asyncio.gather(working, asking)

        await thp.explore(scenario, replay="")

        assert log == ["work", "answer"]

    @pytest.mark.proves("E3")
    @pytest.mark.usefixtures("work_patience")
    async def test_work_that_does_not_end_holds_answers_no_longer_than_dominos(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Then a warning says what did not wait for it."""

        async def scenario(outside: Outside) -> None:
            finish = threading.Event()
            working = asyncio.create_task(asyncio.to_thread(finish.wait))
            await outside("answer")
            finish.set()
            await working

        await thp.explore(scenario, replay="")

        assert [text.partition(",")[0] for text in logged(caplog)] == [
            "explore() goes on without waiting for Event.wait()"
        ]

    @pytest.mark.proves("E3")
    async def test_an_answer_arrives_after_the_threshold_of_a_block_in_the_scenario(self) -> None:
        """Also when the loop has been idle for longer."""

        async def scenario(outside: Outside) -> None:
            async with thp.mocked_call_later(autojump_threshold=0.01):
                await outside("answer")

        await thp.explore(scenario, replay="")

    @pytest.mark.proves("E3")
    async def test_the_clock_waits_for_work_that_an_answer_has_set_off(self) -> None:
        """Also in the middle of what the answer has set off."""
        seen: set[bool] = set()

        async def scenario(outside: Outside) -> None:
            finish, is_working = threading.Event(), False

            async def work() -> None:
                nonlocal is_working
                await outside("answer")
                working = asyncio.create_task(asyncio.to_thread(finish.wait))
                await asyncio.sleep(0)
                is_working = True
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                is_working = False
                finish.set()
                await working

            asyncio.get_running_loop().call_later(5, lambda: seen.add(is_working))
            await work()
            await asyncio.sleep(5)

        await thp.explore(scenario, runs=40)

        assert seen == {False}
        await thp.explore(scenario, replay="1 clock@1")
        with pytest.raises(ValueError, match=r"step 2 of replay='1 clock@2', which is clock@2, is not possible"):
            await thp.explore(scenario, replay="1 clock@2")

    @pytest.mark.proves("E3")
    async def test_the_clock_of_a_block_in_the_scenario_passes_no_answer(self) -> None:
        """It moves when no answer is outstanding, and the clock around it stands meanwhile."""
        seen: list[float] = []

        async def scenario(outside: Outside) -> None:
            around = asyncio.create_task(asyncio.sleep(1))
            await asyncio.sleep(0)
            async with thp.mocked_call_later():
                sleeping = asyncio.create_task(asyncio.sleep(1))
                await outside("answer")
                seen.append(time.time())
                await sleeping
                assert time.time() == 1
                assert not around.done()

        assert (await thp.explore(scenario)).complete
        assert set(seen) == {0.0}


class TestEachRun:
    """A run is a block of its own, after which nothing is left."""

    @pytest.mark.proves("E4")
    async def test_each_run_begins_at_time_zero(self) -> None:
        """In virtual time."""
        times: list[float] = []

        async def scenario(outside: Outside) -> None:
            times.append(time.time())
            await asyncio.gather(asyncio.sleep(3600), two_answers(outside))
            times.append(time.time())

        explored = await thp.explore(scenario)

        assert times == [0.0, 3600.0] * explored.runs

    @pytest.mark.proves("E4")
    async def test_nothing_stays_replaced(self) -> None:
        """Whether it passes or fails."""
        before = state_of(asyncio.get_running_loop())

        async def fail(outside: Outside) -> None:
            await two_answers(outside)
            raise ZeroDivisionError

        await thp.explore(two_answers)
        with pytest.raises(ZeroDivisionError):
            await thp.explore(fail)

        assert state_of(asyncio.get_running_loop()) == before

    @pytest.mark.proves("E4")
    async def test_tasks_and_timers_are_cancelled(self) -> None:
        """What they do then is in virtual time, and has answers."""
        ended: list[float] = []
        left: list[asyncio.Task[None] | asyncio.TimerHandle] = []

        async def linger(outside: Outside) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(5)
                await outside("rolled back")
                ended.append(time.time())

        async def scenario(outside: Outside) -> None:
            left.append(asyncio.create_task(linger(outside)))
            left.append(asyncio.get_running_loop().call_later(3600, print))
            await outside("answer")

        await thp.explore(scenario, replay="")

        assert ended == [5.0]
        assert [each.cancelled() for each in left] == [True, True]

    @pytest.mark.proves("E4")
    @pytest.mark.skipif(sys.version_info < (3, 12), reason="a task does not tell its context")
    async def test_a_task_that_the_loop_was_not_asked_to_start_is_cancelled(self) -> None:
        """As aiohttp starts its own."""
        left: list[asyncio.Task[None]] = []
        mine = asyncio.Task(wait_for_ever(), loop=asyncio.get_running_loop())

        async def scenario(outside: Outside) -> None:
            left.append(asyncio.Task(wait_for_ever(), loop=asyncio.get_running_loop()))
            await outside("answer")

        await thp.explore(scenario, replay="")

        assert (left[0].cancelled(), mine.done()) == (True, False)
        mine.cancel()

    @pytest.mark.proves("E4")
    async def test_nobody_is_left_waiting_for_an_answer(self) -> None:
        """Not even a task that the loop was not asked to start."""
        left: list[asyncio.Task[None]] = []

        async def scenario(outside: Outside) -> None:
            left.append(asyncio.Task(outside("never"), loop=asyncio.get_running_loop()))
            await asyncio.sleep(0)

        await thp.explore(scenario, replay="")
        await asyncio.wait(left)

        assert left[0].cancelled()

    @pytest.mark.proves("E4")
    async def test_answers_arrive_first_come_first_served_while_tasks_are_cancelled(self) -> None:
        """The tasks are cancelled in any order, and their answers arrive in the order in which they ask."""
        asked: list[str] = []
        log: list[str] = []
        tasks: list[asyncio.Task[None]] = []

        async def hold(outside: Outside, name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                asked.append(name)
                await outside(name)
                log.append(name)

        async def scenario(outside: Outside) -> None:
            tasks.extend(asyncio.create_task(hold(outside, name)) for name in ("a", "b"))
            await asyncio.sleep(0)

        await thp.explore(scenario, replay="")

        assert len(asked) == 2
        assert log == asked

    @pytest.mark.proves("E4")
    async def test_tasks_of_others_are_left_alone(self) -> None:
        """They may begin on the same loop during a run."""
        go_on, started = asyncio.Event(), asyncio.Event()
        tasks: list[asyncio.Task[object]] = []

        async def others() -> None:
            await go_on.wait()
            tasks.append(asyncio.create_task(asyncio.Event().wait()))
            started.set()

        async def scenario(outside: Outside) -> None:
            go_on.set()
            await started.wait()

        other = asyncio.create_task(others())
        await thp.explore(scenario, replay="")
        await other
        await thp.wait_all_tasks_blocked()

        assert not tasks[0].done()

    @pytest.mark.proves("E4")
    @pytest.mark.parametrize("fails", [False, True])
    async def test_a_task_that_does_not_end_is_an_error(self, fails: bool) -> None:
        """Unless the scenario has failed: that comes first."""
        stop = asyncio.Event()

        async def stay(outside: Outside) -> None:
            while not stop.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await outside("answer")

        async def scenario(outside: Outside) -> None:
            asyncio.create_task(stay(outside), name="stubborn")
            await outside("answer")
            if fails:
                raise ZeroDivisionError

        try:
            error = ZeroDivisionError if fails else RuntimeError
            with pytest.raises(error, match=None if fails else r"task 'stubborn' did not end when cancelled 3 times"):
                await thp.explore(scenario)
        finally:
            stop.set()

    @pytest.mark.proves("E4")
    async def test_a_run_has_a_context_of_its_own(self) -> None:
        """What it sets is gone in the next one."""
        variable = contextvars.ContextVar("variable", default=0)

        async def scenario(outside: Outside) -> None:
            assert variable.get() == 0
            variable.set(1)
            await two_answers(outside)

        await thp.explore(scenario)

        assert variable.get() == 0

    @pytest.mark.proves("E4")
    async def test_a_cancelled_wait_is_outstanding_no_more(self) -> None:
        """The others arrive all the same."""

        async def scenario(outside: Outside) -> None:
            first = asyncio.create_task(outside("first", channel="x"))
            second = asyncio.create_task(outside("second", channel="x"))
            await asyncio.sleep(0)
            first.cancel()
            await second
            assert first.cancelled()

        await thp.explore(scenario, replay="")

    @pytest.mark.proves("E4")
    def test_a_loop_that_is_closed_meanwhile_is_as_it_was(self) -> None:
        """Nobody is there any more to leave the block."""
        loop = asyncio.SelectorEventLoop()
        before = state_of(loop)

        async def scenario(outside: Outside) -> None:
            loop.stop()
            await outside("answer")

        task = loop.create_task(thp.explore(scenario))
        loop.run_forever()
        loop.close()

        assert state_of(loop)[:2] == before[:2]
        # The tasks can never run again, which asyncio would complain of.
        for each in (task, *asyncio.all_tasks(loop)):
            vars_of: Any = each
            vars_of._log_destroy_pending = False
        del task, each, vars_of
        gc.collect()


class TestOutside:
    """How `outside` may be used."""

    @pytest.mark.proves("E9")
    async def test_it_cannot_be_used_after_its_run(self) -> None:
        """The next run has another one."""
        kept: list[Outside] = []

        async def scenario(outside: Outside) -> None:
            kept.append(outside)
            await two_answers(outside)

        await thp.explore(scenario)

        with pytest.raises(RuntimeError, match=r"outside\('late'\) was awaited after its run"):
            await kept[0]("late")

    @pytest.mark.proves("E9")
    async def test_it_cannot_be_used_in_another_loop(self) -> None:
        """A thread with a loop of its own gets an error."""

        async def scenario(outside: Outside) -> None:
            await asyncio.to_thread(asyncio.run, outside("there"))

        with pytest.raises(RuntimeError, match=r"outside\('there'\) belongs to .*, but another loop is running"):
            await thp.explore(scenario)

    @pytest.mark.proves("E9")
    async def test_a_channel_has_to_be_hashable(self) -> None:
        """It is refused where it is used."""

        async def scenario(outside: Outside) -> None:
            channel: Any = []
            await outside("answer", channel=channel)

        with pytest.raises(TypeError, match=r"unhashable type: 'list'"):
            await thp.explore(scenario)


def no_coroutine(outside: Outside) -> None:
    """Return nothing to wait for."""


class TestRefusals:
    """What explore does not take."""

    @pytest.mark.proves("E9")
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"scenario": None}, TypeError, "scenario must be an async callable, got None: pass the function"),
            ({"scenario": no_coroutine}, TypeError, "scenario must be an async callable, but .* returned None"),
            ({"runs": 0}, ValueError, "runs must be 1 or more, got 0"),
            ({"runs": True}, TypeError, "runs must be an int, got True"),
            ({"runs": 1.0}, TypeError, "runs must be an int, got 1.0"),
            ({"seed": "a"}, TypeError, "seed must be an int, got 'a'"),
            ({"replay": 1}, TypeError, "replay must be a str from the note of a failure, or None, got 1"),
            ({"replay": "read"}, ValueError, "replay must be what a note of explore shows"),
            ({"replay": "3"}, ValueError, r"step 1 of replay='3', which is 3, is not possible in this run: if the"),
            ({"replay": "1 2 3"}, ValueError, r"step 3 of replay='1 2 3', which is 3, is not possible in this run"),
        ],
    )
    async def test_a_wrong_argument_is_refused(
        self, arguments: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        """It says what to pass."""
        with pytest.raises(error, match=message) as refused:
            await thp.explore(**{"scenario": two_answers, **arguments})

        assert not any(note.startswith("explore:") for note in getattr(refused.value, "__notes__", []))

    @pytest.mark.proves("E9")
    @pytest.mark.parametrize("block", [thp.mocked_call_later, partial(thp.future_dominos, expected=0)])
    async def test_it_cannot_be_used_in_a_block(
        self, block: Callable[[], contextlib.AbstractAsyncContextManager[object]]
    ) -> None:
        """Nor where a fixture holds one."""
        async with block():
            with pytest.raises(RuntimeError, match=r"explore\(\) cannot be used in a block of virtual time or dominos"):
                await thp.explore(two_answers)

    @pytest.mark.proves("E9")
    async def test_it_can_be_used_while_somebody_waits_until_all_wait(self) -> None:
        """That opens no block."""
        waiting = asyncio.create_task(thp.wait_all_tasks_blocked())
        await asyncio.sleep(0)

        await thp.explore(two_answers)
        await waiting

    @pytest.mark.proves("E9")
    async def test_it_cannot_be_nested(self) -> None:
        """Nor be used twice at once."""

        async def nested(outside: Outside) -> None:
            await thp.explore(two_answers)

        with pytest.raises(RuntimeError, match=r"a scenario is being explored on this loop"):
            await thp.explore(nested)
        with pytest.raises(RuntimeError, match=r"a scenario is being explored on this loop"):
            await asyncio.gather(thp.explore(two_answers), thp.explore(two_answers))

    @pytest.mark.proves("E9", "F5")
    def test_one_that_a_signal_has_left_behind_hinders_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        """On a loop that tests share, after pytest's plugin has closed the block of its run."""

        async def interrupted(outside: Outside) -> None:
            await outside("answer")
            asyncio.get_running_loop().call_soon(interrupt)
            await wait_for_ever()

        def interrupt() -> None:
            raise KeyboardInterrupt

        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            loop = runner.get_loop()
            left = loop.create_task(thp.explore(interrupted))
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(left)
            [block] = open_blocks
            block.close()

            assert runner.run(thp.explore(two_answers)).complete
            left.cancel()
        assert logged(caplog) == []

    @pytest.mark.proves("E9")
    def test_it_needs_a_running_loop(self) -> None:
        """As everything that waits."""
        with pytest.raises(RuntimeError, match=r"no running event loop"):
            step(thp.explore(two_answers))
