"""The timers of a virtual clock, in the order in which they fire."""

import asyncio
import heapq
import math

from machinery._test_helpers._seam import Timer

_FEW = 100


class Elsewhere:
    """Where a timer is that goes on as another one, of another clock."""

    def __init__(self, successor: asyncio.TimerHandle) -> None:
        self._successor = successor

    def note_cancelled(self) -> None:
        """Cancel the other one as well."""
        self._successor.cancel()


class Timers:
    """A queue ordered by exact deadline, then by when it was put in.

    The timers of one deadline stand together, and only the deadlines are sorted:
    it costs nothing to keep equal ones in order, and those that fire together are taken out together.
    """

    def __init__(self) -> None:
        self._at: dict[float, Timer | list[Timer]] = {}
        """The timers of a moment; the only one without a list, which would cost as much as all the rest."""
        self._moments: list[float] = []
        """Most of the moments, descending: to take the last one off costs nothing, and to sort them all little."""
        self._newer: list[float] = []
        """A heap of those that have come since."""
        self._cancelled = 0
        self._sweep_at = _FEW

    def push(self, moment: float, timer: Timer) -> None:
        """Put in a timer that is due at this moment."""
        timer.holder = self
        there = self._at.get(moment)
        if there is None:
            self._at[moment] = timer
            heapq.heappush(self._newer, moment)
        elif isinstance(there, list):
            there.append(timer)
        else:
            self._at[moment] = [there, timer]

    def take_first(self) -> tuple[float, list[Timer]]:
        """Take out all that are due first, and return when; infinity without any. The first one is not cancelled."""
        while self._at:
            moments, newer = self._moments, self._newer
            if len(newer) > len(moments) + _FEW:
                moments += newer
                moments.sort(reverse=True)
                newer.clear()
            newest_first = newer and (not moments or newer[0] < moments[-1])
            moment = heapq.heappop(newer) if newest_first else moments.pop()
            there = self._at.pop(moment)
            together = there if isinstance(there, list) else [there]
            if together[0].holder is not None:
                return moment, together
            alive = [timer for timer in together if timer.holder is not None]
            self._cancelled -= len(together) - len(alive)
            if alive:
                return moment, alive
        return math.inf, []

    def put_back(self, moment: float, timers: list[Timer]) -> None:
        """Put in again what was taken out, before what is due at the same moment."""
        if timers:
            since = self._at.get(moment)
            if since is None:
                heapq.heappush(self._newer, moment)
            else:
                timers += _listed(since)
            self._at[moment] = timers

    def waiting(self) -> list[tuple[float, Timer]]:
        """Return all that are to come, in order."""
        return [(at, timer) for at in sorted(self._at) for timer in _listed(self._at[at]) if timer.holder is not None]

    def note_cancelled(self) -> None:
        """Sweep when many have been cancelled, so that timeouts which never strike cost no memory."""
        self._cancelled += 1
        if self._cancelled > self._sweep_at:
            waiting = self.waiting()
            self._at, self._moments, self._newer, self._cancelled = {}, [], [], 0
            for moment, timer in waiting:
                self.push(moment, timer)
            # Sweeping when as many have been cancelled as were left costs each the same, however many there are.
            self._sweep_at = len(waiting) + _FEW


def _listed(there: Timer | list[Timer]) -> list[Timer]:
    return there if isinstance(there, list) else [there]
