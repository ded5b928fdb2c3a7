"""Tests in blocks that something disturbs, for `test_disturbed.py`; after each, another one looks at the time."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from machinery import test_helpers as thp

RUNS_HYPOTHESIS = "NO_HYPOTHESIS" not in os.environ


@pytest.fixture
def anyio_backend() -> str:
    """Tell anyio's plugin which loop to use."""
    return "asyncio"


@pytest.fixture
async def m() -> AsyncIterator[thp.MockedCallLater]:
    """Give virtual time."""
    async with thp.mocked_call_later(name="of a fixture") as m:
        yield m


@pytest.fixture
async def futs() -> AsyncIterator[thp.FutureDominos]:
    """Give dominos, none of which will fall."""
    async with thp.future_dominos(expected=1, name="of a fixture") as futs:
        yield futs


@pytest.fixture
async def fails_before() -> None:
    """Fail before the blocks are open."""
    raise LookupError("before")


@pytest.fixture
async def fails_after(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """Fail when the blocks are open."""
    await asyncio.sleep(60)
    raise LookupError("after")


@pytest.fixture
async def fails_at_teardown(m: thp.MockedCallLater) -> AsyncIterator[None]:
    """Fail while the block is still open."""
    yield
    raise LookupError("at teardown")


@pytest.fixture
async def hangs_at_teardown() -> AsyncIterator[None]:
    """Wait for ever in a block of its own."""
    async with thp.mocked_call_later(name="of a fixture"):
        yield
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def in_real_time(request: pytest.FixtureRequest) -> None:
    """Begin each test in real time, unless it has a block of its own."""
    if "m" not in request.fixturenames:
        assert time.time() > 1_000_000_000


async def test_error_before(fails_before: None, m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """Is not run."""


async def test_error_after(fails_after: None) -> None:
    """Is not run."""


async def test_error_at_teardown(fails_at_teardown: None) -> None:
    """Passes, before its fixture fails."""


async def test_error_hanging_at_teardown(hangs_at_teardown: None) -> None:
    """Passes, before its fixture hangs."""


async def test_skipped(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """In the middle."""
    await asyncio.sleep(60)
    pytest.skip("in the middle")


async def test_xfailed(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """In the middle."""
    await asyncio.sleep(60)
    pytest.xfail("in the middle")


@pytest.mark.xfail(strict=True)
async def test_xfailed_by_mark(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """By a mark."""
    raise ValueError("expected")


async def test_failed_by_fail(m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
    """By an exception that is none."""
    pytest.fail("in the middle")


async def test_failed_in_block(m: thp.MockedCallLater) -> None:
    """In a block of its own too."""
    async with thp.future_dominos(expected=1, name="of a test"):
        raise ValueError("its own")


async def test_failed_in_subtest(m: thp.MockedCallLater, subtests: pytest.Subtests) -> None:
    """While the test goes on."""
    for number in range(2):
        with subtests.test(number=number):
            await asyncio.sleep(60)
            assert number == 1
    assert time.time() == 120


class TestClass:
    """Methods."""

    async def test_passed_in_class(self, m: thp.MockedCallLater) -> None:
        """An hour."""
        await asyncio.sleep(3600)
        assert time.time() == 3600

    async def test_failed_in_class(self, m: thp.MockedCallLater, futs: thp.FutureDominos) -> None:
        """A method."""
        raise ValueError("its own")


@pytest.mark.parametrize("hours", [1, 2, 3])
async def test_parametrised(m: thp.MockedCallLater, hours: int) -> None:
    """One of three fails."""
    await asyncio.sleep(3600 * hours)
    assert hours != 2
    assert time.time() == 3600 * hours


if RUNS_HYPOTHESIS:

    @settings(suppress_health_check=list(HealthCheck), database=None, max_examples=20, deadline=None)
    @given(hours=st.integers(1, 100))
    async def test_passed_by_hypothesis(m: thp.MockedCallLater, hours: int) -> None:
        """Many times in one block."""
        begun = time.time()
        await asyncio.sleep(3600 * hours)
        assert time.time() == begun + 3600 * hours

    @settings(suppress_health_check=list(HealthCheck), database=None, max_examples=20, deadline=None)
    @given(hours=st.integers(1, 100))
    async def test_failed_by_hypothesis(m: thp.MockedCallLater, hours: int) -> None:
        """The last of many runs is told."""
        await asyncio.sleep(3600)
        assert hours < 10

    @settings(suppress_health_check=list(HealthCheck), database=None, phases=[Phase.explicit], deadline=None)
    @example(hours=1)
    @example(hours=100)
    @given(hours=st.integers(1, 100))
    async def test_failed_twice_by_hypothesis(m: thp.MockedCallLater, hours: int) -> None:
        """Two failures are told, as a group."""
        await asyncio.sleep(3600)
        if hours > 50:
            raise ValueError("long")
        raise LookupError("short")


def test_passed_last() -> None:
    """Time is real."""
    assert time.time() > 1_000_000_000
