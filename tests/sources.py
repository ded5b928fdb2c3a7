"""Syntax trees of the project's files."""

import ast
import functools
import gc
from pathlib import Path


def parse(source: str, filename: str = "<unknown>") -> ast.Module:
    """Return the syntax tree of a source text."""
    # CPython 3.11.7 fails with "AST constructor recursion depth mismatch" if it parses something else meanwhile
    # (gh-106905). The garbage collector may: it finalises a failed task, whose traceback is formatted by parsing lines.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source, filename)
    finally:
        if was_enabled:
            gc.enable()


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return parse(path.read_text(encoding="utf-8"), str(path))
