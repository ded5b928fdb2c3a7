"""The answers from outside in one run of a scenario, and the moments at which they may arrive.

PYTEST_DONT_REWRITE
"""

from asyncio import Future, Task, current_task
from collections.abc import Hashable, Iterable, Iterator
from math import inf
from sys import _getframe
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from machinery._test_helpers._asyncio_internals import ready_queue, running_loop_or_none
from machinery._test_helpers._clock import NEVER
from machinery._test_helpers._idle import IdleHook, Turn
from machinery._test_helpers._orders import CLOCK, GO_ON, Chooser, Step
from machinery._test_helpers._pieces import PAUSE_BEFORE_TIMEOUT
from machinery._test_helpers._source import Place, brief, location, place_of_caller, shortened, task_name
from machinery._test_helpers._undo import UndoStack
from machinery._test_helpers._virtual_time import VirtualTime
from machinery._test_helpers._work import WorkElsewhere

POLLS = 100
"""After so many busy iterations in which nothing arrived, the oldest answer arrives."""

_MOST_CLEANUP_ANSWERS = 1000


class Outside(Protocol):
    """The argument of a scenario of :func:`.explore`, to mark what comes from outside."""

    async def __call__(self, label: str, *, channel: Hashable = None) -> None:
        """Wait for an answer from outside: a reply, a message, the callback of a driver.

        Await it in the fake that stands for what is outside.

        :param label: what arrives, for the report of an order that fails. Several answers may have the same.
        :param channel: answers of the same channel, such as a connection, arrive in the order in which they were
            awaited; ``None`` is no channel.
        :raises RuntimeError: after the end of its run, or in another event loop.
        :raises TypeError: if ``channel`` is not hashable.
        """
        ...


class Call(NamedTuple):
    """A call of ``outside``: an answer that a task awaits."""

    number: int
    label: str
    channel: Hashable
    place: Place | None
    task: "Task[Any] | None"
    """The task that awaits it; ``None`` if that is the scenario itself."""
    answer: "Future[None]"

    def __str__(self) -> str:
        by = "the scenario itself" if self.task is None else task_name(self.task)
        at = "" if self.place is None else f" at {location(self.place)}"
        return f"{self.label} ({self.number}),\nawaited{at}\nby {by}"


