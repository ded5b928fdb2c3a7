"""The timers of a virtual clock: their handle, and the queue in which they wait.

PYTEST_DONT_REWRITE
"""

from asyncio import Handle, TimerHandle
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, Protocol

from machinery._test_helpers._asyncio_internals import HANDLE_SLOTS_ARE_KNOWN
from machinery._test_helpers._clock import NEVER, Moment
from machinery._test_helpers._source import Origin

_SWEEP_SLACK = 100


class TimerOwner(Protocol):
    """What has a timer that is to fire."""

    def note_cancelled(self) -> None:
        """Note that the timer has been cancelled."""
        ...


class Timer(TimerHandle):
    """What ``call_later`` and ``call_at`` return in virtual time."""

    __slots__ = ("immediate", "origin", "owner")

    owner: TimerOwner | None
    """What is to fire it; ``None`` once it has fired or been cancelled."""

    immediate: bool
    """Whether it was due already when it was set."""

    origin: Origin | None
    """Where it was set, unless that was by asyncio itself."""

    def cancel(self) -> None:
        """Cancel the scheduled call."""
        this: Any = self
        owner, self.owner = self.owner, None
        # Not TimerHandle.cancel: it counts for the loop's own heap, where this timer is not; on uvloop it raises.
        if this._source_traceback is None and HANDLE_SLOTS_ARE_KNOWN:
            this._cancelled = True
            this._callback = this._args = None
        else:
            Handle.cancel(self)
        if owner is not None:
            owner.note_cancelled()


class TransferredTimer:
    """The owner of a timer that was handed to the surrounding clock when its block ended."""

    def __init__(self, successor: TimerHandle) -> None:
        self._successor = successor

    def note_cancelled(self) -> None:
        """Cancel the timer that stands in for it."""
        self._successor.cancel()


class TimerQueue:
    """Timers in order of their deadlines, and of being added where these are equal.

    Timers of the same deadline share one entry, and only the deadlines are in a heap: without this, the workload of
    ticking tasks takes 10 % more instructions.
    """

    def __init__(self) -> None:
        self.immediate_added = 0
        """How many of the timers added so far were due already; each one's number is what this was before."""
        self._at: dict[Moment, Timer | list[Timer]] = {}
        self._moments: list[Moment] = []
        self._immediate: list[tuple[Moment, int, Timer]] = []
        """A heap of those that were due already."""
        self._cancelled = 0
        self._sweep_at = _SWEEP_SLACK

    def add(self, moment: Moment, timer: Timer) -> None:
        """Add a timer that is due at this moment."""
        timer.owner = self
        if timer.immediate:
            heappush(self._immediate, (moment, self.immediate_added, timer))
            self.immediate_added += 1
            return
        first = self._at.setdefault(moment, timer)
        if first is timer:
            heappush(self._moments, moment)
        elif isinstance(first, list):
            first.append(timer)
        else:
            self._at[moment] = [first, timer]

    def first(self) -> tuple[Moment, Timer | list[Timer]]:
        """Return the deadline that comes first and its timers, which stay in the queue until they fire.

        ``NEVER`` without timers. Some of several may have been cancelled or have fired.
        """
        moments = self._moments
        while moments:
            moment = moments[0]
            timers: Any = self._at[moment]
            if type(timers) is list:
                if timers and any(map(_owner_of, timers)):
                    break
            elif timers.owner is not None:
                break
            del self._at[heappop(moments)]
        else:
            moment, timers = NEVER, []
        if self._immediate and self._immediate_is_first():
            return self._immediate[0][0], self.immediate(self.immediate_added)
        return moment, timers

    def immediate(self, end: int) -> list[Timer]:
        """Return the timers that were due when they were added, but for those with numbers from ``end`` on, in order.

        Those that come after a timer of another kind are left out.
        """
        latest = self._moments[0] if self._moments else NEVER
        return [timer for moment, number, timer in sorted(self._immediate) if moment < latest and number < end]

    def clear(self) -> None:
        """Forget all timers."""
        self._at, self._moments, self._immediate = {}, [], []

    def until(self, end: Moment) -> list[Timer]:
        """Return the timers that are due by a moment and are no immediate ones, in no order."""
        due = [timer for moment, at in self._at.items() if moment <= end for timer in _listed(at)]
        return [timer for timer in due if timer.owner is not None]

    def waiting(self) -> list[tuple[Moment, Timer]]:
        """Return all timers that are to fire, in order."""
        if not self._at and not self._immediate:
            return []
        timers = [(moment, timer) for moment in sorted(self._at) for timer in _listed(self._at[moment])]
        # Of equal deadlines, those that were due already were added later.
        timers += [(moment, timer) for moment, _, timer in sorted(self._immediate)]
        return sorted(((moment, timer) for moment, timer in timers if timer.owner is not None), key=_moment_of)

    def note_cancelled(self) -> None:
        """Sweep when many have been cancelled, so that timeouts that never fire take no memory."""
        self._cancelled += 1
        if self._cancelled > self._sweep_at:
            alive = {
                moment: [timer for timer in _listed(at) if timer.owner is not None] for moment, at in self._at.items()
            }
            self._at = {moment: timers for moment, timers in alive.items() if timers}
            self._moments = sorted(self._at)
            self._cancelled = 0
            # Sweeping when as many have been cancelled as are left costs each the same, however many there are.
            self._sweep_at = sum(map(len, alive.values())) + _SWEEP_SLACK

    def _immediate_is_first(self) -> bool:
        immediate = self._immediate
        while immediate and immediate[0][2].owner is None:
            heappop(immediate)
        return bool(immediate) and (not self._moments or immediate[0][0] < self._moments[0])


def _listed(timers: Timer | list[Timer]) -> list[Timer]:
    return timers if isinstance(timers, list) else [timers]


_owner_of = attrgetter("owner")


def _moment_of(entry: tuple[Moment, Timer]) -> Moment:
    return entry[0]
