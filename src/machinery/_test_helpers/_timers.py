"""The timers of a virtual clock, in the order in which they fire."""

import asyncio
import contextvars
import heapq
import math
from collections.abc import Callable, Iterator

from machinery._test_helpers._where import Origin

_FEW = 100


class Timer(asyncio.TimerHandle):
    """What ``call_later`` and ``call_at`` return in virtual time."""

    __slots__ = ("_successor", "_timers", "in_a_row", "origin")

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
        origin: Origin,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.origin = origin
        self.in_a_row = 0
        self._timers: Timers | None = None
        self._successor: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Do not call the callback."""
        if self.cancelled():
            return
        # Not TimerHandle.cancel: that one counts for the loop's own heap, where this timer is not; on uvloop it raises.
        asyncio.Handle.cancel(self)
        if self._timers is not None:
            self._timers.note_cancelled()
        if self._successor is not None:
            self._successor.cancel()

    def continue_as(self, successor: asyncio.TimerHandle) -> None:
        """Let another timer, of another clock, do the rest; cancelling this one cancels that one."""
        self._successor = successor


class Timers:
    """A queue ordered by exact deadline, then by when it was put in.

    Entries are tuples, which compare without calling Python code.
    A heap of handles alone would not keep equal deadlines in the order in which they were put in.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._cancelled = 0

    def push(self, moment: float, timer: Timer) -> None:
        """Put in a timer that is due at this moment."""
        timer._timers = self
        self._count += 1
        heapq.heappush(self._heap, (moment, self._count, timer))

    def first(self) -> float:
        """Return the earliest moment at which a timer is due, infinity if there is none."""
        heap = self._heap
        while heap:
            moment, _, timer = heap[0]
            if not timer.cancelled():
                return moment
            heapq.heappop(heap)
            self._cancelled -= 1
        return math.inf

    def take(self, moment: float) -> Iterator[Timer]:
        """Take out, one after the other, those that are due at this moment and were put in before this call."""
        heap, last = self._heap, self._count
        while heap and heap[0][0] == moment and heap[0][1] <= last:
            timer = heapq.heappop(heap)[2]
            if timer.cancelled():
                self._cancelled -= 1
            else:
                timer._timers = None
                yield timer

    def waiting(self) -> list[tuple[float, Timer]]:
        """Return all that are to come, in order."""
        return [(moment, timer) for moment, _, timer in sorted(self._heap) if not timer.cancelled()]

    def clear(self) -> list[Timer]:
        """Take out all that are to come, in order."""
        timers = [timer for _, timer in self.waiting()]
        for timer in timers:
            timer._timers = None
        self._heap.clear()
        return timers

    def note_cancelled(self) -> None:
        """Sweep once more than half of the queue is cancelled, so that timeouts which never strike cost no memory."""
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            # In place: a callback that is called from within `take` may be what cancels.
            self._heap[:] = [entry for entry in self._heap if not entry[2].cancelled()]
            heapq.heapify(self._heap)
            self._cancelled = 0
