"""Virtual time: hours pass for the code under test, and none for whoever waits for the test."""

import asyncio
import contextlib
import contextvars
import functools
import heapq
import inspect
import itertools
import logging
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Protocol

from machinery._test_helpers import _time_module
from machinery._test_helpers._clock import NEVER, Clock, clean, due, finite, not_negative
from machinery._test_helpers._owner import Owner, block
from machinery._test_helpers._real_work import PATIENCE, RealWork
from machinery._test_helpers._reports import describe_timer, report_virtual_time
from machinery._test_helpers._seam import (
    ANYIO,
    Timer,
    forget_callers,
    is_watchdog,
    make_timer,
    run_handle,
    running_loop,
    seam_of,
)
from machinery._test_helpers._tasks import Tasks
from machinery._test_helpers._timers import Elsewhere, Timers

logger = logging.getLogger("machinery.test_helpers")
_numbers = itertools.count()

# Callbacks from here belong to a task, which tells more than where they were set: that is a line of asyncio's.
_OF_ASYNCIO = {"asyncio.futures", "asyncio.tasks", "asyncio.timeouts"}

_MOMENT = 0.001
STANDSTILL = 1000
"""How many callbacks in a row may each set the next one with no delay."""


class Cancellable(Protocol):
    """An object that can be cancelled."""

    def cancel(self) -> None:
        """Cancel it; what it stands for does not happen."""
        ...


