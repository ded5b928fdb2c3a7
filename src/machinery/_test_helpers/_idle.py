"""Calls listeners when an event loop is idle: when it has nothing left to run and would wait.

PYTEST_DONT_REWRITE
"""

import abc
from asyncio import AbstractEventLoop, Task, TimerHandle
from collections.abc import Callable, Collection, Iterator
from contextvars import Context
from enum import IntEnum
from math import inf
from operator import attrgetter
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

from machinery._test_helpers._patches import Patches
from machinery._test_helpers._source import drop_hidden_start

BUSY_AFTER = 100
"""How many iterations in a row count as busy."""

_SAMPLE_EVERY = 11
"""Tasks that take turns do so in short cycles, and this is a multiple of none."""

COUNTED_AT_ONCE = 0.1
"""How many seconds of one wait count as idle at most: if the whole machine pauses, work elsewhere pauses with it."""


class Turn(IntEnum):
    """The order in which listeners are asked."""

    DOMINOS = 0
    ALL_TASKS_BLOCKED = 1
    ANSWERS = 2
    CLOCKS = 3
    DEADLOCKS = 4


_LAST_TURN = Turn.DEADLOCKS
_turn_of = attrgetter("turn")


class Listener(Protocol):
    """Something that acts when a loop is idle."""

    @property
    def turn(self) -> Turn:
        """When it is asked."""
        ...

    def on_idle(self, idle_seconds: float) -> float:
        """Act, or say when to ask again.

        :param idle_seconds: for how many real seconds the loop has been idle.
        :return: 0 if something was done, so that the loop looks again for something to run; infinity if there is
            nothing to do until something happens on the loop; else after how many real seconds to ask again.
        """
        ...

    def on_loop_closed(self) -> None:
        """Stop: the loop is being closed."""
        ...


class CancellationWatcher(Protocol):
    """Something that has to know when its task is cancelled."""

    cancelling_seen: int
    """How many cancellation requests the task had when last looked at."""

    @property
    def cancelling(self) -> Callable[[], int]:
        """Return how many cancellation requests the task has."""
        ...

    def note_cancelling(self) -> None:
        """Look at the task: this number has changed."""
        ...


def _run_main(hook: "IdleHook", run: Callable[[Any], Any], main: Any) -> Any:
    return run(main)


