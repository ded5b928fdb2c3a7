"""The rule by which virtual time moves.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError, Future, Task
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from itertools import count
from logging import DEBUG, getLogger
from typing import Any

from machinery._test_helpers import _time_module
from machinery._test_helpers._asyncio_internals import ends_sleep, run_handle, warn_if_slow
from machinery._test_helpers._block import OpenBlock
from machinery._test_helpers._clock import NEVER, Clock, Moment, finite
from machinery._test_helpers._idle import Turn
from machinery._test_helpers._loops import idle_hook
from machinery._test_helpers._pieces import PAUSE_BEFORE_SLEEP, PAUSE_BEFORE_TIMEOUT
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._report import VirtualTimeSnapshot, fitted, moment_text, virtual_time_report
from machinery._test_helpers._source import brief, is_asleep
from machinery._test_helpers._task_snapshots import tasks_snapshot, unfinished_tasks
from machinery._test_helpers._tasks import Tasks
from machinery._test_helpers._timer_snapshots import describe_fired_timer, describe_timer, pending_timers
from machinery._test_helpers._timers import Timer, TimerQueue, TransferredTimer
from machinery._test_helpers._virtual_loop import VirtualLoop
from machinery._test_helpers._work import WorkElsewhere

logger = getLogger("machinery.test_helpers")

STANDSTILL_ROUNDS = 100_000
STANDSTILL_SECONDS = 1.0
"""After so many rounds of timers at one instant, and so many real seconds, time stands still."""

_CHECK_EVERY = 1000


class VirtualTime:
    """A clock, the timers that wait for it, and the rule by which it moves."""

    turn = Turn.CLOCKS

    def __init__(
        self, loop: AbstractEventLoop, clock: Clock, name: str, autojump_threshold: float | None, *, datetime: bool
    ) -> None:
        self.loop = loop
        self.hook = idle_hook(loop)
        self.clock = clock
        self.name = name
        self.timers = TimerQueue()
        self.called_times: list[float] = []
        self.is_closed = False
        self._datetime = datetime
        self._is_debugging = loop.get_debug
        self._threshold = autojump_threshold
        self._tasks = Tasks(loop)
        self._virtual_loop = VirtualLoop(self.hook, clock, self.timers, self._note_immediate)
        self._adds: list[tuple[Moment, int, Future[None]]] = []
        self._add_numbers = count()
        self._last_fired: Timer | None = None
        self._rounds_here = 0
        """How many times timers have fired since the clock moved or anything else happened."""
        self._rounds_here_since = 0.0
        self._rounds_here_events = 0
        self._began_at = monotonic()
        self._block: OpenBlock
        self._work: WorkElsewhere

    def open(self, block: OpenBlock) -> None:
        """Let the loop and its thread live in this time."""
        self._block, undo = block, block.undo.callback
        undo(self._hand_over_timers)
        undo(self.hook.remove, self)
        self.hook.add(self, first=True)
        self._work = WorkElsewhere.opened(self.hook, undo)
        undo(self._work.thresholds.pop, self, None)
        self._work.thresholds[self] = self._threshold
        attributes = {**self._virtual_loop.attributes, **self._tasks.attributes}
        undo(self.hook.patches.remove, attributes)
        self.hook.patches.add(attributes)
        undo(_time_module.hide, self.clock)
        _time_module.show(self.clock, datetime=self._datetime)
        undo(self._close)

    def check(self) -> None:
        """Let the block end."""

    def on_loop_closed(self) -> None:
        """End the block."""
        self._block.close()

    def _close(self) -> None:
        self.is_closed = self._virtual_loop.is_closed = True
        if not logger.isEnabledFor(DEBUG):
            return
        passed = {"virtual_seconds": self.clock.passed(), "real_seconds": monotonic() - self._began_at}
        # A test may have mocked what a log record is made of, such as time.time.
        with suppress(Exception):
            logger.debug("%r: %s virtual seconds took %.6f real seconds", self, *passed.values(), extra=passed)

    def _hand_over_timers(self) -> None:
        """Let pending timers go on in the time that surrounds the block, for what remains of their delay."""
        waiting = self.timers.waiting()
        self.timers.clear()
        if self.loop.is_closed():
            return
        for _, _, reached in self._adds:
            reached.cancel()
        # A loop's own call_later reads time.monotonic, which a test may have mocked.
        is_nested = self.hook.patches.replaces("call_later")
        call_later = self.loop.call_later if is_nested else self.hook.real_call_later
        for _, timer in waiting:
            delay = timer.when() - self.clock.now
            timer.owner = TransferredTimer(call_later(delay, run_handle, timer))

    def add(self, amount: float) -> Future[None]:
        """Let the clock move by an amount; return a future that is done once it has."""
        __tracebackhide__ = True
        if finite("amount", amount) < 0:
            raise ValueError(f"amount must be 0 seconds or more, got {amount!r}: time cannot go backwards")
        if self.is_closed:
            raise RuntimeError(f"{self!r} has ended, so its clock cannot move: call add inside the block")
        target = self.clock.tick_of(self.clock.later(amount)[0])
        if target == NEVER:
            raise ValueError(f"amount is too large: the clock would overflow, got {amount!r}")
        reached = self.loop.create_future()
        heappush(self._adds, (target, next(self._add_numbers), reached))
        return reached

    def on_idle(self, idle_seconds: float) -> float:
        """Fire what is due, or else move to what is due next and fire that, if nothing holds the clock."""
        clock = self.clock
        moment, timers = self.timers.first()
        target = self._next_target() if self._adds else NEVER
        adds_come_first = target < moment
        goal = target if adds_come_first else moment
        if goal > clock.tick or adds_come_first:
            if goal == NEVER:
                return NEVER
            if self._threshold is not None or self._work.may_hold:
                wait = self._wait_before_move(idle_seconds, goal, by_itself=not self._adds)
                if wait > 0:
                    return wait
            if goal > clock.tick:
                clock.reach(goal)
                self._rounds_here = 0
                if _time_module.clocks_with_dates:
                    _time_module.clock_moved()
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
        return self._work.hold_seconds(self, partial(self._pause_before, goal))

    def _pause_before(self, goal: Moment, asker: Task[Any] | None) -> float:
        """Return for how long after an answer the clock does not move to a moment: less if no timeout could fire."""
        if asker is not None and is_asleep(asker):
            return PAUSE_BEFORE_SLEEP
        timers = self.timers.until(self.clock.tick_of(goal))
        return PAUSE_BEFORE_SLEEP if all(map(ends_sleep, timers)) else PAUSE_BEFORE_TIMEOUT

    def _fire(self, timers: Timer | list[Timer]) -> None:
        """Fire a timer, or those of several that have not been cancelled.

        Each leaves the queue only now: after an exception that ends the loop, like KeyboardInterrupt, the others are
        still there.
        """
        self._rounds_here += 1
        if self._rounds_here >= _CHECK_EVERY and self._rounds_here % _CHECK_EVERY == 0:
            self._check_standstill(timers)
        run = self._run_in_debug_mode if self._is_debugging() else run_handle
        if isinstance(timers, Timer):
            # Most deadlines are those of one timer: a list for each would take 3 % of what a sleep does.
            timers.owner = None
            self._last_fired = timers
            self.called_times.append(self.clock.now)
            run(timers)
            return
        now, note_called = self.clock.now, self.called_times.append
        for timer in timers:
            if timer.owner is not None:
                timer.owner = None
                self._last_fired = timer
                note_called(now)
                run(timer)
        # So that nobody looks through them again for one that has not fired.
        timers.clear()

    def _run_in_debug_mode(self, timer: Timer) -> None:
        began = monotonic()
        run_handle(timer)
        warn_if_slow(self.loop, timer, monotonic() - began)

    def _note_immediate(self) -> None:
        self.hook.before_next_iteration(self._begin_iteration)

    def _begin_iteration(self) -> None:
        self.loop.call_soon(self._fire_immediate, self.timers.immediate_added)

    def _fire_immediate(self, end: int) -> None:
        """Fire timers that were due when they were set, as asyncio does in its next iteration, though the loop is busy.

        :param end: the number of the first timer that was set too late for this.
        """
        self.timers.first()
        self._fire(self.timers.immediate(end))

    def _check_standstill(self, timers: Timer | list[Timer]) -> None:
        """End the block if timers of one instant follow each other without end and nothing else happens."""
        something_happened = self.hook.events_seen != self._rounds_here_events or self.hook.has_events()
        if self._rounds_here == _CHECK_EVERY or something_happened:
            self._rounds_here, self._rounds_here_events = _CHECK_EVERY, self.hook.events_seen
            self._rounds_here_since = monotonic()
        has_lasted = monotonic() - self._rounds_here_since >= STANDSTILL_SECONDS
        timer = timers if isinstance(timers, Timer) else next(iter(timers), None)
        if timer is not None and has_lasted and self._rounds_here >= STANDSTILL_ROUNDS:
            what = describe_timer(timer, unfinished_tasks(self.loop, self._tasks), self._block.watch.task, [])
            now = moment_text(self.clock.now, dates=self._datetime)
            reason = (
                f"time stands still at {now}",
                f"  timers due at once have followed each other {self._rounds_here:,} times",
                *fitted(f"the latest: {what}"),
            )
            # Not before this timer has fired: the future that it completes would be cancelled by then.
            self.loop.call_soon(self._block.give_up, "\n".join(reason))

    def pending(self) -> list[float]:
        """Return the deadlines of the timers that have not fired yet, sorted."""
        return [self.clock.deadline(moment, timer.when()) for moment, timer in self.timers.waiting()]

    def report(self, error: BaseException | None) -> Iterable[str]:
        """Yield the lines of a report."""
        own = self._block.watch.task
        unfinished = unfinished_tasks(self.loop, self._tasks)
        pending, pending_count, woken = pending_timers(self.clock, self.timers, unfinished, own)
        last = self._last_fired
        return virtual_time_report(
            VirtualTimeSnapshot(
                name=brief(self.name) if self.name else "",
                now=self.clock.now,
                passed=self.clock.passed(),
                real_seconds=monotonic() - self._began_at,
                precision=self.clock.precision,
                shows_dates=self._datetime,
                only_add_moves=self._threshold == NEVER,
                pending=pending,
                pending_count=pending_count,
                last_fired=None if last is None else (last.when(), describe_fired_timer(last, own)),
                fired_count=len(self.called_times),
                work=self._work.running(),
                waits=error is None or isinstance(error, CancelledError),
                tasks=tasks_snapshot(self.hook, self._tasks, own, error, unfinished=unfinished, listed=woken),
            )
        )

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        pending = self.pending()
        waiting = f"{len(pending)} pending, next at {pending[0]!r}" if pending else "nothing pending"
        return f"<virtual time{name} at {self.clock.now!r}, {waiting}{', closed' if self.is_closed else ''}>"
