"""Runs one subject in the environment that it is installed in, and prints what that cost as JSON."""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable

from benchmarks import upkeep
from benchmarks.subjects import OURS, SUBJECTS, TRIO, Subject, plain, run
from benchmarks.workloads import GROWTH, ROWS, Given, Row, Workload, soon

ENOUGH = 1.0
"""After how many seconds no further pair is measured."""
ALL_ROWS = ROWS | GROWTH


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    """Return the CPU time of some work, in seconds: what else the machine does then does not count."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    await work()
    took = time.process_time() - began
    gc.enable()
    return took


def on_floor(row: Row, size: int) -> float:
    """Do the work as plain asyncio would, with no clock; return what it took."""
    return _on_loop(row, Subject(new_loop=row.floor_loop), row.floor or row.work, size, floor=True)


def on_subject(name: str, subject: str, size: int) -> float:
    """Do the work in a subject's virtual time; return what it took."""
    if subject == TRIO:
        from benchmarks import with_trio

        return with_trio.run(name, size, timed)
    row = ALL_ROWS[name]
    return _on_loop(row, SUBJECTS[subject], row.work, size, floor=False)


def _on_loop(row: Row, subject: Subject, work: Workload, size: int, *, floor: bool) -> float:
    async def main() -> float:
        wrong: AssertionError | None = None
        async with (subject.enter if row.in_block else plain)() as advance:
            # Looked up here, inside the block: one of the peers replaces it.
            given = Given(size, soon if floor else asyncio.sleep, advance, None if floor else subject.clock)
            try:
                took = await timed(lambda: work(given))
            except AssertionError as error:
                wrong = error
        # Raised out here: one of the peers hangs when an exception leaves its block.
        if wrong is not None:
            raise wrong
        return took

    return run(subject, main())


def pairs(name: str, subject: str, size: int, most: int) -> list[tuple[float, float]]:
    """Measure floor and subject by turns, after both have been run once at a small size."""
    row = ALL_ROWS[name]
    on_floor(row, min(size, row.small)), on_subject(name, subject, min(size, row.small))
    measured: list[tuple[float, float]] = []
    until = time.perf_counter() + ENOUGH
    while not measured or (len(measured) < most and time.perf_counter() < until):
        measured.append((on_floor(row, size), on_subject(name, subject, size)))
    return measured


def everything_small() -> None:
    """Do each workload once at a small size, for us and the floor."""
    for name, row in ALL_ROWS.items():
        pairs(name, OURS, row.small, 1)
    upkeep.everything_small()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [_, "small"]:
            everything_small()
        case [subject, "pairs", name, size, most]:
            print(json.dumps(pairs(name, subject, int(size), int(most))))
        case [subject, measure]:
            print(json.dumps([[value] for value in upkeep.MEASURES[measure](subject)]))
