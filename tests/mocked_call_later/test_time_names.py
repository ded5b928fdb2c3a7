"""Names at the top level of modules that are functions of `time` follow the clock while a block is open."""

import asyncio
import gc
import importlib
import importlib.util
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _time_module, _time_names
from tests.state import FUNCTIONS

FOLLOWING = FUNCTIONS[:4]
REAL = {name: getattr(time, name) for name in (*FUNCTIONS, "sleep")}
"""The functions of `time`, where no block can find them."""

MakeModule = Callable[..., Any]


@pytest.fixture
def make_module(monkeypatch: pytest.MonkeyPatch) -> MakeModule:
    """Give a function that makes a module with names, and puts it among those that are loaded."""

    def make(name: str = "app", kind: type[ModuleType] = ModuleType, **names: object) -> ModuleType:
        module = kind(name)
        ModuleType.__getattribute__(module, "__dict__").update(names)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return make


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that grows whenever all modules are looked at."""
    seen: list[int] = []
    look = _time_names._modules

    def count() -> Iterator[Any]:
        seen.append(1)
        return look()

    monkeypatch.setattr(_time_names, "_modules", count)
    return seen


class TestFollowing:
    """In a block such a name reads its clock, and afterwards it is as it was."""

    @pytest.mark.proves("N1")
    @pytest.mark.parametrize("function", FOLLOWING)
    @pytest.mark.parametrize("name", ["the same", "now"])
    async def test_a_name_follows_the_clock_and_is_put_back(
        self, make_module: MakeModule, function: str, name: str
    ) -> None:
        """Whatever it is called; all four read what the attributes of `time` read."""
        name = function if name == "the same" else name
        app = make_module(**{name: REAL[function]})

        async with thp.mocked_call_later(start_time=50):
            await asyncio.sleep(3600)
            assert vars(app)[name]() == getattr(time, function)()
            assert vars(app)[name]() in (3650, 3_650_000_000_000)

        assert vars(app)[name] is REAL[function]

    @pytest.mark.proves("N1")
    async def test_sleep_and_perf_counter_are_never_touched(self, make_module: MakeModule) -> None:
        """A test can always measure and wait for real."""
        app = make_module(sleep=REAL["sleep"], perf_counter=REAL["perf_counter"], monotonic=REAL["monotonic"])

        async with thp.mocked_call_later():
            assert app.sleep is REAL["sleep"]
            assert app.perf_counter is REAL["perf_counter"]
            assert app.monotonic() == 0

    @pytest.mark.proves("N1")
    async def test_the_names_of_a_package_that_is_nested_are_found(self, make_module: MakeModule) -> None:
        """It is the first part of a module's name by which it may be left alone."""
        app = make_module("app.asyncio", monotonic=REAL["monotonic"])

        async with thp.mocked_call_later():
            assert app.monotonic() == 0

    @pytest.mark.proves("N1")
    @pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError, KeyboardInterrupt])
    async def test_a_name_is_put_back_however_the_block_is_left(
        self, make_module: MakeModule, error: type[BaseException]
    ) -> None:
        """By an error, cancelled, interrupted."""
        app = make_module(now=REAL["time"])

        with pytest.raises(error):
            async with thp.mocked_call_later():
                assert app.now() == 0
                raise error

        assert app.now is REAL["time"]

    @pytest.mark.proves("N1")
    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
    async def test_blocks_may_be_left_in_any_order(self, make_module: MakeModule, order: tuple[int, ...]) -> None:
        """A name reads the innermost clock that is open, and is put back with the last one."""
        app = make_module(now=REAL["monotonic"])
        stacks = [AsyncExitStack() for _ in range(3)]
        seen, left = [], {0, 1, 2}
        for number, stack in enumerate(stacks):
            await stack.enter_async_context(thp.mocked_call_later(start_time=number))
        for number in order:
            seen.append(app.now() == max(left))
            left.remove(number)
            await stacks[number].aclose()

        assert seen == [True, True, True]
        assert app.now is REAL["monotonic"]

    @pytest.mark.proves("N1")
    async def test_two_names_and_two_modules_follow(self, make_module: MakeModule) -> None:
        """Also where one module is loaded by two names."""
        app, other = make_module(now=REAL["time"], then=REAL["time"]), make_module("other", now=REAL["monotonic"])
        sys.modules["other"] = sys.modules["app"]
        try:
            make_module("third", now=REAL["monotonic"])
            async with thp.mocked_call_later(start_time=7):
                assert [app.now(), app.then()] == [7, 7]
        finally:
            sys.modules["other"] = other

        assert app.now is app.then is REAL["time"]


