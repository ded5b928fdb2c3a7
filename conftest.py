"""Runs the Python blocks of the README, of the pages in docs/ and of the docstrings in src/ as tests."""

from __future__ import annotations

import ast
import asyncio
import inspect
import subprocess
import sys
import traceback
import warnings
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sybil import Document, Example, Sybil
from sybil.document import PythonDocStringDocument
from sybil.evaluators.python import pad
from sybil.parsers import markdown, rest
from sybil.sybil import SybilCollection

from tests.sources import parse

pytest_plugins = ["pytester"]

SETTINGS = Path(__file__).with_name("pyproject.toml")
RUN_BY_PYTEST = "<!-- run: pytest -->"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def evaluate(example: Example) -> str | None:
    """Run a block after those before it on its page, on which it may build.

    The order of tests is random, and with pytest-xdist a process does not get all blocks of a page. Sybil's own report
    breaks on groups of exceptions.
    """
    already_run: set[int] = example.namespace.setdefault("blocks_already_run", set())
    try:
        for each in example.document.examples():
            if each.start == example.start or (each.start < example.start and each.start not in already_run):
                already_run.add(each.start)
                run(each)
    except ExceptionGroup as group:
        return "".join(traceback.format_exception(group))
    return None


def run(example: Example) -> None:
    """Run a block, then each `test_...` function that it defines; a block that does neither must serve a later one."""
    source = pad(str(example.parsed), example.line + example.parsed.line_offset)
    if example.document.text[: example.start].rstrip().endswith(RUN_BY_PYTEST):
        run_by_pytest(source, Path(example.path).stem)
        return
    tree = parse(source, example.path)
    names = defined_names(tree)
    functions = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    tests = [name for name in functions if name.startswith("test_")]
    if all(isinstance(statement, DEFINITIONS) for statement in tree.body) and not tests:
        assert names & names_used_after(example), "this block runs nothing and no later block of the page uses it"
    # A script that ends in `if __name__ == "__main__":` has to run here too.
    example.namespace["__name__"] = "__main__"
    code = compile(tree, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    settle(eval(code, example.namespace))
    for name in tests:
        settle(example.namespace[name]())


def settle(result: object) -> None:
    """Run a coroutine to its end on a loop of its own; leave anything else alone."""
    if inspect.iscoroutine(result):
        # asyncio.run() would take away the loop that the async plugin has set for the tests.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(result)


def run_by_pytest(source: str, name: str) -> None:
    """Run a block that needs pytest itself (fixtures, parameters) as a test file of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"test_{name}.py"
        path.write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(SETTINGS), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def defined_names(tree: ast.Module) -> set[str]:
    """Return the names that the definitions and imports of a block bind."""
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(statement.name)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
    return names


def names_used_after(example: Example) -> set[str]:
    """Return the names that the later blocks of the same page read."""
    later = [str(region.parsed) for _, region in example.document.regions if region.start > example.start]
    nodes = (node for source in later for node in ast.walk(parse(source)))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


class Docstrings(PythonDocStringDocument):
    """Docstrings whose examples are given nothing of the module around them: they run as a reader would copy them."""

    def __init__(self, text: str, path: str) -> None:
        Document.__init__(self, text, path)


MARKDOWN = [markdown.CodeBlockParser("python", evaluate)]
DOCSTRING = [rest.CodeBlockParser("python", evaluate)]

pytest_collect_file = SybilCollection(
    [
        Sybil(MARKDOWN, filenames=["README.md"]),
        Sybil(MARKDOWN, path="docs", patterns=["*.md"]),
        Sybil(DOCSTRING, path="src", patterns=["*.py"], document_types={".py": Docstrings}),
    ]
).pytest()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that the session `tests_uvloop` uses."""
    parser.addoption("--uvloop", action="store_true", help="make the loops of the tests uvloop's")


def pytest_configure(config: pytest.Config) -> None:
    """Let `asyncio.run` and pytest-asyncio make loops of uvloop."""
    if config.getoption("--uvloop"):
        import uvloop  # not on every system

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Put back the current loop, which `asyncio.run` clears and alt-pytest-asyncio runs the next async test on."""
    if not item.config.pluginmanager.hasplugin("alt_pytest_asyncio.enable"):
        return (yield)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = asyncio.get_event_loop()
    try:
        return (yield)
    finally:
        asyncio.set_event_loop(loop)
