"""Tests in blocks that fixtures hold, for `test_held_by_fixtures.py`: some hang or fail, those between them pass."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from machinery import test_helpers as thp


def scope_of_blocks(fixture_name: str, config: pytest.Config) -> Any:
    """Return the scope of virtual time; dominos are of use to one test only."""
    return os.environ.get("SCOPE_OF_BLOCKS", "function")


def scope_of_backends(fixture_name: str, config: pytest.Config) -> Any:
    """Return for how long anyio's plugin, where that one runs, keeps a loop."""
    return os.environ.get("SCOPE_OF_BACKENDS", "function")


@pytest.fixture(scope=scope_of_backends)
def anyio_backend() -> str:
    """Tell anyio's plugin which loop to use."""
    return "asyncio"


@pytest.fixture(scope=scope_of_backends)
async def tasks(anyio_backend: str) -> AsyncIterator[TaskGroup]:
    """Give a task group."""
    async with anyio.create_task_group() as tasks:
        yield tasks


@pytest.fixture(autouse=True)
def beside_a_task_group(request: pytest.FixtureRequest) -> None:
    """Let a wider fixture hold a task group, where that is wanted."""
    if "BESIDE_A_TASK_GROUP" in os.environ:
        request.getfixturevalue("tasks")


@pytest.fixture(scope=scope_of_blocks)
async def m() -> AsyncIterator[thp.MockedCallLater]:
    """Give virtual time."""
    async with thp.mocked_call_later(name="of a fixture") as m:
        yield m


@pytest.fixture
async def futs() -> AsyncIterator[thp.FutureDominos]:
    """Give dominos."""
    async with thp.future_dominos(expected=2, name="of a fixture") as futs:
        yield futs


async def hang() -> None:
    """Wait for an event that is never set."""
    await asyncio.Event().wait()


async def test_stuck_own_wait(m: thp.MockedCallLater) -> None:
    """Wait in the test itself."""
    await hang()


async def test_virtual_time_passes(m: thp.MockedCallLater) -> None:
    """An hour."""
    begun = time.time()
    await asyncio.sleep(3600)
    assert time.time() == begun + 3600


async def test_stuck_child_task(m: thp.MockedCallLater) -> None:
    """Wait for a task."""
    await asyncio.create_task(hang())


async def test_stuck_gather(m: thp.MockedCallLater) -> None:
    """Wait for several."""
    await asyncio.gather(hang(), asyncio.sleep(60))


async def test_stuck_task_group(m: thp.MockedCallLater) -> None:
    """Wait at the end of a task group."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hang())
        tasks.create_task(asyncio.sleep(60))


async def test_stuck_shield(m: thp.MockedCallLater) -> None:
    """Wait for what goes on when the test is cancelled."""
    await asyncio.shield(hang())


async def test_stuck_domino(futs: thp.FutureDominos) -> None:
    """Nobody asks for the first domino."""
    futs.begin()
    await futs[2]


async def test_stuck_both(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """A domino in virtual time."""
    futs.begin()
    await asyncio.sleep(60)
    await futs[2]


async def test_real_time_passes() -> None:
    """After all that, time is real, unless a wider fixture has a block."""
    assert (time.time() > 1_000_000_000) == ("SCOPE_OF_BLOCKS" not in os.environ)


async def test_fails(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """An exception of its own, while dominos stand."""
    await asyncio.sleep(60)
    raise ValueError("its own")


async def test_times_out(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """A timeout of virtual time."""
    async with asyncio.timeout(5):
        await hang()


async def test_dominos_pass(futs: thp.FutureDominos) -> None:
    """The next dominos fall."""
    futs.begin()
    await futs[1]
    await futs[2]


async def test_virtual_time_passes_by_hand(m: thp.MockedCallLater) -> None:
    """Another hour."""
    begun = time.time()
    await m.add(3600)
    assert time.time() == begun + 3600


TESTS: list[Callable[..., Any]] = [value for name, value in list(globals().items()) if name.startswith("test_")]
