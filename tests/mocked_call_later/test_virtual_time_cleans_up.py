"""Virtual time leaves no trace, however the block is left."""

import asyncio
import contextlib
import gc
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest

from machinery import test_helpers as thp
from tests.by_hand import step
from tests.loops import Run, on_every_loop
from tests.state import FUNCTIONS, state_of


@pytest.fixture(autouse=True)
async def untouched() -> AsyncIterator[None]:
    """See that after each test of this module all is as it was before."""
    loop = asyncio.get_running_loop()
    before = state_of(loop)
    yield
    assert state_of(loop) == before


class Escape(BaseException):
    """An exception that nobody catches by accident."""


EXCEPTIONS = [
    ValueError("from the body"),
    Escape(),
    StopIteration(1),
    StopAsyncIteration(),
    GeneratorExit(),
    asyncio.CancelledError(),
    KeyboardInterrupt(),
    SystemExit(3),
    RuntimeError("from the body"),
    ExceptionGroup("from the body", [ValueError("first")]),
]


class TestHoweverTheBlockIsLeft:
    """Normally, by an exception, cancelled, closed, forgotten."""

    @pytest.mark.proves("T15", "B6")
    async def test_a_block_that_is_left_normally_leaves_no_trace(self) -> None:
        """Twice in a row."""
        loop = asyncio.get_running_loop()
        before = state_of(loop)
        for _ in range(2):
            async with thp.mocked_call_later():
                assert state_of(loop) != before
                await asyncio.sleep(1)

            assert state_of(loop) == before

    @pytest.mark.proves("T15", "B6")
    @pytest.mark.parametrize("exception", EXCEPTIONS, ids=lambda exception: type(exception).__name__)
    async def test_the_exception_that_left_the_block_is_the_one_that_is_seen(self, exception: BaseException) -> None:
        """The same object, of any type, and everything has been put back by then."""
        loop = asyncio.get_running_loop()
        before = state_of(loop)
        seen: list[BaseException] = []
        try:
            async with thp.mocked_call_later():
                asyncio.ensure_future(asyncio.sleep(0))
                await asyncio.sleep(1)
                raise exception
        except BaseException as error:
            seen.append(error)
            assert state_of(loop) == before

        assert seen == [exception]
        assert exception.__context__ is None

    @pytest.mark.proves("T15", "B6")
    @pytest.mark.parametrize(
        "wait",
        [
            pytest.param(lambda m: asyncio.sleep(0), id="ready"),
            pytest.param(lambda m: asyncio.sleep(100), id="asleep"),
            pytest.param(lambda m: asyncio.Event().wait(), id="without a timer"),
            pytest.param(lambda m: m.add(100), id="adding"),
            pytest.param(lambda m: asyncio.wait_for(asyncio.shield(asyncio.sleep(0.1)), 5), id="shielded"),
        ],
    )
    async def test_a_task_may_be_cancelled_wherever_it_waits(
        self, wait: Callable[[thp.MockedCallLater], Awaitable[object]]
    ) -> None:
        """The block is left at once, by the cancellation."""
        loop = asyncio.get_running_loop()
        before = state_of(loop)
        waits = asyncio.Event()

        async def body() -> None:
            async with thp.mocked_call_later() as m:
                waits.set()
                await wait(m)
                await asyncio.sleep(math.inf)

        task = asyncio.ensure_future(body())
        await waits.wait()
        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()
        assert state_of(loop) == before

    @pytest.mark.proves("T15", "B6")
    async def test_a_task_that_is_cancelled_before_it_enters_leaves_no_trace(self) -> None:
        """There is nothing to put back."""
        loop = asyncio.get_running_loop()
        before = state_of(loop)

        async def body() -> None:
            async with thp.mocked_call_later():
                pytest.fail("the block was entered")

        task = asyncio.ensure_future(body())
        task.cancel()
        await asyncio.wait([task])

        assert state_of(loop) == before

    @pytest.mark.proves("T15")
    async def test_nothing_is_waited_for(self) -> None:
        """Leaving takes no loop iteration, whatever is pending."""
        loop = asyncio.get_running_loop()
        rounds: list[str] = []
        async with thp.mocked_call_later():
            timer = loop.call_later(3600, int)
            await asyncio.sleep(0)
            loop.call_soon(rounds.append, "a round")

        assert rounds == []
        timer.cancel()
        await asyncio.sleep(0)

    @pytest.mark.proves("T15", "B6")
    def test_a_loop_that_is_closed_while_the_block_is_open_ends_it(self) -> None:
        """Leaving the block afterwards does nothing more."""
        real = time.time
        loop = asyncio.new_event_loop()
        block = thp.mocked_call_later()
        with contextlib.closing(loop):
            m = loop.run_until_complete(block.__aenter__())
            loop.call_later(5, int)
        after_closing = time.time
        with contextlib.suppress(StopIteration):
            block.__aexit__(None, None, None).send(None)

        assert after_closing is real is time.time
        assert "call_later" not in vars(loop)
        with (
            contextlib.suppress(StopIteration),
            pytest.raises(RuntimeError, match=r"^.* has ended, so its clock cannot move: .*$"),
        ):
            m.add(1).send(None)

    @pytest.mark.proves("T15", "B6")
    def test_a_block_of_a_loop_that_is_gone_can_be_left(self) -> None:
        """Even if the loop was closed without the block noticing, so that pending timers are lost."""
        real = time.time
        loop = asyncio.new_event_loop()
        block = thp.mocked_call_later()
        loop.run_until_complete(block.__aenter__())
        timer = loop.call_later(5, int)
        asyncio.SelectorEventLoop.close(loop)  # type: ignore[arg-type]
        with contextlib.suppress(StopIteration):
            block.__aexit__(None, None, None).send(None)
        timer.cancel()

        assert time.time is real

    @pytest.mark.proves("T15")
    async def test_closing_a_running_loop_fails_and_changes_nothing(self) -> None:
        """What asyncio refuses does not end the block."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later():
            with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
                loop.close()
            await asyncio.sleep(3)

            assert time.time() == 3

    @pytest.mark.proves("T15", "B6")
    def test_a_loop_that_ends_while_a_task_is_in_the_block_leaves_no_trace(self) -> None:
        """`asyncio.run` cancels what is left, and that leaves the block."""
        real = time.time, time.monotonic

        async def stay() -> None:
            async with thp.mocked_call_later():
                await asyncio.sleep(math.inf)

        async def main() -> None:
            staying = asyncio.ensure_future(stay())
            await asyncio.sleep(0)
            assert time.time() == 0
            assert not staying.done()

        asyncio.run(main())

        assert (time.time, time.monotonic) == real

    @pytest.mark.proves("T15", "B6")
    async def test_a_generator_that_is_closed_in_the_block_leaves_it(self) -> None:
        """As a fixture does when its test has been cancelled."""
        loop = asyncio.get_running_loop()
        before = state_of(loop)

        async def fixture() -> AsyncGenerator[thp.MockedCallLater]:
            async with thp.mocked_call_later() as m:
                yield m

        generator = fixture()
        m = await anext(generator)
        await m.add(1)
        await generator.aclose()

        assert state_of(loop) == before

    @pytest.mark.proves("T15", "B6")
    async def test_a_generator_that_is_forgotten_in_the_block_leaves_it(self) -> None:
        """When it is collected, the loop closes it."""
        loop = asyncio.get_running_loop()
        before = state_of(loop)

        async def fixture() -> AsyncGenerator[thp.MockedCallLater]:
            async with thp.mocked_call_later() as m:
                yield m

        generator = fixture()
        await anext(generator)
        del generator
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

        assert state_of(loop) == before

    @on_every_loop
    @pytest.mark.proves("B6", "T1")
    def test_a_block_can_be_entered_and_left_by_a_callback(self, run: Run) -> None:
        """Time is virtual in between, and the callback that leaves may be one that the virtual clock called."""
        times: list[float] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()
            real = time.time
            over = asyncio.Event()
            block = thp.mocked_call_later()

            def enter() -> None:
                step(block.__aenter__())
                loop.call_later(3600, leave)

            def leave() -> None:
                times.append(time.time())
                step(block.__aexit__(None, None, None))
                over.set()

            loop.call_soon(enter)
            await over.wait()
            assert time.time is real

        run(body())

        assert times == [3600]


class TestOtherPatches:
    """Other code that patches the same attributes."""

    @pytest.mark.proves("T15", "B6")
    @pytest.mark.parametrize("name", FUNCTIONS[:4])
    async def test_a_function_of_time_that_others_replaced_meanwhile_is_theirs(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """It stays until they undo it, and what they restore then returns the real time."""
        real = getattr(time, name)
        try:
            async with thp.mocked_call_later():
                monkeypatch.setattr(time, name, lambda: 42)
            theirs = getattr(time, name)()
            monkeypatch.undo()
            after = [real(), getattr(time, name)()]
            async with thp.mocked_call_later(start_time=5):
                inside = getattr(time, name)()
            after += [getattr(time, name)(), real()]
            in_the_end = getattr(time, name)
        finally:
            setattr(time, name, real)

        assert theirs == 42
        assert inside in (5, 5_000_000_000)
        assert after == sorted(after)
        # What they had found, and put back, was the function of the first block.
        assert in_the_end is real

    @pytest.mark.proves("T15", "B6")
    async def test_a_method_of_the_loop_that_others_replaced_meanwhile_is_theirs(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When they restore what they found, timers use the time around the block."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        called: list[str] = []
        names = ("call_later", "call_at", "time")
        async with thp.mocked_call_later():
            for name in names:
                monkeypatch.setattr(loop, name, lambda *args: 42)
        theirs = [getattr(loop, name)() for name in names]
        monkeypatch.undo()
        try:
            async with thp.mocked_call_later() as outer:
                found = loop.time()
                await outer.add(1)
            loop.call_later(0, called.append, "later")
            loop.call_at(loop.time(), called.append, "at")
            after = loop.time()
        finally:
            for name in names:
                vars(loop).pop(name, None)
        await asyncio.sleep(0.01)

        assert (theirs, found) == ([42, 42, 42], 0)
        assert called == ["later", "at"]
        assert before <= after <= time.monotonic()

    @pytest.mark.proves("T15", "B6")
    async def test_what_others_had_replaced_before_is_put_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The block patches over their functions and restores them."""
        loop = asyncio.get_running_loop()

        def theirs() -> float:
            return 42

        real_call_later = loop.call_later
        seen: list[object] = []

        def spy(*args: object) -> object:
            seen.append(args[0])
            return real_call_later(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(time, "time", theirs)
        monkeypatch.setattr(loop, "call_later", spy)
        async with thp.mocked_call_later():
            inside = time.time()
            await asyncio.sleep(3)
        after = time.time, vars(loop)["call_later"]
        loop.call_later(7, int).cancel()

        assert inside == 0
        assert after == (theirs, spy)
        assert seen == [7]
