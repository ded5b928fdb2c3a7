"""What `hp.task_holder` promises."""

import asyncio
import contextlib
import logging
import time
import types

import pytest

from machinery import helpers as hp
from machinery import test_helpers as thp
from tests.helpers.contexts import LOG, begin
from tests.reports.reading import records


class Steps(list[object]):
    """What happened, in order, and the coroutines that write it down."""

    async def work(self, name: str, passes: int = 3) -> str:
        """Take some passes of the loop, and one more to clean up when cancelled."""
        self.append(f"{name} starts")
        try:
            for _ in range(passes):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.append(f"{name} cancelled")
            await asyncio.sleep(0)
            self.append(f"{name} cleaned up")
            raise
        self.append(f"{name} ends")
        return name

    async def wait_for_ever(self, name: str) -> None:
        """Work until cancelled."""
        await self.work(name, passes=10**9)

    async def fail(self, error: BaseException) -> None:
        """Raise `error`."""
        self.append("fails")
        raise error


class TestHolding:
    """Which tasks are held, and for how long."""

    @pytest.mark.proves("H14")
    async def test_adding_gives_the_task_back(self) -> None:
        """Its result can be awaited as usual."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                started = asyncio.create_task(steps.work("task"))
                added = tasks.add_coroutine(steps.work("coroutine"))

                assert tasks.add_task(started) is started
                assert (await added, await started) == ("coroutine", "task")

    @pytest.mark.proves("H14")
    async def test_a_task_is_held_until_it_is_done(self) -> None:
        """The count, the iteration and `in` agree, in the order of adding."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                short = tasks.add_coroutine(steps.work("short", passes=1))
                long = tasks.add_coroutine(steps.work("long", passes=5))
                before = (tasks.pending, list(tasks), short in tasks, long in tasks)
                await short
                after = (tasks.pending, list(tasks), short in tasks, long in tasks)

            assert before == (2, [short, long], True, True)
            assert after == (1, [long], False, True)
            assert (tasks.pending, list(tasks)) == (0, [])

    @pytest.mark.proves("H14")
    async def test_a_task_that_is_done_is_not_pending(self) -> None:
        """It counts as done even before the loop has let go of it."""
        steps = Steps()
        with begin() as ctx:
            done = asyncio.create_task(steps.work("done", passes=0))
            await done
            async with hp.task_holder(ctx=ctx) as tasks:
                tasks.add_task(done)
                assert tasks.pending == 0

    @pytest.mark.proves("H14")
    async def test_tasks_may_end_while_they_are_iterated(self) -> None:
        """The iteration shows the tasks that were held when it began."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                added = [tasks.add_coroutine(steps.work(name, passes=1)) for name in "ab"]
                assert [await task for task in tasks] == ["a", "b"]
                assert [task.done() for task in added] == [True, True]

    @pytest.mark.proves("H13", "H14")
    async def test_a_task_added_twice_is_held_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Its failure is told once."""
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                task = tasks.add_coroutine(Steps().fail(ValueError("once")))
                assert tasks.add_task(task) is task
                assert tasks.pending == 1

        assert len(records(caplog)) == 1

    @pytest.mark.proves("H18")
    async def test_the_repr_shows_the_name_and_what_is_pending(self) -> None:
        """A reader of a log knows which holder it was."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx, name="readers") as tasks:
                tasks.add_coroutine(steps.work("one"))
                assert repr(tasks) == "<TaskHolder 'app::task_holder::readers': 1 pending>"


class TestLeaving:
    """What happens to the tasks when the block is left."""

    @pytest.mark.proves("H9")
    async def test_a_clean_exit_waits_for_the_tasks(self) -> None:
        """Nothing is cancelled."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                tasks.add_coroutine(steps.work("short", passes=1))
                tasks.add_coroutine(steps.work("long", passes=5))
                steps.append("body ends")
            steps.append("left")

        assert steps == ["body ends", "short starts", "long starts", "short ends", "long ends", "left"]

    @pytest.mark.proves("H9")
    async def test_a_holder_without_tasks_is_left_at_once(self) -> None:
        """There is nothing to wait for."""
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                pass

            assert (tasks.pending, ctx.done()) == (0, False)

    @pytest.mark.proves("H9")
    async def test_tasks_added_while_the_exit_waits_are_waited_for(self) -> None:
        """A task may start others."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:

                async def parent() -> None:
                    await steps.work("parent")
                    tasks.add_coroutine(steps.work("child"))

                tasks.add_coroutine(parent())
            steps.append("left")

        assert steps == ["parent starts", "parent ends", "child starts", "child ends", "left"]

    @pytest.mark.proves("H20")
    async def test_a_holder_waits_in_virtual_time(self) -> None:
        """Waiting an hour for tasks takes no real time."""
        with begin() as ctx:
            async with thp.mocked_call_later(ctx=ctx):
                async with hp.task_holder(ctx=ctx) as tasks:
                    tasks.add_coroutine(asyncio.sleep(3600))
                assert time.time() == 3600

    @pytest.mark.proves("H10")
    async def test_an_exception_from_the_body_cancels_the_tasks_and_is_seen(self) -> None:
        """The tasks have cleaned up before it is raised."""
        steps = Steps()
        with begin() as ctx:
            with pytest.raises(ValueError, match=r"^body$"):
                async with hp.task_holder(ctx=ctx) as tasks:
                    tasks.add_coroutine(steps.wait_for_ever("task"))
                    await asyncio.sleep(0)
                    raise ValueError("body")

            assert (steps, ctx.done()) == (["task starts", "task cancelled", "task cleaned up"], False)

    @pytest.mark.proves("H10")
    async def test_an_exception_from_the_body_wins_over_a_cancellation_of_the_exit(self) -> None:
        """Clean-up never hides it."""
        steps = Steps()

        async def hold() -> None:
            with begin() as ctx:
                async with hp.task_holder(ctx=ctx) as tasks:
                    tasks.add_coroutine(steps.wait_for_ever("task"))
                    await asyncio.sleep(0)
                    holding.get_loop().call_soon(holding.cancel)
                    raise ValueError("body")

        holding = asyncio.create_task(hold())
        with pytest.raises(ValueError, match=r"^body$"):
            await holding

        assert steps == ["task starts", "task cancelled", "task cleaned up"]

    @pytest.mark.proves("H12")
    @pytest.mark.parametrize("waits_in_the_body", [True, False], ids=["in the body", "in the exit"])
    async def test_cancelling_the_block_cancels_the_tasks_first(self, waits_in_the_body: bool) -> None:
        """They have cleaned up before the cancellation is seen."""
        steps = Steps()

        async def hold() -> None:
            with begin() as ctx:
                try:
                    async with hp.task_holder(ctx=ctx) as tasks:
                        tasks.add_coroutine(steps.wait_for_ever("task"))
                        if waits_in_the_body:
                            await asyncio.Event().wait()
                except asyncio.CancelledError:
                    steps.append("block cancelled")
                    raise

        holding = asyncio.create_task(hold())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        holding.cancel()
        await asyncio.wait([holding])

        assert holding.cancelled()
        assert steps == ["task starts", "task cancelled", "task cleaned up", "block cancelled"]

    @pytest.mark.proves("H17")
    async def test_a_task_that_swallows_its_cancellation_is_still_waited_for(self) -> None:
        """No task outlives the block."""
        steps = Steps()

        async def stubborn() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await steps.wait_for_ever("stubborn")
            await steps.work("last words")

        with begin() as ctx:
            with pytest.raises(ValueError, match=r"^body$"):
                async with hp.task_holder(ctx=ctx) as tasks:
                    tasks.add_coroutine(stubborn())
                    await asyncio.sleep(0)
                    raise ValueError("body")
            steps.append("left")

        assert steps == [
            "stubborn starts",
            "stubborn cancelled",
            "stubborn cleaned up",
            "last words starts",
            "last words ends",
            "left",
        ]


class TestContext:
    """What the context does to the tasks."""

    @pytest.mark.proves("H11")
    async def test_tasks_are_cancelled_when_the_context_ends_during_the_body(self) -> None:
        """The body goes on, and the exit raises nothing."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                task = tasks.add_coroutine(steps.wait_for_ever("task"))
                await asyncio.sleep(0)
                ctx.cancel()
                await asyncio.wait([task])
                steps.append("body ends")

        assert steps == ["task starts", "task cancelled", "task cleaned up", "body ends"]

    @pytest.mark.proves("H11")
    @pytest.mark.parametrize("error", [None, ValueError("ctx")], ids=["cancelled", "failed"])
    async def test_tasks_are_cancelled_when_the_context_ends_during_the_exit(self, error: Exception | None) -> None:
        """However the context ends, its tasks end with it."""
        steps = Steps()
        with begin() as ctx:
            ctx.loop.call_soon(lambda: ctx.loop.call_soon(ctx.set_exception, error) if error else ctx.cancel())
            async with hp.task_holder(ctx=ctx) as tasks:
                tasks.add_coroutine(steps.wait_for_ever("task"))
            steps.append("left")

        assert steps == ["task starts", "task cancelled", "task cleaned up", "left"]

    @pytest.mark.proves("H11")
    async def test_a_task_added_after_the_context_has_ended_is_cancelled_at_once(self) -> None:
        """It does not even start."""
        steps = Steps()
        with begin() as ctx:
            ctx.cancel()
            async with hp.task_holder(ctx=ctx) as tasks:
                await asyncio.sleep(0)
                task = tasks.add_coroutine(steps.work("late"))

        assert (task.cancelled(), steps) == (True, [])

    @pytest.mark.proves("H11")
    async def test_a_task_added_after_the_block_is_cancelled_at_once(self) -> None:
        """Nobody would wait for it."""
        steps = Steps()
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                pass
            await asyncio.sleep(0)
            task = tasks.add_coroutine(steps.work("late"))
            await asyncio.wait([task])

        assert (task.cancelled(), steps) == (True, [])

    @pytest.mark.proves("H11")
    async def test_a_holder_leaves_nothing_behind_in_its_context(self) -> None:
        """The context may end later without disturbing tasks that were held before."""
        steps = Steps()
        with begin() as ctx:
            for name in "ab":
                async with hp.task_holder(ctx=ctx) as tasks:
                    tasks.add_coroutine(steps.work(name))
            assert not ctx.done()

        assert steps == ["a starts", "a ends", "b starts", "b ends"]

    @pytest.mark.proves("H15")
    async def test_a_context_needs_a_loop_and_nothing_else(self, caplog: pytest.LogCaptureFixture) -> None:
        """Failures then go to a logger of ours."""
        ctx = types.SimpleNamespace(loop=asyncio.get_running_loop())
        steps = Steps()

        async with hp.task_holder(ctx=ctx, name="plain") as tasks:
            tasks.add_coroutine(steps.work("task"))
            tasks.add_coroutine(steps.fail(ValueError("no")))

        assert steps == ["task starts", "fails", "task ends"]
        assert [(record.name, record.levelname) for record in records(caplog)] == [("machinery.helpers", "ERROR")]

    @pytest.mark.proves("H15")
    async def test_a_context_of_another_loop_is_refused(self) -> None:
        """The message names both loops."""
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            ctx = hp.CTX.beginning(name="far", log=LOG, loop=loop)
            message = r"^ctx lives on <.*>, but <.*> is running: pass a ctx of the running loop$"
            with pytest.raises(RuntimeError, match=message):
                await hp.task_holder(ctx=ctx).__aenter__()


