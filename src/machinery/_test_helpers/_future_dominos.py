"""Dominos: futures that fall one after the other, so that concurrent code runs in the order that the test says."""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import logging
import math
import operator
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from typing import Any, Protocol

from machinery._helpers._protocols import FutureCallback, FutureStatus, Logger
from machinery._test_helpers._owner import Owner, block
from machinery._test_helpers._reports import report_dominos
from machinery._test_helpers._seam import running_loop, seam_of
from machinery._test_helpers._tasks import Tasks
from machinery._test_helpers._where import brief

logger = logging.getLogger("machinery.test_helpers")


class Domino(Protocol):
    """One of the futures of a :class:`FutureDominos`."""

    def __await__(self) -> Generator[None]:
        """Wait for the domino to be knocked over.

        A waiter that is cancelled or times out leaves the domino as it was, and its waiting counts. With a timeout of 0
        ``asyncio.wait_for`` does not even begin to wait, so that the row stops there.

        :return: ``None``.
        :raises BaseException: what the domino was given with ``set_exception``.
        :raises asyncio.CancelledError: if the domino was cancelled.
        """
        ...

    def add_done_callback(self, cb: Callable[[FutureStatus[None]], None]) -> FutureCallback[None]:
        """Call ``cb`` with the domino soon after it has been knocked over, and return ``cb``.

        This counts as awaiting the domino.

        :raises TypeError: if ``cb`` is not a plain function, or anything else that can be called without awaiting it.
        """
        ...

    def cancel(self) -> None:
        """Knock the domino over as cancelled: awaiting it raises ``asyncio.CancelledError``."""
        ...

    def cancelled(self) -> bool:
        """Return whether the domino was cancelled."""
        ...

    def done(self) -> bool:
        """Return whether the domino has been knocked over."""
        ...

    def exception(self) -> BaseException | None:
        """Return the exception that the domino was given, if any.

        :raises asyncio.InvalidStateError: if the domino still stands.
        :raises asyncio.CancelledError: if the domino was cancelled.
        """
        ...

    def result(self) -> None:
        """Return ``None``, or raise what awaiting the domino would raise.

        :raises asyncio.InvalidStateError: if the domino still stands.
        """
        ...

    def set_exception(self, exc: BaseException) -> None:
        """Knock the domino over by hand, so that awaiting it raises ``exc``.

        :raises asyncio.InvalidStateError: if the domino has been knocked over already.
        """
        ...

    def set_result(self, value: None) -> None:
        """Knock the domino over by hand.

        :param value: ``None``, since a domino carries no value.
        :raises TypeError: if ``value`` is anything else.
        :raises asyncio.InvalidStateError: if the domino has been knocked over already.
        """
        ...


class FutureDominos(Protocol):
    """A row of dominos, each of which falls once every earlier one has fallen and been awaited."""

    def __getitem__(self, num: int) -> Domino:
        """Get a domino; it falls no earlier than this.

        :param num: from 1 to the number of dominos.
        :raises IndexError: if there is no such domino.
        :raises TypeError: if ``num`` is not an integer.
        """
        ...

    def begin(self) -> None:
        """Let the dominos begin to fall; calling it again does nothing."""
        ...

    @property
    def started(self) -> asyncio.Event:
        """Set once the dominos have begun."""
        ...

    @property
    def finished(self) -> asyncio.Event:
        """Set once all the dominos have been knocked over and what they woke has run."""
        ...


@block
async def future_dominos(
    *, expected: int, loop: asyncio.AbstractEventLoop | None = None, log: Logger | None = None, name: str = ""
) -> AsyncGenerator[FutureDominos]:
    """Set up a row of dominos, so that concurrent code runs in exactly the order of their numbers.

    A domino falls once ``begin()`` has been called, it has been asked for with ``futs[num]``, every earlier one has
    fallen and been awaited, and whatever the earlier one woke has run until nothing is left to run. An exception that
    leaves the block gets a note on which have fallen, and on who waits for which at which line.

    .. code-block:: python

        import asyncio

        from machinery import test_helpers as thp


        async def test_two_tasks_take_turns():
            async with thp.future_dominos(expected=3) as futs:
                called = []

                async def even():
                    await futs[2]
                    called.append(2)

                async def odd():
                    await futs[1]
                    called.append(1)
                    await futs[3]
                    called.append(3)

                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(even())
                    tasks.create_task(odd())
                    futs.begin()

                assert called == [1, 2, 3]

    :param expected: how many dominos there are, 0 or more.
    :param loop: the running loop, or ``None`` for the same.
    :param log: gets a line at level INFO when a domino is retrieved and when it falls;
        ``None`` is the logger ``machinery.test_helpers``.
    :param name: appears in logs, reprs and reports.
    :return: an async context manager that gives a :class:`FutureDominos`.
    :raises AssertionError: on leaving without an exception, if a domino was not asked for or has not fallen.
    :raises ValueError: on entering, if ``expected`` is negative or ``loop`` is not the running one.
    :raises TypeError: on entering, if an argument is of the wrong type.
    :raises RuntimeError: on entering, if the running loop is of a kind that does not tell when it is idle.
    :raises Stuck: out of the block, if it is certain that nothing can happen in it any more.
    """
    __tracebackhide__ = True
    row = Row(running_loop(loop), _whole(expected), logger if log is None else log, name)
    with row.set_up():
        yield row
        row.check()


