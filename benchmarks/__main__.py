"""Measures the helpers beside plain asyncio and their peers, and writes what comes out as Markdown."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks import instructions
from benchmarks.environments import version_of, work
from benchmarks.report import Samples, page_with, ranked, table, told
from benchmarks.subjects import FLOOR, OURS, SUBJECTS
from benchmarks.workloads import BEST, ROWS

PAIRS = 5
"""How many times a worker measures floor and subject, at most, before it is the turn of the next subject."""
LOOPS = ("asyncio-time-travel", "async-solipsism", "aiotools")
UPKEEP: dict[str, tuple[str, tuple[str, ...], float | None]] = {
    "blocks-memory": ("growth over 10,000 blocks of `mocked_call_later`, bytes each", (OURS,), 1),
    "dominos-blocks-memory": ("growth over 10,000 blocks of `future_dominos`, bytes each", (OURS,), 1),
    "memory": ("memory of 5,000 sleeping tasks, MiB", (OURS, FLOOR, *LOOPS), 6.9),
    "first": ("first block of a process, ms", (OURS,), 0.15),
    "import": ("`import machinery.test_helpers` beyond `import asyncio`, ms", (OURS,), 4),
}
"""What each is, of whom it is measured, and what is to be the most for ours."""
SLOW = {(peer, name) for peer in ("looptime", "machinery-collection") for name in ROWS}
"""What is not counted, since it is no near peer and takes minutes under valgrind."""


def measure(subject: str, *arguments: object) -> list[list[float]] | str:
    """Return what a worker has measured, each time a list, or why it has measured nothing."""
    try:
        done = work(subject, *map(str, arguments))
    except subprocess.TimeoutExpired as late:
        return f"more than {late.timeout:.0f} s"
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        print(f"{subject} {arguments}: {reason}", file=sys.stderr)
        return "wrong answer" if reason.startswith("AssertionError") else "fails"
    measured: list[list[float]] = json.loads(done.stdout)
    return measured


def by_turns(rounds: int, *turns: tuple[str, ...]) -> dict[tuple[str, ...], list[list[float]] | str]:
    """Let the workers of all subjects run, again and again; return what each has measured in all its turns."""
    measured: dict[tuple[str, ...], list[list[float]] | str] = {}
    for count in range(rounds):
        for turn in turns:
            before = measured.get(turn, [])
            if isinstance(before, str):
                continue
            print(f"{count + 1} of {rounds}: {' '.join(turn)}", file=sys.stderr)
            after = measure(*turn)
            measured[turn] = after if isinstance(after, str) else before + after
    return measured


def against_goals(name: str, ours: float, others: dict[str, float]) -> str:
    """Return which share of its goals' references a figure is, and which goal it misses."""
    lines = []
    for reference, goal in ROWS[name].goal.items():
        peers = [value for peer, value in others.items() if peer != FLOOR]
        value = min(peers, default=None) if reference == BEST else others.get(reference)
        if value is not None:
            share = ours / value
            lines.append(f"{share:.2f} of {reference}{f' (**missed**, goal {goal})' if share > goal else ''}")
    return ", ".join(lines)


def seconds(rounds: int) -> str:
    """Measure the workloads; return a table of how many times as long as the floor each subject takes."""
    turns = {
        (name, subject): (subject, "pairs", name, str(row.size), str(PAIRS))
        for name, row in ROWS.items()
        for subject in (OURS, *row.peers)
    }
    measured = by_turns(rounds, *turns.values())
    lines = []
    for name, row in ROWS.items():
        floors: list[float] = []
        times: dict[str, Samples | str] = {}
        for subject in (OURS, *row.peers):
            pairs = measured[turns[name, subject]]
            if isinstance(pairs, str):
                times[subject] = pairs
            else:
                floors += [floor for floor, _ in pairs]
                times[subject] = [took / floor for floor, took in pairs]
        ours = times.pop(OURS)
        others = {FLOOR: 1.0, **{peer: median(each) for peer, each in times.items() if not isinstance(each, str)}}
        goals = "" if isinstance(ours, str) else against_goals(name, median(ours), others)
        cells = [f"{median(floors) * 1e3:.2f} ms", f"**{told(ours)}**", goals, ", ".join(ranked(times))]
        lines.append([row.title, *cells])
    return table(["work", "floor", "ours", "goal", "peers"], lines)


def counts() -> str:
    """Count the instructions of the workloads; return a table of those of one unit."""
    if not instructions.are_countable():
        return "Instructions were not counted, since valgrind is not installed.\n"
    lines = []
    for name, row in ROWS.items():
        others: dict[str, float] = {}
        for subject in (OURS, FLOOR, *row.peers):
            print(f"instructions: {name}, {subject}", file=sys.stderr)
            counted = None if (subject, name) in SLOW else instructions.count(name, subject)
            if counted is not None:
                others[subject] = counted
        ours = others.pop(OURS)
        cells = [f"{others[FLOOR]:,.0f}", f"**{ours:,.0f}**", against_goals(name, ours, others)]
        peers = sorted((value, peer) for peer, value in others.items() if peer != FLOOR)
        lines.append([row.title, *cells, ", ".join(f"{peer} {value:,.0f}" for value, peer in peers)])
    return table(["instructions of one unit of", "floor", "ours", "goal", "peers"], lines)


def upkeep(rounds: int) -> str:
    """Take the measures that have no floor; return a table of them."""
    turns = {(name, subject): (subject, name) for name, (_, subjects, _) in UPKEEP.items() for subject in subjects}
    measured = by_turns(rounds, *turns.values())
    lines = []
    for name, (title, subjects, goal) in UPKEEP.items():
        values: dict[str, Samples | str] = {}
        for subject in subjects:
            got = measured[turns[name, subject]]
            values[subject] = got if isinstance(got, str) else [value for (value,) in got]
        ours = values.pop(OURS)
        missed = goal is not None and not isinstance(ours, str) and median(ours) > goal
        lines.append(
            [title, f"**{told(ours)}**", f"{goal}{' (**missed**)' if missed else ''}", ", ".join(ranked(values))]
        )
    return table(["what", "ours", "goal", "others"], lines)


def versions() -> str:
    """Return what was measured on what, and when."""
    peers = ", ".join(f"{name} {version_of(name)}" for name, subject in SUBJECTS.items() if subject.needs)
    return (
        f"Measured on {datetime.date.today()} with `python -m benchmarks`, {platform.python_implementation()}"
        f" {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores.\n"
        f"The peers: {peers}.\n"
    )


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--small", action="store_true", help="only run each workload once, small, for us and the floor")
    parser.add_argument("--rounds", type=int, default=5, help="how many turns each subject gets (default: 5)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the tables into this page")
    parser.add_argument("--check", action="store_true", help="compare our instructions with the last release's")
    parser.add_argument("--release", action="store_true", help="remember our instructions for --check")
    chosen = parser.parse_args()
    if chosen.small:
        done = work(OURS, "small")
        print(done.stderr, end="", file=sys.stderr)
        return done.returncode
    if chosen.check or chosen.release:
        if not instructions.are_countable():
            print("instructions cannot be counted: install valgrind", file=sys.stderr)
            return 1
        slower = instructions.check() if chosen.check else instructions.note_release()
        print(f"slower than the last release: {', '.join(slower)}" if slower else "nothing is slower")
        return 1 if slower else 0
    measured = f"{versions()}\n{seconds(chosen.rounds)}\n{counts()}\n{upkeep(chosen.rounds)}"
    print(measured)
    if chosen.write:
        page = chosen.write
        before = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
        page.write_text(page_with(before, measured), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
