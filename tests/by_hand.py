"""Coroutines that are driven by hand, outside of any task."""

from collections.abc import Coroutine

import pytest


def step(coro: Coroutine[object, object, object]) -> object:
    """Run a coroutine that does not wait; return what it returns."""
    with pytest.raises(StopIteration) as stopped:
        coro.send(None)
    return stopped.value.value
