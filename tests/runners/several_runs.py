"""Runs pytest several times in one process, since starting one takes longer than most of the runs.

Reads `{name: [arguments, environment]}` as JSON, and writes `{name: [exit code, output]}` to the file that is named.
"""

import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path

import pytest


def run(arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run pytest once; return its exit code and what it printed."""
    output = io.StringIO()
    os.environ.update(environment)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = pytest.main(arguments)
    finally:
        for name in environment:
            del os.environ[name]
    assert time.time() > 1_000_000_000, f"{arguments} has left a block open"
    return int(code), output.getvalue()


if __name__ == "__main__":
    results = {name: run(*each) for name, each in json.load(sys.stdin).items()}
    # Not to stdout: whatever is still open when the process ends may be told there as well.
    Path(sys.argv[1]).write_text(json.dumps(results), encoding="utf-8")
