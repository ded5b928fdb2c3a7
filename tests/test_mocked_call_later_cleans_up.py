"""Virtual time leaves no trace, however the block is left."""

import asyncio
import contextlib
import gc
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace

import pytest

from machinery import test_helpers as thp

FUNCTIONS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")


def replaceable(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Return all that a block may replace."""
    selector = getattr(loop, "_selector", None)
    return [*(getattr(time, name) for name in FUNCTIONS), dict(vars(loop)), dict(getattr(selector, "__dict__", {}))]


def settled(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Return the same without what a running loop itself changes."""
    functions, own, selector = replaceable(loop)[:-2], *replaceable(loop)[-2:]
    assert isinstance(own, dict)
    assert isinstance(selector, dict)
    names = {name for name in own if callable(own[name])}
    return [functions, names, sorted(selector)]


@pytest.fixture(autouse=True)
async def untouched() -> AsyncIterator[None]:
    """See that after each test of this module all is as it was before."""
    loop = asyncio.get_running_loop()
    before = settled(loop)
    yield
    assert settled(loop) == before


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
    @pytest.mark.proves("T15", "B6")
    async def test_a_block_that_is_left_normally_leaves_no_trace(self) -> None:
        """Twice in a row, to be sure that the first leaves nothing that the second needs."""
        loop = asyncio.get_running_loop()
        before = settled(loop)
        for _ in range(2):
            async with thp.mocked_call_later():
                assert settled(loop) != before
                await asyncio.sleep(1)

            assert settled(loop) == before

    @pytest.mark.proves("T15", "B6")
    @pytest.mark.parametrize("exception", EXCEPTIONS, ids=lambda exception: type(exception).__name__)
    async def test_the_exception_that_left_the_block_is_the_one_that_is_seen(self, exception: BaseException) -> None:
        """The very object, of whatever type, and all is put back by then."""
        loop = asyncio.get_running_loop()
        before = settled(loop)
        seen: list[BaseException] = []
        try:
            async with thp.mocked_call_later():
                asyncio.ensure_future(asyncio.sleep(0))
                await asyncio.sleep(1)
                raise exception
        except BaseException as error:
            seen.append(error)
            assert settled(loop) == before

        assert seen == [exception]
        assert exception.__context__ is None

    @pytest.mark.proves("T15", "B6")
    @pytest.mark.parametrize("steps", range(4))
    async def test_a_task_may_be_cancelled_wherever_it_waits(self, steps: int) -> None:
        """At each of its awaits, and before the first."""
        loop = asyncio.get_running_loop()
        before = settled(loop)
        reached: list[int] = []

        async def body() -> None:
            async with thp.mocked_call_later() as m:
                for step in range(4):
                    reached.append(step)
                    await (m.add(0) if step % 2 else asyncio.sleep(math.inf if step == steps else 0))

        task = asyncio.ensure_future(body())
        while len(reached) <= steps:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()
        assert settled(loop) == before

    @pytest.mark.proves("T15")
    async def test_nothing_is_waited_for(self) -> None:
        """Leaving takes not a single round of the loop, whatever is pending."""
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
        """Also without anybody leaving the block, and leaving it then does nothing more."""
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
        with contextlib.suppress(StopIteration), pytest.raises(RuntimeError, match=r"^.* has been left: .*$"):
            m.add(1).send(None)

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
            asyncio.ensure_future(stay())
            await asyncio.sleep(0)
            assert time.time() == 0

        asyncio.run(main())

        assert (time.time, time.monotonic) == real

    @pytest.mark.proves("T15", "B6")
    async def test_a_generator_that_is_closed_in_the_block_leaves_it(self) -> None:
        """As a fixture does when its test has been cancelled."""
        loop = asyncio.get_running_loop()
        before = settled(loop)

        async def fixture() -> AsyncIterator[thp.MockedCallLater]:
            async with thp.mocked_call_later() as m:
                yield m

        generator = fixture()
        m = await anext(generator)
        await m.add(1)
        await generator.aclose()  # type: ignore[attr-defined]

        assert settled(loop) == before

    @pytest.mark.proves("T15", "B6")
    async def test_a_generator_that_is_forgotten_in_the_block_leaves_it(self) -> None:
        """When it is collected, the loop closes it."""
        loop = asyncio.get_running_loop()
        before = settled(loop)

        async def fixture() -> AsyncIterator[thp.MockedCallLater]:
            async with thp.mocked_call_later() as m:
                yield m

        generator = fixture()
        await anext(generator)
        del generator
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

        assert settled(loop) == before


class TestOtherPatches:
    @pytest.mark.proves("T15", "B6")
    @pytest.mark.parametrize("name", FUNCTIONS[:4])
    async def test_a_function_of_time_that_others_replaced_meanwhile_is_theirs(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """It stays while they want it; when they put back what they found, it tells the real time, in later blocks too."""
        real = getattr(time, name)
        async with thp.mocked_call_later():
            monkeypatch.setattr(time, name, lambda: 42)
        theirs = getattr(time, name)()
        monkeypatch.undo()
        earliest, after = real(), getattr(time, name)()
        async with thp.mocked_call_later(start_time=5):
            inside = getattr(time, name)()
        after_another = getattr(time, name)()

        assert theirs == 42
        assert earliest <= after <= after_another <= real()
        assert inside in (5, 5_000_000_000)
        monkeypatch.setattr(time, name, real)
        monkeypatch.undo()
        setattr(time, name, real)

    @pytest.mark.proves("T15", "B6")
    async def test_a_method_of_the_loop_that_others_replaced_meanwhile_is_theirs(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When they put back what they found, timers keep the time around the block."""
        loop = asyncio.get_running_loop()
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
            await asyncio.sleep(0.01)
        finally:
            for name in names:
                vars(loop).pop(name, None)

        assert (theirs, found) == ([42, 42, 42], 0)
        assert called == ["later", "at"]
        assert after <= time.monotonic()

    @pytest.mark.proves("T15", "B6")
    async def test_what_others_had_replaced_before_is_put_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The block goes over their functions and gives them back."""
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


class TestWhatIsPending:
    @pytest.mark.proves("T16")
    async def test_timers_go_on_for_what_remained_of_their_delay(self) -> None:
        """Outside is virtual here as well, so that the times can be seen exactly."""
        loop = asyncio.get_running_loop()
        fired: list[tuple[str, float]] = []

        def fire(name: str) -> None:
            fired.append((name, time.time()))

        async with thp.mocked_call_later(start_time=1000) as outer:
            async with thp.mocked_call_later() as inner:
                loop.call_later(5, fire, "later")
                loop.call_at(4, fire, "at")
                loop.call_later(4, fire, "at the same time, set after it")
                loop.call_later(math.inf, fire, "never")
                loop.call_later(2, fire, "inside")
                await inner.add(3)
            after_leaving = outer.pending
            await asyncio.sleep(10)

        assert after_leaving == [1001, 1001, 1002]
        assert fired == [("inside", 2), ("at", 1001), ("at the same time, set after it", 1001), ("later", 1002)]
        assert inner.called_times == [2]

    @pytest.mark.proves("T16")
    async def test_a_sleeping_task_wakes_in_the_time_around_the_block(self) -> None:
        """A task that was started inside may go on outside."""

        async def sleep(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return time.time()

        async with thp.mocked_call_later(start_time=1000):
            async with thp.mocked_call_later():
                task = asyncio.ensure_future(sleep(5))
                await asyncio.sleep(2)

            assert await task == 1003

    @pytest.mark.proves("T16")
    async def test_a_timer_goes_on_in_real_time_where_that_is_what_is_around(self) -> None:
        """Neither early nor lost."""
        loop = asyncio.get_running_loop()
        fired = asyncio.Event()
        async with thp.mocked_call_later(precision=0.01):
            loop.call_later(100.03, fired.set)
            await asyncio.sleep(100)
        left = time.perf_counter()
        await asyncio.wait_for(fired.wait(), 30)

        assert time.perf_counter() - left >= 0.03 - 0.002

    @pytest.mark.proves("T16")
    async def test_a_timer_that_goes_on_can_be_cancelled(self) -> None:
        """The handle from inside stands for it outside as well."""
        loop = asyncio.get_running_loop()
        fired: list[str] = []
        async with thp.mocked_call_later() as outer:
            async with thp.mocked_call_later():
                timer = loop.call_later(5, fired.append, "fired")
                other = loop.call_later(5, fired.append, "other")
            timer.cancel()
            timer.cancel()
            pending = outer.pending
            await outer.add(10)
            other.cancel()

        assert timer.cancelled()
        assert pending == [5]
        assert fired == ["other"]

    @pytest.mark.proves("T16")
    async def test_what_is_overdue_fires_soon(self) -> None:
        """A timer that was due at the very moment of leaving is not lost."""
        loop = asyncio.get_running_loop()
        fired: list[str] = []
        async with thp.mocked_call_later():
            loop.call_later(0, fired.append, "now")
            loop.call_later(-5, fired.append, "past")
        await asyncio.sleep(0.01)

        assert sorted(fired) == ["now", "past"]

    @pytest.mark.proves("T16")
    async def test_a_failing_callback_is_reported_outside_as_well(self) -> None:
        """The exception handler of the loop hears of it once."""
        loop = asyncio.get_running_loop()
        reported: list[object] = []
        loop.set_exception_handler(lambda _, context: reported.append(repr(context["exception"])))
        try:
            async with thp.mocked_call_later():
                async with thp.mocked_call_later():
                    loop.call_later(1, lambda: 1 / 0)
                await asyncio.sleep(2)
        finally:
            loop.set_exception_handler(None)

        assert reported == ["ZeroDivisionError('division by zero')"]


class TestBlocksInBlocks:
    @pytest.mark.proves("T17")
    async def test_the_inner_clock_is_seen_inside_and_the_outer_one_afterwards(self) -> None:
        """Three deep, each with a clock of its own."""
        loop = asyncio.get_running_loop()
        seen: list[float] = []

        def look() -> None:
            assert time.time() == time.monotonic() == loop.time()
            seen.append(time.time())

        async with thp.mocked_call_later(start_time=100):
            await asyncio.sleep(1)
            look()
            async with thp.mocked_call_later(start_time=200, precision=0.5):
                look()
                await asyncio.sleep(0.3)
                async with thp.mocked_call_later(start_time=300):
                    await asyncio.sleep(0.3)
                    look()
                look()
            look()
            await asyncio.sleep(1)
            look()

        assert seen == [101, 200, 300.3, 200.5, 101, 102]

    @pytest.mark.proves("T17")
    async def test_each_block_counts_its_own_callbacks(self) -> None:
        """What fires inside is not seen by the block around it."""
        async with thp.mocked_call_later() as outer:
            await asyncio.sleep(1)
            async with thp.mocked_call_later() as inner:
                await asyncio.sleep(2)
                await asyncio.sleep(2)
            await asyncio.sleep(3)

        assert (outer.called_times, inner.called_times) == ([1, 4], [2, 4])

    @pytest.mark.proves("T15", "T17", "B6")
    @pytest.mark.parametrize("first", [0, 1], ids=["the outer one first", "the inner one first"])
    async def test_blocks_of_two_tasks_may_be_left_in_any_order(self, first: int) -> None:
        """Whichever is left first, the clock of the other is seen, and then the real one."""
        loop = asyncio.get_running_loop()
        before = settled(loop)
        blocks = [thp.mocked_call_later(start_time=100), thp.mocked_call_later(start_time=200)]
        for block in blocks:
            await block.__aenter__()
        seen = [time.time()]

        await blocks[first].__aexit__(None, None, None)
        seen.append(time.time())
        await asyncio.sleep(1)
        seen.append(loop.time())
        await blocks[1 - first].__aexit__(None, None, None)

        remaining = 100 * (2 - first)
        assert seen == [200, remaining, remaining + 1]
        assert settled(loop) == before

    @pytest.mark.proves("T16", "T17")
    async def test_timers_of_a_block_that_is_left_first_go_on_in_the_other(self) -> None:
        """Nothing is lost where blocks overlap."""
        loop = asyncio.get_running_loop()
        fired: list[float] = []
        outer, inner = thp.mocked_call_later(start_time=100), thp.mocked_call_later(start_time=200)
        await outer.__aenter__()
        loop.call_later(5, lambda: fired.append(time.time()))
        m = await inner.__aenter__()

        await outer.__aexit__(None, None, None)
        pending = m.pending
        await m.add(6)
        await inner.__aexit__(None, None, None)

        assert pending == [205]
        assert fired == [205]

    @pytest.mark.proves("T17")
    async def test_an_outer_clock_serves_its_timers_when_the_inner_one_has_none(self) -> None:
        """Waiting inside for something outside does not hang."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        async with thp.mocked_call_later() as outer:
            loop.call_later(10, event.set)
            async with thp.mocked_call_later() as inner:
                await event.wait()
                inside = time.time()

            assert (inside, time.time()) == (0, 10)
        assert (outer.called_times, inner.called_times) == ([10], [])


def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop that is not running."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        yield loop


class TestArguments:
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
            pytest.param({"start_time": math.nan}, ValueError, "start_time must be a finite .*, got nan", id="from nan"),
            pytest.param({"start_time": -math.inf}, ValueError, "start_time must be .*, got -inf", id="from -inf"),
            pytest.param({"start_time": 10**400}, ValueError, "start_time must be a finite .*, got 10+", id="from huge"),
            pytest.param({"start_time": "0"}, TypeError, "start_time must be a number .*, got '0'", id="from text"),
            pytest.param(
                {"start_time": 1.7e9, "precision": 1e-7},
                ValueError,
                r"precision of 1e-07 seconds is too fine for start_time 1700000000\.0: .*",
                id="too fine for the epoch",
            ),
            pytest.param({"ctx": object()}, TypeError, "ctx must have a loop, got <object .*>", id="no context"),
            pytest.param(
                {"ctx": SimpleNamespace(loop=1)}, TypeError, "loop must be an event loop or None, got 1", id="no loop"
            ),
        ],
    )
    async def test_what_cannot_work_is_refused_on_entering(
        self, arguments: dict[str, object], error: type[Exception], message: str
    ) -> None:
        """The message says what was wrong, and nothing is replaced."""
        block: Callable[..., contextlib.AbstractAsyncContextManager[object]] = thp.mocked_call_later
        before = settled(asyncio.get_running_loop())

        with pytest.raises(error, match=f"^{message}$"):
            await block(**arguments).__aenter__()

        assert settled(asyncio.get_running_loop()) == before

    @pytest.mark.proves("T18")
    async def test_another_loop_is_refused(self) -> None:
        """A block is of the loop that runs it."""
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            before = settled(loop)
            with pytest.raises(ValueError, match=r"^loop must be the running one, .*$"):
                await thp.mocked_call_later(ctx=SimpleNamespace(loop=loop)).__aenter__()

            assert settled(loop) == before

    @pytest.mark.proves("T18")
    def test_without_a_running_loop_there_is_no_block(self) -> None:
        """Entering needs a loop."""
        real = time.time

        with pytest.raises(RuntimeError, match=r"^no running event loop$"):
            thp.mocked_call_later().__aenter__().send(None)

        assert time.time is real

    @pytest.mark.proves("T18")
    @pytest.mark.parametrize(("start_time", "precision"), [(-5.5, 0.1), (1.7e9, 1e-6), (10**10, 1), (0, 1e-12)])
    async def test_odd_clocks_that_can_work_do(self, start_time: float, precision: float) -> None:
        """Time may begin before zero, and ticks may be tiny where floats are fine."""
        async with thp.mocked_call_later(start_time=start_time, precision=precision):
            await asyncio.sleep(2)

            assert time.time() == start_time + 2
