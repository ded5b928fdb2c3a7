"""What is measured as it is, and not against the floor: memory, importing, and the first block of a process."""

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from benchmarks.subjects import FLOOR, OURS, SUBJECTS, Subject, run

BLOCKS = 10_000
SLEEPING = 5_000


def dominos_block() -> AbstractAsyncContextManager[Any]:
    """Make a block of no dominos."""
    from machinery import test_helpers as thp

    return thp.future_dominos(expected=0)


async def _enter(block: Callable[[], AbstractAsyncContextManager[Any]], times: int) -> None:
    for _ in range(times):
        async with block():
            pass


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


def first_block(times: int = 10) -> list[float]:
    """Enter and leave the first block of a process; return the ms of each."""
    code = (
        "import asyncio, time; from machinery import test_helpers as thp\nasync def main():\n began ="
        " time.process_time()\n async with thp.mocked_call_later(): pass\n return time.process_time() - began\n"
        "print(asyncio.run(main()) * 1e3)"
    )
    return [_in_process(code, os.environ) for _ in range(times)]


def importing(times: int = 20) -> list[float]:
    """Import what the tests import, after asyncio, in new processes; return the ms of each."""
    code = (
        "import asyncio, time; began = time.process_time(); import machinery.test_helpers;"
        " print((time.process_time() - began) * 1e3)"
    )
    with tempfile.TemporaryDirectory() as cache:
        # Bytecode is kept from the first time on, whatever is said elsewhere about keeping it.
        env = os.environ | {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}

        _in_process(code, env)
        return [_in_process(code, env) for _ in range(times)]


def _in_process(code: str, env: Mapping[str, str]) -> float:
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)


def _subject(name: str) -> Subject:
    return Subject() if name == FLOOR else SUBJECTS[name]


MEASURES: dict[str, Callable[[str], list[float]]] = {
    "blocks-memory": lambda name: blocks_memory(_subject(name).enter),
    "dominos-blocks-memory": lambda _: blocks_memory(dominos_block),
    "memory": lambda name: sleepers(_subject(name)),
    "first": lambda _: first_block(),
    "import": lambda _: importing(),
}


def everything_small() -> None:
    """Take each measure once, at a small size, for us."""
    ours = SUBJECTS[OURS]
    blocks_memory(ours.enter, 10), blocks_memory(dominos_block, 10)
    sleepers(ours, 10), sleepers(Subject(), 10), first_block(1), importing(1)
