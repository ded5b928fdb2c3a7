"""Blocks that no fixture or test ever leaves, for `test_disturbed.py`; all tests run on one loop."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from machinery import test_helpers as thp


@pytest.fixture
async def never_left() -> thp.MockedCallLater:
    """Give virtual time, and do not tear it down."""
    return await thp.mocked_call_later(name="of a fixture").__aenter__()


@pytest.fixture
async def fails_in_its_block() -> None:
    """Fail in a block that is not left."""
    await thp.mocked_call_later(name="of a fixture").__aenter__()
    raise LookupError("in its block")


async def test_passed_in_its_block() -> None:
    """Enter a block and do not leave it."""
    await thp.mocked_call_later(name="of a test").__aenter__()
    await asyncio.sleep(3600)
    assert time.time() == 3600


async def test_passed_after_the_block_of_a_test() -> None:
    """Time is real."""
    assert time.time() > 1_000_000_000


async def test_passed_in_the_block_of_a_fixture(never_left: thp.MockedCallLater) -> None:
    """Time is virtual."""
    await asyncio.sleep(3600)
    assert time.time() == 3600


async def test_passed_after_the_block_of_a_fixture() -> None:
    """Time is real."""
    assert time.time() > 1_000_000_000


async def test_error_in_the_block_of_a_fixture(fails_in_its_block: None) -> None:
    """Is not run."""


async def test_passed_after_the_error() -> None:
    """Time is real."""
    assert time.time() > 1_000_000_000


@pytest.fixture
def a_block_in_a_thread() -> Iterator[None]:
    """Hold a block open in a thread, on a loop of its own."""
    opened, end = threading.Event(), threading.Event()

    async def hold() -> None:
        async with thp.mocked_call_later(name="of a thread"):
            opened.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    opened.wait(10)
    yield
    end.set()
    thread.join()


async def test_passed_beside_a_thread(a_block_in_a_thread: None) -> None:
    """The block of another loop does not matter."""
    await asyncio.sleep(0)


async def test_failed_beside_a_thread(a_block_in_a_thread: None) -> None:
    """Not because of the thread."""
    raise ValueError("its own")


waits: asyncio.Task[None] | None = None


async def test_failed_because_a_callback_exits() -> None:
    """Its task still waits then, and there is no block."""
    global waits
    waits = asyncio.current_task()
    asyncio.get_running_loop().call_soon(sys.exit, "enough")
    await asyncio.Event().wait()


async def test_passed_while_that_task_still_waits() -> None:
    """Without a block, a test that is over is left as it is."""
    await asyncio.sleep(0)
    assert waits is not None
    assert not waits.done()
    waits.cancel()
    await asyncio.wait([waits])


@pytest.fixture(scope="session")
async def of_session() -> AsyncIterator[thp.MockedCallLater]:
    """Give virtual time, and dominos that will not fall, to all the tests that follow."""
    async with thp.future_dominos(expected=1, name="of a session"), thp.mocked_call_later(name="of a session") as m:
        yield m


@pytest.fixture
def m(request: pytest.FixtureRequest) -> object:
    """Give the virtual time of a wider fixture."""
    return request.getfixturevalue("of_session")


@pytest.mark.parametrize("hours", [1, 2])
async def test_passed_in_a_wider_block(m: thp.MockedCallLater, hours: int) -> None:
    """Also after a narrower fixture that has asked for it."""
    assert time.time() == 3600 * (hours - 1)
    await asyncio.sleep(3600)
    assert time.time() == 3600 * hours


def test_failed_outside_of_the_wider_block() -> None:
    """It does not use the block, which is only open."""
    raise ValueError("its own")


@pytest.fixture
def fails() -> None:
    """Fail, and use no block."""
    raise LookupError("without a block")


async def test_error_outside_of_the_wider_block(fails: None) -> None:
    """Is not run."""


async def test_passed_last() -> None:
    """The dominos of the session fail at its teardown."""