class HasLoop(Protocol):
    """What :func:`.mocked_call_later` needs of a context: the loop that it belongs to."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        ...


class MockedCallLater(Protocol):
    """Virtual time, as :func:`.mocked_call_later` gives it to the test."""

    async def add(self, amount: float) -> None:
        """Let an amount of virtual time pass, and everything happen that happens in it.

        Afterwards the clock stands ``amount`` later, rounded up to a tick; all that was due by then has run, in order,
        together with what it set off. While it runs, time does not move ahead of it.

        :param amount: seconds, 0 or more; 0 runs what is due now.
        :raises ValueError: if ``amount`` is negative, ``nan`` or infinite.
        :raises RuntimeError: if the block has been left.
        """
        ...

    @property
    def called_times(self) -> list[float]:
        """The virtual time, in seconds, of each callback that was called, in order; cancelled ones are absent."""
        ...

    @property
    def pending(self) -> list[float]:
        """The deadlines still to come, in seconds of virtual time, sorted."""
        ...


@block
async def mocked_call_later(
    *,
    ctx: HasLoop | None = None,
    precision: float = 0.1,
    start_time: float = 0,
    name: str = "",
    autojump_threshold: float | None = None,
    datetime: bool = False,
) -> AsyncGenerator[MockedCallLater]:
    """Run a block of asyncio code in virtual time, so that waiting for hours takes no time at all.

    Inside the block ``time.time()``, ``time.monotonic()`` and ``loop.time()`` read one clock.
    Whenever all tasks wait, it jumps to the next deadline; ``add`` moves it by hand. An exception that leaves the block
    gets a note on what was pending, and on who waited at which line.

    .. code-block:: python

        import asyncio
        import time

        from machinery import test_helpers as thp


        async def test_an_hour_passes_at_once():
            async with thp.mocked_call_later() as m:
                await asyncio.sleep(3600)
                assert time.time() == 3600
                assert m.called_times == [3600]

                task = asyncio.create_task(asyncio.sleep(5))
                await m.add(4)
                assert not task.done()
                await m.add(1)
                assert task.done()

    :param ctx: anything with a ``loop``, which has to be the running one; ``None`` is the running loop.
    :param precision: the length of a tick, in seconds; delays are rounded up to whole ticks. Finer ticks cost nothing.
    :param start_time: what the clock shows at the beginning, in seconds (with ``datetime``, since 1970).
    :param name: appears in logs, reprs and reports.
    :param autojump_threshold: for how many real seconds the loop has to be idle before the clock moves by itself,
        whatever else is running; with 0 nothing holds the clock, with ``math.inf`` only ``add`` moves it.
        ``None``: work in threads and processes that the loop knows of holds the clock while it runs, each piece for at
        most 2 real seconds of an otherwise idle loop.
    :param datetime: whether ``datetime.now()`` and all else that ``time-machine`` covers follow the clock; this needs
        the extra ``machinery[datetime]``.
    :return: an async context manager that gives a :class:`MockedCallLater`.
    :raises ValueError: on entering, if ``ctx`` belongs to another loop, or ``precision`` or ``start_time`` is out of
        range; ``precision`` also when it is too fine for floats near ``start_time``.
    :raises ImportError: on entering, if ``datetime`` is asked for and ``time-machine`` is not installed.
    :raises TypeError: on entering, if an argument is of the wrong type.
    :raises RuntimeError: on entering, if the running loop is of a kind that does not tell when it is idle.
    :raises Stuck: out of the block, if it is certain that nothing can happen in it any more, or that time stands still.
    """
    __tracebackhide__ = True
    if ctx is not None and not hasattr(ctx, "loop"):
        raise TypeError(f"ctx must have a loop, got {ctx!r}")
    loop = running_loop(None if ctx is None else ctx.loop)
    clock = Clock(start_time=start_time, precision=precision)
    if autojump_threshold is not None:
        autojump_threshold = not_negative("autojump_threshold", autojump_threshold)
    virtual_time = VirtualTime(loop, clock, name, autojump_threshold)
    with virtual_time.shown(datetime=datetime):
        yield virtual_time


class VirtualTime:
    """A clock, the timers that wait for it, and the rule by which it moves."""

    rank = 2

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, name: str, autojump_threshold: float | None
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.name = name
        self.timers = Timers()
        self.last_called: Timer | None = None
        self.owner = Owner(functools.partial(report_virtual_time, self))
        self._autojump_threshold = autojump_threshold
        self._adds: list[tuple[float, int, asyncio.Future[None]]] = []
        self._called_times: list[float] = []
        self._held_at = -NEVER
        self._held_from = 0.0
        self._set_at_once = False
        self._in_a_row = 0
        self._thread = threading.get_ident()
        self._began = clock.now, time.perf_counter()
        self._undo = contextlib.ExitStack()
        # Who patches over our methods inside the block may put them back after it: they lead to real time then.
        self.left = False

    @contextlib.contextmanager
    def shown(self, *, datetime: bool) -> Iterator[None]:
        """Let the loop and its thread live in this time."""
        with self._undo:
            self.seam = seam_of(self.loop)
            self.seam.enter(self, first=True)
            self._undo.callback(self.seam.leave, self)
            self._undo.enter_context(self.owner.watched(self.seam))
            self.work = RealWork(self.loop, self.seam)
            self.tasks = Tasks(self.loop)
            layer = {
                "time": self.seam.time_of(self),
                "call_later": functools.partial(self._set, self.clock.later, self.seam.real_call_later),
                "call_at": functools.partial(self._set, self.clock.at, self._real_call_at),
                **self.work.layer,
                **self.tasks.layer,
            }
            self._undo.callback(self.seam.layers.remove, layer)
            self.seam.layers.add(layer)
            self._undo.callback(_time_module.hide, self.clock)
            _time_module.show(self.clock, datetime=datetime)
            try:
                with self.owner.told():
                    yield
            finally:
                self.close()
                passed = {"virtual_seconds": self.virtual_seconds(), "real_seconds": self.real_seconds()}
                logger.debug("%r: %s virtual seconds took %.6f real ones", self, *passed.values(), extra=passed)

    # What the test holds.

    async def add(self, amount: float) -> None:
        __tracebackhide__ = True
        if finite("amount", amount) < 0:
            raise ValueError(f"amount must be 0 seconds or more, got {amount!r}: time does not go back")
        if self.left:
            raise RuntimeError(f"{self!r} has been left: its clock does not move any more")
        target, _ = self.clock.later(amount)
        if target == NEVER:
            raise ValueError(f"amount must lead to a time that a float can tell, got {amount!r}")
        reached = self.loop.create_future()
        heapq.heappush(self._adds, (target if type(target) is int else due(target), next(_numbers), reached))
        await reached

    @property
    def called_times(self) -> list[float]:
        return self._called_times

    @property
    def pending(self) -> list[float]:
        return [
            self.clock.time_at(moment) if isinstance(moment, int) else clean(timer.when())
            for moment, timer in self.timers.waiting()
        ]

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        pending = self.pending
        waiting = f"{len(pending)} pending, next at {pending[0]!r}" if pending else "nothing pending"
        return f"<virtual time{name} at {self.clock.now!r}, {waiting}{', left' if self.left else ''}>"

    # What reports ask for.

    def virtual_seconds(self) -> float:
        """Return how much time has passed on the clock."""
        return self.clock.now - self._began[0]

    def real_seconds(self) -> float:
        """Return how much time has really passed."""
        return time.perf_counter() - self._began[1]

    @property
    def only_add_moves(self) -> bool:
        """Whether the clock never moves by itself."""
        return self._autojump_threshold == NEVER

    # What the loop calls.

    def _set(
        self,
        moment_of: Callable[[float], tuple[float, float]],
        in_real_time: Callable[..., asyncio.TimerHandle],
        time: float,
        callback: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; the first two arguments are what makes this ``call_later`` or ``call_at``."""
        __tracebackhide__ = True
        module = getattr(callback, "__module__", None)
        of_asyncio = module in _OF_ASYNCIO
        if self.left or (not of_asyncio and module is not None and is_watchdog(module)):
            return in_real_time(time, callback, *args, context=context)
        try:
            moment, when = moment_of(time)
        except TypeError:
            wanted = "delay must be a number of" if moment_of == self.clock.later else "when must be a time in"
            raise TypeError(f"{wanted} seconds, got {time!r}") from None
        if not callable(callback):
            raise TypeError(f"callback must be callable, got {callback!r}: pass the function itself, do not call it")
        loop = self.loop
        if loop.get_debug():
            self._check_as_in_debug_mode(callback)
            timer = Timer(when, callback, args, loop, context)
            forget_callers(timer, 1)
        else:
            timer = make_timer(when, callback, args, loop, context)
        if of_asyncio:
            timer.origin = None
        else:
            caller = sys._getframe(1)
            timer.origin = caller.f_code, caller.f_lasti
        if type(moment) is int or moment < NEVER:
            self.timers.push(moment, timer)
        else:
            timer.holder = None
        timer.at_once = moment <= self.clock.tick
        if timer.at_once:
            self._set_at_once = True
            self.seam.in_next_round(self._take_at_once)
        return timer

    def _real_call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.seam.real_call_later(when - self.loop.time(), callback, *args, context=context)

    def _check_as_in_debug_mode(self, callback: Callable[..., object]) -> None:
        __tracebackhide__ = True
        if threading.get_ident() != self._thread:
            raise RuntimeError("timers can be set only from the thread of their loop: use loop.call_soon_threadsafe")
        if inspect.iscoroutinefunction(callback):
            raise TypeError(
                f"callback must be a plain function, got the coroutine function {callback!r}: use loop.create_task"
            )

    # How time passes.

    def at_rest(self, rested: float) -> float:
        """Call what is due now, or else move to what is due next and call that, if nothing holds the clock."""
        clock = self.clock
        moment, timers = self.timers.take_first()
        tick = moment if type(moment) is int or moment == NEVER else due(moment)
        if tick > clock.tick or self._adds:
            target = self._next_target() if self._adds else NEVER
            goal = tick if tick <= target else target
            if goal > clock.tick:
                if goal == NEVER:
                    return NEVER
                if self._autojump_threshold is not None or self.work.under_way or ANYIO in sys.modules:
                    self.timers.put_back(moment, timers)
                    wait = self._wait_before_move(goal, rested, by_itself=target == NEVER)
                    if wait > 0:
                        return wait
                    moment, timers = self.timers.take_first()
                clock.move_to(goal)
                if _time_module.followers:
                    _time_module.follow()
            if target < tick:
                self.timers.put_back(moment, timers)
                heapq.heappop(self._adds)[2].set_result(None)
                return 0
        self._fire(moment, timers)
        return 0

    def _next_target(self) -> float:
        while self._adds and self._adds[0][2].done():
            heapq.heappop(self._adds)
        return self._adds[0][0] if self._adds else NEVER

    def _wait_before_move(self, goal: float, rested: float, *, by_itself: bool) -> float:
        """Return for how many more real seconds the clock may not move to a tick, 0 or less for no longer."""
        if self._autojump_threshold is not None:
            return self._autojump_threshold - rested if by_itself else 0
        if self._held_at != self.clock.tick:
            self._held_at, self._held_from = self.clock.tick, self.seam.rest
        # Work upon work does not hold the clock for longer than the same wait would take in real time.
        longest = max(PATIENCE, self.clock.time_at(goal) - self.clock.now)
        wait = min(self.work.holds_for(), self._held_from + longest - self.seam.rest)
        if wait <= 0 and self.seam.anything_to_read():
            # A thread of anyio has ended since the loop looked, and what it has to say comes first.
            return _MOMENT
        overtaken = self.work.overtake() if wait <= 0 else ()
        if overtaken:
            logger.warning(
                "%s moves on past real work that held it for %s real seconds: %s (see autojump_threshold)",
                repr(self),
                PATIENCE,
                ", ".join(overtaken),
            )
        return wait

    def _fire(self, moment: float, timers: list[Timer]) -> None:
        now, note_called = self.clock.now, self._called_times.append
        left = iter(timers)
        try:
            for timer in left:
                if timer.holder is not None:
                    timer.holder = None
                    self.last_called = timer
                    note_called(now)
                    run_handle(timer)
        except BaseException:
            # Such as KeyboardInterrupt, which ends the loop: who runs it again misses nothing.
            self.timers.put_back(moment, list(left))
            raise

    def _take_at_once(self) -> None:
        """Let what was set for this very instant be called in this round, as asyncio does, though the loop is busy."""
        taken: list[Timer] = []
        moment, timers = first, _ = self.timers.take_first()
        while moment <= self.clock.tick and timers[0].at_once:
            taken += timers
            moment, timers = self.timers.take_first()
        self.timers.put_back(moment, timers)
        self.loop.call_soon(self._fire_at_once, first, taken)

    def _fire_at_once(self, moment: float, taken: list[Timer]) -> None:
        self._set_at_once = False
        self._fire(moment, taken)
        self._in_a_row = self._in_a_row + 1 if self._set_at_once else 0
        if self._in_a_row == STANDSTILL:
            self._in_a_row = 0
            self._give_up_if_time_stands_still()

    def _give_up_if_time_stands_still(self) -> None:
        if self.seam.certain() and self.last_called is not None:
            self.owner.give_up(
                f"time stands still at {self.clock.now!r}: {STANDSTILL:,} times in a row a callback has set"
                f" the next one with no delay, last {describe_timer(self.last_called)}"
            )

    # How it ends.

    def close(self) -> None:
        """Put everything back, and let what is pending go on in the time that surrounds the block."""
        if self.left:
            return
        self.left = True
        self._undo.close()
        waiting, self.timers = self.timers.waiting(), Timers()
        if self.loop.is_closed():
            return
        for _, _, reached in self._adds:
            reached.cancel()
        for _, timer in waiting:
            delay = timer.when() - self.clock.now
            timer.holder = Elsewhere(self.loop.call_later(delay, run_handle, timer))
