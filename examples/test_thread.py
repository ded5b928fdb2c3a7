"""A library that blocks, in a thread, with a timeout around it."""

import asyncio
import time

from machinery import test_helpers as thp


def blocking_request() -> str:
    """Take a while in real time, as a library without asyncio does."""
    time.sleep(0.1)
    return "answer"


async def request_each_minute(seconds: float) -> list[tuple[float, str]]:
    """Return when each answer came, in seconds since the start, and the answer."""
    began, answers = time.time(), []
    while time.time() < began + seconds:
        async with asyncio.timeout(5):
            answer = await asyncio.to_thread(blocking_request)
        answers.append((time.time() - began, answer))
        await asyncio.sleep(60)
    return answers


async def test_work_in_a_thread_takes_no_virtual_time() -> None:
    """The clock waits for the thread, so the timeout does not strike, and the minutes pass at once."""
    async with thp.mocked_call_later():
        assert await request_each_minute(180) == [(0, "answer"), (60, "answer"), (120, "answer")]
