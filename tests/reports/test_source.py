"""A report names the user's lines, whatever stands between them and what waits."""

import asyncio
import contextlib
import functools
import inspect
import itertools
import logging
import os
import site
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from machinery import helpers as hp
from machinery import test_helpers as thp
from machinery._test_helpers import _source
from tests.reports.reading import Boom

pytestmark = pytest.mark.usefixtures("quiet_loop")

Task = asyncio.Task[Any]


def shown(code: CodeType, text: str) -> str:
    """Return how the one line of a function that has this text in it is shown."""
    lines, first = inspect.getsourcelines(code)
    [(number, line)] = [(first + index, line) for index, line in enumerate(lines) if text in line]
    return f"{os.path.relpath(code.co_filename)}:{number}: {line.strip()}"


def here(function: Callable[..., object]) -> str:
    """Return how the line of a function that waits is shown."""
    assert isinstance(function, FunctionType)
    source = inspect.getsource(function)
    return shown(function.__code__, "# HERE" if "# HERE" in source else "await ")


def waits_at(task: Task) -> str:
    """Return where a task waits, on one line."""
    return _source.waits_at(task).replace("\n", " ")


def raised_at(error: BaseException) -> str:
    """Return where an exception came from, on one line."""
    return _source.raised_at(error.__traceback__).replace("\n", " ")


async def started(coroutine: Coroutine[Any, Any, Any]) -> Task:
    """Start a task and let it come as far as it gets."""
    task = asyncio.create_task(coroutine)
    await thp.wait_all_tasks_blocked()
    return task


async def leaf() -> None:
    """Wait for an event that is never set."""
    await asyncio.Event().wait()


class Thing:
    """Something that is awaited by a method of its own."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from leaf().__await__()


class OwnGenerator:
    """Something that waits in a method of its own."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.Event().wait().__await__()  # HERE


async def generate() -> AsyncIterator[int]:
    """Wait in an async generator."""
    yield 1
    await asyncio.Event().wait()
    yield 2


async def iterate() -> None:
    """Wait in a loop."""
    async for _ in generate():
        pass


async def iterate_by_hand() -> None:
    """Wait for the second value, with a default."""
    generator = generate()
    await anext(generator)
    await anext(generator, None)


async def comprehend() -> None:
    """Wait in a comprehension."""
    print([number async for number in generate()])


@contextlib.asynccontextmanager
async def managed() -> AsyncIterator[None]:
    """Wait on entering."""
    await asyncio.Event().wait()
    yield


