"""Both helpers together: two answers arrive at the same moment, in either order."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from machinery import test_helpers as thp

Server = Callable[[], Awaitable[str]]


async def ask_two(first: Server, second: Server, *, patience: float) -> str:
    """Ask a server, and a second one if the first takes too long; return the first answer."""
    asked = {asyncio.ensure_future(first())}
    done, _ = await asyncio.wait(asked, timeout=patience)
    if not done:
        asked.add(asyncio.ensure_future(second()))
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    for task in asked - done:
        task.cancel()
    return done.pop().result()


@pytest.mark.parametrize(("fast", "slow"), [("first", "second"), ("second", "first")])
async def test_of_two_answers_at_the_same_moment_one_is_taken_and_the_other_cancelled(fast: str, slow: str) -> None:
    """Both answers come after exactly three seconds; the dominos decide which is first."""
    cancelled: list[str] = []
    async with thp.mocked_call_later(), thp.future_dominos(expected=2) as futs:
        turns = {fast: futs[1], slow: futs[2]}

        async def answer(server: str, delay: float) -> str:
            try:
                await asyncio.sleep(delay)
                await turns[server]
            except asyncio.CancelledError:
                cancelled.append(server)
                raise
            return server

        futs.begin()
        assert await ask_two(lambda: answer("first", 3), lambda: answer("second", 1), patience=2) == fast
        assert time.time() == 3
        await futs.finished.wait()

    assert cancelled == [slow]
