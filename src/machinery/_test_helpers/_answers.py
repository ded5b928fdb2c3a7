"""One run of a scenario: its answers from outside, and the moments at which they may arrive."""

from asyncio import AbstractEventLoop, Future, Task, all_tasks, current_task, wait
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from inspect import isawaitable
from math import inf
from sys import _getframe
from typing import Any, Protocol

from machinery._test_helpers._asyncio_internals import ready_queue, running_loop_or_none
from machinery._test_helpers._block import Block, OpenBlock
from machinery._test_helpers._clock import NEVER, Clock
from machinery._test_helpers._idle import IdleHook, Turn
from machinery._test_helpers._orders import CLOCK, GO_ON, Chooser, Step
from machinery._test_helpers._source import Place, location, place_of_caller, task_name
from machinery._test_helpers._virtual_time import VirtualTime
from machinery._test_helpers._work import WorkElsewhere

POLLS = 100
"""After so many iterations the oldest answer arrives though the loop is busy, since somebody may be polling for it."""

UNSURE_AFTER = 2.0
"""For how many real seconds a run may be idle where nothing that explore knows of can wake it, but something might."""

_CLEANUP_ROUNDS = 3
_CLEANUP_SECONDS = 60
_MOST_CLEANUP_ANSWERS = 1000


class Outside(Protocol):
    """What a scenario of :func:`.explore` is given, to mark what comes from outside."""

    async def __call__(self, label: str, *, channel: Hashable = None) -> None:
        """Wait for an answer from outside: a reply, a message, the callback of a driver.

        Await it in the fake that stands for what is outside.

        :param label: what arrives, for the report of an order that fails. Several answers may have the same.
        :param channel: what comes by the same channel, such as a connection, arrives in the order in which it was
            awaited; ``None`` is no channel.
        :raises RuntimeError: after the run that it was given to, or in another event loop.
        :raises TypeError: if ``channel`` is not hashable.
        """
        ...


@dataclass(frozen=True, eq=False)
class Call:
    """An answer that somebody has asked for."""

    number: int
    label: str
    channel: Hashable
    place: Place | None
    task: "Task[Any] | None"
    answer: "Future[None]"


