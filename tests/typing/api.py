"""Code as users write it: checked by type checkers and never run."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Hashable
from typing import assert_type

from machinery import helpers as hp
from machinery import test_helpers as thp
from machinery._test_helpers._domino import FallingDomino
from machinery._test_helpers._future_dominos import HeldDominos
from machinery._test_helpers._mocked_call_later import HeldTime
from machinery.helpers import protocols

# What `async with` gives, and what can be done with it.


async def dominos(loop: asyncio.AbstractEventLoop, log: logging.Logger) -> None:
    """Use all of a row of dominos."""
    async with thp.future_dominos(expected=8) as futs:
        assert_type(futs, thp.FutureDominos)
        assert_type(futs[1], thp.Domino)
        assert_type(futs.started, asyncio.Event)
        assert_type(futs.finished, asyncio.Event)
        futs.begin()
        await futs.finished.wait()

    async with thp.future_dominos(expected=1, loop=loop, log=log, name="race") as futs:
        futs[1].set_result(None)
    async with thp.future_dominos(expected=1, loop=None, log=logging.LoggerAdapter(log, {})) as futs:
        futs[1].set_exception(ValueError())
    async with contextlib.AsyncExitStack() as stack:
        assert_type(await stack.enter_async_context(thp.future_dominos(expected=1)), thp.FutureDominos)


async def domino(futs: thp.FutureDominos) -> None:
    """Use all of a domino."""
    futs[1].cancel()
    assert_type(futs[1].cancelled(), bool)
    assert_type(futs[1].done(), bool)
    assert_type(futs[1].exception(), BaseException | None)
    print({futs[1], futs[2]})

    def told(fut: protocols.FutureStatus[None]) -> None:
        assert_type(fut.done(), bool)

    assert_type(futs[1].add_done_callback(told), protocols.FutureCallback[None])
    futs[1].add_done_callback(lambda fut: print(fut.cancelled()))


async def awaiting(domino: thp.Domino) -> None:
    """Await a domino in every way."""
    assert_type(asyncio.ensure_future(domino), asyncio.Task[None])
    assert_type(asyncio.shield(domino), asyncio.Future[None])
    await domino
    await asyncio.wait_for(domino, timeout=1)
    await asyncio.wait([asyncio.ensure_future(domino)])
    for each in asyncio.as_completed([domino]):
        await each
    assert_type(await asyncio.gather(domino, domino), tuple[None, None])


class App:
    """What a user has, and what has a loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()


async def virtual_time(ctx: hp.CTX) -> None:
    """Use all of virtual time."""
    async with thp.mocked_call_later() as m:
        assert_type(m, thp.MockedCallLater)
        assert_type(m.called_times, list[float])
        assert_type(m.pending, list[float])
        await m.add(1)
        await m.add(0.5)

    async with thp.mocked_call_later(ctx=ctx, precision=0.01, start_time=1.5, name="retry") as m:
        print(m)
    async with thp.mocked_call_later(ctx=App(), autojump_threshold=0.01, datetime=True) as m:
        print(m)
    await thp.wait_all_tasks_blocked()


async def racing(outside: thp.Outside) -> int:
    """Wait for some answers."""
    await outside("reply", channel=("host", 5432))
    assert_type(await asyncio.gather(outside("a"), outside("b")), tuple[None, None])
    return 1


async def by_hand(label: str, *, channel: Hashable = None) -> None:
    """Stand in for what a scenario is given."""


async def exploring() -> None:
    """Use all of an exploration."""
    assert_type(await thp.explore(racing), thp.Explored)
    explored = await thp.explore(lambda outside: outside("answer"), runs=20, seed=1, replay="2 1@0 clock")
    assert_type(explored.runs, int)
    assert_type(explored.complete, bool)
    await racing(by_hand)


