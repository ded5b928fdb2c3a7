"""Retries with tenacity: a connection is tried again after longer and longer pauses."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from machinery import test_helpers as thp

HOUR = 3600


@retry(
    retry=retry_if_exception_type(ConnectionError),
    wait=wait_exponential(min=1, max=60),
    stop=stop_after_delay(HOUR),
    reraise=True,
)
async def connect(open_connection: Callable[[], Awaitable[str]]) -> str:
    """Open a connection; keep trying for an hour, with pauses from a second to a minute."""
    async with asyncio.timeout(5):
        return await open_connection()


async def test_pauses_double_up_to_a_minute() -> None:
    """A server that recovers at the eighth attempt is found after two minutes."""
    async with thp.mocked_call_later():
        attempts: list[float] = []

        async def recover() -> str:
            attempts.append(time.time())
            if len(attempts) < 8:
                raise ConnectionRefusedError
            return "connected"

        assert await connect(recover) == "connected"
        assert attempts == [0, 1, 3, 7, 15, 31, 63, 123]


async def test_it_gives_up_after_an_hour() -> None:
    """The first attempt that fails after an hour is the last."""
    async with thp.mocked_call_later():

        async def refuse() -> str:
            raise ConnectionRefusedError

        with pytest.raises(ConnectionRefusedError):
            await connect(refuse)
        assert HOUR <= time.time() < HOUR + 60


async def test_a_server_that_says_nothing_is_given_five_seconds() -> None:
    """A timeout is not retried."""
    async with thp.mocked_call_later():

        async def say_nothing() -> str:
            await asyncio.sleep(HOUR)
            return "too late"

        with pytest.raises(TimeoutError):
            await connect(say_nothing)
        assert time.time() == 5
