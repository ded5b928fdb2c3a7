"""Module-level names for functions of `time`, as after ``from time import monotonic``.

PYTEST_DONT_REWRITE
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import open as open_file
from operator import gt
from os import listdir
from sys import getrefcount, modules, path, stdlib_module_names
from types import ModuleType
from typing import Any

TOOLS = frozenset(
    {
        # This package, and others that mock the clock.
        *("machinery", "aiofastforward", "async_solipsism", "asyncio_time_travel", "freezegun", "looptime"),
        "time_machine",
        # Tools that run or measure tests. Packages of distributions that have a pytest plugin are found at run time.
        *("alt_pytest_asyncio", "coverage", "execnet", "hypothesis", "pluggy", "pytest", "teamcity"),
        # Debuggers.
        *("IPython", "bpdb", "debugpy", "ipdb", "pdbpp", "pdbr", "pudb", "remote_pdb", "rpdb", "web_pdb"),
    }
)
"""Top-level packages that keep the real functions, as the standard library does.

Their names may have a leading underscore.
"""

TOOLS_BEGIN = ("hypothesis_", "jb_", "pydev")
"""Prefixes of further such packages."""

Namespace = dict[str, object]

# A subclass may define `__dict__` differently, and reading it may run code, as in lazy modules.
_namespace_of: Callable[[Any], Namespace] = vars(ModuleType)["__dict__"].__get__


class TimeNames:
    """Replaces the real functions by virtual ones in all modules, and puts them back.

    Scanning all modules takes milliseconds, so it is done only if modules have changed since the last scan, or if there
    are more references to one of the functions. Otherwise only the known names are checked.
    """

    def __init__(self, usual_names: Iterable[str], real: list[object], virtual: list[object]) -> None:
        self._usual_names = tuple(usual_names)
        self._real = real
        self._virtual = virtual
        self._real_by_id = dict(zip(map(id, virtual), real, strict=True))
        self._virtual_by_id = dict(zip(map(id, [*real, *virtual]), [*virtual, *virtual], strict=True))
        self._known: list[tuple[str, object, Namespace, list[str]]] = []
        self._replaced: list[tuple[Namespace, str]] = []
        self._module_count = 0
        self._newest_module: object = None
        self._real_references = _references(real)
        """The fewest seen since the last scan: one more may be a new name."""
        self._virtual_references = _references(virtual)

    def replace(self) -> None:
        """Replace the real functions, until :meth:`put_back`."""
        self._virtual_references = _references(self._virtual)
        if self._may_be_others():
            self._look_for_names()
        for _, _, namespace, names in self._known:
            for name in names:
                virtual = self._virtual_by_id.get(id(namespace.get(name)))
                if virtual is not None:
                    self._replaced.append((namespace, name))
                    namespace[name] = virtual

    def put_back(self) -> None:
        """Put the real functions back, except where the name has been assigned meanwhile.

        A module that was imported meanwhile has taken a virtual function from `time`, and gets the real one.
        """
        while self._replaced:
            namespace, name = self._replaced.pop()
            self._put_back(namespace, name)
        if len(modules) != self._module_count or _has_grown(_references(self._virtual), self._virtual_references):
            for root, _, _, namespace in _modules():
                if root != "machinery":
                    for name in _names_of(namespace, self._real_by_id):
                        self._put_back(namespace, name)
        real_references = _references(self._real)
        if real_references != self._real_references:
            self._real_references = list(map(min, self._real_references, real_references))

    def _put_back(self, namespace: Namespace, name: str) -> None:
        real = self._real_by_id.get(id(namespace.get(name)))
        if real is not None:
            namespace[name] = real

    def _may_be_others(self) -> bool:
        return (
            len(modules) != self._module_count
            # A new module may have replaced one that is not among the known ones.
            or _newest_module() is not self._newest_module
            or _has_grown(_references(self._real), self._real_references)
            or any(modules.get(key) is not module for key, module, _, _ in self._known)
        )

    def _look_for_names(self) -> None:
        module_count, newest_module = len(modules), _newest_module()
        real_references = _references(self._real)
        usual_names = self._usual_names
        known_before = {id(namespace): names for _, _, namespace, names in self._known}
        known: list[tuple[str, object, Namespace, list[str]]] = []
        for root, key, module, namespace in _modules():
            if root in stdlib_module_names:
                continue
            names = _names_of(namespace, self._virtual_by_id)
            # A test may have replaced these, and may put the function back.
            others = {*usual_names, *known_before[id(namespace)]} if id(namespace) in known_before else usual_names
            names += [name for name in others if name not in names and _is_no_module(namespace, name)]
            if names and not _is_left_alone(root, namespace):
                known.append((key, module, namespace, names))
        self._known, self._real_references = known, real_references
        self._module_count, self._newest_module = module_count, newest_module


def _newest_module() -> object:
    try:
        return next(reversed(modules.values()), None)
    except RuntimeError:
        # Another thread has imported one meanwhile.
        return None


def _references(functions: list[object]) -> list[int]:
    return [*map(getrefcount, functions)]


def _has_grown(now: list[int], before: list[int]) -> bool:
    """Return whether any number is greater than before."""
    return now != before and any(map(gt, now, before))


def _modules() -> Iterator[tuple[str, str, object, Namespace]]:
    """Yield the top-level package, name, module and namespace of each module; other threads may import meanwhile."""
    loaded: dict[str, object] = dict(modules)
    for key, module in loaded.items():
        # Not isinstance, which reads the `__class__` of an object that is not a module: that may run code.
        if issubclass(type(module), ModuleType):
            yield key.partition(".")[0], key, module, _namespace_of(module)


def _names_of(namespace: Namespace, ids: dict[int, object]) -> list[str]:
    """Return the names whose values have one of these identities."""
    namespace = namespace.copy()
    if ids.keys().isdisjoint(map(id, namespace.values())):
        return []
    return [name for name, value in namespace.items() if id(value) in ids]


def _is_no_module(namespace: Namespace, name: str) -> bool:
    """Return whether a name exists and its value is not a module, as it is after ``import time``."""
    value = namespace.get(name, ModuleType)
    return value is not ModuleType and not issubclass(type(value), ModuleType)


def _is_left_alone(root: str, namespace: Namespace) -> bool:
    # A module of the standard library may also be loaded under another name, as `six` does.
    name = namespace.get("__name__")
    roots = {root, name.partition(".")[0]} if type(name) is str else {root}
    tools = {each.lstrip("_") for each in roots}
    if not (roots.isdisjoint(stdlib_module_names) and tools.isdisjoint(TOOLS)):
        return True
    if any(each.startswith(TOOLS_BEGIN) for each in tools):
        return True
    return type(namespace.get("__file__")) is str and not roots.isdisjoint(_packages_with_plugins(tuple(path)))


@lru_cache(1)
def _packages_with_plugins(folders: tuple[str, ...]) -> frozenset[str]:
    """Return the top-level packages of the installed distributions that have a pytest plugin.

    Without `importlib.metadata`, which takes ten times as long, and 50 ms to import.
    """
    found = [f"{folder or '.'}/{name}" for folder in folders for name in _list(folder or ".")]
    distributions = [path for path in found if path.endswith((".dist-info", ".egg-info"))]
    return frozenset(package for each in distributions for package in _packages_if_plugin(each))


def _packages_if_plugin(distribution: str) -> Iterator[str]:
    _, _, plugins = _read(f"{distribution}/entry_points.txt").partition("[pytest11]")
    if plugins:
        modules_of_plugins = [line.partition("=")[2].strip() for line in plugins.partition("\n[")[0].splitlines()]
        files = f"{_read(f'{distribution}/RECORD')}\n{_read(f'{distribution}/top_level.txt')}".splitlines()
        for each in [*modules_of_plugins, *files]:
            yield each.partition("/")[0].partition(":")[0].partition(".")[0]


def _list(folder: str) -> list[str]:
    try:
        return listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        # A test may have replaced `builtins.open`.
        with open_file(path, encoding="utf-8", errors="replace") as file:  # noqa: UP020
            return file.read()
    except OSError:
        return ""
