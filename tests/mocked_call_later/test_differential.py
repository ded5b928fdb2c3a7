"""Random programs do in virtual time what they do in real time.

To run other programs than these, name their seeds::

    RANDOM_PROGRAMS=17 python -m pytest tests/mocked_call_later/test_differential.py
    RANDOM_PROGRAMS=1000:3000 python -m pytest tests/mocked_call_later/test_differential.py
"""

from __future__ import annotations

import functools
import os
from itertools import zip_longest

import pytest

from tests.mocked_call_later import random_programs
from tests.mocked_call_later.random_programs import Clock, Log

SIDE_BY_SIDE = 40
CLOCKS = [
    Clock(slot_seconds=1, precision=0.1, start_time=0),
    Clock(slot_seconds=0.3, precision=0.1, start_time=12.5),
    Clock(slot_seconds=0.001, precision=0.001, start_time=0),
    Clock(slot_seconds=7, precision=7, start_time=-3),
    Clock(slot_seconds=86400, precision=0.01, start_time=0),
    Clock(slot_seconds=0.3, precision=0.1, start_time=1_700_000_000.123),
]


def seeds(chosen: str) -> range:
    """Return the seeds of `first:end` or of one number."""
    first, _, end = chosen.partition(":")
    return range(int(first), int(end or int(first) + 1))


@functools.cache
def real_logs(batch: int) -> list[Log]:
    """Return the logs in real time of programs that run beside each other."""
    batch_seeds = range(batch * SIDE_BY_SIDE, (batch + 1) * SIDE_BY_SIDE)
    return random_programs.in_real_time([random_programs.program(seed) for seed in batch_seeds])


@pytest.mark.proves("T2", "T3", "T5", "T6", "T7")
@pytest.mark.parametrize("seed", seeds(os.environ.get("RANDOM_PROGRAMS", "0:120")))
def test_a_program_does_in_virtual_time_what_it_does_in_real_time(seed: int) -> None:
    """The log in virtual time is that in real time, by order and by time."""
    program, clock = random_programs.program(seed), CLOCKS[seed % len(CLOCKS)]
    real = real_logs(seed // SIDE_BY_SIDE)[seed % SIDE_BY_SIDE]
    virtual = random_programs.in_virtual_time(program, clock)
    assert virtual == real, report(seed, program, clock, virtual, real)


def report(seed: int, program: str, clock: Clock, virtual: Log, real: Log) -> str:
    """Return how to see a difference again, where it begins, and the program."""
    pairs = enumerate(zip_longest(virtual, real))
    place, (one, other) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    return (
        f"entry {place} is {one} in virtual time and {other} in real time, after {real[:place][-3:]}; {clock}.\n"
        f"Run it again with: RANDOM_PROGRAMS={seed} python -m pytest {os.path.relpath(__file__)}\n\n{program}"
    )


def test_a_seed_always_gives_the_same_program() -> None:
    """What is printed on failure is enough to see the failure again."""
    assert random_programs.program(7) == random_programs.program(7) != random_programs.program(8)


def test_seeds_are_chosen_by_number_or_range() -> None:
    """Both forms of the environment variable are understood."""
    assert [*seeds("17")] == [17]
    assert [*seeds("5:8")] == [5, 6, 7]


def test_a_report_names_the_seed_the_first_difference_and_the_program() -> None:
    """A failure tells what differs and how to run it again."""
    text = report(17, "start(task_1)", CLOCKS[0], [(0.0, "a"), (1.1, "b")], [(0.0, "a"), (1.0, "b"), (2.0, "c")])
    assert text.startswith("entry 1 is (1.1, 'b') in virtual time and (1.0, 'b') in real time, after [(0.0, 'a')]; ")
    assert "RANDOM_PROGRAMS=17 python -m pytest" in text
    assert text.endswith("start(task_1)")


def test_a_slow_machine_is_given_longer_slots() -> None:
    """A real run in which something came too late is made again, until nothing does."""
    program = "import time\nasync def task_1():\n    time.sleep(0.015)\n    log('late')\nstart(task_1)"
    assert random_programs.in_real_time([program]) == [[(0, "late"), (0, "task_1 ended"), (16, "cancelling all")]]


def happenings(seed: int) -> set[str]:
    """Return the words in the log of a program."""
    log = random_programs.in_virtual_time(random_programs.program(seed), CLOCKS[0])
    return set(" ".join(what for _, what in log).split())


def test_the_programs_are_worth_comparing() -> None:
    """Programs hand over, time out, fail, catch, are cancelled and clean up."""
    wanted = {"got", "timed", "caught", "cleaned", "CancelledError", "ArithmeticError", "ExceptionGroup"}
    assert wanted - set().union(*map(happenings, range(100))) == set()
