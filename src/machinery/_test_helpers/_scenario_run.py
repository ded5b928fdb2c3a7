"""One run of a scenario, in its own block of virtual time, which cleans up what the scenario leaves behind.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Task, all_tasks, current_task, wait
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from inspect import isawaitable
from math import inf
from threading import active_count
from typing import Any
from weakref import WeakSet

from machinery._test_helpers._answers import Answers, Call, Outside
from machinery._test_helpers._block import Block, OpenBlock
from machinery._test_helpers._clock import Clock
from machinery._test_helpers._idle import IdleHook, Turn
from machinery._test_helpers._orders import Chooser
from machinery._test_helpers._source import task_name
from machinery._test_helpers._virtual_time import VirtualTime
from machinery._test_helpers._work import WorkElsewhere

Scenario = Callable[[Outside], Awaitable[object]]

SURE_AFTER = 0.1
UNSURE_AFTER = 2.0
"""For how many real seconds an idle run goes on: if it has only idle worker threads, and if anything could wake it."""

_CLEANUP_ROUNDS = 3
_CLEANUP_SECONDS = 60


class Run:
    """One run of a scenario, and the content of its block."""

    def __init__(self, loop: AbstractEventLoop, chooser: Chooser) -> None:
        self._time = VirtualTime(loop, Clock(start_time=0, precision=0.1), "", None, datetime=False)
        self.hook: IdleHook = self._time.hook
        self._tasks: WeakSet[Task[Any]] = WeakSet()
        """The tasks of the scenario; other code may start tasks on the same loop, which we must not cancel."""
        self.answers = Answers(self._time, chooser, self._tasks)
        self.not_arrived: list[Call] = []
        """The answers that were outstanding when the scenario ended."""
        self.misuse: TypeError | None = None
        """The error if the scenario is not an async callable; it does not depend on the order."""
        self.is_abandoned = False
        """Whether its block was closed by somebody else, since a signal has ended its test."""
        self._has_come_to_its_end = False
        self._loop = loop
        self._kept_report: list[str] | None = None
        self._start_task: Callable[..., Any]
        self._block: OpenBlock
        self._work: WorkElsewhere

    async def play(self, scenario: Scenario) -> BaseException | None:
        """Run the scenario, cancel what it leaves behind, and return the exception that leaves its block."""
        try:
            await self._play(scenario)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            return error
        return None

    async def _play(self, scenario: Scenario) -> None:
        __tracebackhide__ = True
        self.answers.own_task = current_task()
        _run_of_context.set(self)
        async with Block(lambda: (self, self.answers.outside)) as outside:
            detector = EarlyDetector(self.hook, self._work, self._block)
            self._block.undo.append((self.hook.remove, (detector,)))
            # Asked before the block's own detector, which would wait for a second.
            self.hook.add(detector, first=True)
            try:
                await self._called(scenario, outside)
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as error:
                self._has_come_to_its_end = True
                # Made before anything is cancelled, so that it shows where each task waits.
                self._kept_report = list(self._time.report(error))
                await self._cancel_left_behind()
                raise
            self._has_come_to_its_end = True
            left = await self._cancel_left_behind()
        if left:
            raise RuntimeError(
                f"after this run, {', '.join(map(task_name, left))} did not end when cancelled {_CLEANUP_ROUNDS} times:"
                " the tasks of a scenario have to end, so that it can run again"
            )

    async def _called(self, scenario: Scenario, outside: Outside) -> None:
        __tracebackhide__ = True
        awaitable: object = scenario(outside)
        if not isawaitable(awaitable):
            self.misuse = TypeError(f"scenario must be an async callable, but {scenario!r} returned {awaitable!r}")
            raise self.misuse
        await awaitable

    async def _cancel_left_behind(self) -> "list[Task[Any]]":
        """Cancel the tasks that the scenario has left behind, and return those that did not end."""
        self.not_arrived = list(self.answers.outstanding())
        self.answers.end_order()
        left = self._unfinished()
        for _ in range(_CLEANUP_ROUNDS):
            if not left:
                break
            for task in left:
                task.cancel()
            await wait(left, timeout=_CLEANUP_SECONDS)
            left = self._unfinished()
        return left

    def _unfinished(self) -> "list[Task[Any]]":
        # From Python 3.12 on a task tells its context, also one that was not started by `loop.create_task`.
        others = {
            task
            for task in all_tasks(self._loop)
            if task is not self.answers.own_task
            and hasattr(task, "get_context")
            and task.get_context().get(_run_of_context) is self
        }
        return [task for task in others.union(self._tasks) if not task.done()]

    def _create_task(self, coro: Any, **kwargs: Any) -> "Task[Any]":
        task: Task[Any] = self._start_task(coro, **kwargs)
        if _run_of_context.get() is self:
            self._tasks.add(task)
        return task

    def open(self, block: OpenBlock) -> None:
        """Start virtual time, and let answers arrive as the chooser decides."""
        self._block, undo = block, block.undo
        self._time.open(block)
        undo.append((self._note_closed, ()))
        undo.append((self._cancel_timers, ()))
        self._start_task = self._loop.create_task
        attributes = {"create_task": self._create_task}
        undo.append((self.hook.patches.remove, (attributes,)))
        self.hook.patches.add(attributes)
        self._work = WorkElsewhere.opened(self.hook, undo)
        self.answers.open(self._work, undo)

    @property
    def report_text(self) -> str | None:
        """The report that its block has attached."""
        return self._block.reports.attached

    def _note_closed(self) -> None:
        self.is_abandoned = not self._has_come_to_its_end

    def _cancel_timers(self) -> None:
        for _, timer in self._time.timers.waiting():
            timer.cancel()

    def check(self) -> None:
        """Let the block end."""

    def report(self, error: BaseException | None) -> Iterable[str]:
        """Yield the lines of a report on virtual time."""
        return self._time.report(error) if self._kept_report is None else self._kept_report


class EarlyDetector:
    """Ends a run on deadlock; at once if it is certain."""

    turn = Turn.DEADLOCKS

    def __init__(self, hook: IdleHook, work: WorkElsewhere, block: OpenBlock) -> None:
        self._hook = hook
        self._work = work
        self._block = block

    def on_idle(self, idle_seconds: float) -> float:
        """Give up on deadlock."""
        if self._work.running():
            return UNSURE_AFTER
        patience = UNSURE_AFTER
        if self._hook.nothing_can_wake():
            # A pool's thread that is about to start its work looks idle.
            patience = 0 if active_count() == 1 else SURE_AFTER
        if idle_seconds < patience:
            return patience - idle_seconds
        reason = "deadlock: every task is waiting, no answer is outstanding, and nothing is left to wake one"
        return 0 if self._block.give_up(reason) else inf

    def on_loop_closed(self) -> None:
        """Do nothing: the block is closed by its clock."""


_run_of_context: ContextVar[Run | None] = ContextVar("run", default=None)
"""The run that a task or callback belongs to."""
