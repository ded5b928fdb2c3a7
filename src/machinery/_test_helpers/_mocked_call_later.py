"""Virtual time for asyncio tests: waiting for hours takes no real time.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop
from contextlib import AbstractAsyncContextManager
from datetime import datetime as _datetime
from typing import Protocol

from machinery._test_helpers._asyncio_internals import running_loop_or_none
from machinery._test_helpers._block import Block
from machinery._test_helpers._clock import Clock, not_negative
from machinery._test_helpers._dates import seconds_since_1970
from machinery._test_helpers._loops import check_own_loop, running_loop
from machinery._test_helpers._virtual_time import VirtualTime


class Cancellable(Protocol):
    """An object that can be cancelled, such as the handle that ``loop.call_later`` returns.

    .. code-block:: python

        import asyncio

        from machinery import test_helpers as thp


        async def test_a_cancelled_timer_does_not_fire():
            fired = []
            async with thp.mocked_call_later() as m:
                timer: thp.Cancellable = asyncio.get_running_loop().call_later(5, fired.append, "timer")
                timer.cancel()
                await m.add(5)
            assert fired == []
    """

    def cancel(self) -> None:
        """Cancel the scheduled call."""
        ...


class HasLoop(Protocol):
    """What :func:`.mocked_call_later` needs of a context."""

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop."""
        ...


class MockedCallLater(Protocol):
    """The clock of a block: what ``async with thp.mocked_call_later() as m`` gives.

    .. code-block:: python

        import asyncio

        from machinery import test_helpers as thp


        async def test_two_of_three_timers_are_due():
            fired = []
            async with thp.mocked_call_later() as m:
                for delay in (1, 2, 5):
                    asyncio.get_running_loop().call_later(delay, fired.append, delay)

                await m.add(2)
                assert fired == [1, 2]
                assert m.called_times == [1, 2]
                assert m.pending == [5]
    """

    async def add(self, amount: float) -> None:
        """Move the clock forward, and run everything that is due on the way.

        Afterwards all timers due by then have fired, in order, and everything that they woke has run until it waits
        again. While this runs, the clock does not move past its end.

        :param amount: seconds, 0 or more, rounded up to a tick; 0 runs what is due now.
        :raises ValueError: if ``amount`` is negative, ``nan`` or infinite.
        :raises RuntimeError: if the block has ended, or belongs to another event loop.
        """
        ...

    @property
    def called_times(self) -> list[float]:
        """The virtual times at which timers fired, in seconds and in order, without the cancelled ones."""
        ...

    @property
    def pending(self) -> list[float]:
        """The deadlines of the timers that have not fired yet, in virtual seconds, sorted."""
        ...


def mocked_call_later(
    *,
    ctx: HasLoop | None = None,
    precision: float = 0.1,
    start_time: float | _datetime = 0,
    name: str = "",
    autojump_threshold: float | None = None,
    datetime: bool = False,
) -> AbstractAsyncContextManager[MockedCallLater]:
    """Run a block of asyncio code in virtual time, so that waiting for hours takes no real time.

    ``async with`` gives a :class:`MockedCallLater`. Inside the block ``time.time()``, ``time.monotonic()`` and
    ``loop.time()`` read one clock, in seconds. It jumps to the next deadline whenever every task waits, and ``add``
    moves it by hand. An exception that leaves the block gets a note with the pending timers and the line at which each
    task waits.

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

    :param ctx: anything with a ``loop`` attribute, which has to be the running loop; ``None`` means the running loop.
    :type ctx: object | None
    :param precision: the length of a tick, in seconds; delays are rounded up to whole ticks. Finer ticks cost nothing.
    :param start_time: where the clock begins: seconds (with ``datetime``, since 1970), or an aware ``datetime``.
    :param name: appears in logs, reprs and reports.
    :param autojump_threshold: for how many real seconds the loop has to be idle before the clock moves by itself,
        whatever else is under way; with 0 nothing holds the clock, and with ``math.inf`` only ``add`` moves it.
        ``None``: the clock waits for work in threads and child processes and for the answers of servers elsewhere,
        up to 2 real seconds for each.
    :param datetime: whether ``datetime.now()`` and everything else that ``time-machine`` covers follow the clock; this
        needs that package, which the extra ``datetime`` installs.
    :raises ValueError: on entering, if ``ctx`` belongs to another loop, or ``precision`` or ``start_time`` is out of
        range; ``precision`` also when it is too fine for floats near ``start_time``.
    :raises ImportError: on entering, if ``datetime`` is asked for and ``time-machine`` is not installed.
    :raises TypeError: on entering, if an argument is of the wrong type.
    :raises RuntimeError: on entering, if the running loop is not supported.
    :raises Stuck: out of the block, on a deadlock, or if time stands still in an endless series of timers.
    """
    __tracebackhide__ = True
    return Block(lambda: _made(ctx, precision, start_time, name, autojump_threshold, datetime=datetime))


def _made(
    ctx: HasLoop | None,
    precision: float,
    start_time: object,
    name: str,
    autojump_threshold: float | None,
    *,
    datetime: bool,
) -> tuple[VirtualTime, MockedCallLater]:
    __tracebackhide__ = True
    if ctx is not None and not hasattr(ctx, "loop"):
        raise TypeError(f"ctx must have an attribute `loop`, got {ctx!r}")
    loop = running_loop() if ctx is None else running_loop(ctx.loop, "ctx.loop")
    clock = Clock(start_time=seconds_since_1970(start_time), precision=precision)
    if not isinstance(datetime, bool):
        raise TypeError(f"datetime must be True or False, got {datetime!r}; the date to start at is start_time")
    if autojump_threshold is not None:
        autojump_threshold = not_negative("autojump_threshold", autojump_threshold)
    time = VirtualTime(loop, clock, name, autojump_threshold, datetime=datetime)
    return time, HeldTime(time)


class HeldTime:
    """What the user holds."""

    __slots__ = ("_time",)

    def __init__(self, time: VirtualTime) -> None:
        self._time = time

    async def add(self, amount: float) -> None:
        __tracebackhide__ = True
        time = self._time
        if running_loop_or_none() is not time.loop:
            check_own_loop(time.loop, self)
        await time.mover.add(amount)

    @property
    def called_times(self) -> list[float]:
        __tracebackhide__ = True
        check_own_loop(self._time.loop, self)
        return self._time.mover.called_times

    @property
    def pending(self) -> list[float]:
        __tracebackhide__ = True
        check_own_loop(self._time.loop, self)
        return self._time.pending()

    def __repr__(self) -> str:
        return repr(self._time)
