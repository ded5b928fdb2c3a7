"""What a block may replace."""

import asyncio
import socket
import ssl
import time

FUNCTIONS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")
"""Those of the module `time`; the last one is never replaced."""


def state_of(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Return all that a block may replace, without the data by which a loop runs."""
    selector = getattr(loop, "_selector", None)
    functions = [getattr(time, name) for name in FUNCTIONS]
    on_the_loop = {name: value for name, value in vars(loop).items() if callable(value)}
    elsewhere = [dict(vars(each)) for each in (asyncio, asyncio.events, asyncio.tasks, socket.socket, ssl.SSLObject)]
    return [functions, on_the_loop, sorted(getattr(selector, "__dict__", {})), *elsewhere]
