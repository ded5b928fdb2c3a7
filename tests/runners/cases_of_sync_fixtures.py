"""A test whose context a sync fixture made: only alt-pytest-asyncio says so early on which loop a test will run."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from machinery import helpers as hp
from machinery import test_helpers as thp


@pytest.fixture
def ctx() -> Iterator[hp.CTX]:
    """Give a context that was made where no loop runs."""
    with hp.CTX.beginning(name="test", log=logging.getLogger("test")) as ctx:
        yield ctx


async def test_context_of_a_sync_fixture(ctx: hp.CTX) -> None:
    """The loop of the context is that of the test."""
    async with thp.mocked_call_later(ctx=ctx) as m:
        await asyncio.sleep(60)
        assert m.called_times == [60]
