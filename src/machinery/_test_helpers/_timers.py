"""The timers of a virtual clock, in the order in which they fire."""

import asyncio
import heapq
import math
from typing import Protocol

from machinery._test_helpers._where import Origin

_FEW = 100


class Holder(Protocol):
    """Whoever has a timer that is to fire."""

    def note_cancelled(self) -> None:
        """Learn that the timer has been cancelled."""
        ...


class Timer(asyncio.TimerHandle):
    """What ``call_later`` and ``call_at`` return in virtual time."""

    __slots__ = ("at_once", "holder", "origin")

    holder: Holder | None
    """Who is to fire it; nobody once that is done, or is not to be."""

    at_once: bool
    """Whether it was due already when it was set."""

    origin: Origin | None
    """Where it was set, unless that was by asyncio itself."""

    def cancel(self) -> None:
        """Do not call the callback."""
        holder, self.holder = self.holder, None
        # Not TimerHandle.cancel: that one counts for the loop's own heap, where this timer is not; on uvloop it raises.
        asyncio.Handle.cancel(self)
        if holder is not None:
            holder.note_cancelled()


class Elsewhere:
    """Where a timer is that goes on as another one, of another clock."""

    def __init__(self, successor: asyncio.TimerHandle) -> None:
        self._successor = successor

    def note_cancelled(self) -> None:
        """Cancel the other one as well."""
        self._successor.cancel()


class Timers:
    """A queue ordered by exact deadline, then by when it was put in.

    The timers of one deadline stand in one list, and only the deadlines are kept in a heap:
    it costs nothing to keep equal ones in order, and those that fire together are taken out together.
    """

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._at: dict[float, list[Timer]] = {}
        self._size = 0
        self._cancelled_since_sweep = 0

    def push(self, moment: float, timer: Timer) -> None:
        """Put in a timer that is due at this moment."""
        timer.holder = self
        self._size += 1
        together = self._at.get(moment)
        if together is None:
            self._at[moment] = [timer]
            heapq.heappush(self._moments, moment)
        else:
            together.append(timer)

    def first(self) -> float:
        """Return the earliest moment at which a timer is due, infinity if there is none."""
        while self._moments:
            together = self._at[self._moments[0]]
            if together[0].holder is not None:
                return self._moments[0]
            alive = [timer for timer in together if timer.holder is not None]
            self._size -= len(together) - len(alive)
            if alive:
                self._at[self._moments[0]] = alive
            else:
                del self._at[heapq.heappop(self._moments)]
        return math.inf

    def next(self) -> Timer:
        """Return the first of those that are due first."""
        return self._at[self.first()][0]

    def take_first(self) -> list[Timer]:
        """Take out all that are due first, in order; some may be cancelled."""
        together = self._at.pop(heapq.heappop(self._moments))
        self._size -= len(together)
        return together

    def put_back(self, moment: float, timers: list[Timer]) -> None:
        """Put in again what was taken out, before what is due at the same moment."""
        newer = self._at.pop(moment, [])
        self._moments = [other for other in self._moments if other != moment]
        heapq.heapify(self._moments)
        self._size -= len(newer)
        for timer in [*timers, *newer]:
            if timer.holder is not None:
                self.push(moment, timer)

    def waiting(self) -> list[tuple[float, Timer]]:
        """Return all that are to come, in order."""
        return [(at, timer) for at in sorted(self._moments) for timer in self._at[at] if timer.holder is not None]

    def note_cancelled(self) -> None:
        """Sweep once half of the queue may be cancelled, so that timeouts which never strike cost no memory."""
        self._cancelled_since_sweep += 1
        if self._cancelled_since_sweep > _FEW and self._cancelled_since_sweep * 2 > self._size:
            waiting = self.waiting()
            self._at.clear()
            for moment, timer in waiting:
                self._at.setdefault(moment, []).append(timer)
            # Ascending, which is a heap as well.
            self._moments = list(self._at)
            self._size = len(waiting)
            self._cancelled_since_sweep = 0
