"""Debounce: save a text once its author has stopped typing for a while."""

import asyncio
from collections.abc import Callable

from machinery import test_helpers as thp


class Debounced:
    """Calls a function with the latest text, once no other has come for `quiet` seconds."""

    def __init__(self, function: Callable[[str], None], *, quiet: float) -> None:
        self._function = function
        self._quiet = quiet
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, text: str) -> None:
        """Call the function with this text, unless another text comes first."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._quiet, self._function, text)


async def test_only_the_last_text_of_a_burst_is_saved() -> None:
    """Three texts 0.4 seconds apart are saved once, 0.5 seconds after the last."""
    async with thp.mocked_call_later() as m:
        saved: list[str] = []
        save = Debounced(saved.append, quiet=0.5)

        for text in ("h", "he", "hey"):
            save(text)
            await m.add(0.4)
        assert saved == []

        await m.add(0.1)
        assert saved == ["hey"]
        assert m.called_times == [1.3]


async def test_texts_far_apart_are_all_saved() -> None:
    """A pause of exactly 0.5 seconds saves."""
    async with thp.mocked_call_later() as m:
        saved: list[str] = []
        save = Debounced(saved.append, quiet=0.5)

        for text in ("one", "two"):
            save(text)
            await m.add(0.5)

        assert saved == ["one", "two"]
