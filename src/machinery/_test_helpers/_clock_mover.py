"""The rule by which virtual time moves.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Future, Task, all_tasks
from functools import partial
from heapq import heappop, heappush
from typing import Any, Protocol

from machinery._test_helpers import _time_module
from machinery._test_helpers._asyncio_internals import ends_sleep, run_handle, warn_if_slow
from machinery._test_helpers._clock import NEVER, Clock, Moment, finite
from machinery._test_helpers._idle import IdleHook, Turn
from machinery._test_helpers._pieces import PAUSE_BEFORE_SLEEP, PAUSE_BEFORE_TIMEOUT
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._source import is_asleep
from machinery._test_helpers._timers import Timer, TimerQueue
from machinery._test_helpers._work import WorkElsewhere

STANDSTILL_ROUNDS = 100_000
STANDSTILL_SECONDS = 1.0
"""After so many rounds of timers at one instant, and so many real seconds, time stands still."""

_CHECK_EVERY = 1000


class ClockOwner(Protocol):
    """The block that has a clock; its ``repr`` names it in logs."""

    def on_loop_closed(self) -> None:
        """End: the loop is being closed."""
        ...

    def on_standstill(self, timer: Timer, times: int) -> None:
        """End the block: timers of one instant have followed each other so many times; ``timer`` is the latest."""
        ...


class ClockMover:
    """Moves a clock while its loop is idle and nothing holds it, and fires the timers that are due."""

    turn = Turn.CLOCKS

    work: WorkElsewhere
    """What may hold the clock; set when the block is opened."""

    def __init__(
        self, hook: IdleHook, clock: Clock, timers: TimerQueue, autojump_threshold: float | None, owner: ClockOwner
    ) -> None:
        self.is_closed = False
        self.called_times: list[float] = []
        self.last_fired: Timer | None = None
        self._hook = hook
        self._clock = clock
        self._timers = timers
        self._threshold = autojump_threshold
        self._owner = owner
        self.on_loop_closed = owner.on_loop_closed
        self._is_debugging = hook.loop.get_debug
        self._adds: list[tuple[Moment, int, Future[None]]] = []
        self._adds_made = 0
        self._rounds_here = 0
        """How many times timers have fired or ``add`` has ended since the clock moved or anything else happened."""
        self._rounds_here_since, self._rounds_here_events = 0.0, 0

    def add(self, amount: float) -> Future[None]:
        """Let the clock move by an amount; return a future that is done once it has."""
        __tracebackhide__ = True
        if finite("amount", amount) < 0:
            raise ValueError(f"amount must be 0 seconds or more, got {amount!r}: time cannot go backwards")
        if self.is_closed:
            raise RuntimeError(f"{self._owner!r} has ended, so its clock cannot move: call add inside the block")
        target = self._clock.tick_of(self._clock.later(amount)[0])
        if target == NEVER:
            raise ValueError(f"amount is too large: the clock would overflow, got {amount!r}")
        reached = self._hook.loop.create_future()
        self._adds_made += 1
        heappush(self._adds, (target, self._adds_made, reached))
        return reached

    def cancel_adds(self) -> None:
        """Cancel the futures of moves that will not be made."""
        for _, _, reached in self._adds:
            reached.cancel()

    def on_idle(self, idle_seconds: float) -> float:
        """Fire what is due, or else move to what is due next and fire that, if nothing holds the clock."""
        clock = self._clock
        moment, timers = self._timers.first()
        target = NEVER
        if self._adds:
            target, _, reached = self._adds[0]
            if reached.done():
                target = self._next_target()
        adds_come_first = target < moment
        goal = target if adds_come_first else moment
        if goal > clock.tick or adds_come_first:
            if goal == NEVER:
                return NEVER
            if self._threshold is not None or self.work.may_hold:
                wait = self._wait_before_move(idle_seconds, goal, by_itself=not self._adds)
                if wait > 0:
                    return wait
            if goal > clock.tick:
                clock.reach(goal)
                self._rounds_here = 0
                if _time_module.clocks_with_dates:
                    _time_module.clock_moved()
            else:
                self._rounds_here += 1
                if self._rounds_here >= _CHECK_EVERY and self._rounds_here % _CHECK_EVERY == 0:
                    self._check_standstill(_as_timer(self._adds[0][2], self._hook.loop))
            if adds_come_first:
                heappop(self._adds)[2].set_result(None)
                return 0
        self._fire(timers)
        return 0

    def _next_target(self) -> Moment:
        while self._adds and self._adds[0][2].done():
            heappop(self._adds)
        return self._adds[0][0] if self._adds else NEVER

    def _wait_before_move(self, idle_seconds: float, goal: Moment, *, by_itself: bool) -> float:
        """Return for how many more real seconds the clock may not move, 0 or less for none."""
        if self._threshold is not None:
            return self._threshold - idle_seconds if by_itself else 0
        return self.work.hold_seconds(self._owner, partial(self._pause_before, goal))

    def _pause_before(self, goal: Moment, asker: Task[Any] | None) -> float:
        """Return for how long after an answer the clock does not move to a moment: less if no timeout could fire."""
        if asker is not None and is_asleep(asker):
            return PAUSE_BEFORE_SLEEP
        timers = self._timers.until(self._clock.tick_of(goal))
        if all(map(ends_sleep, timers)):
            return PAUSE_BEFORE_SLEEP
        if self._hook.reports_events or asker is not None:
            return PAUSE_BEFORE_TIMEOUT
        # On uvloop it is seldom known who has asked.
        return PAUSE_BEFORE_SLEEP if all(map(is_asleep, all_tasks(self._hook.loop))) else PAUSE_BEFORE_TIMEOUT

    def _fire(self, timers: Timer | list[Timer]) -> None:
        """Fire a timer, or those of several that have not been cancelled.

        Each leaves the queue only now: after an exception that ends the loop, like KeyboardInterrupt, the others are
        still there.
        """
        self._rounds_here += 1
        if self._rounds_here >= _CHECK_EVERY and self._rounds_here % _CHECK_EVERY == 0:
            self._check_standstill(timers)
        run = partial(_run_in_debug_mode, self._hook.loop) if self._is_debugging() else run_handle
        if isinstance(timers, Timer):
            # Most deadlines are those of one timer: a list for each would take 3 % of what a sleep does.
            timers.owner = None
            self.last_fired = timers
            self.called_times.append(self._clock.now)
            run(timers)
            return
        now, note_called = self._clock.now, self.called_times.append
        for timer in timers:
            if timer.owner is not None:
                timer.owner = None
                self.last_fired = timer
                note_called(now)
                run(timer)
        # So that nobody looks through them again for one that has not fired.
        timers.clear()

    def note_immediate(self) -> None:
        """Fire timers that are due already in the next iteration."""
        self._hook.before_next_iteration(self._begin_iteration)

    def _begin_iteration(self) -> None:
        self._hook.loop.call_soon(self._fire_immediate, self._timers.immediate_added)

    def _fire_immediate(self, end: int) -> None:
        """Fire timers that were due when they were set, as asyncio does in its next iteration, though the loop is busy.

        :param end: the number of the first timer that was set too late for this.
        """
        self._timers.first()
        self._fire(self._timers.immediate(end))

    def _check_standstill(self, timers: Timer | list[Timer]) -> None:
        """Tell the owner if timers of one instant follow each other without end and nothing else happens."""
        something_happened = self._hook.events_seen != self._rounds_here_events or self._hook.has_events()
        if self._rounds_here == _CHECK_EVERY or something_happened:
            self._rounds_here, self._rounds_here_events = _CHECK_EVERY, self._hook.events_seen
            self._rounds_here_since = monotonic()
        has_lasted = monotonic() - self._rounds_here_since >= STANDSTILL_SECONDS
        timer = timers if isinstance(timers, Timer) else next(iter(timers), None)
        if timer is not None and has_lasted and self._rounds_here >= STANDSTILL_ROUNDS:
            self._owner.on_standstill(timer, self._rounds_here)


def _run_in_debug_mode(loop: AbstractEventLoop, timer: Timer) -> None:
    began = monotonic()
    run_handle(timer)
    warn_if_slow(loop, timer, monotonic() - began)


def _as_timer(reached: Future[None], loop: AbstractEventLoop) -> Timer:
    """Return a timer that would end a call of ``add``, to be described in its place."""
    timer = Timer(0.0, reached.set_result, (None,), loop)
    timer.origin = None
    return timer
