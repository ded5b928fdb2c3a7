"""Nothing in this package notices that a test has replaced functions of the standard library."""

import ast
import asyncio
import importlib
import logging
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import FrameType, ModuleType
from unittest import mock

import pytest

import machinery
from machinery import helpers as hp
from machinery import test_helpers as thp
from machinery._test_helpers._source import _library_folders
from machinery._test_helpers._time_names import _packages_with_plugins
from tests.loops import Run, on_every_loop
from tests.sources import parse, parsed
from tests.state import state_of

SOURCE = Path(machinery.__file__).parent
MODULES = [
    *("asyncio", "gc", "inspect", "linecache", "logging", "os", "os.path", "select", "selectors", "signal", "socket"),
    *("sys", "threading", "time", "traceback", "weakref"),
]
"""Whose functions tests replace, and this package uses."""

ALLOWED = {"_time_module.py: time in _note_real_functions"}
"""It looks at what is in `time` when a block is entered, since others may have replaced that."""


def bound_to(tree: ast.Module) -> dict[str, str]:
    """Return the names that the imports of a file bind to one of the modules, and which."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in MODULES:
                    bound[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in MODULES:
                    bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return bound


def run_when_called(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield what runs when functions are called, not when the file is imported, with the name of the function."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                yield from ((node.name, each) for each in ast.walk(statement))
        elif isinstance(node, ast.Lambda):
            yield from (("<lambda>", each) for each in ast.walk(node.body))


def looked_up(file: str, tree: ast.Module) -> set[str]:
    """Return the uses of those modules that would see what a test has put there."""
    bound, found = bound_to(tree), set()
    for function, node in run_when_called(tree):
        if isinstance(node, ast.Name) and node.id in bound:
            found.add(f"{file}: {bound[node.id]} in {function}")
        elif isinstance(node, ast.Import):
            found.update(f"{file}: {alias.name} in {function}" for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.add(f"{file}: {node.module} in {function}")
    return found


@pytest.mark.proves("N10")
def test_functions_use_only_names_that_were_bound_at_import() -> None:
    """None looks up an attribute of such a module when it is called."""
    found = {use for file in sorted(SOURCE.rglob("*.py")) for use in looked_up(file.name, parsed(file))}

    assert found == ALLOWED


@pytest.mark.proves("N10")
@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef f():\n    return time.time()",
        "import time as clock\nasync def f():\n    clock.time()",
        "import os.path\nf = lambda: os.path.join('a')",
        "from os import path\ndef f():\n    g(path)",
        "class A:\n    def f(self):\n        from gc import collect",
        "def f():\n    def g():\n        import sys",
    ],
)
def test_such_a_use_would_be_found(source: str) -> None:
    """In functions of all kinds."""
    assert looked_up("app.py", parse(source)) != set()


@pytest.mark.proves("N10")
def test_what_runs_at_import_may_use_modules() -> None:
    """So may defaults and annotations."""
    source = "import time\nfrom os import path\nnow = time.time\ndef f(x: path.A = time.time):\n    return now()"

    assert looked_up("app.py", parse(source)) == set()


@pytest.mark.proves("N10")
def test_a_scan_by_freezegun_finds_nothing_to_replace() -> None:
    """It replaces attributes of modules that are functions of `time` or classes of `datetime`, in whatever module."""
    functions = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "gmtime", "localtime", "strftime"}
    replaced = [*(getattr(time, name) for name in functions), datetime, datetime.__bases__[0]]
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        used = {node.id for _, node in run_when_called(parsed(file)) if isinstance(node, ast.Name)}
        names = vars(importlib.import_module(f"machinery.{'.'.join(file.relative_to(SOURCE).with_suffix('').parts)}"))
        found += [f"{file.name}: {name}" for name in used if any(names.get(name) is function for function in replaced)]

    assert found == []


STANDARD_LIBRARY = sysconfig.get_path("stdlib")

PASSED_ON = {"run_in_executor", "call_soon_threadsafe", "_awaited", "_run_process"}
"""The functions of `_work` that pass on what a test has called."""

INDIRECT = {
    "linecache.getlines in _source": "this is how linecache.getline reads files; what it raises ends a report early",
    "os.stat in _source": "this is how linecache.getline looks for a file that it has not read yet",
}
"""What functions that this package calls do with others, and why that has to be."""


def caller(frame: FrameType | None) -> tuple[str, str]:
    """Return the innermost file that is not in the standard library, and the function in there."""
    while frame is not None:
        path, function = frame.f_code.co_filename, frame.f_code.co_name
        is_standard = path.startswith((STANDARD_LIBRARY, "<frozen")) and "-packages" not in path
        if not is_standard and not (path.endswith("_work.py") and function in PASSED_ON):
            return path, function
        frame = frame.f_back
    return "", ""


UNDERSCORED = {"_getframe", "_current_frames"}
"""Functions that are public for all their names."""


def functions_of(module: ModuleType) -> dict[str, Callable[..., object]]:
    """Return the functions of a module that tests may replace."""
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and (not name.startswith("_") or name in UNDERSCORED)
    }


class Spies:
    """Functions in the places of others, which note when this package has called them."""

    def __init__(self) -> None:
        self.calls: set[str] = set()

    def put_into(self, module: ModuleType, patch: pytest.MonkeyPatch) -> None:
        """Replace all functions of a module that tests may replace."""
        for name, value in functions_of(module).items():
            patch.setattr(module, name, self.spy(f"{module.__name__}.{name}", value))

    def spy(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        """Return what takes the place of a function."""
        get_frame = sys._getframe

        def call(*args: object, **kwargs: object) -> object:
            path, user = caller(get_frame(1))
            if path.startswith(str(SOURCE)):
                self.calls.add(f"{name} in {user}")
            return function(*args, **kwargs)

        return call


async def do_everything() -> None:
    """Use both helpers, and have them write reports."""
    loop = asyncio.get_running_loop()

    async def take(futs: thp.FutureDominos, num: int) -> None:
        await futs[num]
        if num == 3:
            raise KeyError(num)

    with pytest.raises(ExceptionGroup):
        async with thp.future_dominos(expected=3) as futs, asyncio.TaskGroup() as tasks:
            for num in (3, 2, 1):
                tasks.create_task(take(futs, num))
            futs.begin()
    for number in range(2):
        with pytest.raises(ValueError, match="from the body"):
            async with thp.mocked_call_later(datetime=True, name="everything") as m:
                loop.call_later(7, print)
                await asyncio.sleep(1)
                await m.add(2)
                assert datetime.now().timestamp() == time.time() == 3
                assert await asyncio.to_thread(time.time) == 3
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await asyncio.sleep(2)
                waiting = asyncio.create_task(asyncio.Event().wait())
                await thp.wait_all_tasks_blocked()
                async with hp.task_holder(ctx=hp.CTX.beginning(name="app", log=logging.getLogger("app"))) as holder:
                    holder.add_coroutine(asyncio.sleep(5))
                process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
                await process.wait()
                repr(m)
                raise ValueError(f"from the body {number}")
        waiting.cancel()


@pytest.mark.proves("N10")
@on_every_loop
@pytest.mark.parametrize("name", MODULES)
def test_no_function_of_a_module_is_called_where_a_test_could_have_replaced_it(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All functions of the module are replaced while both helpers do all that they can."""
    module = importlib.import_module(name)
    spies = Spies()
    # The first report asks sysconfig once.
    _library_folders()
    # For a new module the block looks for pytest plugins on sys.path again, as the first block did.
    _packages_with_plugins.cache_clear()
    new_module = ModuleType("new_module")
    vars(new_module).update(__file__="new_module.py", monotonic=time.monotonic)
    monkeypatch.setitem(sys.modules, "new_module", new_module)

    async def main() -> None:
        # In debug mode asyncio itself looks at the stack and reads sources, for whatever we have it do.
        asyncio.get_running_loop().set_debug(False)
        with monkeypatch.context() as patch:
            spies.put_into(module, patch)
            await do_everything()

    run(main())

    assert spies.calls - INDIRECT.keys() == set()


