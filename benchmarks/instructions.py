"""Counts instructions with valgrind, where it is installed: they do not depend on what else the machine does."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from math import inf
from pathlib import Path

from benchmarks.environments import work
from benchmarks.subjects import FLOOR, OURS
from benchmarks.workloads import ROWS

LAST_RELEASE = Path(__file__).with_name("instructions.json")
"""Ours as multiples of the floor, since numbers of instructions depend on the build of Python."""
TOLERANCE = 1.03
PADDINGS = (0, 50, 100, 200, 400, 800)
"""By how many bytes the environment is made longer where a row seems slower, one after the other.

What lies where in memory makes up to 2 % of a count, and the length of the environment changes that.
"""


def are_countable() -> bool:
    """Return whether valgrind is there."""
    return shutil.which("valgrind") is not None


def count(name: str, subject: str, padding: int = 0) -> float | None:
    """Return the instructions of one unit of a workload: the difference of two sizes, divided."""
    small, large = ROWS[name].counted
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "count")
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-before=os_getppid"]
        try:
            done = work(subject, "marked", name, str(small), str(large), under=valgrind, padding=padding)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            return None
        # Each call of getppid ends a part; the first of each pair of parts lies between two runs.
        parts = sorted(Path(folder).glob("count.*"), key=lambda path: int(path.suffix[1:]))
        _, small_run, large_run = [_total(part) for part in parts[1::2]]
    return (large_run - small_run) / (large - small)


def _total(part: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", part.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{part} has no total"
    return int(found[1])


def factors(names: Iterable[str] = ROWS, padding: int = 0) -> dict[str, float]:
    """Return for each workload how many times as many instructions as the floor ours takes."""
    counts = {name: (count(name, OURS, padding), count(name, FLOOR, padding)) for name in names}
    return {name: round(ours / floor, 3) for name, (ours, floor) in counts.items() if ours and floor}


def check() -> list[str]:
    """Compare with the last release; return what has become slower."""
    before = json.loads(LAST_RELEASE.read_text(encoding="utf-8"))[_version()]
    slower = list(ROWS)
    for padding in PADDINGS:
        after = factors(slower, padding)
        for name, factor in after.items():
            print(f"{name:15} {before.get(name, 0):8.3f} {factor:8.3f}")
        # A row that could not be counted is treated as slower.
        slower = [name for name in slower if after.get(name, inf) > before.get(name, inf) * TOLERANCE]
    return slower


def note_release() -> list[str]:
    """Remember the instructions of this version, for the next release."""
    LAST_RELEASE.write_text(json.dumps({_version(): factors()}, indent=2) + "\n", encoding="utf-8")
    return []


def _version() -> str:
    return "{}.{}".format(*sys.version_info)