class IdleHook(abc.ABC):
    """Watches one loop, and asks its listeners in turn whenever that loop is idle."""

    # From the 31st attribute on, CPython 3.13 keeps those of an instance in a slower way.
    __slots__ = (
        "__weakref__",
        "_cancelled_tasks",
        "_listeners",
        "_on_loop",
        "_real_close",
        "_real_run_until_complete",
        "_some_are_cancelled",
        "before_iteration",
        "before_probe",
        "busy_iterations",
        "busy_tasks",
        "cancellation_watchers",
        "events_seen",
        "has_events",
        "loop",
        "note_events",
        "note_registered",
        "patches",
        "real_time",
        "reports_events",
        "run_main",
        "times_idle",
        "total_idle_seconds",
        "work_is_under_way",
    )

    of_loop: ClassVar[dict[AbstractEventLoop, "IdleHook"]] = {}

    real_time: Callable[[], float]
    """Returns the loop's own time."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.total_idle_seconds = 0.0
        """Real seconds for which the loop has been idle so far, no wait counting for more than `COUNTED_AT_ONCE`."""
        self.times_idle = 0
        self.events_seen = 0
        """How many iterations have begun with events from the selector."""
        self.busy_iterations = 0
        """How many iterations the loop has run since it was last idle."""
        self.busy_tasks: WeakSet[Task[Any]] | None = None
        """Tasks that were about to run in samples of these iterations, once there are any."""
        self._cancelled_tasks: WeakSet[Task[Any]] | None = None
        """Those of them that had been cancelled."""
        self.has_events: Callable[[], object] = bool
        """Return whether the loop would find an event now."""
        self.cancellation_watchers: list[CancellationWatcher] = []
        """Asked in each iteration, while no task runs."""
        self.before_iteration: Callable[[], object] | None = None
        """Called before each iteration in which something is ready, where the ready queue is known."""
        self.reports_events = False
        """Whether :attr:`note_events` and :attr:`note_registered` are called."""
        self.note_events: Callable[[Any], object] | None = None
        """Told what the selector reports, by loops that have one."""
        self.before_probe: Callable[[], object] | None = None
        """Called whenever a loop without a selector is looked at."""
        self.note_registered: Callable[[int], object] | None = None
        """Told of files that the loop begins to watch."""
        self.work_is_under_way: Callable[[], bool] = bool
        """Returns whether work elsewhere is under way, an answer that a server owes included."""
        self.patches = Patches(loop)
        self._some_are_cancelled = False
        self._listeners: list[Listener] = []
        self.run_main: Callable[[IdleHook, Callable[[Any], Any], Any], Any] = _run_main
        """Run the loop until a future is done."""
        self._real_close = loop.close
        self._real_run_until_complete = loop.run_until_complete
        self._on_loop: dict[str, object] = {"close": self._close, "run_until_complete": self._run_until_complete}

    def add(self, listener: Listener, *, first: bool = False) -> None:
        """Ask a listener from now on, last or first of those with the same turn.

        If this fails, :meth:`remove` undoes what has been done.
        """
        self._listeners.insert(0 if first else len(self._listeners), listener)
        if len(self._listeners) == 1:
            self.of_loop[self.loop] = self
            self._install()
        else:
            self._listeners.sort(key=_turn_of)

    def remove(self, listener: Listener) -> None:
        """Ask a listener no more; without listeners the loop is as it was."""
        # A listener may have been removed already, when the loop was closed.
        if listener in self._listeners:
            self._listeners.remove(listener)
            if not self._listeners:
                self.of_loop.pop(self.loop, None)
                self._uninstall()

    def listeners_of(self, turn: Turn) -> Iterator[Listener]:
        """Return the listeners of a turn, in the order in which they are asked."""
        return (listener for listener in self._listeners if listener.turn is turn)

    @property
    def is_busy(self) -> bool:
        """Whether the loop has run many iterations since it was last idle."""
        return self.busy_iterations >= BUSY_AFTER

    @abc.abstractmethod
    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> TimerHandle:
        """Set a timer in the loop's own time."""
        ...

    @abc.abstractmethod
    def before_next_iteration(self, callback: Callable[[], object]) -> None:
        """Call a callback before the loop's next iteration, when the loop itself looks for due timers."""
        ...

    @abc.abstractmethod
    def files(self) -> Collection[int]:
        """Return the files that the loop watches, as far as they are known."""
        ...

    @abc.abstractmethod
    def possible_wakeups(self) -> Iterator[str]:
        """Describe what could still wake the loop."""
        ...

    @abc.abstractmethod
    def nothing_can_wake(self) -> bool:
        """Return whether it is certain that nothing can wake the loop."""
        ...

    def only_connections_can_wake(self) -> bool:
        """Return whether it is certain that nothing but idle connections can wake the loop."""
        return False

    def _install(self) -> None:
        self.patches.add(self._on_loop)

    def _uninstall(self) -> None:
        self.patches.remove(self._on_loop)

    def _note_cancellations(self) -> None:
        for each in self.cancellation_watchers:
            if each.cancelling() != each.cancelling_seen:
                each.note_cancelling()
                self._some_are_cancelled = each.cancelling_seen > 0

    def _sample_busy_tasks(self, ready_tasks: Iterator[Task[Any]]) -> None:
        """Remember tasks that keep the loop busy; called in each iteration once it is busy."""
        if self.busy_tasks is None or self._cancelled_tasks is None or self.busy_iterations == BUSY_AFTER:
            self.busy_tasks, self._cancelled_tasks = WeakSet(), WeakSet()
        if (self.busy_iterations - BUSY_AFTER) % _SAMPLE_EVERY == 0:
            # One that has been cancelled just now is ready for that reason alone, and so not a second time.
            for task in ready_tasks:
                (
                    self._cancelled_tasks
                    if task.cancelling() and task not in self._cancelled_tasks
                    else self.busy_tasks
                ).add(task)

    def _ask(self, idle_seconds: float) -> float:
        """Ask the listeners until one acts, and return 0 then; else return when to ask again.

        Of those with the same turn, only the first that has something to do is asked: an outer clock stands while an
        inner one could move. There is no deadlock while anything else waits for real time to pass.
        """
        soonest, served = inf, None
        for listener in self._listeners:
            if served is not None and (listener.turn is served or listener.turn is _LAST_TURN):
                continue
            wait = listener.on_idle(idle_seconds)
            if wait == 0:
                return 0
            if wait < inf:
                soonest, served = min(soonest, wait), listener.turn
        return soonest

    def _run_until_complete(self, future: Any) -> Any:
        __tracebackhide__ = True
        try:
            return self.run_main(self, self._real_run_until_complete, future)
        except BaseException as error:
            error.__traceback__ = drop_hidden_start(error.__traceback__)
            raise

    def _close(self) -> None:
        if not self.loop.is_running():
            for listener in list(self._listeners):
                listener.on_loop_closed()
                self.remove(listener)
        self._real_close()
