"""The same for `unittest`, whose tests are methods."""

import unittest

from machinery import test_helpers as thp
from tests.runners.cases import use


class Cases(unittest.IsolatedAsyncioTestCase):
    """Both helpers, opened by the set-up and by the test."""

    async def asyncSetUp(self) -> None:
        """Open both for the whole test."""
        self.m = await self.enterAsyncContext(thp.mocked_call_later())
        self.futs = await self.enterAsyncContext(thp.future_dominos(expected=3))

    async def test_set_up(self) -> None:
        """Use those of the set-up."""
        await use(self.m, self.futs)

    async def test_blocks(self) -> None:
        """Open some more inside those."""
        async with thp.mocked_call_later() as m, thp.future_dominos(expected=3) as futs:
            await use(m, futs)
        await use(self.m, self.futs)
