"""Runs one subject in the environment that it is installed in, and prints what that cost as JSON."""

import asyncio
import gc
import json
import os
import sys
import time

from benchmarks import upkeep
from benchmarks.subjects import FLOOR, OURS, SUBJECTS, TRIO, Subject, plain, run
from benchmarks.workloads import ROWS, Given, Row, soon

ENOUGH = 1.0
"""After how many seconds no further pair is measured."""


def do(name: str, subject: str, size: int) -> None:
    """Do a workload as whole programs: each makes its loop and its block, and closes both."""
    row = ROWS[name]
    if subject == TRIO:
        from benchmarks import with_trio

        row.arrange(lambda size: with_trio.run(name, size), size)
    elif subject == FLOOR:
        row.arrange(lambda size: _program(row, Subject(new_loop=row.floor_loop), size, floor=True), size)
    else:
        row.arrange(lambda size: _program(row, SUBJECTS[subject], size, floor=False), size)


def _program(row: Row, subject: Subject, size: int, *, floor: bool) -> None:
    async def main() -> None:
        wrong: AssertionError | None = None
        async with (subject.enter if row.in_block else plain)() as advance:
            # Looked up here, inside the block: one of the peers replaces it.
            sleep, clock = (soon, None) if floor else (asyncio.sleep, subject.clock)
            try:
                await ((floor and row.floor) or row.work)(Given(size, sleep, advance, clock, subject.enter))
            except AssertionError as error:
                wrong = error
        # Raised out here: one of the peers hangs when an exception leaves its block.
        if wrong is not None:
            raise wrong

    run(subject, main())


def timed(name: str, subject: str, size: int) -> float:
    """Return the CPU time of some work, in seconds: what else the machine does then does not count."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    do(name, subject, size)
    took = time.process_time() - began
    gc.enable()
    return took


def pairs(name: str, subject: str, size: int, most: int) -> list[tuple[float, float]]:
    """Measure floor and subject by turns, after both have been run once at a small size."""
    small = min(size, ROWS[name].small)
    do(name, FLOOR, small)
    do(name, subject, small)
    measured: list[tuple[float, float]] = []
    until = time.perf_counter() + ENOUGH
    while not measured or (len(measured) < most and time.perf_counter() < until):
        measured.append((timed(name, FLOOR, size), timed(name, subject, size)))
    return measured


def marked(name: str, subject: str, *sizes: int) -> None:
    """Do a workload at each size between two calls of `getppid`, by which `instructions` finds them."""
    gc.disable()
    for size in (sizes[0], *sizes):
        gc.collect()
        os.getppid()
        do(name, subject, size)
        os.getppid()


def everything_small() -> None:
    """Do each workload once at a small size, for us and the floor."""
    for name, row in ROWS.items():
        pairs(name, OURS, row.small, 1)
    upkeep.everything_small()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [_, "small"]:
            everything_small()
        case [subject, "marked", name, *sizes]:
            marked(name, subject, *map(int, sizes))
        case [subject, "pairs", name, size, most]:
            print(json.dumps(pairs(name, subject, int(size), int(most))))
        case [subject, measure]:
            print(json.dumps([[value] for value in upkeep.MEASURES[measure](subject)]))
