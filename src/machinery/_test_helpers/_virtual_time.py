"""A block of virtual time: what it installs, and what its reports say.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Iterable
from contextlib import suppress
from logging import DEBUG, getLogger

from machinery._test_helpers import _time_module
from machinery._test_helpers._asyncio_internals import run_handle
from machinery._test_helpers._block import OpenBlock
from machinery._test_helpers._clock import NEVER, Clock
from machinery._test_helpers._clock_mover import ClockMover
from machinery._test_helpers._loops import idle_hook
from machinery._test_helpers._real_time import monotonic
from machinery._test_helpers._report import VirtualTimeSnapshot, fitted, moment_text, virtual_time_report
from machinery._test_helpers._source import brief
from machinery._test_helpers._task_snapshots import tasks_snapshot, unfinished_tasks
from machinery._test_helpers._tasks import Tasks
from machinery._test_helpers._timer_snapshots import describe_fired_timer, describe_timer, pending_timers
from machinery._test_helpers._timers import Timer, TimerQueue, TransferredTimer
from machinery._test_helpers._virtual_loop import VirtualLoop
from machinery._test_helpers._work import WorkElsewhere

logger = getLogger("machinery.test_helpers")


class VirtualTime:
    """A clock, the timers that wait for it, and the loop that lives in its time."""

    def __init__(
        self, loop: AbstractEventLoop, clock: Clock, name: str, autojump_threshold: float | None, *, datetime: bool
    ) -> None:
        self.loop = loop
        self.hook = idle_hook(loop)
        self.clock = clock
        self.name = name
        self.timers = TimerQueue()
        self._datetime = datetime
        self._threshold = autojump_threshold
        self._tasks = Tasks(loop)
        self.mover = ClockMover(self.hook, clock, self.timers, autojump_threshold, self)
        self._virtual_loop = VirtualLoop(self.hook, clock, self.timers, self.mover.note_immediate)
        self._began_at = monotonic()
        self._block: OpenBlock
        self._work: WorkElsewhere

    def open(self, block: OpenBlock) -> None:
        """Let the loop and its thread live in this time."""
        self._block, undo = block, block.undo
        undo.append((self._hand_over_timers, ()))
        undo.append((self.hook.remove, (self.mover,)))
        self.hook.add(self.mover, first=True)
        self.mover.work = self._work = work = WorkElsewhere.opened(self.hook, undo)
        undo.append((work.thresholds.pop, (self, None)))
        work.thresholds[self] = self._threshold
        attributes = {**self._virtual_loop.attributes, **self._tasks.attributes}
        undo.append((self.hook.patches.remove, (attributes,)))
        self.hook.patches.add(attributes)
        undo.append((_time_module.hide, (self.clock,)))
        _time_module.show(self.clock, datetime=self._datetime)
        undo.append((self._close, ()))

    def check(self) -> None:
        """Let the block end."""

    def on_loop_closed(self) -> None:
        """End the block."""
        self._block.close()

    def _close(self) -> None:
        self.mover.is_closed = self._virtual_loop.is_closed = True
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
        self.mover.cancel_adds()
        # A loop's own call_later reads time.monotonic, which a test may have mocked.
        is_nested = self.hook.patches.replaces("call_later")
        call_later = self.loop.call_later if is_nested else self.hook.real_call_later
        for moment, timer in waiting:
            delay = self.clock.until(moment, timer.when())
            timer.owner = TransferredTimer(call_later(delay, run_handle, timer))

    def on_standstill(self, timer: Timer, times: int) -> None:
        """End the block, since time does not move any more."""
        what = describe_timer(timer, unfinished_tasks(self.loop, self._tasks), self._block.watch.task, [])
        reason = (
            f"time stands still at {moment_text(self.clock.now, dates=self._datetime)}",
            f"  timers due at once, or calls of add(0), have followed each other {times:,} times",
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
        last = self.mover.last_fired
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
                fired_count=len(self.mover.called_times),
                work=self._work.running(),
                waits=error is None or isinstance(error, CancelledError),
                tasks=tasks_snapshot(self.hook, self._tasks, own, error, unfinished=unfinished, listed=woken),
            )
        )

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        pending = self.pending()
        waiting = f"{len(pending)} pending, next at {pending[0]!r}" if pending else "nothing pending"
        return f"<virtual time{name} at {self.clock.now!r}, {waiting}{', closed' if self.mover.is_closed else ''}>"