class Answers:
    """Lets answers arrive, and the clock move past them, as the chooser decides."""

    turn = Turn.ANSWERS

    def __init__(self, time: VirtualTime, chooser: Chooser, tasks: "WeakSet[Task[Any]]") -> None:
        self.asked: list[Call] = []
        """All calls of ``outside`` so far, in order."""
        self.steps: list[Step] = []
        self.is_over = False
        self.others_waited = False
        """Whether another task of the run ever waited while an answer was outstanding."""
        self.own_task: Task[Any] | None = None
        """The task in which the scenario runs."""
        self._tasks = tasks
        self._time = time
        self._hook = time.hook
        self._chooser = chooser
        self._outstanding: dict[int, Call] = {}
        self._iteration = 0
        self._latest_step = -1
        """The iteration of the latest step."""
        self._polling = Polling(time.hook)
        self._clock_may_interrupt = False
        """Whether an answer woke what runs now, and the clock has not moved since the loop was idle."""
        self._left: float = inf
        """How many more answers may arrive; finite once the scenario has ended, after which nothing is chosen."""
        self._work: WorkElsewhere

    def open(self, work: WorkElsewhere, undo: UndoStack) -> None:
        """Let answers arrive from now on; ``undo`` is given the clean-up."""
        self._work = work
        undo.append((self._close, ()))
        self._hook.add(self)
        # If the ready queue is hidden, only idleness can be seen.
        if ready_queue(self._hook.loop) is not True:
            self._hook.before_iteration = self._before_iteration

    def end_order(self) -> None:
        """End the exploration: from now on answers arrive first come, first served, while the loop is idle."""
        self._left = _MOST_CLEANUP_ANSWERS

    def on_loop_closed(self) -> None:
        """Do nothing: the block is closed by its clock."""

    def _close(self) -> None:
        self.is_over = True
        self._hook.before_iteration = None
        self._hook.remove(self)
        for call in self.outstanding():
            call.answer.cancel()

    async def outside(self, label: object, *, channel: Hashable = None) -> None:
        """Wait until this answer arrives."""
        __tracebackhide__ = True
        loop = self._hook.loop
        if self.is_over:
            raise RuntimeError(f"outside({label!r}) was awaited after its run: use the one that the scenario is given")
        if running_loop_or_none() is not loop:
            raise RuntimeError(f"outside({label!r}) belongs to {loop!r}, but another loop is running")
        hash(channel)
        place = place_of_caller(_getframe(1))
        task = current_task()
        asker = None if task is self.own_task else task
        shown = shortened(label) if isinstance(label, str) else brief(label)
        call = Call(len(self.asked) + 1, shown, channel, place, asker, loop.create_future())
        self.asked.append(call)
        self._outstanding[call.number] = call
        try:
            await call.answer
        finally:
            del self._outstanding[call.number]

    def outstanding(self) -> Iterator[Call]:
        """Return the calls whose answers have not arrived, in order."""
        return (call for call in self._outstanding.values() if not call.answer.done())

    def on_idle(self, idle_seconds: float) -> float:
        """Let an answer arrive, or the clock move past those that are outstanding."""
        self._clock_may_interrupt = False
        options = _may_arrive(self.outstanding())
        if not options or self._left < 1:
            return inf
        wait = self._work.domino_hold_seconds(self, idle_seconds, _pause)
        if wait > 0:
            return wait
        self._note_others()
        if self._left < inf:
            self._left -= 1
            self._give(options[0])
            return 0
        if self._clock_can_move():
            options.append(CLOCK)
        self._choose(options, None)
        if self._hook.before_iteration is None:
            self._before_iteration()
        return 0

    def _before_iteration(self) -> None:
        """Let more arrive before the loop runs what is ready."""
        if self._left == inf:
            while self._choose_while_busy():
                pass
        self._iteration += 1

    def _choose_while_busy(self) -> bool:
        after = self._iteration - self._latest_step
        options = _may_arrive(self.outstanding())
        is_polled = self._polling.is_likely(self._iteration, after) and bool(options)
        if self._clock_may_interrupt and self._clock_can_move():
            options.append(CLOCK)
        if not options:
            return False
        return self._choose(options if is_polled else [GO_ON, *options], after)

    def _choose(self, options: list[int], after: int | None) -> bool:
        """Carry out one of the options; return whether an answer has arrived or the clock has moved."""
        chosen = self._chooser.choose(options, after)
        if chosen == GO_ON:
            return False
        self._latest_step = self._iteration
        if chosen == CLOCK:
            self._clock_may_interrupt = False
            self._time.mover.on_idle(0.0)
        else:
            self._clock_may_interrupt = self._clock_may_interrupt or after is None
            self._give(chosen)
        self.steps.append(Step(chosen, after, options[0], self._time.clock.now))
        return True

    def _clock_can_move(self) -> bool:
        """Return whether the clock has a deadline to move to, and no work holds it."""
        time = self._time
        moment, _ = time.timers.first()
        if not time.clock.tick < moment < NEVER or next(self._hook.listeners_of(Turn.CLOCKS)) is not time.mover:
            return False
        return not self._work.may_hold or self._work.hold_seconds(time, _pause) <= 0

    def _note_others(self) -> None:
        if not self.others_waited:
            asker = next(self.outstanding()).task
            self.others_waited = any(task is not asker and not task.done() for task in self._tasks)

    def _give(self, number: int) -> None:
        self.asked[number - 1].answer.set_result(None)

    def __repr__(self) -> str:
        return "explore()"


class Polling:
    """Tells when a task seems to poll for an answer, with ``sleep(0)``."""

    def __init__(self, hook: IdleHook) -> None:
        self._hook = hook
        self._seen = 0, 0
        """How often the loop had been idle, and had got events, at the last check."""
        self._since = 0
        """The iteration in which either of these last increased."""

    def is_likely(self, iteration: int, after: int) -> bool:
        """Return whether the loop has long been busy, without events from sockets or steps of the order."""
        seen = self._hook.times_idle, self._hook.events_seen
        if seen != self._seen:
            self._seen, self._since = seen, iteration
        return min(after, iteration - self._since) > POLLS


def _may_arrive(outstanding: Iterable[Call]) -> list[int]:
    """Return the numbers of the answers that may arrive now: of each channel, the first that is outstanding."""
    channels: set[Hashable] = set()
    numbers: list[int] = []
    for call in outstanding:
        if call.channel is None or call.channel not in channels:
            channels.add(call.channel)
            numbers.append(call.number)
    return numbers


def _pause(_: object) -> float:
    """Return for how long to wait for the next part of a real server's answer."""
    return PAUSE_BEFORE_TIMEOUT