class Row:
    """The dominos, and which of them is next to fall."""

    rank = 0

    def __init__(self, loop: asyncio.AbstractEventLoop, expected: int, log: Logger, name: str) -> None:
        self.loop = loop
        self.expected = expected
        self.name = name
        self.dominos: dict[int, FallingDomino] = {}
        self.next = 1
        self.participants: dict[asyncio.Task[Any] | None, int] = {}
        """The tasks that have awaited a domino, and the last one that each of them did."""
        self.owner = Owner(functools.partial(report_dominos, self))
        self.log = log
        self.of_name = f" of {name!r}" if name else ""
        self.knocked_over: asyncio.Future[None] = loop.create_future()
        self.knocked_over.set_result(None)
        self.closed = False
        self._undo = contextlib.ExitStack()
        self._started = asyncio.Event()
        self._finished = asyncio.Event()

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Let the dominos fall while the loop rests."""
        __tracebackhide__ = True
        with self._undo as undo:
            self.seam = seam_of(self.loop)
            self.seam.enter(self)
            undo.callback(self.seam.leave, self)
            undo.enter_context(self.owner.watched(self.seam))
            self.tasks = Tasks(self.loop)
            self.seam.layers.add(self.tasks.layer)
            undo.callback(self.seam.layers.remove, self.tasks.layer)
            undo.callback(self._cancel_those_that_stand)
            with self.owner.told():
                yield

    def __getitem__(self, num: int) -> Domino:
        __tracebackhide__ = True
        if type(num) is not int:
            num = self._index(num)
        domino = self.dominos.get(num)
        return self._retrieve(num) if domino is None else domino

    # Without this, Python would count from 0 to the first IndexError: list(dominos) would be empty.
    __iter__ = None

    def _index(self, num: object) -> int:
        __tracebackhide__ = True
        if isinstance(num, bool) or not hasattr(num, "__index__"):
            raise TypeError(f"dominos are numbered by integers {self._valid()}, got {num!r}")
        return operator.index(num)

    def _retrieve(self, num: int) -> Domino:
        __tracebackhide__ = True
        if not 1 <= num <= self.expected:
            raise IndexError(f"there is no domino {num}: the valid numbers are {self._valid()}")
        domino = self.dominos[num] = FallingDomino(self, num)
        self.log.info("domino %s%s was retrieved", num, self.of_name)
        if self.closed:
            domino.cancel()
        return domino

    def _valid(self) -> str:
        return f"from 1 to {self.expected}" if self.expected else "none, since expected is 0"

    def begin(self) -> None:
        self._started.set()

    @property
    def started(self) -> asyncio.Event:
        return self._started

    @property
    def finished(self) -> asyncio.Event:
        return self._finished

    def __repr__(self) -> str:
        return f"<dominos{self.of_name}: {len(self.fallen())} of {self.expected} have fallen>"

    def fallen(self) -> list[int]:
        """Return the numbers of the dominos that have fallen, ascending."""
        return sorted(num for num, domino in self.dominos.items() if domino.done())

    def waiters(self) -> list[tuple[int, "Waiter"]]:
        """Return who waits for which domino."""
        return [(num, waiter) for num, domino in sorted(self.dominos.items()) for waiter in domino.waiters]

    def at_rest(self, rested: float) -> float:
        """Knock over the next domino, if it is its turn."""
        while (domino := self.dominos.get(self.next)) is not None:
            if not domino.done():
                if not self._started.is_set():
                    return math.inf
                domino.fall()
                return 0
            if self.next < self.expected and not domino.awaited:
                return math.inf
            self.next += 1
        if self.next > self.expected and not self._finished.is_set():
            self._finished.set()
            return 0
        return math.inf

    def check(self) -> None:
        """Raise unless every domino was asked for and has fallen."""
        __tracebackhide__ = True
        if self._all_have_fallen():
            return
        expected = range(1, self.expected + 1)
        never = [num for num in expected if num not in self.dominos]
        if never:
            raise AssertionError(f"Not all the futures were accessed: {_set(never)}")
        standing = [num for num in expected if not self.dominos[num].done()]
        if standing:
            raise AssertionError(f"Not all the futures were completed: {_set(standing)}")

    def close(self) -> None:
        """Put everything back, and leave nobody waiting."""
        self._undo.close()

    def _all_have_fallen(self) -> bool:
        return self.next > self.expected

    def _cancel_those_that_stand(self) -> None:
        self.closed = True
        if not self.loop.is_closed():
            if not self._all_have_fallen():
                for domino in self.dominos.values():
                    domino.cancel()
            self._finished.set()


class Callback:
    """A done-callback and the context to call it in."""

    __slots__ = ("context", "function")

    def __init__(self, function: Callable[[FutureStatus[None]], None], context: contextvars.Context) -> None:
        self.function = function
        self.context = context


Waiter = asyncio.Future[None] | Callback


class FallingDomino:
    """A domino, and who waits for it in which order."""

    __slots__ = ("__weakref__", "_num", "_outcome", "_row", "awaited", "waiters")

    def __init__(self, row: Row, num: int) -> None:
        self._row = row
        self._num = num
        self._outcome: asyncio.Future[None] | None = None
        self.waiters: list[Waiter] = []
        self.awaited = False

    def __await__(self) -> Generator[None]:
        self.awaited = True
        self._row.participants[asyncio.current_task()] = self._num
        if self._outcome is not None:
            return self._outcome.__await__()
        # Everybody waits for a future of their own: one who is cancelled cancels that, and not the domino.
        waiter: asyncio.Future[None] = self._row.loop.create_future()
        self.waiters.append(waiter)
        return waiter.__await__()

    def add_done_callback(
        self, cb: Callable[[FutureStatus[None]], None], *, context: contextvars.Context | None = None
    ) -> FutureCallback[None]:
        __tracebackhide__ = True
        if inspect.iscoroutinefunction(cb):
            raise TypeError(f"a done-callback must be a plain function, got the coroutine function {cb!r}")
        self.awaited = True
        callback = Callback(cb, contextvars.copy_context() if context is None else context)
        if self._outcome is None:
            self.waiters.append(callback)
        else:
            self._tell(callback, self._outcome)
        return cb

    def remove_done_callback(self, cb: Callable[[FutureStatus[None]], None]) -> int:
        """Call ``cb`` no more, and return how many times it had been added; ``asyncio.wait`` asks for this."""
        kept = [waiter for waiter in self.waiters if not (isinstance(waiter, Callback) and waiter.function == cb)]
        removed = len(self.waiters) - len(kept)
        self.waiters = kept
        return removed

    def fall(self) -> None:
        """Be knocked over by the one before."""
        self._knock_over(self._row.knocked_over)

    def cancel(self) -> None:
        if self._outcome is None:
            outcome = self._row.loop.create_future()
            outcome.cancel()
            self._knock_over_by_hand(outcome)

    def set_exception(self, exc: BaseException) -> None:
        __tracebackhide__ = True
        outcome = self._row.loop.create_future()
        outcome.set_exception(exc)
        # Reading it is what tells asyncio that nobody need be warned of an exception that nobody has read.
        outcome.exception()
        self._knock_over_by_hand(outcome)

    def set_result(self, value: None) -> None:
        __tracebackhide__ = True
        if value is not None:
            raise TypeError(f"a domino carries no value, got {value!r}: pass None")
        self._knock_over_by_hand(self._row.knocked_over)

    def cancelled(self) -> bool:
        return self._outcome is not None and self._outcome.cancelled()

    def done(self) -> bool:
        return self._outcome is not None

    def exception(self) -> BaseException | None:
        __tracebackhide__ = True
        return self._result().exception()

    def result(self) -> None:
        __tracebackhide__ = True
        return self._result().result()

    def _result(self) -> asyncio.Future[None]:
        __tracebackhide__ = True
        if self._outcome is None:
            raise asyncio.InvalidStateError(f"{self!r} has not been knocked over yet")
        return self._outcome

    def __repr__(self) -> str:
        if self._outcome is None:
            state = f"standing, {len(self.waiters)} waiting"
        elif self._outcome.cancelled():
            state = "cancelled"
        else:
            failure = self._outcome.exception()
            state = "fallen" if failure is None else f"fallen with {brief(failure)}"
        return f"<domino {self._num}{self._row.of_name}, {state}>"

    def _knock_over_by_hand(self, outcome: asyncio.Future[None]) -> None:
        __tracebackhide__ = True
        if self._outcome is not None:
            raise asyncio.InvalidStateError(f"{self!r} has been knocked over already")
        # Who knocks a domino over by hand need not await it for the chain to go on.
        self.awaited = True
        self._knock_over(outcome)

    def _knock_over(self, outcome: asyncio.Future[None]) -> None:
        self._outcome = outcome
        if not self._row.closed:
            self._row.log.info("domino %s%s has fallen", self._num, self._row.of_name)
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            self._tell(waiter, outcome)

    def _tell(self, waiter: Waiter, outcome: asyncio.Future[None]) -> None:
        if isinstance(waiter, Callback):
            self._row.loop.call_soon(waiter.function, self, context=waiter.context)
        elif waiter.done():
            pass
        elif outcome.cancelled():
            waiter.cancel()
        elif (failure := outcome.exception()) is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)
            # Read here as well, for the case that this waiter is cancelled before it wakes.
            waiter.exception()


def _whole(expected: object) -> int:
    if isinstance(expected, bool) or not isinstance(expected, int):
        raise TypeError(f"expected must be an int, the number of dominos, got {expected!r}")
    if expected < 0:
        raise ValueError(f"expected must be 0 or more, got {expected!r}")
    return expected


def _set(numbers: Iterable[int]) -> str:
    return f"{{{', '.join(map(str, numbers))}}}"
