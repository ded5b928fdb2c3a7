"""Every guarantee on the page has a test, and every test names a guarantee that is on the page."""

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.sources import parsed

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "guarantees.md"


def on_the_page() -> list[str]:
    """Return the numbers of all guarantees, in the order of the page."""
    return re.findall(r"^- \*\*([A-Z]\d+)\*\* — ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def marks(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield each `pytest.mark.proves(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "proves":
            yield node


@functools.cache
def claimed() -> dict[str, str]:
    """Return, for each number that a test claims to prove, one of the places that claim it."""
    return {
        str(ast.literal_eval(number)): f"{file.relative_to(TESTS).as_posix()}:{mark.lineno}"
        for file in sorted(TESTS.rglob("*.py"))
        for mark in marks(parsed(file))
        for number in mark.args
    }


def test_no_two_guarantees_have_the_same_number() -> None:
    """A number identifies one guarantee."""
    assert [number for number, times in Counter(on_the_page()).items() if times > 1] == []


def test_each_guarantee_is_proved_by_a_test() -> None:
    """Each number on the page is in the mark of a test."""
    unproved = [number for number in on_the_page() if number not in claimed()]

    assert on_the_page(), f"{PAGE} has no guarantees"
    assert unproved == [], f"no test has a mark `proves(...)` with {', '.join(unproved)}"


def test_each_number_that_a_test_claims_to_prove_is_on_the_page() -> None:
    """Each number in the mark of a test is on the page."""
    unknown = {number: place for number, place in claimed().items() if number not in on_the_page()}

    assert unknown == {}, f"{PAGE.name} has none of these: {unknown}"
