"""The benchmarks run."""

import subprocess
import sys
from pathlib import Path


def test_each_benchmark_runs_and_checks_its_answer_at_a_small_size() -> None:
    """Each workload runs, and its answer is right."""
    command = [sys.executable, "-m", "benchmarks", "--small"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
