"""Lists the tests that prove each guarantee, in the words of their docstrings.

`python -m docs.proofs` brings `docs/explanation/proofs.md` up to date.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
TESTS = DOCS.parent / "tests"
GUARANTEES = DOCS / "explanation" / "guarantees.md"
PAGE = DOCS / "explanation" / "proofs.md"
HEAD = """\
# The tests that prove it

For each of the [guarantees](guarantees.md), what its tests claim.
This page is made by `python -m docs.proofs`.
"""


def page() -> str:
    """Return the page, as the tests are now."""
    proofs = defaultdict(list)
    for file in sorted(TESTS.rglob("*.py")):
        for number, claim in claims(file):
            proofs[number].append(claim)
    text = HEAD
    for line in GUARANTEES.read_text(encoding="utf-8").splitlines():
        guarantee = re.match(r"- \*\*(\w+)\*\* — ", line)
        if line.startswith("## "):
            text += f"\n{line}\n"
        elif guarantee:
            text += f"\n### {guarantee[1]}\n\n{''.join(proofs[guarantee[1]])}"
    return text


def claims(file: Path) -> Iterator[tuple[str, str]]:
    """Return each number that a test of a file proves, and a line that tells which test and how."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for test in ast.walk(tree):
        if not isinstance(test, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for mark in (node for decorator in test.decorator_list for node in ast.walk(decorator)):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
                said = (ast.get_docstring(test) or test.name).splitlines()[0]
                where = f"{file.relative_to(TESTS.parent).as_posix()}::{test.name}"
                for number in mark.args:
                    yield str(ast.literal_eval(number)), f"- {said}\n  `{where}`\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
