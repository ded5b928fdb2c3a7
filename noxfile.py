"""One task for each promise that the project makes."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import nox

nox.needs_version = ">=2025.11"
nox.options.default_venv_backend = "uv|virtualenv"
# A Python that is not on this machine is left out or reported by nox, never fetched.
os.environ["UV_PYTHON_DOWNLOADS"] = "never"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
OLDEST_AND_NEWEST = [PYTHONS[0], PYTHONS[-1]]
DIST = Path("dist")
PYTEST_ASYNCIO = [
    *("-p", "no:alt_pytest_asyncio.enable", "-p", "pytest_asyncio.plugin"),
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
]


def install(session: nox.Session, group: str, *packages: str) -> None:
    """Install a dependency group of pyproject.toml, and packages beside it."""
    session.install(*nox.project.dependency_groups(PROJECT, group), *packages)


def run_suite(session: nox.Session, *options: str, runners: bool = False, **env: str) -> None:
    """Run the suite on the built wheel, without a look at `src`.

    tests/services has sessions of its own, and the processes of tests/runners are what they are in any session.
    """
    install(session, "test", *map(str, DIST.glob("*.whl")))
    paths = ["tests", "examples", "README.md", "docs", "--ignore=tests/services"]
    paths += [] if runners else ["--ignore=tests/runners"]
    session.run("pytest", *paths, "--numprocesses=2", *options, *session.posargs, env=env)


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist, and from it the wheel; check what an index would show and what they hold."""
    install(session, "package")
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(DIST))
    archives = [str(path) for path in DIST.iterdir()]
    session.run("twine", "check", "--strict", *archives)
    session.run("check-wheel-contents", str(DIST))


@nox.session(python=PYTHONS, requires=["package"])
def tests(session: nox.Session) -> None:
    """Run the suite on every supported Python; the processes of tests/runners on the oldest and the newest."""
    run_suite(session, runners=session.python in OLDEST_AND_NEWEST)


@nox.session(python=OLDEST_AND_NEWEST, requires=["package"])
def tests_pytest_asyncio(session: nox.Session) -> None:
    """Run the suite under pytest-asyncio in place of alt-pytest-asyncio."""
    run_suite(session, *PYTEST_ASYNCIO)


@nox.session(python=OLDEST_AND_NEWEST, requires=["package"])
def tests_uvloop(session: nox.Session) -> None:
    """Run the suite on uvloop; the tests of what uvloop does not have are skipped, and listed at the end."""
    # alt-pytest-asyncio cannot close a loop of uvloop.
    run_suite(session, *PYTEST_ASYNCIO, "--uvloop", "-rs")


@nox.session(python=PYTHONS[-1], requires=["package"])
def tests_debug(session: nox.Session) -> None:
    """Run the suite in asyncio's debug mode."""
    run_suite(session, PYTHONASYNCIODEBUG="1")


