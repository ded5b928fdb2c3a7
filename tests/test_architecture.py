"""The modules of the package import in one direction, and one of them has all that asyncio does not document."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import machinery
from tests.sources import parsed

PACKAGE = Path(machinery.__file__).parent
DESIGN = Path(__file__).parent.parent / "docs" / "explanation" / "design.md"
INTERNALS = "machinery._test_helpers._asyncio_internals"
DOCUMENTED = {"_getframe", "_current_frames"}
"""Names of `sys` that look private."""


def sources() -> dict[str, ast.Module]:
    """Return the syntax tree of each module of the package, by the module's name."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        trees[".".join(parts).removesuffix(".__init__")] = parsed(path)
    return trees


def imports(tree: ast.Module) -> set[str]:
    """Return the names of all modules that a module may import, wherever in it and for whatever reason."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def own_imports() -> dict[str, set[str]]:
    """Return for each module of the package which others of the package it imports."""
    trees = sources()
    return {name: (imports(tree) & trees.keys()) - {name} for name, tree in trees.items()}


def layers() -> list[list[str]]:
    """Return the modules in each line of the picture on the design page, from the top."""
    [picture] = re.findall(r"```text\n(.*?)```", DESIGN.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [re.findall(r"\b_\w+", line) for line in picture.splitlines()]


def test_imports_have_no_cycle() -> None:
    """Imports inside functions and for type checking count too."""
    TopologicalSorter(own_imports()).prepare()


def test_each_module_imports_only_from_below_its_line_in_the_picture() -> None:
    """The picture on the design page is true."""
    line_of = {f"machinery._test_helpers.{name}": number for number, line in enumerate(layers()) for name in line}
    upwards = [
        f"{module} imports {imported}"
        for module, all_imported in own_imports().items()
        for imported in all_imported
        if module in line_of and imported in line_of and line_of[imported] <= line_of[module]
    ]

    assert upwards == []


@pytest.mark.parametrize("part", ["picture", "table"])
def test_the_design_page_has_each_module_once(part: str) -> None:
    """Neither more nor less than what there is."""
    rows = re.findall(r"^\| (`_.*?) \|", DESIGN.read_text(encoding="utf-8"), flags=re.MULTILINE)
    listed = {
        "picture": [name for line in layers() for name in line],
        "table": [name for row in rows for name in re.findall(r"`(\w+)`", row)],
    }
    modules = [path.stem for path in (PACKAGE / "_test_helpers").glob("*.py") if path.stem != "__init__"]

    assert sorted(listed[part]) == sorted(modules)


def names_defined(tree: ast.AST) -> set[str]:
    """Return the names of functions, classes, variables and attributes to which a module gives a value."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def not_names(tree: ast.AST) -> set[ast.AST]:
    """Return the strings that are not others' names: a class's own slots, and parts of formatted strings."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__"
        ):
            found.update(ast.walk(node))
    return found


def undocumented(tree: ast.Module, own: set[str]) -> set[str]:
    """Return what a module takes from others though it is private, or though it is only where or how they do it.

    That is a private name after a dot or in a string, a submodule of asyncio, or a code object of asyncio's.
    """
    of_asyncio = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio"
        for alias in node.names
    } | {"asyncio"}
    submodules = {name for name in imports(tree) if re.fullmatch(r"asyncio\.[a-z_]+", name)} - {
        f"asyncio.{name}" for name in of_asyncio
    }
    found = submodules
    ignored = not_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            private = node.attr.startswith("_") and not node.attr.endswith("__") and node.attr not in own
            if private or (node.attr == "__code__" and ast.unparse(node.value).partition(".")[0] in of_asyncio):
                found.add(ast.unparse(node))
        elif (
            isinstance(node, ast.Constant)
            and node not in ignored
            and re.fullmatch(r"_[a-z]\w*|__[a-z]\w*(?<!__)|asyncio(\.\w+)+", str(node.value))
        ):
            found.add(str(node.value))
    return found


@pytest.mark.proves("B5")
def test_only_one_module_relies_on_what_asyncio_does_not_document() -> None:
    """A private name that is given no meaning in our own sources is somebody else's."""
    trees = sources()
    own = {name for tree in trees.values() for name in names_defined(tree)} | DOCUMENTED
    found = {name: names for name, tree in trees.items() if (names := undocumented(tree, own))}

    assert found.pop(INTERNALS), "the check finds nothing where there is much to find"
    assert found == {}


def test_no_module_reads_the_variables_of_frames() -> None:
    """Those of another thread may be changed meanwhile, which can crash a free-threaded interpreter."""
    readers = [
        name
        for name, tree in sources().items()
        if any(isinstance(node, ast.Attribute) and node.attr == "f_locals" for node in ast.walk(tree))
    ]

    assert readers == []