async def enter() -> None:
    """Wait in a context manager."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(managed())


async def outer(inner: Callable[[], Awaitable[object]]) -> None:
    """Stand around what waits."""
    await inner()


async def lock() -> None:
    """Wait for a lock that is taken."""
    taken = asyncio.Lock()
    await taken.acquire()
    async with taken:  # HERE
        pass


async def group() -> None:
    """Wait for a task group."""
    async with asyncio.TaskGroup() as tasks:  # HERE
        tasks.create_task(leaf())


async def gather() -> None:
    """Wait for a gather."""
    await asyncio.gather(leaf(), leaf())


async def another_task() -> None:
    """Wait for a task."""
    task = asyncio.create_task(leaf())
    await task  # HERE


async def limited() -> None:
    """Wait with a limit."""
    await asyncio.wait_for(asyncio.Event().wait(), 60)


async def holder() -> None:
    """Wait for a holder of tasks to end."""
    with hp.CTX.beginning(name="test", log=logging.getLogger("tests")) as ctx:
        async with hp.task_holder(ctx=ctx) as tasks:  # HERE
            tasks.add_coroutine(leaf())


async def adds() -> None:
    """Wait for time to be added, in a block whose clock cannot move."""
    async with thp.mocked_call_later(autojump_threshold=60):
        await asyncio.sleep(60)


class TestWhereATaskWaits:
    """The innermost line that is neither asyncio's nor ours."""

    @pytest.mark.proves("R12")
    @pytest.mark.parametrize(
        ("body", "innermost"),
        [
            pytest.param(leaf, leaf, id="a coroutine"),
            pytest.param(functools.partial(outer, leaf), leaf, id="a coroutine in a coroutine"),
            pytest.param(functools.partial(outer, Thing), leaf, id="a coroutine behind __await__"),
            pytest.param(functools.partial(outer, OwnGenerator), OwnGenerator.__await__, id="a generator"),
            pytest.param(iterate, generate, id="async for"),
            pytest.param(iterate_by_hand, generate, id="anext with a default"),
            pytest.param(comprehend, generate, id="an async comprehension"),
            pytest.param(enter, inspect.unwrap(managed), id="a context manager of contextlib"),
            pytest.param(lock, lock, id="async with a lock"),
            pytest.param(group, group, id="a task group"),
            pytest.param(gather, gather, id="gather"),
            pytest.param(another_task, another_task, id="a task"),
            pytest.param(limited, limited, id="wait_for"),
            pytest.param(holder, holder, id="our own task holder"),
            pytest.param(adds, adds, id="our own clock"),
        ],
    )
    async def test_it_is_the_users(
        self, body: Callable[[], Coroutine[Any, Any, None]], innermost: Callable[..., object]
    ) -> None:
        """Whatever the user's code waits for."""
        task = await started(body())

        assert waits_at(task) == here(innermost)

    @pytest.mark.proves("R12")
    async def test_in_a_library_the_line_that_called_it_comes_first(self, tmp_path: Path) -> None:
        """The user knows that one."""
        path = tmp_path / "site-packages" / "some_library" / "client.py"
        path.parent.mkdir(parents=True)
        path.write_text("async def fetch(wait):\n    await wait()\n", encoding="utf-8")
        scope: dict[str, Any] = {}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)

        async def use() -> None:
            await scope["fetch"](asyncio.Event().wait)

        task = await started(use())

        assert waits_at(task) == f"{here(use)} (inside {os.path.join('some_library', 'client.py')}:2)"

    @pytest.mark.proves("R12")
    async def test_a_callback_that_a_library_calls_is_the_users_again(self, tmp_path: Path) -> None:
        """It is what waits."""
        path = tmp_path / "site-packages" / "client.py"
        path.parent.mkdir()
        path.write_text("async def fetch(wait):\n    await wait()\n", encoding="utf-8")
        scope: dict[str, Any] = {}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)

        task = await started(scope["fetch"](leaf))

        assert waits_at(task) == here(leaf)

    @pytest.mark.proves("R12")
    async def test_a_task_of_a_library_alone_is_placed_in_the_library(self, tmp_path: Path) -> None:
        """There is no line of the user's."""
        path = tmp_path / "site-packages" / "client.py"
        path.parent.mkdir()
        path.write_text("async def fetch(wait):\n    await wait()\n", encoding="utf-8")
        scope: dict[str, Any] = {}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)

        task = await started(scope["fetch"](asyncio.Event().wait))

        assert waits_at(task) == "client.py:2: await wait()"

    @pytest.mark.proves("R12")
    async def test_a_task_that_has_not_begun_is_placed_where_it_will(self) -> None:
        """It waits for its turn."""
        task = asyncio.create_task(leaf())

        assert waits_at(task) == shown(leaf.__code__, "async def leaf")
        assert not _source.has_begun(task)

    @pytest.mark.proves("R12")
    async def test_a_task_that_runs_is_placed_where_it_is(self) -> None:
        """It asks itself."""

        async def ask() -> str:
            task = asyncio.current_task()
            assert task is not None
            return waits_at(task)

        assert await asyncio.create_task(ask()) == shown(ask.__code__, "return waits_at")

    @pytest.mark.proves("R12")
    async def test_a_task_that_has_ended_waits_nowhere(self) -> None:
        """And one of asyncio's alone, in asyncio."""
        ended = await started(asyncio.sleep(0))
        asyncios = await started(asyncio.sleep(60))

        assert [waits_at(ended), waits_at(asyncios)] == ["an unknown place", "asyncio's sleep"]

    @pytest.mark.proves("R12", "R13")
    async def test_very_deep_coroutines_are_followed_to_a_bound(self) -> None:
        """There is an answer in any case."""

        async def deep(levels: int) -> None:
            if levels:
                await deep(levels - 1)
            else:
                await leaf()

        task = await started(deep(300))

        assert waits_at(task) == here(leaf)

    @pytest.mark.proves("R10")
    async def test_only_sleep_0_is_polling(self) -> None:
        """Whether the user calls it, or a library."""

        async def poll() -> None:
            for _ in itertools.count():
                await asyncio.sleep(0)

        polling = asyncio.create_task(outer(poll))
        waiting = asyncio.create_task(leaf())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert [_source.only_yields(task) for task in (polling, waiting)] == [True, False]
        polling.cancel()

    @pytest.mark.proves("R13")
    async def test_a_chain_of_coroutines_is_followed_only_so_far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The place told is then one further out."""
        monkeypatch.setattr(_source, "_MOST_FRAMES", 2)

        async def inner() -> None:
            await asyncio.sleep(3600)

        async def outer() -> None:
            await inner()

        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        told = waits_at(task)
        task.cancel()

        assert told.endswith("await asyncio.sleep(3600)")


class TestWhereAnExceptionCameFrom:
    """The innermost line that is neither asyncio's nor ours."""

    @pytest.mark.proves("R12")
    def test_it_is_the_users_line(self) -> None:
        """And what it called in a library comes behind."""

        def read() -> None:
            textwrap.indent(None, "")  # type: ignore[arg-type]

        with pytest.raises(AttributeError) as caught:
            read()

        place = raised_at(caught.value)
        assert place.startswith(shown(read.__code__, "textwrap.indent"))
        assert " (inside textwrap.py:" in place

    @pytest.mark.proves("R12")
    async def test_it_is_not_ours(self) -> None:
        """Who passes nonsense is told where."""
        with pytest.raises(ValueError, match=r"^amount must be 0 seconds or more, got -1\b") as caught:
            async with thp.mocked_call_later() as m:
                await m.add(-1)

        assert raised_at(caught.value).endswith(": await m.add(-1)")

    @pytest.mark.proves("R12")
    def test_without_a_traceback_it_is_unknown(self) -> None:
        """Nobody has raised it."""
        assert raised_at(Boom()) == "an unknown place"


