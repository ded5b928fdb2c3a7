"""The real clock, whatever has been put into the module `time`.

PYTEST_DONT_REWRITE
"""

import time
from collections.abc import Callable
from functools import partial
from threading import get_ident

# An object of our own: freezegun replaces, in every module, attributes that are functions of `time`.
monotonic: Callable[[], float] = partial(time.monotonic)

threads_reading_it: set[int] = set()
"""The threads in which the functions of `time` have to answer in real time for the moment."""


def in_real_time(read: Callable[[], float]) -> Callable[[], float]:
    """Return a function that calls ``read``, which is made from ``time.monotonic``, with the real one."""

    def read_real() -> float:
        thread = get_ident()
        if thread in threads_reading_it:
            return read()
        threads_reading_it.add(thread)
        try:
            return read()
        finally:
            threads_reading_it.discard(thread)

    return read_real
