"""The public names, their places and their signatures are those of the reference."""

import asyncio
import datetime
import importlib.metadata
import importlib.resources
import inspect
import subprocess
import sys
import typing
from collections.abc import Awaitable, Callable, Generator, Hashable
from contextlib import AbstractAsyncContextManager
from types import ModuleType

import pytest

import machinery
from machinery import helpers as hp
from machinery import test_helpers as thp
from machinery._test_helpers import _future_dominos, _mocked_call_later
from machinery.helpers import protocols

EMPTY = inspect.Parameter.empty


def keywords(function: Callable[..., object]) -> dict[str, object]:
    """Return the parameters of a function that takes nothing but keywords, and their defaults."""
    parameters = inspect.signature(function).parameters
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    return {name: parameter.default for name, parameter in parameters.items()}


def hints(function: Callable[..., object]) -> dict[str, object]:
    """Return the annotations of a function as objects."""
    return typing.get_type_hints(inspect.unwrap(function))


def members(protocol: type) -> set[str]:
    """Return what a protocol asks for."""
    assert getattr(protocol, "_is_protocol", False)
    special = {"__await__", "__getitem__"}
    return {name for name in vars(protocol) if not name.startswith("_") or name in special}


class TestPackage:
    """What is installed."""

    @pytest.mark.proves("P1")
    def test_there_are_no_requirements_without_extras(self) -> None:
        """Only extras install more than the package."""
        requires = importlib.metadata.requires("machinery") or []

        assert [each for each in requires if "extra ==" not in each] == []

    @pytest.mark.proves("P2")
    def test_the_package_says_that_it_is_typed(self) -> None:
        """The marker file is installed."""
        assert importlib.resources.files(machinery).joinpath("py.typed").is_file()

    @pytest.mark.proves("P1")
    def test_importing_it_imports_the_standard_library_only(self) -> None:
        """Not even pytest, since other runners work too."""
        code = (
            "import sys; before = set(sys.modules); import machinery.helpers, machinery.test_helpers;"
            "tops = {name.partition('.')[0] for name in set(sys.modules) - before};"
            # Python 3.15 has a module, written when it is built, that it does not list.
            "print(sorted(tops - sys.stdlib_module_names - {'_missing_stdlib_info'}))"
        )

        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

        assert (ran.stdout, ran.stderr) == ("['machinery']\n", "")


