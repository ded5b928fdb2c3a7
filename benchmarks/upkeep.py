"""What is measured as it is, and not against the floor: blocks, memory, importing, and single sleeps."""

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from benchmarks.subjects import FLOOR, OURS, SUBJECTS, Subject, run

BLOCKS = 10_000
SLEEPING = 5_000


def dominos_block() -> AbstractAsyncContextManager[Any]:
    """Make a block of no dominos."""
    from machinery import test_helpers as thp

    return thp.future_dominos(expected=0)


async def _enter(block: Callable[[], AbstractAsyncContextManager[Any]], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        async with block():
            pass
    return (time.process_time() - began) / times * 1e6


def blocks(block: Callable[[], AbstractAsyncContextManager[Any]], many: int = BLOCKS) -> list[float]:
    """Enter and leave a block many times; return the µs of one, by tenths of them."""

    async def main() -> list[float]:
        await _enter(block, 10)
        return [await _enter(block, many // 10) for _ in range(10)]

    return asyncio.run(main())


def blocks_memory(block: Callable[[], AbstractAsyncContextManager[Any]], many: int = BLOCKS) -> list[float]:
    """Enter and leave a block many times; return by how many bytes a block the memory has grown."""

    async def main() -> list[float]:
        await _enter(block, 100)
        tracemalloc.start()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await _enter(block, many)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return [(after - before) / many]

    return asyncio.run(main())


def sleepers(subject: Subject, many: int = SLEEPING) -> list[float]:
    """Put many tasks to sleep; return by how many MiB the memory has grown."""

    async def one() -> None:
        await asyncio.sleep(86_400)

    async def main() -> list[float]:
        async with subject.enter():
            # What is made once, for the first task, is no cost of the others.
            for count in (1, many):
                tracemalloc.start()
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                tasks = [asyncio.create_task(one()) for _ in range(count)]
                await asyncio.sleep(0)
                after, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return [(after - before) / 2**20]

    return run(subject, main())


def long_sleep(subject: Subject, seconds: float, times: int = 100) -> list[float]:
    """Sleep once, on a fresh loop; return the µs of each of many such sleeps."""

    async def main() -> float:
        async with subject.enter():
            loop = asyncio.get_running_loop()
            began, start = loop.time(), time.process_time()
            await asyncio.sleep(seconds)
            took = time.process_time() - start
            assert abs(loop.time() - began - seconds) < 1, "the sleep was of another length"
            return took * 1e6

    return [run(subject, main()) for _ in range(times)]


def importing(times: int = 20) -> list[float]:
    """Import what the tests import, after asyncio, in new processes; return the ms of each."""
    code = (
        "import asyncio, time; began = time.process_time(); import machinery.test_helpers;"
        " print((time.process_time() - began) * 1e3)"
    )
    with tempfile.TemporaryDirectory() as cache:
        # Bytecode is kept from the first time on, whatever is said elsewhere about keeping it.
        env = os.environ | {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}

        def once() -> float:
            command = [sys.executable, "-c", code]
            return float(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)

        once()
        return [once() for _ in range(times)]


def _subject(name: str) -> Subject:
    return Subject() if name == FLOOR else SUBJECTS[name]


MEASURES: dict[str, Callable[[str], list[float]]] = {
    "blocks": lambda name: blocks(_subject(name).enter),
    "blocks-memory": lambda name: blocks_memory(_subject(name).enter),
    "dominos-blocks": lambda _: blocks(dominos_block),
    "dominos-blocks-memory": lambda _: blocks_memory(dominos_block),
    "memory": lambda name: sleepers(_subject(name)),
    "hour": lambda name: long_sleep(_subject(name), 3_600),
    "month": lambda name: long_sleep(_subject(name), 30 * 86_400),
    "import": lambda _: importing(),
}


def everything_small() -> None:
    """Take each measure once, at a small size, for us."""
    ours = SUBJECTS[OURS]
    blocks(ours.enter, 10), blocks_memory(ours.enter, 10), blocks(dominos_block, 10)
    sleepers(ours, 10), sleepers(Subject(), 10), long_sleep(ours, 60, 1), importing(1)
