"""Puts the questions to the tools, each in an environment of its own, and keeps the tables of the page current.

    python docs/comparison/measure.py                    measures all tools and writes the tables
    python docs/comparison/measure.py --check machinery  measures one and says whether its rows are what the page shows

Each tool is asked on the newest Python found on which it runs at all; environments are kept in `docs/_build`.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from questions import CLOCKS, COMPANY, EXACT, HANGS, ORDER, PUTS_BACK, QUESTIONS, REAL, SLEEPS, STRIKES
from tools import OURS, TOOLS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = HERE.parent / "explanation" / "comparison.md"
BEGIN, END = "<!-- begin: measured -->\n", "<!-- end: measured -->\n"
VERSIONS = ("3.14", "3.13", "3.12", "3.11", "3.10")
BESIDE = {OURS: ("time-machine", "uvloop"), "trio": ()}
"""What is installed beside a tool; where nothing is said, uvloop."""
IN_ORDER = (OURS, "machinery-collection", "trio")
"""The tools that put tasks in order, rather than only timers."""
TOO_LONG = 10
"""For how many real seconds a question is asked."""
NOT_ASKED = "-"
NAMES = {
    OURS: "**machinery**",
    "aiotools": "aiotools `VirtualClock`",
    "asynctest": "asynctest `ClockedTestCase`",
    "trio": "trio `MockClock`",
    (OURS, ORDER): "**machinery** `future_dominos`",
    ("machinery-collection", ORDER): "machinery-collection `future_dominos`",
    ("trio", ORDER): "trio `Sequencer`",
}


@functools.cache
def interpreters() -> dict[str, str]:
    """Return the Pythons that are on this machine, newest first."""
    found = {version: shutil.which(f"python{version}") for version in VERSIONS}
    return {
        version: path
        for version, path in found.items()
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0
    }


def python_of(tool: str, version: str) -> str | None:
    """Return the interpreter of an environment of a tool; ``None`` if it cannot be installed there."""
    if tool == OURS and version == "{}.{}".format(*sys.version_info):
        return sys.executable
    home = HERE.parent / "_build" / "comparison" / f"{tool}-{version}"
    python = home / "bin" / "python"
    if not (home / "made").exists():
        needs = (*TOOLS[tool].needs, *BESIDE.get(tool, ("uvloop",)))
        subprocess.run([interpreters()[version], "-m", "venv", "--clear", str(home)], check=True)
        if needs and subprocess.run([str(python), "-m", "pip", "install", "--quiet", *needs]).returncode:
            return None
        (home / "made").touch()
    return str(python)


def ask(tool: str, version: str, table: str, question: str) -> str:
    """Return what a tool answers; what fails is a no, and so is what takes too long."""
    python = python_of(tool, version)
    if python is None:
        return "no"
    env = os.environ | ({"PYTHONPATH": str(ROOT / "src")} if tool == OURS else {})
    command = [python, str(HERE / "questions.py"), tool, table, question]
    try:
        done = subprocess.run(
            command, env=env, cwd=tempfile.gettempdir(), capture_output=True, text=True, timeout=TOO_LONG
        )
    except subprocess.TimeoutExpired:
        return "hangs" if question in HANGS else "no"
    return done.stdout.strip() if done.returncode == 0 else "no"


def runs_on(tool: str) -> list[str]:
    """Return the versions on which a tool can be used, newest first."""
    return [
        version
        for version in interpreters()
        if ask(tool, version, CLOCKS, SLEEPS) != "no" or ask(tool, version, CLOCKS, "`time.time`") != "no"
    ]


def runs_here(tool: str) -> list[str]:
    """Return one version on which a tool can be used: the one that runs this, for ours."""
    return ["{}.{}".format(*sys.version_info)] if tool == OURS else runs_on(tool)[:1]


def rows(tool: str, versions: list[str]) -> dict[str, str]:
    """Return the row of a tool in each of the tables; the last of them ends with the Pythons on which it runs."""

    def answers_to(table: str) -> dict[str, str]:
        return {question: ask(tool, versions[0], table, question) for question in QUESTIONS[table]}

    answers = {CLOCKS: answers_to(CLOCKS)}
    if answers[CLOCKS][SLEEPS] == "no":
        # Code that uses asyncio lives in real time: what is asked of virtual time does not arise.
        for table in (EXACT, REAL, COMPANY):
            answers[table] = dict.fromkeys(QUESTIONS[table], NOT_ASKED)
        answers[COMPANY][PUTS_BACK] = ask(tool, versions[0], COMPANY, PUTS_BACK)
    else:
        answers[EXACT] = answers_to(EXACT)
        # Nor does it arise where timeouts are real.
        real = answers[EXACT][STRIKES] == "no"
        answers[REAL] = dict.fromkeys(QUESTIONS[REAL], NOT_ASKED) if real else answers_to(REAL)
        answers[COMPANY] = answers_to(COMPANY)
    if tool in IN_ORDER:
        answers[ORDER] = answers_to(ORDER)
    answers[COMPANY]["Python"] = versions[0] if len(versions) == 1 else f"{versions[-1]} to {versions[0]}"
    return {
        table: line([NAMES.get((tool, table), NAMES.get(tool, tool)), *cells.values()])
        for table, cells in answers.items()
    }


def line(cells: list[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |\n"


def tables(measured: dict[str, dict[str, str]]) -> Iterator[str]:
    """Return the tables of all tools."""
    for table, questions in QUESTIONS.items():
        titles = ["", *questions, *(["Python"] if table == COMPANY else [])]
        yield f"\n### {table}\n\n{line(titles)}{line(['---'] * len(titles))}"
        yield from (measured[tool][table] for tool in measured if table in measured[tool])


def version_of(tool: str) -> str:
    """Return the name of a tool and the version that was measured."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    python = python_of(tool, runs_on(tool)[0])
    done = subprocess.run([str(python), "-c", code, TOOLS[tool].needs[0]], capture_output=True, text=True, check=True)
    return f"{tool} {done.stdout.strip()}"


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="append", choices=TOOLS, metavar="TOOL", help="write nothing")
    checked = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        chosen = checked or list(TOOLS)
        versions = list(pool.map(runs_here if checked else runs_on, chosen))
        measured = dict(zip(chosen, pool.map(rows, chosen, versions), strict=True))
    if checked:
        # Which Pythons there are is a matter of the machine.
        found = [
            row.rsplit(" | ", 1)[0] if table == COMPANY else row
            for tool in measured.values()
            for table, row in tool.items()
        ]
        stale = [row for row in found if row not in page]
        print("".join(stale) if stale else "the page shows what was measured")
        return 1 if stale else 0
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    peers = ", ".join(version_of(tool) for tool in TOOLS if tool != OURS)
    told = f"Measured on {datetime.date.today()} with `python docs/comparison/measure.py`: {peers}.\n"
    PAGE.write_text(f"{before}{BEGIN}{told}{''.join(tables(measured))}{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