class TestOthersChangeThem:
    """What somebody has put in the place of a function is theirs."""

    @pytest.mark.proves("N2")
    async def test_a_name_that_was_changed_in_the_block_stays_as_it_is(self, make_module: MakeModule) -> None:
        """Changed, given the real function, or deleted."""
        app = make_module(changed=REAL["time"], real=REAL["time"], deleted=REAL["time"])

        def theirs() -> int:
            return 42

        async with thp.mocked_call_later():
            app.changed = theirs
            app.real = REAL["time"]
            del app.deleted
            assert app.real() > 1_000_000_000

        assert app.changed is theirs
        assert app.real is REAL["time"]
        assert not hasattr(app, "deleted")

    @pytest.mark.proves("N2")
    async def test_a_name_that_another_function_of_time_was_assigned_to_gets_that(
        self, make_module: MakeModule
    ) -> None:
        """Assigned in the block, out of `time`; it is the real one afterwards."""
        app = make_module(now=REAL["time"])

        async with thp.mocked_call_later():
            app.now = time.monotonic
            app.new = time.time_ns

        assert app.now is REAL["monotonic"]
        assert app.new is REAL["time_ns"]

    @pytest.mark.proves("N2")
    async def test_a_replacement_from_before_the_block_is_used_in_it(
        self, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A test that has its own clock keeps it."""
        app = make_module(time=REAL["time"])
        async with thp.mocked_call_later():
            assert app.time() == 0
        monkeypatch.setattr("app.time", lambda: 42)

        async with thp.mocked_call_later():
            assert app.time() == 42
        assert app.time() == 42

    @pytest.mark.proves("N2")
    async def test_what_is_undone_after_the_block_is_found_by_the_next_one(self, make_module: MakeModule) -> None:
        """Undoing a replacement puts back what was there when it was made: the function of the block."""
        app = make_module(now=REAL["time"])
        with pytest.MonkeyPatch.context() as patch:
            async with thp.mocked_call_later():
                patch.setattr("app.now", lambda: 42)
        after_undoing = app.now()

        async with thp.mocked_call_later():
            assert app.now() == 0

        assert after_undoing > 1_000_000_000
        assert app.now is REAL["time"]


class TestImportedInABlock:
    """A module that is imported while a block is open takes what is in `time` then."""

    @pytest.mark.proves("N3")
    @pytest.mark.parametrize("name", ["app", "freezegun.api"])
    async def test_it_has_the_real_functions_after_the_block(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Also one that is otherwise left alone."""
        source = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        source.parent.mkdir(exist_ok=True)
        (source.parent / "__init__.py").touch()
        source.write_text("from time import monotonic\nimport time\nnow = time.time\n")
        monkeypatch.syspath_prepend(tmp_path)
        for each in {name, name.partition(".")[0]}:
            monkeypatch.delitem(sys.modules, each, raising=False)
        try:
            async with thp.mocked_call_later(), thp.mocked_call_later(start_time=9):
                app = importlib.import_module(name)
                assert [app.monotonic(), app.now()] == [9, 9]
        finally:
            for each in {name, name.partition(".")[0]}:
                sys.modules.pop(each, None)

        assert app.monotonic is REAL["monotonic"]
        assert app.now is REAL["time"]

    @pytest.mark.proves("N3")
    async def test_it_is_noticed_though_somebody_else_has_dropped_the_function(self, make_module: MakeModule) -> None:
        """So there are no more references to it than before."""
        kept = []
        async with thp.mocked_call_later():
            kept.append(time.monotonic)
        async with thp.mocked_call_later():
            kept.clear()
            app = make_module(now=time.monotonic)

        assert app.now is REAL["monotonic"]

    @pytest.mark.proves("N3")
    async def test_what_others_have_put_into_time_is_what_it_gets(
        self, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is put back into `time` too, but names get the real function: only that is never taken away again."""
        monkeypatch.setattr(time, "time", lambda: 42)
        app = make_module()

        async with thp.mocked_call_later():
            app.now = time.time

        assert app.now is REAL["time"]


class TestLeftAlone:
    """Tools that need the real clock, and the standard library."""

    @pytest.mark.proves("N4")
    @pytest.mark.parametrize(
        "name",
        [
            *(
                "asyncio.x",
                "queue.x",
                "machinery.x",
                "freezegun.x",
                "time_machine.x",
                "pluggy.x",
                "_pytest.x",
                "pytest.x",
            ),
            *("hypothesis.x", "_hypothesis_x", "coverage.x", "execnet.x", "debugpy.x", "_pydevd_x.x", "pydevd_x.x"),
            *("ipdb.x", "xdist.x", "pytest_timeout.x"),
        ],
    )
    async def test_the_names_of_a_tool_stay_real(self, make_module: MakeModule, name: str, tmp_path: Path) -> None:
        """By its top-level package; the last two belong to installed plugins of pytest."""
        tool = make_module(name, monotonic=REAL["monotonic"], __file__=str(tmp_path / "tool.py"))

        async with thp.mocked_call_later():
            assert tool.monotonic is REAL["monotonic"]

    @pytest.mark.proves("N4")
    async def test_the_standard_library_is_left_alone_by_another_name(self, make_module: MakeModule) -> None:
        """Its modules may be loaded by several."""
        module = make_module("six.moves.queue", time=REAL["monotonic"], __name__="queue")
        unnamed = make_module("app.unnamed", time=REAL["monotonic"], __name__=None)

        async with thp.mocked_call_later():
            assert module.time is REAL["monotonic"]
            assert unnamed.time() == 0

    @pytest.mark.proves("N4")
    @pytest.mark.parametrize("metadata", ["dist-info", "egg-info"])
    async def test_all_of_a_distribution_with_a_pytest_plugin_is_left_alone(
        self, make_module: MakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: str
    ) -> None:
        """The module of the entry point and the others, but no other distribution."""
        for distribution, group in (("tool", "pytest11"), ("library", "console_scripts")):
            folder = tmp_path / f"{distribution}-1.0.{metadata}"
            folder.mkdir()
            (folder / "entry_points.txt").write_text(f"[{group}]\n{distribution} = {distribution}_plugin.main:x\n[z]\n")
            files = {"dist-info": "RECORD", "egg-info": "top_level.txt"}[metadata]
            rest = ",sha256=abc,10" if metadata == "dist-info" else ""
            (folder / files).write_text(f"{distribution}{'/core.py' if rest else ''}{rest}\n")
        monkeypatch.syspath_prepend(tmp_path)
        made = [
            make_module(name, now=REAL["time"], __file__=str(tmp_path / name))
            for name in ("tool.core", "tool_plugin", "library.core", "library_plugin")
        ]

        async with thp.mocked_call_later():
            assert [module.now is REAL["time"] for module in made] == [True, True, False, False]


def refuse(*args: object) -> Any:
    """Take the place of what must not be called."""
    raise AssertionError("called")


class Lazy(ModuleType):
    """A module that must not be touched."""

    __getattribute__ = __setattr__ = refuse


class Touchy:
    """A value that can neither be compared, hashed, asked for its attributes, nor for its truth."""

    __eq__ = __hash__ = __getattribute__ = __bool__ = refuse


class TestNothingIsRun:
    """Looking at modules runs no code of theirs."""

    @pytest.mark.proves("N5")
    async def test_a_lazy_module_is_not_loaded_and_yet_follows(self, make_module: MakeModule) -> None:
        """What it has already is looked at where every module has it."""
        lazy = make_module("lazy", kind=Lazy, now=REAL["time"])
        names = ModuleType.__getattribute__(lazy, "__dict__")

        async with thp.mocked_call_later():
            inside = names["now"]()

        assert inside == 0
        assert names["now"] is REAL["time"]

    @pytest.mark.proves("N5")
    async def test_a_module_of_the_lazy_loader_is_not_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It runs with the first attribute that somebody wants."""
        (tmp_path / "lazy_app.py").write_text("from time import monotonic\nraise AssertionError('loaded')\n")
        spec = importlib.util.spec_from_file_location("lazy_app", tmp_path / "lazy_app.py")
        assert spec is not None
        assert spec.loader is not None
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "lazy_app", module)
        spec.loader.exec_module(module)

        async with thp.mocked_call_later():
            pass

        with pytest.raises(AssertionError, match=r"^loaded$"):
            module.monotonic  # noqa: B018

    @pytest.mark.proves("N5")
    async def test_a_module_that_shows_something_else_as_its_dictionary_is_not_asked(
        self, make_module: MakeModule
    ) -> None:
        """A property of the subclass would run code."""

        class Odd(ModuleType):
            __dict__ = property(refuse)

        module: Any = Odd("odd")
        module.now = REAL["time"]
        sys.modules["odd"] = module
        try:
            async with thp.mocked_call_later():
                assert module.now() == 0
        finally:
            del sys.modules["odd"]

        assert module.now is REAL["time"]

    @pytest.mark.proves("N5")
    async def test_values_are_neither_compared_nor_hashed(self, make_module: MakeModule) -> None:
        """Nor is what stands among the modules and is none."""
        app = make_module(first=Touchy(), time=Touchy(), now=REAL["time"])
        sys.modules["touchy"] = Touchy()  # type: ignore[assignment]
        sys.modules["nothing"] = None  # type: ignore[assignment]
        sys.modules["simple"] = SimpleNamespace(now=REAL["time"])  # type: ignore[assignment]
        try:
            async with thp.mocked_call_later():
                assert app.now() == 0
                assert sys.modules["simple"].now is REAL["time"]
        finally:
            for name in ("touchy", "nothing", "simple"):
                del sys.modules[name]

    @pytest.mark.proves("N5")
    async def test_a_thread_may_import_while_the_newest_module_is_looked_up(
        self, monkeypatch: pytest.MonkeyPatch, make_module: MakeModule
    ) -> None:
        """Python raises `RuntimeError` then, and all modules are looked at."""

        class Changing(dict[str, Any]):
            def values(self) -> Any:
                raise RuntimeError("dictionary changed size during iteration")

        app: Any = make_module(now=REAL["time"])
        monkeypatch.setattr(_time_names, "modules", Changing(sys.modules))
        async with thp.mocked_call_later(start_time=5):
            assert app.now() == 5

    @pytest.mark.proves("N5")
    def test_threads_may_import_meanwhile(self) -> None:
        """While all modules are looked at, others come, get names and go."""
        done = threading.Event()
        wrong: list[BaseException] = []

        def come_and_go(number: int) -> None:
            module: Any = ModuleType("staying")
            sys.modules[f"staying_{number}"] = module
            for each in itertools.cycle(range(200)):
                if done.is_set():
                    break
                setattr(module, f"now{each}", REAL["monotonic"])
                vars(module).pop(f"now{(each + 100) % 200}", None)
                sys.modules[f"passing_{number}_{each}"] = module
                sys.modules.pop(f"passing_{number}_{(each + 100) % 200}", None)
            for name in [name for name in sys.modules.copy() if name.startswith(("staying_", "passing_"))]:
                sys.modules.pop(name, None)

        async def main() -> None:
            for _ in range(20):
                async with thp.mocked_call_later():
                    _time_module._names._look_for_names()

        threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(2)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            asyncio.run(main())
        except BaseException as error:
            wrong.append(error)
        finally:
            done.set()
            for thread in threads:
                thread.join()
            sys.setswitchinterval(interval)

        assert wrong == []


class TestNoticing:
    """What has changed between two blocks is noticed by the second."""

    @pytest.fixture(autouse=True)
    async def _looked(self) -> None:
        async with thp.mocked_call_later():
            pass

    @pytest.mark.proves("N6")
    async def test_nothing_is_looked_at_again_while_nothing_changes(
        self, make_module: MakeModule, looks: list[int]
    ) -> None:
        """The first block after a change looks at all modules, the others at the names that are known."""
        app = make_module(now=REAL["time"])
        gc.collect()

        for _ in range(10):
            async with thp.mocked_call_later():
                assert app.now() == 0

        assert looks == [1]

    @pytest.mark.proves("N6")
    async def test_a_new_module_is_noticed(self, make_module: MakeModule) -> None:
        """Whether it is added, or takes the place of one."""
        for _ in range(3):
            app = make_module(now=REAL["time"])
            async with thp.mocked_call_later():
                assert app.now() == 0
            assert app.now is REAL["time"]

    @pytest.mark.proves("N6")
    async def test_a_new_module_is_noticed_though_there_are_no_more_references(self, make_module: MakeModule) -> None:
        """An object that had one has gone."""
        kept = [REAL["time"]]
        async with thp.mocked_call_later():
            pass
        kept.clear()
        app = make_module(now=REAL["time"])

        async with thp.mocked_call_later():
            assert app.now() == 0

    @pytest.mark.proves("N6")
    async def test_a_module_that_is_imported_anew_is_noticed(self, make_module: MakeModule) -> None:
        """There are as many modules, and as many references, as before: an object that had one has gone."""
        make_module(now=REAL["time"])
        kept = [REAL["time"]]
        async with thp.mocked_call_later():
            pass
        kept.clear()
        del sys.modules["app"]
        app = make_module(now=REAL["time"])

        async with thp.mocked_call_later():
            assert app.now() == 0

    @pytest.mark.proves("N6")
    async def test_a_module_in_place_of_one_that_was_left_alone_is_noticed(
        self, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There are as many modules, and as many references, as before."""
        make_module("freezegun.x", now=REAL["time"])
        async with thp.mocked_call_later():
            pass
        monkeypatch.delitem(sys.modules, "freezegun.x")
        monkeypatch.undo()
        app = make_module(now=REAL["time"])

        async with thp.mocked_call_later():
            assert app.now() == 0

    @pytest.mark.proves("N6")
    async def test_a_reloaded_module_is_noticed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the names that it had, and with new ones."""
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        source = tmp_path / "reloaded_app.py"
        source.write_text("from time import time\n")
        app: Any = importlib.import_module("reloaded_app")
        try:
            async with thp.mocked_call_later():
                assert app.time() == 0
            source.write_text("from time import time, monotonic as now  # longer than before\n")
            importlib.reload(app)
            async with thp.mocked_call_later():
                assert [app.time(), app.now()] == [0, 0]
        finally:
            del sys.modules["reloaded_app"]

        assert app.time is REAL["time"]
        assert app.now is REAL["monotonic"]

    @pytest.mark.proves("N6")
    async def test_a_name_that_somebody_adds_is_noticed(
        self, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In a module that has been looked at already."""
        app = make_module(now=None)
        async with thp.mocked_call_later():
            pass
        monkeypatch.setattr("app.now", REAL["time_ns"])

        async with thp.mocked_call_later(start_time=3):
            assert app.now() == 3_000_000_000

    @pytest.mark.proves("N6")
    @pytest.mark.parametrize("name", FOLLOWING)
    async def test_a_function_that_comes_back_is_noticed(self, make_module: MakeModule, name: str) -> None:
        """It had been replaced by a test when all modules were looked at, and undoing that adds no reference."""
        app = make_module(**{name: REAL[name]})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"app.{name}", lambda: 42)
            async with thp.mocked_call_later():
                assert vars(app)[name]() == 42

        async with thp.mocked_call_later():
            assert vars(app)[name]() == 0
        assert vars(app)[name] is REAL[name]

    @pytest.mark.proves("N6")
    async def test_a_name_that_was_known_is_not_forgotten_while_it_is_replaced(self, make_module: MakeModule) -> None:
        """All modules are looked at meanwhile, since there is a new one."""
        app = make_module(clock=REAL["monotonic"])
        async with thp.mocked_call_later():
            assert app.clock() == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.clock", lambda: 42)
            make_module("another")
            async with thp.mocked_call_later():
                assert app.clock() == 42

        async with thp.mocked_call_later():
            assert app.clock() == 0
        assert app.clock is REAL["monotonic"]

    @pytest.mark.proves("N6")
    async def test_an_object_that_keeps_a_function_costs_one_look(
        self, make_module: MakeModule, looks: list[int]
    ) -> None:
        """It is no name of a module, and what it refers to stays."""
        # What earlier tests have left may refer to the function until it is collected.
        gc.collect()
        make_module()
        kept = []
        for _ in range(2):
            async with thp.mocked_call_later():
                pass
        looks.clear()
        kept.append(REAL["time"])

        for _ in range(10):
            async with thp.mocked_call_later():
                pass

        assert looks == [1]
        assert kept == [REAL["time"]]


class TestThreads:
    """Names behave as the attributes of `time` do in each thread."""

    @pytest.mark.proves("N7")
    async def test_other_threads_read_virtual_wall_time_and_real_monotonic_time(self, make_module: MakeModule) -> None:
        """A thread that waits with a name for `monotonic` waits in real time."""
        app = make_module(**{name: REAL[name] for name in FOLLOWING})
        before = REAL["monotonic"]()
        seen: list[float] = []

        def read() -> None:
            seen.extend([app.time(), app.time_ns(), app.monotonic(), app.monotonic_ns() / 1e9])

        async with thp.mocked_call_later(start_time=5):
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()

        assert seen[:2] == [5, 5_000_000_000]
        assert all(before <= each <= REAL["monotonic"]() for each in seen[2:])

    @pytest.mark.proves("N7")
    async def test_an_executor_reads_the_wall_clock_of_its_block(self, make_module: MakeModule) -> None:
        """By a name as by the attribute."""
        app = make_module(now=REAL["time"])

        async with thp.mocked_call_later(start_time=5):
            assert await asyncio.to_thread(lambda: app.now()) == 5


class TestEnteringFails:
    """A block that cannot be entered replaces nothing."""

    @pytest.mark.proves("T18", "N1")
    async def test_the_names_are_put_back_if_a_later_step_fails(
        self, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The functions in `time` itself cannot be replaced."""
        app = make_module(now=REAL["time"])
        seen: list[object] = []

        def fail(attributes: object) -> None:
            seen.append(app.now is REAL["time"])
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(_time_module._patches, "add", fail)
            with pytest.raises(ZeroDivisionError):
                async with thp.mocked_call_later():
                    pytest.fail("entered")

        assert seen == [False]
        assert app.now is REAL["time"]
        assert [getattr(time, name) for name in REAL] == list(REAL.values())

    @pytest.mark.proves("T18", "N1")
    async def test_the_names_are_put_back_if_one_of_them_cannot_be_replaced(
        self, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An interrupt strikes, say, while they are."""
        app = make_module(now=REAL["time"], then=REAL["time"])
        async with thp.mocked_call_later():
            pass
        names = _time_module._names._known

        class Interrupted(list[str]):
            def __iter__(self) -> Iterator[str]:
                yield "now"
                raise KeyboardInterrupt

        [place] = [place for place, known in enumerate(names) if known[1] is app]
        names[place] = (*names[place][:3], Interrupted())
        with pytest.raises(KeyboardInterrupt):
            async with thp.mocked_call_later():
                pytest.fail("entered")

        assert app.now is app.then is REAL["time"]
