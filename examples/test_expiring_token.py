"""Expiry: an access token is kept for as long as it is good, and renewed shortly before it expires."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from machinery import test_helpers as thp


class Token(NamedTuple):
    """What the server hands out."""

    value: str
    expires_at: float


class Session:
    """Logs in when needed, and only then."""

    margin = 30

    def __init__(self, log_in: Callable[[], Awaitable[Token]]) -> None:
        self._log_in = log_in
        self._token = Token("", expires_at=0)
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that is good for another half minute at least."""
        async with self._lock:
            if time.time() > self._token.expires_at - self.margin:
                self._token = await self._log_in()
            return self._token.value


class Server:
    """A stand-in for the real one: logging in takes two seconds, and a token is good for an hour."""

    def __init__(self) -> None:
        self.logins: list[float] = []

    async def log_in(self) -> Token:
        """Hand out the next token."""
        await asyncio.sleep(2)
        self.logins.append(time.time())
        return Token(f"token {len(self.logins)}", expires_at=time.time() + 3600)


async def test_a_token_is_renewed_half_a_minute_before_it_expires() -> None:
    """Who asks every ten minutes for three hours logs in three times."""
    async with thp.mocked_call_later():
        server = Server()
        session = Session(server.log_in)
        tokens = []
        for _ in range(18):
            tokens.append(await session.token())
            await asyncio.sleep(600)

        assert tokens == ["token 1"] * 6 + ["token 2"] * 6 + ["token 3"] * 6
        assert server.logins == [2, 3604, 7206]


async def test_who_comes_during_a_login_waits_for_it() -> None:
    """A hundred callers at once log in once, on whatever day that is."""
    async with thp.mocked_call_later(start_time=1_700_000_000):
        server = Server()
        session = Session(server.log_in)

        tokens = await asyncio.gather(*(session.token() for _ in range(100)))

        assert set(tokens) == {"token 1"}
        assert server.logins == [1_700_000_002]