async def contexts(log: logging.Logger) -> None:
    """Use the helpers beside them."""
    with hp.CTX.beginning(name="app", log=log) as ctx:
        assert_type(ctx, hp.CTX)
        as_protocol: protocols.CTX = ctx
        async with hp.task_holder(ctx=as_protocol) as tasks, thp.mocked_call_later(ctx=ctx):
            assert_type(tasks, protocols.TaskHolder)
            assert_type(tasks.add_coroutine(awaited()), asyncio.Task[int])


async def awaited() -> int:
    """Give something that has a type."""
    return 1


# Protocols as annotations of fixtures and parameters, and as base classes.


async def futs() -> AsyncGenerator[thp.FutureDominos]:
    """Give a row of dominos to a test, as a fixture does."""
    async with thp.future_dominos(expected=2) as futs:
        yield futs


def open_block(
    time: bool,
) -> contextlib.AbstractAsyncContextManager[thp.MockedCallLater | thp.FutureDominos]:
    """Give either of the two."""
    return thp.mocked_call_later() if time else thp.future_dominos(expected=1)


class Recorded(thp.MockedCallLater):
    """Virtual time that remembers what was added to it."""

    def __init__(self, m: thp.MockedCallLater) -> None:
        self._m = m
        self.added: list[float] = []

    async def add(self, amount: float) -> None:
        """Remember the amount."""
        self.added.append(amount)
        await self._m.add(amount)

    @property
    def called_times(self) -> list[float]:
        """As it is."""
        return self._m.called_times

    @property
    def pending(self) -> list[float]:
        """As it is."""
        return self._m.pending


class Shifted(thp.FutureDominos):
    """A row of dominos that is numbered from 0."""

    def __init__(self, futs: thp.FutureDominos) -> None:
        self._futs = futs

    def __getitem__(self, num: int) -> thp.Domino:
        """One further."""
        return self._futs[num + 1]

    def begin(self) -> None:
        """As it is."""
        self._futs.begin()

    @property
    def started(self) -> asyncio.Event:
        """As it is."""
        return self._futs.started

    @property
    def finished(self) -> asyncio.Event:
        """As it is."""
        return self._futs.finished


class Fallen(thp.Domino):
    """A domino that has fallen."""

    def __await__(self) -> Generator[None]:
        """Wait for nothing."""
        return asyncio.sleep(0).__await__()

    def add_done_callback(self, cb: Callable[[protocols.FutureStatus[None]], None]) -> protocols.FutureCallback[None]:
        """Call it at once."""
        cb(self)
        return cb

    def cancel(self) -> None:
        """Come too late."""

    def cancelled(self) -> bool:
        """Say no."""
        return False

    def done(self) -> bool:
        """Say yes."""
        return True

    def exception(self) -> BaseException | None:
        """Say that there is none."""
        return None

    def result(self) -> None:
        """Give nothing."""

    def set_exception(self, exc: BaseException) -> None:
        """Come too late."""
        raise asyncio.InvalidStateError from exc

    def set_result(self, value: None) -> None:
        """Come too late."""
        raise asyncio.InvalidStateError


recorded: Callable[[thp.MockedCallLater], thp.MockedCallLater] = Recorded
shifted: Callable[[thp.FutureDominos], thp.FutureDominos] = Shifted
fallen: thp.Domino = Fallen()


# What stands behind the protocols fits them, and so does what asyncio has.


def fits(
    row: HeldDominos, falling: FallingDomino, time: HeldTime, timer: asyncio.TimerHandle, status: asyncio.Future[None]
) -> None:
    """Assign each to what it has to be."""
    futs: thp.FutureDominos = row
    domino: thp.Domino = falling
    m: thp.MockedCallLater = time
    cancellable: thp.Cancellable = timer
    future_status: protocols.FutureStatus[None] = status
    domino_status: protocols.FutureStatus[None] = domino
    print(futs, m, cancellable, future_status, domino_status)


stuck: type[AssertionError] = thp.Stuck