@nox.session(python=PYTHONS[-1], requires=["package"])
def fuzz(session: nox.Session) -> None:
    """Run property tests and random programs with fresh seeds for 30 seconds, or for as many as are given after `--`.

    The command that nox shows repeats failed property tests; a random program that fails says how to repeat it.
    """
    install(session, "test", *map(str, DIST.glob("*.whl")))
    end = time.monotonic() + float(*session.posargs or ["30"])
    while time.monotonic() < end:
        seed = random.randrange(1_000_000)
        options = ["-m", "hypothesis", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
        session.run("pytest", "tests", "--ignore=tests/services", *options)
        programs = f"{seed * 400}:{(seed + 1) * 400}"
        session.run("pytest", "tests/mocked_call_later/test_differential.py", env={"RANDOM_PROGRAMS": programs})


@nox.session(python=OLDEST_AND_NEWEST, requires=["package"])
def real_world(session: nox.Session) -> None:
    """Run the tests that need real libraries, at the versions that they were written for."""
    install(session, "real-world", *map(str, DIST.glob("*.whl")))
    session.run("pytest", "tests/real_world", *session.posargs)


@nox.session(python=OLDEST_AND_NEWEST, requires=["package"])
def services(session: nox.Session) -> None:
    """Run the tests that need real servers, in processes and threads of their own, and the clients of these."""
    install(session, "services", *map(str, DIST.glob("*.whl")))
    session.run("pytest", "tests/services", "--numprocesses=2", *session.posargs)


@nox.session(requires=["package"])
def services_uvloop(session: nox.Session) -> None:
    """Run them on uvloop; the tests of what is not seen there are skipped, and listed at the end."""
    install(session, "services", *map(str, DIST.glob("*.whl")))
    session.run("pytest", "tests/services", "--numprocesses=2", *PYTEST_ASYNCIO, "--uvloop", "-rs", *session.posargs)


@nox.session(python="3.13", default=False, requires=["package"])
def others(session: nox.Session) -> None:
    """Compare how other packages' tests end in real time and in virtual time; packages may be named after `--`."""
    install(session, "others", *map(str, DIST.glob("*.whl")))
    session.run("python", "-m", "tests.others", *session.posargs)


@nox.session(python="3.13", default=False)
def mutation(session: nox.Session) -> None:
    """Make 150 small mistakes in a copy of the source, or `-- SIZE SEED`, and show those that no test notices."""
    install(session, "services", "cosmic-ray==8.7.0", "--editable", ".")
    size, seed = map(int, session.posargs or ["150", str(random.randrange(1_000_000))])
    session.log(f"{size} mistakes, chosen by seed {seed}")
    copy = Path(session.create_tmp()) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(".", copy, ignore=shutil.ignore_patterns(".*", "dist"))
    session.chdir(copy)
    session.env["PYTHONPATH"] = "src"
    session.run("cosmic-ray", "init", "cosmic-ray.toml", "mistakes.sqlite", silent=True)
    session.run("cr-filter-operators", "mistakes.sqlite", "cosmic-ray.toml")
    with closing(sqlite3.connect("mistakes.sqlite")) as file, file:
        # What the filter has left out has a result already.
        wanted = "SELECT job_id FROM mutation_specs WHERE job_id NOT IN (SELECT job_id FROM work_results)"
        order = "module_path, start_pos_row, start_pos_col, operator_name, operator_args, occurrence"
        jobs = [job for (job,) in file.execute(f"{wanted} ORDER BY {order}")]
        chosen = random.Random(seed).sample(jobs, size)
        for table in ("work_results", "mutation_specs", "work_items"):
            file.execute(f"DELETE FROM {table} WHERE job_id NOT IN ({','.join('?' * size)})", chosen)
    session.run("cosmic-ray", "exec", "cosmic-ray.toml", "mistakes.sqlite")
    session.run("cr-report", "--surviving-only", "--show-diff", "mistakes.sqlite")
    session.run("cr-rate", "mistakes.sqlite")


@nox.session(python=PYTHONS[-1])  # where measuring costs little, and does not look like a debugger to tests/runners
def coverage(session: nox.Session) -> None:
    """Measure the suite: every branch of `src` has to be taken; what the tests never reach is only shown."""
    install(session, "coverage", "--editable", ".")
    session.run("coverage", "erase")
    pytest = ["coverage", "run", "-m", "pytest", "--numprocesses=2", *session.posargs]
    session.run(*pytest)
    session.run(*pytest, "tests/services", *PYTEST_ASYNCIO, "--uvloop")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--include=tests/*")
    session.run("coverage", "report", "--include=src/*", "--fail-under=100")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the package, its tests and examples, for the oldest and the newest Python."""
    install(session, "typing", "--editable", ".")
    for version in OLDEST_AND_NEWEST:
        session.run("mypy", f"--python-version={version}")


@nox.session(requires=["package"])
def api_types(session: nox.Session) -> None:
    """Check the wheel as type checkers see it from a user's project: complete, and right for a page of user code."""
    install(session, "typing", *map(str, DIST.glob("*.whl")))
    session.run("pyright", "--verifytypes", "machinery", "--ignoreexternal")
    session.run("pyright", "tests/typing/api.py")
    # Away from the checkout, where mypy would read src in place of the wheel.
    api = Path("tests/typing/api.py").resolve()
    session.chdir(session.create_tmp())
    session.run("mypy", "--config-file=", "--strict", str(api))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and spelling."""
    install(session, "lint")
    session.run("codespell")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=OLDEST_AND_NEWEST)
def docs(session: nox.Session) -> None:
    """Build the documentation and check what it shows against real runs, and its links; no network is needed."""
    session.install(*nox.project.dependency_groups(PROJECT, "docs", "test"), "--editable", ".")
    session.run("python", "-m", "docs.outputs", "--check")
    session.run("python", "docs/pictures/check.py")
    session.run("python", "-m", "docs.comparison", "--check")
    session.run("sphinx-build", "--nitpicky", "--fail-on-warning", "--quiet", "-E", "docs", "docs/_build/html")
    session.run("python", "docs/links.py")


@nox.session(python="3.13", requires=["package"])  # the Python of the table that is compared with
def benchmarks(session: nox.Session) -> None:
    """Count instructions with valgrind, and compare them with those of the last release."""
    if shutil.which("valgrind") is None:
        session.skip("valgrind is not installed")
    session.install(*map(str, DIST.glob("*.whl")))
    session.run("python", "-m", "benchmarks", "--check", *session.posargs)