class TestWhatPytestShows:
    """Frames that are hidden or cut off."""

    @pytest.mark.proves("R12")
    @pytest.mark.parametrize("virtual", [True, False], ids=["virtual time", "dominos"])
    async def test_an_exception_of_the_body_has_no_frame_of_ours(self, virtual: bool) -> None:
        """It looks as if the block were not there."""
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later() if virtual else thp.future_dominos(expected=0):
                raise Boom

        assert [entry.name for entry in caught.traceback] == ["test_an_exception_of_the_body_has_no_frame_of_ours"]

    @pytest.mark.proves("R12")
    async def test_what_we_raise_ourselves_points_at_the_line_that_caused_it(self) -> None:
        """Our frames are hidden."""
        visible = []
        async with thp.mocked_call_later() as m:
            loop = asyncio.get_running_loop()
            with pytest.raises(TypeError) as caught:
                loop.call_later("soon", print)  # type: ignore[arg-type]
            visible.append(caught.traceback.filter(caught))
            with pytest.raises(TypeError) as caught:
                loop.call_at(5, "print")  # type: ignore[arg-type]
            visible.append(caught.traceback.filter(caught))
            with pytest.raises(ValueError, match=r"^amount must be 0 seconds or more") as negative:
                await m.add(-1)
            visible.append(negative.traceback.filter(negative))
        async with thp.future_dominos(expected=0) as futs:
            with pytest.raises(IndexError) as wrong:
                futs[5]
            visible.append(wrong.traceback.filter(wrong))

        assert [[entry.path for entry in entries] for entries in visible] == [[Path(__file__)]] * 4

    @pytest.mark.proves("R12")
    @pytest.mark.parametrize("virtual", [True, False], ids=["virtual time", "dominos"])
    async def test_a_bad_argument_points_at_the_block(self, virtual: bool) -> None:
        """Nothing of ours stands behind it."""
        with pytest.raises(TypeError) as caught:
            async with (
                thp.mocked_call_later(precision="x")  # type: ignore[arg-type]
                if virtual
                else thp.future_dominos(expected="x")  # type: ignore[arg-type]
            ):
                pass

        visible = [entry.path for entry in caught.traceback.filter(caught)]
        assert visible == [Path(__file__)]

    @pytest.mark.proves("R12")
    async def test_dominos_that_are_left_over_point_at_the_block(self) -> None:
        """The line that has `async with`."""
        with pytest.raises(AssertionError) as caught:
            async with thp.future_dominos(expected=1):
                pass

        assert [entry.path for entry in caught.traceback.filter(caught)] == [Path(__file__)]


