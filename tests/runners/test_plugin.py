"""The plugin for pytest is not noticed by those who do not need it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import machinery
from tests.runners.surroundings import environment

PACKAGE = Path(machinery.__file__).parent
OTHERS = ["-p", "no:asyncio", "-p", "no:randomly", "-p", "no:rerunfailures"]

LAZY = """
import sys

def test_nothing_of_ours_is_imported():
    assert {name for name in sys.modules if name.startswith("machinery")} <= {"machinery", "machinery._pytest_plugin"}
"""
NOT_REWRITTEN = """
import sys

from machinery import helpers
from machinery import test_helpers

def test_pytest_has_rewritten_none_of_our_modules():
    ours = {name: each for name, each in sys.modules.items() if name.startswith("machinery")}
    assert "machinery._pytest_plugin" in ours
    assert "@pytest_ar" in globals(), "this is how a module looks that is rewritten"
    assert {name for name, each in ours.items() if "@pytest_ar" in vars(each)} == set()
"""
FAILURES = """
import pytest

{imports}

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def broken():
    raise LookupError("broken")

@pytest.mark.anyio
async def test_passes():
    pass

@pytest.mark.anyio
async def test_fails():
    assert 1 == 2

@pytest.mark.anyio
async def test_has_no_fixture(broken):
    pass

def test_fails_too():
    raise ValueError("its own")
"""

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give what runs a test file with the package installed, as an index would install it, and the plugin with it."""
    site = tmp_path / "site"
    info = site / "machinery-1.0.0.dist-info"
    info.mkdir(parents=True)
    (site / "machinery").symlink_to(PACKAGE, target_is_directory=True)
    files = [path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")]
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: machinery\nVersion: 1.0.0\n", encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files), encoding="utf-8")
    (info / "entry_points.txt").write_text("[pytest11]\nmachinery = machinery._pytest_plugin\n", encoding="utf-8")

    def run(source: str, *arguments: str, code: int = 0) -> str:
        path = tmp_path / "test_it.py"
        path.write_text(source, encoding="utf-8")
        options = ["-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider", *OTHERS, *arguments]
        env = environment(PYTHONPATH=str(site), PYTHONDONTWRITEBYTECODE="1")
        del env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        command = f"import machinery, pytest, sys; sys.exit(pytest.main({[*options, str(path)]!r}))"
        done = subprocess.run([sys.executable, "-c", command], env=env, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.proves("F7")
def test_nothing_is_imported_until_a_test_imports_it(run: Run) -> None:
    """But the plugin's own few lines, which are there by their entry point."""
    assert "1 passed" in run(LAZY)


@pytest.mark.proves("F7")
def test_no_module_is_rewritten_and_nobody_is_warned(run: Run) -> None:
    """The package is imported before pytest begins, and warnings are errors."""
    assert "1 passed" in run(NOT_REWRITTEN, "-W", "error")


@pytest.mark.proves("F7")
def test_each_module_asks_not_to_be_rewritten() -> None:
    """In its docstring, where pytest looks for that."""
    without = [path.name for path in PACKAGE.rglob("*.py") if "\nPYTEST_DONT_REWRITE\n" not in path.read_text("utf-8")]

    assert without == []


@pytest.mark.proves("F7")
@pytest.mark.parametrize("imports", ["", "from machinery import test_helpers"])
def test_output_is_the_same_without_the_plugin(run: Run, imports: str) -> None:
    """Also the tracebacks of tests and fixtures that fail."""
    source = FAILURES.format(imports=imports)
    with_plugin, without = (
        re.sub(r"in \d+\.\d+s|0x\w+|^plugins:.*$", "", run(source, *more, code=1), flags=re.MULTILINE)
        for more in ([], ["-p", "no:machinery"])
    )

    assert "2 failed, 1 passed, 1 error" in with_plugin
    assert with_plugin == without


@pytest.mark.proves("F7")
def test_tracebacks_have_no_line_of_ours_even_where_pytest_hides_none(run: Run) -> None:
    """There are pluggy's, for each plugin."""
    output = run(FAILURES.format(imports="from machinery import test_helpers"), "--tb=native", code=1)

    assert "pluggy" in output
    assert "_test_helpers" not in output
    assert "_pytest_plugin.py" not in output.replace("anyio/pytest_plugin.py", "")