class TestFailures:
    """What becomes of failures and mistakes."""

    @pytest.mark.proves("H13")
    async def test_a_task_that_fails_is_logged_and_disturbs_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        """The line names the holder, and has the traceback."""
        steps = Steps()
        error = ValueError("task")
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx, name="readers") as tasks:
                tasks.add_coroutine(steps.fail(error))
                tasks.add_coroutine(steps.work("other"))

        (record,) = records(caplog)
        assert steps == ["fails", "other starts", "other ends"]
        assert (record.name, record.levelname) == (LOG.name, "ERROR")
        assert record.getMessage().startswith("app::task_holder::readers: <Task finished ")
        assert record.getMessage().endswith(" failed")
        assert record.exc_info == (ValueError, error, error.__traceback__)

    @pytest.mark.proves("H13")
    async def test_a_failing_task_that_was_added_as_a_task_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """Only coroutines can be silent."""
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                tasks.add_task(asyncio.create_task(Steps().fail(ValueError("task"))))

        assert [str(record.exc_info[1]) for record in records(caplog) if record.exc_info] == ["task"]

    @pytest.mark.proves("H13")
    async def test_silent_and_cancelled_tasks_are_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """A silent task keeps its exception, for whoever asks."""
        steps = Steps()
        error = ValueError("silent")
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                silent = tasks.add_coroutine(steps.fail(error), silent=True)
                tasks.add_coroutine(steps.wait_for_ever("task")).cancel()

        assert silent.exception() is error
        assert records(caplog) == []

    @pytest.mark.proves("H19")
    async def test_logging_changes_no_level(self) -> None:
        """Neither of the root logger nor of the one that is written to."""
        loggers = [logging.getLogger(), LOG, logging.getLogger("machinery.helpers")]
        before = [(logger.level, list(logger.handlers)) for logger in loggers]
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                tasks.add_coroutine(Steps().fail(ValueError("task")))

        assert [(logger.level, list(logger.handlers)) for logger in loggers] == before

    @pytest.mark.proves("H16")
    async def test_what_is_no_task_is_refused(self) -> None:
        """A coroutine is sent to the other method."""
        coro = Steps().work("coroutine")
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                message = r"^add_task takes a task, not <coroutine .*>: give a coroutine to add_coroutine$"
                with pytest.raises(TypeError, match=message):
                    tasks.add_task(coro)  # type: ignore[arg-type]  # the mistake
        coro.close()

    @pytest.mark.proves("H16")
    async def test_the_task_that_opened_the_holder_is_refused(self) -> None:
        """The exit would wait for itself for ever."""
        own_task = asyncio.current_task()
        assert own_task is not None
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                message = r"^<Task .*> opened this task holder, and would wait for itself: add another task$"
                with pytest.raises(ValueError, match=message):
                    tasks.add_task(own_task)

    @pytest.mark.proves("H16")
    async def test_a_task_of_another_loop_is_refused(self) -> None:
        """It could not be waited for."""

        async def its_task() -> asyncio.Task[object] | None:
            return asyncio.current_task()

        other = await asyncio.to_thread(asyncio.run, its_task())
        assert other is not None
        with begin() as ctx:
            async with hp.task_holder(ctx=ctx) as tasks:
                message = r"^<Task .*> belongs to another loop: hold it in a task holder on that loop$"
                with pytest.raises(ValueError, match=message):
                    tasks.add_task(other)