class TestNames:
    """What things are called."""

    @pytest.mark.proves("R2")
    @pytest.mark.parametrize(
        ("thing", "name"),
        [
            (print, "print"),
            (asyncio.Event().set, "Event.set"),
            (functools.partial(functools.partial(print, 1), 2), "print"),
            (lambda: None, "TestNames.<lambda>"),
            (Boom, "Boom"),
            (Thing.__await__, "Thing.__await__"),
            (5, "5"),
        ],
    )
    def test_a_callback_has_the_name_that_it_was_defined_by(self, thing: object, name: str) -> None:
        """Without the function around it."""
        assert _source.name_of(thing) == name

    @pytest.mark.proves("R2")
    async def test_a_task_has_the_name_of_the_first_coroutine_that_is_the_users(self) -> None:
        """A runner puts its own around."""
        assert _source._coroutine_of(await started(asyncio.wait_for(outer(leaf), None))) == "outer"
        assert _source._coroutine_of(await started(asyncio.sleep(60))) == "sleep"

    @pytest.mark.proves("R13")
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("short", "'short'"),
            ("x" * 78, f"'{'x' * 78}'"),
            ("x" * 79, f"'{'x' * 76}..."),
            (["a\n", 1], r"['a\n', 1]"),
        ],
    )
    def test_a_value_is_shown_on_one_line_of_80_characters_at_most(self, value: object, text: str) -> None:
        """What is longer is cut."""
        assert _source.brief(value) == text


class TestPlaces:
    """Files as they are best read."""

    @pytest.mark.proves("R12")
    async def test_a_file_below_the_current_directory_is_relative_to_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another one is not."""
        task = await started(leaf())
        monkeypatch.chdir(Path(__file__).parent)
        near = waits_at(task)
        monkeypatch.chdir(tmp_path)
        far = waits_at(task)

        assert (near.partition(":")[0], Path(far.rpartition(".py:")[0] + ".py")) == ("test_source.py", Path(__file__))

    @pytest.mark.proves("R13")
    @pytest.mark.skipif(os.name == "nt", reason="there a directory in use cannot be removed")
    async def test_a_current_directory_that_is_gone_does_not_matter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then the whole path is shown."""
        task = await started(leaf())
        folder = tmp_path / "gone"
        folder.mkdir()
        monkeypatch.chdir(folder)
        folder.rmdir()

        assert waits_at(task).startswith(f"{Path(__file__)}:")

    @pytest.mark.proves("R12")
    async def test_code_without_a_file_has_a_line_without_source(self) -> None:
        """As in an interactive session."""
        scope: dict[str, Any] = {}
        exec(compile("async def f(wait):\n    await wait()\n", "<stdin>", "exec"), scope)

        assert waits_at(await started(scope["f"](asyncio.Event().wait))) == "<stdin>:2"

    @pytest.mark.proves("R12")
    def test_the_packages_of_this_python_are_known_as_libraries(self) -> None:
        """So is its standard library."""
        folders = [*site.getsitepackages(), os.path.dirname(os.__file__)]

        assert [_source._is_library(os.path.join(folder, "x.py")) for folder in folders] == [True] * len(folders)