class TestNames:
    """Where things are."""

    @pytest.mark.proves("P3")
    @pytest.mark.parametrize(
        ("module", "names"),
        [
            (
                thp,
                "Cancellable Domino Explored FutureDominos MockedCallLater Outside Stuck explore future_dominos"
                " mocked_call_later wait_all_tasks_blocked",
            ),
            (hp, "CTX protocols task_holder"),
            (protocols, "CTX FutureCallback FutureStatus Logger TaskHolder"),
        ],
        ids=["test_helpers", "helpers", "protocols"],
    )
    def test_a_module_offers_what_the_reference_names_and_no_more(self, module: ModuleType, names: str) -> None:
        """`__all__` says so, and everything in it is there and described."""
        assert sorted(module.__all__) == names.split()
        assert [name for name in module.__all__ if not getattr(module, name).__doc__] == []

    @pytest.mark.proves("P3")
    def test_the_protocols_live_in_the_modules_that_the_reference_names(self) -> None:
        """The public names are aliases."""
        assert thp.Domino is _future_dominos.Domino
        assert thp.FutureDominos is _future_dominos.FutureDominos
        assert thp.Cancellable is _mocked_call_later.Cancellable
        assert thp.MockedCallLater is _mocked_call_later.MockedCallLater
        assert {each.__module__ for each in (thp.Domino, thp.FutureDominos)} == {
            "machinery._test_helpers._future_dominos"
        }
        assert {each.__module__ for each in (thp.Cancellable, thp.MockedCallLater)} == {
            "machinery._test_helpers._mocked_call_later"
        }

    @pytest.mark.proves("P3")
    @pytest.mark.parametrize(
        ("protocol", "names"),
        [
            (
                thp.Domino,
                "__await__ add_done_callback cancel cancelled done exception result set_exception set_result",
            ),
            (thp.FutureDominos, "__getitem__ begin finished started"),
            (thp.Cancellable, "cancel"),
            (thp.MockedCallLater, "add called_times pending"),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_a_protocol_asks_for_what_the_reference_says(self, protocol: type, names: str) -> None:
        """Every member is described."""
        assert sorted(members(protocol)) == names.split()
        assert [name for name in members(protocol) if not getattr(protocol, name).__doc__] == []


class TestSignatures:
    """How things are called, and what they say of their types."""

    @pytest.mark.proves("P3")
    def test_future_dominos_takes_what_the_reference_says(self) -> None:
        """By keyword only."""
        assert keywords(thp.future_dominos) == {"expected": EMPTY, "loop": None, "log": None, "name": ""}
        assert hints(thp.future_dominos) == {
            "expected": int,
            "loop": asyncio.AbstractEventLoop | None,
            "log": protocols.Logger | None,
            "name": str,
            "return": AbstractAsyncContextManager[thp.FutureDominos],
        }

    @pytest.mark.proves("P3")
    def test_mocked_call_later_takes_what_the_reference_says(self) -> None:
        """By keyword only; what was added to it comes last and may be left out."""
        assert list(keywords(thp.mocked_call_later).items())[:4] == [
            ("ctx", None),
            ("precision", 0.1),
            ("start_time", 0),
            ("name", ""),
        ]
        assert dict(list(keywords(thp.mocked_call_later).items())[4:]) == {
            "autojump_threshold": None,
            "datetime": False,
        }
        annotations = hints(thp.mocked_call_later)
        del annotations["ctx"]
        assert annotations == {
            "precision": float,
            "start_time": float | datetime.datetime,
            "name": str,
            "autojump_threshold": float | None,
            "datetime": bool,
            "return": AbstractAsyncContextManager[thp.MockedCallLater],
        }

    @pytest.mark.proves("P3")
    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            (thp.Domino.__await__, {"return": Generator[None]}),
            (
                thp.Domino.add_done_callback,
                {
                    "cb": Callable[[protocols.FutureStatus[None]], None],
                    "return": protocols.FutureCallback[None],
                },
            ),
            (thp.Domino.cancel, {"return": type(None)}),
            (thp.Domino.cancelled, {"return": bool}),
            (thp.Domino.done, {"return": bool}),
            (thp.Domino.exception, {"return": BaseException | None}),
            (thp.Domino.result, {"return": type(None)}),
            (thp.Domino.set_exception, {"exc": BaseException, "return": type(None)}),
            (thp.Domino.set_result, {"value": type(None), "return": type(None)}),
            (thp.FutureDominos.__getitem__, {"num": int, "return": thp.Domino}),
            (thp.FutureDominos.begin, {"return": type(None)}),
            (vars(thp.FutureDominos)["started"].fget, {"return": asyncio.Event}),
            (vars(thp.FutureDominos)["finished"].fget, {"return": asyncio.Event}),
            (thp.Cancellable.cancel, {"return": type(None)}),
            (thp.MockedCallLater.add, {"amount": float, "return": type(None)}),
            (vars(thp.MockedCallLater)["called_times"].fget, {"return": list[float]}),
            (vars(thp.MockedCallLater)["pending"].fget, {"return": list[float]}),
        ],
        ids=lambda value: getattr(value, "__qualname__", ""),
    )
    def test_a_method_takes_and_gives_what_the_reference_says(
        self, method: Callable[..., object], expected: dict[str, object]
    ) -> None:
        """The names of its parameters count as well."""
        assert hints(method) == expected
        assert list(inspect.signature(method).parameters) == ["self", *(name for name in expected if name != "return")]

    @pytest.mark.proves("P3")
    def test_adding_time_is_awaited(self) -> None:
        """It is a coroutine function."""
        assert inspect.iscoroutinefunction(thp.MockedCallLater.add)
        assert inspect.iscoroutinefunction(thp.wait_all_tasks_blocked)
        assert list(inspect.signature(thp.wait_all_tasks_blocked).parameters) == []

    @pytest.mark.proves("P3")
    def test_exploring_takes_what_the_reference_says(self) -> None:
        """All but the scenario by keyword only."""
        assert inspect.iscoroutinefunction(thp.explore)
        assert {name: each.default for name, each in inspect.signature(thp.explore).parameters.items()} == {
            "scenario": EMPTY,
            "runs": 200,
            "seed": 0,
            "replay": None,
        }
        assert hints(thp.explore) == {
            "scenario": Callable[[thp.Outside], Awaitable[object]],
            "runs": int,
            "seed": int,
            "replay": str | None,
            "return": thp.Explored,
        }
        assert inspect.iscoroutinefunction(thp.Outside.__call__)
        assert hints(thp.Outside.__call__) == {"label": str, "channel": Hashable, "return": type(None)}

    @pytest.mark.proves("P3")
    def test_a_context_begins_as_the_reference_says(self) -> None:
        """By keyword only."""
        assert keywords(hp.CTX.beginning) == {"name": EMPTY, "log": EMPTY, "loop": None}
        assert keywords(hp.task_holder) == {"ctx": EMPTY, "name": ""}
        child = inspect.signature(hp.CTX.child).parameters
        assert {name: each.default for name, each in child.items()} == {
            "self": EMPTY,
            "name": EMPTY,
            "prefix": "",
            "log": None,
        }
