"""An environment for each peer, outside the repository, made once and used again."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.subjects import FLOOR, OURS, SUBJECTS

ROOT = Path(__file__).resolve().parent.parent
TOO_LONG = 120
"""For how many seconds a worker may run before it is given up."""


def folder() -> Path:
    """Return where the environments are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or (Path.home() / ".cache" if Path.home().is_dir() else None)
    version = "{}.{}.{}".format(*sys.version_info)
    return Path(cache or tempfile.gettempdir()) / "machinery-benchmarks" / version


def python_of(subject: str) -> str:
    """Return the interpreter of a subject, and make its environment if there is none."""
    if subject not in SUBJECTS or not SUBJECTS[subject].needs:
        return sys.executable
    needs = SUBJECTS[subject].needs
    home = folder() / subject
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = home / "made"
    if not made.exists():
        print(f"making an environment for {subject} in {home}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *needs], check=True)
        made.touch()
    return str(python)


def version_of(subject: str) -> str:
    """Return the version of a peer that was measured."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    command = [python_of(subject), "-c", code, SUBJECTS[subject].needs[0]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def work(
    subject: str, *arguments: str, under: Sequence[str] = (), padding: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the worker for a subject in its environment, under another program if one is given.

    :param padding: by how many bytes the variables of the environment are made longer.
    """
    env = os.environ | {"PYTHONHASHSEED": "0", "PADDING": padding * " "}
    if subject not in (OURS, FLOOR):
        env.pop("PYTHONPATH", None)
    elif find_spec("machinery") is None:
        # What is measured as ours is what this interpreter has, or the checkout where it has nothing.
        env["PYTHONPATH"] = str(ROOT / "src")
    command = [*under, python_of(subject), "-m", "benchmarks.worker", subject, *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=TOO_LONG)
