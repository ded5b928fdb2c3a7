"""A test that no loop of asyncio runs, for `test_disturbed.py`, and the plugin that runs it."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from machinery import test_helpers as thp


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Run a test as another library of coroutines would: without asyncio."""
    with contextlib.suppress(StopIteration):
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem.fixturenames}).send(None)
    return True


@pytest.fixture
def m() -> Iterator[thp.MockedCallLater]:
    """Give virtual time on a loop that does not run during the test."""
    with asyncio.Runner() as runner:
        block = thp.mocked_call_later(name="of a fixture")
        yield runner.run(block.__aenter__())
        runner.run(block.__aexit__(None, None, None))


async def test_passed(m: thp.MockedCallLater) -> None:
    """The block has nothing to do with it."""
    assert asyncio._get_running_loop() is None


async def test_failed(m: thp.MockedCallLater) -> None:
    """With an exception of its own."""
    raise ValueError("its own")
