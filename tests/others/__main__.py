"""Runs other packages' suites in real time and again with each async test in virtual time, and compares the outcomes.

    python -m tests.others [PACKAGE...]

Of the packages whose behaviour depends on time, backoff, frequenz-channels and websockets ship no tests.
"""

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

HERE = Path(__file__).parent

OPTIONS = {
    # Its acceptance tests need servers.
    "aiocache": ["tests/ut"],
    "aiojobs": ["tests"],
    # These sleep until processes of their own are ready, which no loop knows.
    "aiotools": ["tests", "--ignore=tests/test_fork.py", "--ignore=tests/test_server.py"],
    "async-lru": ["tests"],
    "janus": ["tests"],
    # It measures the time of looptime, which takes the place of real time.
    "kopf": ["tests", "--ignore=tests/e2e", "--ignore=tests/admission/test_certificates.py"],
    "tenacity": ["tests"],
}
OWN_OPTIONS = {"kopf": "--looptime"}
BLOCKED = "it blocks the thread of its loop until `time.monotonic` has moved, which is virtual"
FIXTURE = "a fixture waits in looptime's time, where the timers that the test has left are never due"
TIMERS = "kopf tests.handling.daemons.test_timer_intervals::test_timer"
DIFFERENCES: dict[str, str] = {
    "janus tests.test_sync.TestLifoQueue::test_simple_queue": BLOCKED,
    "janus tests.test_sync.TestPriorityQueue::test_simple_queue": BLOCKED,
    "janus tests.test_sync.TestQueue::test_simple_queue": BLOCKED,
    f"{TIMERS}_regular_interval[cluster]": FIXTURE,
    f"{TIMERS}_regular_interval[namespaced]": FIXTURE,
    f"{TIMERS}_sharp_interval[cluster]": FIXTURE,
    f"{TIMERS}_sharp_interval[namespaced]": FIXTURE,
}
"""Why a test cannot have the same outcome in virtual time."""


def main(packages: list[str]) -> int:
    """Compare the suites; return how many tests differ without a known reason, or no longer differ."""
    wrong = 0
    for package in packages or OPTIONS:
        with TemporaryDirectory() as folder:
            suite = fetch(package, Path(folder))
            own = f"addopts={OWN_OPTIONS.get(package, '')}"
            real = outcomes(suite, *OPTIONS[package], "-o", own)
            virtual = outcomes(suite, *OPTIONS[package], "-o", "addopts=", "-p", "in_blocks")
        known = {name.partition(" ")[2] for name in DIFFERENCES if name.startswith(f"{package} ")}
        differ = {test for test in real.keys() | virtual.keys() if real.get(test) != virtual.get(test)}
        print(f"{package} {version(package)}: {len(real)} tests, {len(differ)} differ")
        for test in sorted(differ - known):
            print(f"  {test}: {real.get(test)} in real time, {virtual.get(test)} in virtual time")
        for test in sorted(known - differ):
            print(f"  {test}: no longer differs")
        wrong += len(differ ^ known)
    return wrong


def fetch(package: str, folder: Path) -> Path:
    """Return the source of the installed version."""
    pin = f"{package}=={version(package)}"
    download = ["-m", "pip", "download", "--quiet", "--no-deps", f"--no-binary={package}", f"--dest={folder}", pin]
    subprocess.run([sys.executable, *download], check=True)
    (archive,) = folder.iterdir()
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def outcomes(suite: Path, *options: str) -> dict[str, str]:
    """Return how each test of a suite ends."""
    results = suite / "results.xml"
    ours = ["--timeout=20", f"--junitxml={results}", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", "-q", *ours, *options]
    env = os.environ | {"PYTHONPATH": str(HERE)}
    run = subprocess.run(command, cwd=suite, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode not in (0, 1):
        sys.exit(run.stdout)
    cases = ElementTree.parse(results).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": case[0].tag if len(case) else "passed" for case in cases}


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
