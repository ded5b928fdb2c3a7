"""Dominos: futures that complete one after the other, so that concurrent code runs in the order that a test chooses.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Event
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from logging import getLogger
from operator import index
from typing import Protocol

from machinery._helpers._protocols import FutureCallback, FutureStatus, Logger
from machinery._test_helpers._asyncio_internals import running_loop_or_none
from machinery._test_helpers._block import Block
from machinery._test_helpers._dominos_block import DominosBlock
from machinery._test_helpers._loops import check_own_loop, running_loop
from machinery._test_helpers._row import Row

logger = getLogger("machinery.test_helpers")


class Domino(Protocol):
    """One of the futures of a :class:`FutureDominos`: ``await`` it where the code should wait for its turn.

    .. code-block:: python

        import pytest

        from machinery import test_helpers as thp


        async def test_a_domino_can_be_made_to_fail():
            async with thp.future_dominos(expected=2) as futs:
                futs.begin()
                await futs[1]
                futs[2].set_exception(ConnectionError("lost"))
                with pytest.raises(ConnectionError):
                    await futs[2]
                assert futs[2].done()
    """

    def __await__(self) -> Generator[None]:
        """Wait for the domino to fall.

        A waiter that is cancelled or times out leaves the domino as it was, and still counts as having awaited it. With
        a timeout of 0, ``asyncio.wait_for`` does not wait at all, so the next domino does not fall.

        :return: ``None``.
        :raises BaseException: what the domino was given with ``set_exception``.
        :raises asyncio.CancelledError: if the domino was cancelled.
        :raises RuntimeError: in another event loop than that of the block.
        """
        ...

    def add_done_callback(self, cb: Callable[[FutureStatus[None]], None]) -> FutureCallback[None]:
        """Call ``cb`` with the domino once it has fallen, and return ``cb``.

        This counts as awaiting the domino.

        :raises TypeError: if ``cb`` is a coroutine function.
        """
        ...

    def cancel(self) -> None:
        """Knock the domino over as cancelled: awaiting it raises ``asyncio.CancelledError``."""
        ...

    def cancelled(self) -> bool:
        """Return whether the domino was cancelled."""
        ...

    def done(self) -> bool:
        """Return whether the domino has fallen."""
        ...

    def exception(self) -> BaseException | None:
        """Return the exception that the domino was given, or ``None``.

        :raises asyncio.InvalidStateError: if the domino has not fallen.
        :raises asyncio.CancelledError: if the domino was cancelled.
        """
        ...

    def result(self) -> None:
        """Return ``None``, or raise what awaiting the domino would raise.

        :raises asyncio.InvalidStateError: if the domino has not fallen.
        """
        ...

    def set_exception(self, exc: BaseException) -> None:
        """Knock the domino over by hand, so that awaiting it raises ``exc``.

        :raises asyncio.InvalidStateError: if the domino has fallen already.
        """
        ...

    def set_result(self, value: None) -> None:
        """Knock the domino over by hand.

        :param value: ``None``, since a domino carries no value.
        :raises TypeError: if ``value`` is anything else.
        :raises asyncio.InvalidStateError: if the domino has fallen already.
        """
        ...


class FutureDominos(Protocol):
    """A row of dominos: what ``async with thp.future_dominos(expected=2) as futs`` gives.

    .. code-block:: python

        import asyncio

        from machinery import test_helpers as thp


        async def test_nothing_falls_before_begin():
            async with thp.future_dominos(expected=2) as futs:

                async def work():
                    await futs[1]
                    await futs[2]

                task = asyncio.create_task(work())
                await thp.wait_all_tasks_blocked()
                assert not futs.started.is_set()

                futs.begin()
                await futs.finished.wait()
                assert task.done()
    """

    def __getitem__(self, num: int) -> Domino:
        """Get a domino. It cannot fall before it has been asked for.

        :param num: from 1 to ``expected``.
        :raises IndexError: if there is no such domino.
        :raises TypeError: if ``num`` is not an integer.
        """
        ...

    def begin(self) -> None:
        """Let the dominos begin to fall. Calling it again does nothing."""
        ...

    @property
    def started(self) -> Event:
        """Set once the dominos have begun."""
        ...

    @property
    def finished(self) -> Event:
        """Set once all the dominos have fallen and what they woke has run."""
        ...


def future_dominos(
    *, expected: int, loop: AbstractEventLoop | None = None, log: Logger | None = None, name: str = ""
) -> AbstractAsyncContextManager[FutureDominos]:
    """Set up a row of dominos, so that concurrent code runs in exactly the order of their numbers.

    ``async with`` gives a :class:`FutureDominos`. A domino falls once ``begin()`` has been called, it has been asked
    for with ``futs[num]``, every earlier one has fallen and been awaited, and everything that the earlier one woke has
    run until it waits again. An exception that leaves the block gets a note with the dominos that have fallen and the
    line at which each task waits.

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
    :param log: gets a line at level INFO when a domino is asked for and when it falls;
        ``None`` means the logger ``machinery.test_helpers``.
    :param name: appears in logs, reprs and reports.
    :raises AssertionError: on leaving without an exception, if a domino was not asked for or has not fallen.
    :raises ValueError: on entering, if ``expected`` is negative or ``loop`` is not the running loop.
    :raises TypeError: on entering, if an argument is of the wrong type.
    :raises RuntimeError: on entering, if the running loop is not supported.
    :raises Stuck: out of the block, on a deadlock.
    """
    __tracebackhide__ = True
    return Block(lambda: _made(loop, expected, log, name))


def _made(
    loop: AbstractEventLoop | None, expected: object, log: Logger | None, name: str
) -> tuple[DominosBlock, FutureDominos]:
    __tracebackhide__ = True
    if isinstance(expected, bool) or not isinstance(expected, int):
        raise TypeError(f"expected must be an int, the number of dominos, got {expected!r}")
    if expected < 0:
        raise ValueError(f"expected must be 0 or more, got {expected!r}")
    if log is not None and not callable(getattr(log, "info", None)):
        raise TypeError(f"log must be a logger, got {log!r}")
    block = DominosBlock(running_loop(loop), expected, logger if log is None else log, name)
    return block, HeldDominos(block.row)


class HeldDominos:
    """What the user holds."""

    __slots__ = ("_dominos", "_finished", "_loop", "_row", "_started")

    def __init__(self, row: Row) -> None:
        self._row = row
        self._loop = row.loop
        self._dominos = row.dominos
        self._started = row.started
        self._finished = row.finished

    def __getitem__(self, num: int) -> Domino:
        __tracebackhide__ = True
        if running_loop_or_none() is not self._loop:
            check_own_loop(self._loop, self._row)
        if type(num) is not int:
            if isinstance(num, bool) or not hasattr(num, "__index__"):
                raise TypeError(f"the number of a domino must be an integer, got {num!r}: {self._row.valid_numbers()}")
            num = index(num)
        domino = self._dominos.get(num)
        return self._row.retrieve(num) if domino is None else domino

    # Without this, Python would count from 0 to the first IndexError: list(futs) would be empty.
    __iter__ = None

    def begin(self) -> None:
        __tracebackhide__ = True
        check_own_loop(self._row.loop, self._row)
        self._started.set()

    @property
    def started(self) -> Event:
        return self._started

    @property
    def finished(self) -> Event:
        return self._finished

    def __repr__(self) -> str:
        return repr(self._row)
