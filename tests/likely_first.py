"""Runs the suite on one small mistake in the source, the tests that are likely to notice it first.

For the session `mutation`, which makes the mistake in the module that has changed last.
"""

import subprocess
import sys
from pathlib import Path

LIKELY = {
    "tests/explore": ["explore", "orders"],
    "tests/future_dominos": ["domino", "future_dominos", "row"],
    "tests/idle": ["idle", "idle_selector"],
    "tests/mocked_call_later": ["block", "clock", "mocked_call_later", "timers", "virtual_time"],
    "tests/reports": ["report"],
    "tests/services/test_owes_nothing.py": ["answers", "connections", "debts"],
    "tests/services/test_sockets.py": ["answers", "connections", "debts", "pieces"],
    "tests/work": ["pieces", "work"],
}
LIKELY_TOO = ["tests/test_small_mistakes.py", "tests/test_block.py"]
SLOW = ["test_memory.py", "test_benchmarks.py", "runners", "services", "real_world"]
OPTIONS = ["-q", "-x", "-p", "no:randomly", "--timeout=40", "-o", "default_async_timeout=30", "-k", "not in_memory"]


def pytest(*options: str) -> int:
    """Run pytest and return how it ended."""
    return subprocess.run([sys.executable, "-m", "pytest", *OPTIONS, *options], check=False).returncode


def main() -> int:
    """Return 0 if no test has noticed anything."""
    changed = max(Path("src").rglob("*.py"), key=lambda path: path.stat().st_mtime_ns)
    likely = [path for path, modules in LIKELY.items() if changed.stem.strip("_") in modules] + LIKELY_TOO
    rest = ["tests", *(f"--ignore={path}" for path in likely), *(f"--ignore=tests/{path}" for path in SLOW)]
    return pytest(*likely) or pytest(*rest)


if __name__ == "__main__":
    if sys.platform != "win32":
        # A loop without an end may take all the memory.
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    sys.exit(main())
