"""The kinds of event loop that tests run on."""

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine

import pytest

Run = Callable[[Coroutine[object, object, None]], None]

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32" and sys.implementation.name == "cpython":
    import uvloop

    FACTORIES["uvloop"] = uvloop.new_event_loop


def run_on(kind: str, main: Coroutine[object, object, None]) -> None:
    """Run a coroutine on a new loop of this kind, for a minute at most."""
    with asyncio.Runner(loop_factory=FACTORIES[kind]) as runner:
        # This timer is older than any block of virtual time in there, so it is real.
        runner.run(asyncio.wait_for(main, 60))


on_every_loop = pytest.mark.parametrize(
    "run", [pytest.param(functools.partial(run_on, kind), id=kind) for kind in FACTORIES]
)
"""Gives a test the parameter ``run``."""