def fail(*args: object, **kwargs: object) -> None:
    """Take the place of a function that must not be called."""
    raise ZeroDivisionError


@pytest.mark.proves("N10", "R1")
@on_every_loop
@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING], ids=["debug", "warning"])
@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError], ids=["error", "cancelled"])
@pytest.mark.parametrize("name", MODULES)
def test_what_leaves_the_block_is_seen_though_all_functions_of_a_module_fail(
    run: Run, name: str, level: int, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Both blocks are left by the exception of the body, all is put back, and a timer goes on."""
    module = importlib.import_module(name)
    caplog.set_level(level, logger="machinery.test_helpers")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        # As asyncio itself fails in debug mode.
        loop.set_debug(False)
        before = state_of(loop)
        called, error = asyncio.Event(), kind("from the body")
        functions, left_by = functions_of(module), None
        try:
            async with thp.mocked_call_later(datetime=True, precision=0.001), thp.future_dominos(expected=2) as futs:
                futs[1].add_done_callback(lambda domino: None)
                await asyncio.sleep(1)
                loop.call_later(0.001, called.set)
                vars(module).update(dict.fromkeys(functions, fail))
                raise error
        except BaseException as seen:
            left_by = seen
        finally:
            vars(module).update(functions)
        assert left_by is error
        assert state_of(loop) == before
        await called.wait()

    run(main())


@pytest.mark.proves("N10")
async def test_a_clock_that_a_test_feeds_with_readings_is_not_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test has exactly as many as it needs."""
    readings = mock.Mock(side_effect=[10, 10.25])
    monkeypatch.setattr(time, "perf_counter", readings)

    with pytest.raises(KeyError):
        async with thp.mocked_call_later():
            began = time.perf_counter()
            await asyncio.sleep(5)
            assert time.perf_counter() - began == 0.25
            raise KeyError
