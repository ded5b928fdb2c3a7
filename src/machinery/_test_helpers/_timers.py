"""The timers of a virtual clock: their handle, and the queue in which they wait."""

from asyncio import AbstractEventLoop, Handle, TimerHandle
from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
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


Entry = tuple[Moment, int, Timer]


class TransferredTimer:
    """The owner of a timer that was handed to the surrounding clock when its block ended."""

    def __init__(self, successor: TimerHandle) -> None:
        self._successor = successor

    def note_cancelled(self) -> None:
        """Cancel the timer that stands in for it."""
        self._successor.cancel()


class TimerQueue:
    """Timers in order of their deadlines, and of being added where these are equal."""

    def __init__(self) -> None:
        self.added = 0
        """How many timers have been added so far; each timer's number is what this was before."""
        self._heap: list[Entry] = []
        self._immediate: list[Entry] = []
        """Another heap, of the few that were due already when they were set."""
        self._cancelled = 0
        self._sweep_at = _SWEEP_SLACK

    def add(self, moment: Moment, timer: Timer) -> None:
        """Add a timer that is due at this moment."""
        timer.owner = self
        heappush(self._immediate if timer.immediate else self._heap, (moment, self.added, timer))
        self.added += 1

    def first(self) -> Entry | tuple[Moment, int, None]:
        """Return the deadline, the number and the timer that is due first; ``NEVER`` if there is none."""
        heap = self._first_heap()
        return heap[0] if heap else _NOTHING

    def pop(self) -> Timer:
        """Take out what :meth:`first` has returned."""
        timer = heappop(self._first_heap())[2]
        timer.owner = None
        return timer

    def immediate(self, end: int) -> list[Timer]:
        """Return the timers that were due when they were set, but for those with numbers from ``end`` on, in order.

        Those that come after a timer of another kind are left out.
        """
        heap = self._first_heap()
        limit = self._heap[0][:2] if self._heap and heap is self._immediate else _NOTHING[:2]
        entries = sorted(self._immediate, key=_order) if heap is self._immediate else []
        return [timer for moment, number, timer in entries if (moment, number) < limit and number < end]

    def take(self, timer: Timer) -> bool:
        """Take out a timer, unless it has been cancelled; return whether it was there."""
        if timer.owner is None:
            return False
        timer.owner = None
        return True

    def waiting(self) -> list[tuple[Moment, Timer]]:
        """Return all timers that are to fire, in order."""
        entries = sorted([*self._heap, *self._immediate], key=_order)
        return [(moment, timer) for moment, _, timer in entries if timer.owner is not None]

    def note_cancelled(self) -> None:
        """Sweep when many have been cancelled, so that timeouts that never strike take no memory."""
        self._cancelled += 1
        if self._cancelled > self._sweep_at:
            self._heap = [entry for entry in self._heap if entry[2].owner is not None]
            heapify(self._heap)
            self._cancelled = 0
            # Sweeping when as many have been cancelled as are left costs each the same, however many there are.
            self._sweep_at = len(self._heap) + _SWEEP_SLACK

    def _first_heap(self) -> list[Entry]:
        """Return the heap with the first timer on top."""
        heap = self._heap
        while heap and heap[0][2].owner is None:
            heappop(heap)
            self._cancelled -= 1
        immediate = self._immediate
        while immediate and immediate[0][2].owner is None:
            heappop(immediate)
        if immediate and (not heap or immediate[0][:2] < heap[0][:2]):
            return immediate
        return heap


_NOTHING: tuple[Moment, int, None] = (NEVER, 0, None)


def _order(entry: tuple[Moment, int, Timer]) -> tuple[Moment, int]:
    return entry[:2]


def _make_timer(
    when: float,
    callback: Callable[..., object],
    args: tuple[object, ...],
    loop: AbstractEventLoop,
    context: Context | None,
) -> Timer:
    timer: Any = _new(Timer)
    timer._args = args
    timer._callback = callback
    timer._cancelled = timer._scheduled = False
    timer._context = copy_context() if context is None else context
    timer._loop = loop
    timer._repr = timer._source_traceback = None
    timer._when = when
    made: Timer = timer
    return made


_new = Timer.__new__
make_timer: Callable[..., Timer] = _make_timer if HANDLE_SLOTS_ARE_KNOWN else Timer
"""Make a timer as its class does, for a loop that is not in debug mode."""
