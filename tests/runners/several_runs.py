"""Runs pytest several times in one process, since starting one takes longer than most of the runs.

Reads `{name: [arguments, environment]}` as JSON, and prints `{name: [exit code, output]}`.
"""

import contextlib
import io
import json
import os
import sys

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
    return int(code), output.getvalue()


if __name__ == "__main__":
    print(json.dumps({name: run(*each) for name, each in json.load(sys.stdin).items()}))