class Run:
    """The content of a block of virtual time in which a scenario runs once."""

    turn = Turn.ANSWERS

    def __init__(self, loop: AbstractEventLoop, chooser: Chooser) -> None:
        self.time = VirtualTime(loop, Clock(start_time=0, precision=0.1), "", None, datetime=False)
        self.hook: IdleHook = self.time.hook
        self.chooser = chooser
        self.calls: list[Call] = []
        """All answers that have been asked for, in this order."""
        self.steps: list[Step] = []
        self.misuse: TypeError | None = None
        """What is wrong with the scenario, whatever the order."""
        self.never_arrived: list[Call] = []
        """What was outstanding when the scenario ended."""
        self._loop = loop
        self._own_task: Task[Any] | None = None
        self._outstanding: dict[int, Call] = {}
        self._iteration = 0
        self._stepped_at = -1
        """The iteration of the latest step."""
        self._clock_may_interrupt = False
        """Whether what runs now was set off by an answer, and the clock has not moved since the loop was idle."""
        self._kept_report: list[str] | None = None
        self._answers_left: float = inf
        """How many more answers may arrive once the scenario has ended."""
        self._is_over = False
        self._block: OpenBlock
        self._work: WorkElsewhere

    async def play(self, scenario: Callable[[Outside], Awaitable[object]]) -> None:
        """Run the scenario, and cancel what it leaves behind."""
        __tracebackhide__ = True
        self._own_task, before = current_task(), all_tasks(self._loop)
        async with Block(lambda: (self, self.outside)) as outside:
            detector = EarlyDetector(self.hook, self._work, self._block)
            self._block.undo.callback(self.hook.remove, detector)
            # Before the detector of the block, which would wait for a second.
            self.hook.add(detector, first=True)
            try:
                await self._called(scenario, outside)
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as error:
                # Before anything is cancelled, while everything still waits where it waits.
                self._kept_report = list(self.time.report(error))
                await self._cancel_left_behind(before)
                raise
            left = await self._cancel_left_behind(before)
            if left:
                raise RuntimeError(
                    f"after this run, {', '.join(map(task_name, left))} did not end when cancelled {_CLEANUP_ROUNDS}"
                    " times: let the tasks of the scenario end, so that it can run again"
                )

    async def _called(self, scenario: Callable[[Outside], Awaitable[object]], outside: Outside) -> None:
        __tracebackhide__ = True
        awaitable: object = scenario(outside)
        if not isawaitable(awaitable):
            self.misuse = TypeError(f"scenario must be an async callable, but {scenario!r} returned {awaitable!r}")
            raise self.misuse
        await awaitable

    async def outside(self, label: str, *, channel: Hashable = None) -> None:
        """Wait until the order that is tried lets this answer arrive."""
        __tracebackhide__ = True
        if self._is_over:
            raise RuntimeError(f"outside({label!r}) was awaited after its run: use the one that the scenario is given")
        if running_loop_or_none() is not self._loop:
            raise RuntimeError(f"outside({label!r}) belongs to {self._loop!r}, but another loop is running")
        hash(channel)
        place = place_of_caller(_getframe(1))
        answer: Future[None] = self._loop.create_future()
        call = Call(len(self.calls) + 1, label, channel, place, current_task(), answer)
        self.calls.append(call)
        self._outstanding[call.number] = call
        try:
            await answer
        finally:
            del self._outstanding[call.number]

    def open(self, block: OpenBlock) -> None:
        """Let time be virtual, and answers arrive as they are chosen."""
        self._block, undo = block, block.undo.callback
        self.time.open(block)
        self._work = WorkElsewhere.opened(self.hook, undo)
        undo(self._end)
        self.hook.add(self)
        # Where the ready queue is not known, the loop shows only when it is idle.
        if ready_queue(self._loop) is not True:
            self.hook.before_iteration = self._before_iteration

    def check(self) -> None:
        """Let the block end."""

    def report(self, error: BaseException | None) -> Iterable[str]:
        """Yield the lines of a report on virtual time."""
        return self.time.report(error) if self._kept_report is None else self._kept_report

    def on_loop_closed(self) -> None:
        """End the block."""
        self._block.close()

    def _end(self) -> None:
        self._is_over = True
        self.hook.before_iteration = None
        self.hook.remove(self)
        for call in self.outstanding():
            call.answer.cancel()
        for _, timer in self.time.timers.waiting():
            timer.cancel()

    def outstanding(self) -> Iterator[Call]:
        """Return the answers that have been asked for and have not arrived, in this order."""
        return (call for call in self._outstanding.values() if not call.answer.done())

    def on_idle(self, idle_seconds: float) -> float:
        """Let an answer arrive, or the clock move past those that are outstanding."""
        self._clock_may_interrupt = False
        options = self._may_arrive()
        if not options or self._answers_left < 1:
            return inf
        wait = self._work.wait_for_dominos(self, idle_seconds)
        if wait > 0:
            return wait
        if self._answers_left < inf:
            self._answers_left -= 1
            self._give(options[0])
            return 0
        if self._clock_can_move():
            options.append(CLOCK)
        self._choose(options, None)
        if self.hook.before_iteration is None:
            self._before_iteration()
        return 0

    def _before_iteration(self) -> None:
        """Let more arrive before the loop runs what is ready."""
        if self._answers_left == inf:
            while self._choose_while_busy():
                pass
        self._iteration += 1

    def _choose_while_busy(self) -> bool:
        """Choose once, and return whether something has arrived."""
        after = self._iteration - self._stepped_at
        options = self._may_arrive()
        is_polled = bool(options) and after > POLLS
        if self._clock_may_interrupt and self._clock_can_move():
            options.append(CLOCK)
        if not options:
            return False
        if not is_polled:
            options.insert(0, GO_ON)
        return self._choose(options, after)

    def _choose(self, options: list[int], after: int | None) -> bool:
        chosen = self.chooser.choose(options, after)
        if chosen == GO_ON:
            return False
        self._stepped_at = self._iteration
        if chosen == CLOCK:
            self._clock_may_interrupt = False
            self.time.on_idle(0.0)
        else:
            self._clock_may_interrupt = self._clock_may_interrupt or after is None
            self._give(chosen)
        self.steps.append(Step(chosen, after, options[0], self.time.clock.now))
        return True

    def _may_arrive(self) -> list[int]:
        """Return the numbers of the answers that may arrive now: of each channel, the first that is outstanding."""
        channels: set[Hashable] = set()
        numbers: list[int] = []
        for call in self.outstanding():
            if call.channel is None or call.channel not in channels:
                channels.add(call.channel)
                numbers.append(call.number)
        return numbers

    def _clock_can_move(self) -> bool:
        """Return whether nothing but its own deadline keeps the clock from moving."""
        time = self.time
        moment, _ = time.timers.first()
        if not time.clock.moment < moment < NEVER or next(self.hook.listeners_of(Turn.CLOCKS)) is not time:
            return False
        return not self._work.may_hold or self._work.wait(time) <= 0

    def _give(self, number: int) -> None:
        self.calls[number - 1].answer.set_result(None)

    async def _cancel_left_behind(self, before: "set[Task[Any]]") -> "list[Task[Any]]":
        """Cancel the tasks that the scenario has left, and return those that did not end."""
        self.never_arrived = list(self.outstanding())
        self._answers_left = _MOST_CLEANUP_ANSWERS
        left: list[Task[Any]] = []
        for _ in range(_CLEANUP_ROUNDS + 1):
            left = [task for task in all_tasks(self._loop) if task not in before]
            if not left:
                break
            for task in left:
                task.cancel()
            await wait(left, timeout=_CLEANUP_SECONDS)
        return left

    def name(self, number: int) -> str:
        """Name an answer, or the clock."""
        return "the clock" if number == CLOCK else f"{self.calls[number - 1].label} ({number})"

    def asked_by(self, number: int) -> str:
        """Say where an answer was asked for, and by which task."""
        call = self.calls[number - 1]
        if call.task is self._own_task:
            by = "the scenario itself"
        else:
            by = "a coroutine outside of any task" if call.task is None else task_name(call.task)
        return f"awaited at {'an unknown place' if call.place is None else location(call.place)} by {by}"

    def __repr__(self) -> str:
        return "explore()"


class EarlyDetector:
    """Ends a run in which nothing can happen any more, at once where that is certain."""

    turn = Turn.DEADLOCKS

    def __init__(self, hook: IdleHook, work: WorkElsewhere, block: OpenBlock) -> None:
        self._hook = hook
        self._work = work
        self._block = block
        self._has_acted = False

    def on_idle(self, idle_seconds: float) -> float:
        """Give up once; after that it is for the detector of the block to insist."""
        if self._has_acted:
            return inf
        if not self._hook.nothing_can_wake():
            wait = UNSURE_AFTER if self._work.under_way else UNSURE_AFTER - idle_seconds
            if wait > 0:
                return wait
        self._has_acted = True
        reason = "deadlock: every task is waiting, no answer is outstanding, and nothing is left to wake one"
        return 0 if self._block.give_up(reason) else inf

    def on_loop_closed(self) -> None:
        """Do nothing: the block is closed by its helper."""
