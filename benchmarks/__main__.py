"""Measures the helpers beside plain asyncio and their peers, and writes what comes out as Markdown and SVG."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks import plot
from benchmarks.environments import version_of, work
from benchmarks.report import Samples, number, page_with, ranked, table, told
from benchmarks.subjects import FLOOR, OURS, SUBJECTS
from benchmarks.workloads import GROWTH, ROWS

PAIRS = 5
"""How many times a worker measures floor and subject, at most, before it is the turn of the next subject."""
LOOPS = ("asyncio-time-travel", "async-solipsism", "aiotools")
UPKEEP = {
    "hour": ("one sleep of an hour, µs", (OURS, *LOOPS)),
    "month": ("one sleep of 30 days, µs", (OURS, *LOOPS)),
    "blocks": ("entering and leaving `mocked_call_later`, µs", (OURS, "aiotools", "aiofastforward")),
    "dominos-blocks": ("entering and leaving `future_dominos`, µs", (OURS,)),
    "blocks-memory": ("growth over 10,000 blocks of `mocked_call_later`, bytes each", (OURS,)),
    "dominos-blocks-memory": ("growth over 10,000 blocks of `future_dominos`, bytes each", (OURS,)),
    "memory": ("memory of 5,000 sleeping tasks, MiB", (OURS, FLOOR, *LOOPS)),
    "import": ("`import machinery.test_helpers` beyond `import asyncio`, ms", (OURS,)),
}
SIZES = {
    "timers": [100, 1_000, 10_000, 100_000, 1_000_000],
    "seconds": [1, 60, 3_600, 86_400, 30 * 86_400, 365 * 86_400, 3_650 * 86_400],
    "dominos": [10, 100, 1_000, 10_000, 100_000],
}
LARGEST = {
    ("seconds", "asyncio-time-travel"): 30 * 86_400,
    ("seconds", "machinery-collection"): 86_400,
    ("dominos", "machinery-collection"): 100,
}
"""The sizes beyond which a peer takes minutes, or never ends."""


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


def factors(rounds: int) -> str:
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
        ours = told(times.pop(OURS))
        best, *others = ranked(times)
        lines.append([row.title, f"{median(floors) * 1e3:.2f} ms", f"**{ours}**", best, ", ".join(others)])
    return table(["work", "floor", "ours", "best peer", "other peers"], lines)


def upkeep(rounds: int) -> str:
    """Take the measures that have no floor; return a table of them."""
    turns = {(name, subject): (subject, name) for name, (_, subjects) in UPKEEP.items() for subject in subjects}
    measured = by_turns(rounds, *turns.values())
    lines = []
    for name, (title, subjects) in UPKEEP.items():
        values: dict[str, Samples | str] = {}
        for subject in subjects:
            got = measured[turns[name, subject]]
            values[subject] = got if isinstance(got, str) else [value for (value,) in got]
        ours = told(values.pop(OURS))
        lines.append([title, f"**{ours}**", ", ".join(ranked(values))])
    return table(["what", "ours", "others"], lines)


def growth(kind: str) -> tuple[str, str]:
    """Measure a workload at growing sizes; return a drawing of what it takes, and the last points in words."""
    row = GROWTH[kind]
    series: dict[str, list[tuple[float, float]]] = {OURS: [], FLOOR: [], **{peer: [] for peer in row.peers}}
    for size in SIZES[kind]:
        for subject in (OURS, *row.peers):
            if size > LARGEST.get((kind, subject), size):
                continue
            print(f"growth: {size:,} {kind}, {subject}", file=sys.stderr)
            pairs = measure(subject, "pairs", kind, size, 10 * PAIRS)
            if isinstance(pairs, str):
                continue
            series[subject].append((size, median(took for _, took in pairs)))
            if subject == OURS:
                series[FLOOR].append((size, median(floor for floor, _ in pairs)))
    lines = {name: line for name, line in series.items() if line}
    ends = ", ".join(f"{name} {number(line[-1][1] * 1e3)} ms at {line[-1][0]:,}" for name, line in lines.items())
    return plot.svg(f"CPU time against {row.title}", row.title, lines), f"Where the lines end: {ends}.\n"


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
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="write the tables into this page, the plots beside it"
    )
    chosen = parser.parse_args()
    if chosen.small:
        done = work(OURS, "small")
        print(done.stderr, end="", file=sys.stderr)
        return done.returncode
    measured = f"{versions()}\n{factors(chosen.rounds)}\n{upkeep(chosen.rounds)}"
    print(measured)
    if chosen.write:
        page = chosen.write.with_suffix(".md")
        drawings = page.with_suffix("")
        drawings.mkdir(parents=True, exist_ok=True)
        for kind, row in GROWTH.items():
            drawing, ends = growth(kind)
            (drawings / f"{kind}.svg").write_text(drawing, encoding="utf-8")
            measured += f"\n![CPU time against {row.title}]({drawings.name}/{kind}.svg)\n\n{ends}"
        before = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
        page.write_text(page_with(before, measured), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
