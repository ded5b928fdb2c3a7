"""Blocks in several threads, each with a loop of its own, do not disturb each other."""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _idle, _time_module, _work
from tests.state import FUNCTIONS

REAL = {name: getattr(time, name) for name in FUNCTIONS}
A_LONG_TIME_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def _all_is_put_back() -> Iterator[None]:
    """See that no block is left behind by any thread."""
    yield
    assert {name: getattr(time, name) for name in FUNCTIONS} == REAL
    assert (_time_module._open, _time_module._of_thread, _time_module._borrowed) == ((), {}, {})
    assert _time_module.clocks_with_dates == []
    assert not any(loop.is_closed() for loop in _idle.IdleHook.of_loop)
    assert not any(hook.loop.is_closed() for hook in _work.WorkElsewhere._of_hook)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a module that has taken functions out of `time`."""
    module: Any = ModuleType("app")
    module.now, module.monotonic = REAL["time"], REAL["monotonic"]
    monkeypatch.setitem(sys.modules, "app", module)
    return module


@pytest.fixture
def _switching_all_the_time() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(count: int, target: Callable[[int], None]) -> list[BaseException]:
    """Call a function with a number in each of some threads, which begin together; return what it raised."""
    errors: list[BaseException] = []
    begin = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            begin.wait(30)
            target(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.proves("B6", "N8", "N7")
@pytest.mark.usefixtures("_switching_all_the_time")
def test_each_thread_reads_the_clock_of_its_own_block(app: Any) -> None:
    """By the loop, by `time` and by names taken out of it, in blocks that open and close all the time."""

    def readings() -> list[float]:
        return [
            time.time(),
            time.time_ns() / 1e9,
            time.monotonic(),
            time.monotonic_ns() / 1e9,
            app.now(),
            app.monotonic(),
        ]

    async def body(number: int) -> None:
        loop = asyncio.get_running_loop()
        for each in range(150):
            start = 1000 * number + each
            async with thp.mocked_call_later(start_time=start):
                assert {*readings(), loop.time()} == {start}
                await asyncio.sleep(5)
                async with thp.mocked_call_later(start_time=start + 100), thp.future_dominos(expected=1) as futs:
                    futs.begin()
                    await futs[1]
                    assert {*readings(), loop.time()} == {start + 100}
                assert {*readings(), loop.time()} == {start + 5}

    errors = in_threads(6, lambda number: asyncio.run(body(number)))

    assert errors == []
    assert app.now is REAL["time"]
    assert app.monotonic is REAL["monotonic"]


@pytest.mark.proves("N8")
@pytest.mark.usefixtures("_switching_all_the_time")
def test_a_thread_without_a_block_reads_a_clock_of_those_that_are_open_or_real_time(app: Any) -> None:
    """Nothing else, and `monotonic` always in real time, while blocks of other threads open and close."""
    done = threading.Event()
    wrong: list[float] = []

    def watch() -> None:
        last = time.monotonic()
        while not done.is_set():
            for read in (time.time, app.now):
                seen = read()
                if seen not in (1000, 2000) and seen < A_LONG_TIME_AGO:
                    wrong.append(seen)
            for read in (time.monotonic, app.monotonic):
                seen = read()
                if not last <= seen:
                    wrong.append(seen)
                last = seen

    async def body(number: int) -> None:
        for _ in range(500):
            async with thp.mocked_call_later(start_time=1000 * number + 1000):
                assert time.time() == 1000 * number + 1000

    watcher = threading.Thread(target=watch)
    watcher.start()
    errors = in_threads(2, lambda number: asyncio.run(body(number)))
    done.set()
    watcher.join()

    assert (errors, wrong) == ([], [])


@pytest.mark.proves("N8", "B6")
@pytest.mark.usefixtures("_switching_all_the_time")
def test_executors_of_blocks_in_several_threads_read_the_clock_of_theirs() -> None:
    """Work begins and ends in threads while other blocks are left."""

    async def body(number: int) -> None:
        for _ in range(30):
            async with thp.mocked_call_later(start_time=number):
                assert await asyncio.gather(*(asyncio.to_thread(time.time) for _ in range(3))) == [number] * 3

    assert in_threads(4, lambda number: asyncio.run(body(number))) == []


class Stepper:
    """A thread with a loop of its own, in which blocks are opened and closed one step at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, coro: Any) -> Any:
        """Run a coroutine in the thread."""
        return asyncio.run_coroutine_threadsafe(coro, self._loop).result(30)

    async def now(self) -> float:
        """Read the time."""
        return time.time()

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def steppers() -> Iterator[tuple[Stepper, Stepper]]:
    """Give two such threads."""
    with contextlib.closing(Stepper()) as first, contextlib.closing(Stepper()) as second:
        yield first, second


