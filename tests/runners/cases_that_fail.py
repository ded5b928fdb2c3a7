"""Tests that hang, for `test_failures_under_runners.py`; in the first three something real could still wake them."""

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

import pytest

from machinery import test_helpers as thp


def limit() -> contextlib.AbstractAsyncContextManager[object]:
    """Give the watchdog of those who have no runner for that."""
    seconds = os.environ.get("LIMIT")
    return asyncio.timeout(float(seconds)) if seconds else contextlib.nullcontext()


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """Give a socket at whose other end nobody speaks."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


async def receive(sock: socket.socket) -> None:
    """Wait for a line."""
    reader, writer = await asyncio.open_connection(sock=sock)
    with contextlib.closing(writer):
        await reader.readline()


async def test_virtual_time(peer: socket.socket) -> None:
    """The other end is silent."""
    async with limit(), thp.mocked_call_later(name="of a client"), asyncio.TaskGroup() as tasks:
        tasks.create_task(receive(peer), name="receiver")


async def test_dominos(peer: socket.socket) -> None:
    """The one who should await the first domino waits for something else."""
    async with limit(), thp.future_dominos(expected=2, name="of a client") as futs, asyncio.TaskGroup() as tasks:

        async def send() -> None:
            await receive(peer)
            await futs[1]

        async def answer() -> None:
            await futs[2]

        tasks.create_task(send(), name="sender")
        tasks.create_task(answer(), name="answerer")
        futs.begin()


async def test_busy_loop() -> None:
    """The clock never moves."""
    async with limit(), thp.mocked_call_later(name="of a poller"), asyncio.TaskGroup() as tasks:

        async def poll() -> None:
            for _ in itertools.count():
                await asyncio.sleep(0)

        tasks.create_task(poll(), name="poller")
        tasks.create_task(asyncio.sleep(5), name="sleeper")


async def test_stuck() -> None:
    """The worker has died."""
    async with limit(), thp.mocked_call_later(name="of a worker"):
        queue = asyncio.Queue[object]()

        async def work() -> None:
            while True:
                raise ValueError(await queue.get())

        worker = asyncio.create_task(work(), name="worker")
        queue.put_nowait("order 66")
        await queue.join()
        worker.cancel()


async def test_timeout_inside() -> None:
    """A limit of virtual time."""
    async with thp.mocked_call_later(name="of a limit"), asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.Event().wait(), name="waiter")
        tasks.create_task(receive_nothing(), name="receiver")


async def receive_nothing() -> None:
    """Wait for what nobody does."""
    await asyncio.Event().wait()
