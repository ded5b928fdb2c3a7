"""A plugin that makes the loops of pytest-asyncio uvloop's."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one kind of loop that there is."""
    return {"uvloop": uvloop.new_event_loop}