@pytest.mark.proves("N8")
@pytest.mark.parametrize("first_to_leave", [0, 1], ids=["the older first", "the newer first"])
def test_a_thread_without_a_block_reads_the_newest_clock(
    app: Any, steppers: tuple[Stepper, Stepper], first_to_leave: int
) -> None:
    """Of those that are still open, in whatever order they are left; then the real time again."""
    blocks = [thp.mocked_call_later(start_time=100), thp.mocked_call_later(start_time=500)]
    seen = []
    for stepper, block in zip(steppers, blocks, strict=True):
        stepper.run(block.__aenter__())
        seen.append((time.time(), app.now()))
    own = [stepper.run(stepper.now()) for stepper in steppers]
    steppers[first_to_leave].run(blocks[first_to_leave].__aexit__(None, None, None))
    seen.append((time.time(), app.now()))
    last = 1 - first_to_leave
    own += [stepper.run(stepper.now()) for stepper in steppers]
    steppers[last].run(blocks[last].__aexit__(None, None, None))

    left = (500, 100)[first_to_leave]
    assert seen == [(100, 100), (500, 500), (left, left)]
    expected = [100, 500, 100, 500]
    # Without its block, a thread reads what is left.
    expected[2 + first_to_leave] = left if first_to_leave == 0 else 100
    assert own == expected
    assert time.time() > A_LONG_TIME_AGO
    assert app.now is REAL["time"]


@pytest.mark.proves("N9", "T14")
def test_dates_are_those_of_the_thread_that_asked_for_them(steppers: tuple[Stepper, Stepper]) -> None:
    """In all threads; another block has its own time all the same, and is refused dates until they are free."""
    first, second = steppers

    async def read() -> tuple[float, float]:
        return datetime.now(UTC).timestamp(), time.time()

    with_dates = thp.mocked_call_later(start_time=100, datetime=True)
    without = thp.mocked_call_later(start_time=500)
    refused = thp.mocked_call_later(start_time=900, datetime=True)
    m = first.run(with_dates.__aenter__())
    second.run(without.__aenter__())
    assert [first.run(read()), second.run(read())] == [(100, 100), (100, 500)]
    with pytest.raises(RuntimeError, match=r"^datetime=True is in use by a block in another thread: .*$"):
        second.run(refused.__aenter__())
    first.run(m.add(5))
    assert [first.run(read()), second.run(read())] == [(105, 105), (105, 500)]

    first.run(with_dates.__aexit__(None, None, None))
    date, shown = second.run(read())
    assert date > A_LONG_TIME_AGO
    assert shown == 500
    again = thp.mocked_call_later(start_time=900, datetime=True)
    second.run(again.__aenter__())
    assert second.run(read()) == (900, 900)
    second.run(again.__aexit__(None, None, None))
    second.run(without.__aexit__(None, None, None))
    assert datetime.now(UTC).timestamp() > A_LONG_TIME_AGO


@pytest.mark.proves("N8", "N9", "T14")
@pytest.mark.usefixtures("_switching_all_the_time")
def test_threads_that_race_for_dates_get_them_or_are_refused(app: Any) -> None:
    """Whoever enters sees its own date; whoever is refused leaves nothing behind and has its time without dates."""
    entered = []
    refusals = []

    async def body(number: int) -> None:
        for each in range(100):
            start = 1000 * number + each
            try:
                async with thp.mocked_call_later(start_time=start, datetime=True):
                    await asyncio.sleep(1)
                    assert datetime.now(UTC).timestamp() == time.time() == app.now() == start + 1
                    entered.append(number)
            except RuntimeError as error:
                refusals.append(str(error))
            async with thp.mocked_call_later(start_time=start):
                assert time.time() == app.now() == start

    errors = in_threads(4, lambda number: asyncio.run(body(number)))

    assert errors == []
    assert entered
    assert all("in use by a block in another thread" in refusal for refusal in refusals)
    assert app.now is REAL["time"]
    assert datetime.now(UTC).timestamp() > A_LONG_TIME_AGO


@pytest.mark.proves("N8")
async def test_work_that_begins_when_its_block_has_been_left_reads_real_time() -> None:
    """It may have waited for a thread for so long."""
    async with thp.mocked_call_later(start_time=100):
        read = _time_module.bound_to_clock(time.time)
        inside = read()

    assert inside == 100
    assert read() > A_LONG_TIME_AGO
