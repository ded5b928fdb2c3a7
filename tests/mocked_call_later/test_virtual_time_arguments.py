"""Invalid arguments are rejected before anything is replaced."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from machinery import test_helpers as thp
from tests.state import state_of


class TestArguments:
    """The arguments of a block."""

    @pytest.mark.proves("T18")
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            pytest.param({"precision": 0}, ValueError, "precision must be greater than 0 seconds, got 0", id="no tick"),
            pytest.param(
                {"precision": -0.1}, ValueError, r"precision must be greater than 0 seconds, got -0\.1", id="backwards"
            ),
            pytest.param({"precision": math.nan}, ValueError, "precision must be a finite .*, got nan", id="nan"),
            pytest.param({"precision": math.inf}, ValueError, "precision must be a finite .*, got inf", id="inf"),
            pytest.param({"precision": "0.1"}, TypeError, r"precision must be a number .*, got '0\.1'", id="text"),
            pytest.param({"precision": None}, TypeError, "precision must be a number .*, got None", id="None"),
            pytest.param({"precision": True}, TypeError, "precision must be a number .*, got True", id="bool"),
            pytest.param({"start_time": math.nan}, ValueError, "start_time must be .*, got nan", id="from nan"),
            pytest.param({"start_time": -math.inf}, ValueError, "start_time must be .*, got -inf", id="from -inf"),
            pytest.param({"start_time": 10**400}, ValueError, "start_time must be .*, got 10+", id="from huge"),
            pytest.param({"start_time": "0"}, TypeError, "start_time must be a number .*, got '0'", id="from text"),
            pytest.param(
                {"start_time": 1.7e9, "precision": 1e-7},
                ValueError,
                r"precision of 1e-07 seconds is too fine for start_time 1700000000\.0: .*",
                id="too fine for the epoch",
            ),
            pytest.param(
                {"ctx": object()}, TypeError, "ctx must have an attribute `loop`, got <object .*>", id="no context"
            ),
            pytest.param(
                {"ctx": SimpleNamespace(loop=1)},
                TypeError,
                "ctx.loop must be an event loop or None, got 1",
                id="no loop",
            ),
        ],
    )
    async def test_invalid_arguments_are_rejected_on_entering(
        self, arguments: dict[str, object], error: type[Exception], message: str
    ) -> None:
        """The message says what was wrong, and nothing is replaced."""
        block: Callable[..., contextlib.AbstractAsyncContextManager[object]] = thp.mocked_call_later
        before = state_of(asyncio.get_running_loop())

        with pytest.raises(error, match=f"^{message}$"):
            await block(**arguments).__aenter__()

        assert state_of(asyncio.get_running_loop()) == before

    @pytest.mark.proves("T18")
    async def test_another_loop_is_refused(self) -> None:
        """A block works only on the loop that runs it."""
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            before = state_of(loop)
            with pytest.raises(ValueError, match=r"^ctx\.loop must be the running loop .*$"):
                await thp.mocked_call_later(ctx=SimpleNamespace(loop=loop)).__aenter__()

            assert state_of(loop) == before

    @pytest.mark.proves("T18")
    def test_without_a_running_loop_there_is_no_block(self) -> None:
        """Entering needs a loop."""
        real = time.time

        with pytest.raises(RuntimeError, match=r"^no running event loop$"):
            thp.mocked_call_later().__aenter__().send(None)

        assert time.time is real

    @pytest.mark.proves("T18")
    @pytest.mark.parametrize(("start_time", "precision"), [(-5.5, 0.1), (1.7e9, 1e-6), (10**10, 1), (0, 1e-12)])
    async def test_unusual_but_valid_clocks_work(self, start_time: float, precision: float) -> None:
        """Time may start before zero, and ticks may be tiny where floats are precise enough."""
        async with thp.mocked_call_later(start_time=start_time, precision=precision):
            await asyncio.sleep(2)

            assert time.time() == start_time + 2
