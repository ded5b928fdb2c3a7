"""Expiry: an access token is cached, and renewed shortly before it expires."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from machinery import test_helpers as thp


class Token(NamedTuple):
    """What the server returns."""

    value: str
    expires_at: float


class Session:
    """Logs in only when needed."""

    margin = 30

    def __init__(self, log_in: Callable[[], Awaitable[Token]]) -> None:
        self._log_in = log_in
        self._token = Token("", expires_at=0)
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that is valid for at least another 30 seconds."""
        async with self._lock:
            if time.time() > self._token.expires_at - self.margin:
                self._token = await self._log_in()
            return self._token.value


class Server:
    """A fake server: a login takes two seconds, and a token is valid for an hour."""

    def __init__(self) -> None:
        self.logins: list[float] = []

    async def log_in(self) -> Token:
        """Return the next token."""
        await asyncio.sleep(2)
        self.logins.append(time.time())
        return Token(f"token {len(self.logins)}", expires_at=time.time() + 3600)


async def test_a_token_is_renewed_half_a_minute_before_it_expires() -> None:
    """Asking every ten minutes for three hours logs in three times."""
    async with thp.mocked_call_later():
        server = Server()
        session = Session(server.log_in)
        tokens = []
        for _ in range(18):
            tokens.append(await session.token())
            await asyncio.sleep(600)

        assert tokens == ["token 1"] * 6 + ["token 2"] * 6 + ["token 3"] * 6
        assert server.logins == [2, 3604, 7206]


async def test_callers_during_a_login_share_it() -> None:
    """A hundred callers at once cause one login."""
    async with thp.mocked_call_later(start_time=1_700_000_000):
        server = Server()
        session = Session(server.log_in)

        tokens = await asyncio.gather(*(session.token() for _ in range(100)))

        assert set(tokens) == {"token 1"}
        assert server.logins == [1_700_000_002]
