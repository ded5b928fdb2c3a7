"""The tests of `held_by_fixtures.py` for `unittest`, with blocks that are opened by the set-up."""

import asyncio
import unittest
from collections.abc import Callable
from inspect import signature
from typing import Any

from machinery import test_helpers as thp
from tests.runners import held_by_fixtures

MAKE: dict[str, Callable[[], Any]] = {
    "m": lambda: thp.mocked_call_later(name="of a fixture"),
    "futs": lambda: thp.future_dominos(expected=2, name="of a fixture"),
}


class Held(unittest.IsolatedAsyncioTestCase):
    """One method for each test."""

    async def asyncSetUp(self) -> None:
        """Open what the test asks for."""
        # `unittest` sets debug mode, and on a busy machine anything may be slow enough for a warning.
        asyncio.get_running_loop().slow_callback_duration = 60
        names = signature(getattr(held_by_fixtures, self._testMethodName)).parameters
        self.given = {name: await self.enterAsyncContext(MAKE[name]()) for name in names}


def _method(function: Callable[..., Any]) -> Callable[[Held], Any]:
    async def method(self: Held) -> None:
        await function(**self.given)

    return method


for function in held_by_fixtures.TESTS:
    setattr(Held, function.__name__, _method(function))
