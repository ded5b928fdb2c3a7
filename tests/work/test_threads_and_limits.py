"""Work that waits for the loop, and work that keeps beginning, do not hold a block for long."""

import asyncio
import gc
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed, wait
from typing import Any

import pytest
from anyio import from_thread, to_thread

from machinery import test_helpers as thp
from machinery._test_helpers import _pieces
from machinery._test_helpers._known_tools import ANYIO
from tests.loops import Run, on_every_loop
from tests.reports.reading import logged, records


@pytest.mark.proves("T12")
def test_a_thread_that_waits_for_the_loop_holds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It waits for a virtual sleep, so the clock has to move for it; nothing is warned of."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(5), loop).result()

        async with thp.mocked_call_later():
            await asyncio.to_thread(ask)
            assert time.time() == 5

    asyncio.run(main())

    assert records(caplog) == []


@pytest.mark.proves("T12")
def test_work_of_an_executor_reads_the_clock_of_its_block() -> None:
    """Though a newer block is open in another thread."""
    opened, done = threading.Event(), threading.Event()

    async def other() -> None:
        async with thp.mocked_call_later(start_time=500):
            opened.set()
            done.wait(10)

    async def main() -> None:
        async with thp.mocked_call_later(start_time=100):
            thread.start()
            opened.wait(10)
            assert await asyncio.to_thread(time.time) == 100

    thread = threading.Thread(target=asyncio.run, args=(other(),))
    try:
        asyncio.run(main())
    finally:
        done.set()
        thread.join()

    assert time.time() > 1_000_000_000


@on_every_loop
@pytest.mark.proves("T12")
@pytest.mark.parametrize("kind", ["asyncio", "anyio"])
def test_a_thread_that_works_on_with_what_the_loop_has_given_it_is_waited_for(run: Run, kind: str) -> None:
    """Though it has not yet noticed that the result is there when the loop becomes idle."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def work() -> None:
            if kind == "asyncio":
                asyncio.run_coroutine_threadsafe(asyncio.sleep(5), loop).result()
            else:
                from_thread.run(asyncio.sleep, 5)
            threading.Event().wait(0.2)

        start = asyncio.to_thread if kind == "asyncio" else to_thread.run_sync
        async with thp.mocked_call_later(), asyncio.timeout(6):
            await start(work)
            assert time.time() == 5

    run(main())


@on_every_loop
@pytest.mark.proves("T12")
def test_a_thread_that_waits_for_something_else_is_waited_for(run: Run) -> None:
    """Though it has called into the loop before."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(int)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(threading.Event().wait, 0.4).result()

        async with thp.mocked_call_later(), asyncio.timeout(1):
            await asyncio.to_thread(work)
            assert time.time() == 0

    run(main())


@on_every_loop
@pytest.mark.proves("T12")
@pytest.mark.parametrize("way", ["result", "exception", "wait", "as_completed", "call_soon_threadsafe", "portal"])
def test_however_a_thread_waits_for_the_loop_it_holds_nothing(
    run: Run, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By each function of `concurrent.futures` that waits, for whatever the loop is to set."""

    async def sleep() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            if way == "call_soon_threadsafe":
                result: Future[None] = Future()
                loop.call_soon_threadsafe(loop.call_later, 3600, result.set_result, None)
                result.result()
                return
            future = asyncio.run_coroutine_threadsafe(sleep(), loop)
            if way == "result":
                future.result()
            elif way == "exception":
                future.exception()
            elif way == "wait":
                wait([future])
            else:
                list(as_completed([future]))

        async with thp.mocked_call_later():
            if way == "portal":
                async with from_thread.BlockingPortal() as portal:
                    await asyncio.to_thread(portal.call, sleep)
            else:
                await asyncio.to_thread(ask)
            assert time.time() == 3600

    run(main())

    assert records(caplog) == []


@pytest.mark.proves("T12")
def test_the_loop_may_serve_a_call_before_the_thread_knows_that_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is known as one that may wait for the loop by then."""
    monkeypatch.setattr(_pieces, "HOLD_LIMIT", 30)

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe

        def call_slowly(*args: Any, **kwargs: Any) -> asyncio.Handle:
            handle: asyncio.Handle = call(*args, **kwargs)
            threading.Event().wait(0.05)
            return handle

        loop.call_soon_threadsafe = call_slowly
        began = time.perf_counter()
        async with thp.mocked_call_later():
            await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(asyncio.sleep(5), loop).result())
            assert time.time() == 5
        assert time.perf_counter() - began < 5

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


@pytest.mark.proves("T12")
def test_what_the_loop_gives_to_a_thread_is_not_kept() -> None:
    """Not even what it gives last."""
    given: list[weakref.ref[Future[int]]] = []
    called = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            future = asyncio.run_coroutine_threadsafe(asyncio.sleep(1, 5), loop)
            given.append(weakref.ref(future))
            called.set()
            future.result()

        async with thp.mocked_call_later():
            thread = threading.Thread(target=ask)
            thread.start()
            called.wait(10)
            await asyncio.sleep(2)
            thread.join()
            gc.collect()
            assert given[0]() is None

    asyncio.run(main())


@pytest.mark.proves("T12", "N8")
def test_a_subclass_of_a_thread_pool_is_one(caplog: pytest.LogCaptureFixture) -> None:
    """What it calls may wait for the loop, and reads the clock of the block that has begun it, not of the latest."""

    class Pool(ThreadPoolExecutor):
        pass

    entered, done = threading.Event(), threading.Event()

    def other() -> None:
        async def main() -> None:
            async with thp.mocked_call_later(start_time=500):
                entered.set()
                done.wait(10)

        asyncio.run(main())

    async def main(pool: Pool) -> float:
        loop = asyncio.get_running_loop()

        def ask() -> float:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(5), loop).result()
            return time.time()

        async with thp.mocked_call_later(start_time=100):
            thread = threading.Thread(target=other)
            thread.start()
            entered.wait(10)
            try:
                return await loop.run_in_executor(pool, ask)
            finally:
                done.set()
                thread.join()

    with Pool(1) as pool:
        assert asyncio.run(main(pool)) == 105
    assert records(caplog) == []


@pytest.mark.proves("T12")
def test_work_begun_in_a_block_and_run_after_it_reads_real_time() -> None:
    """Its clock is not open any more, whether the work was running when the block was left or had to wait its turn."""
    go = threading.Event()

    def late() -> float:
        go.wait(10)
        return time.time()

    async def main() -> list[float]:
        with ThreadPoolExecutor(1) as executor:
            async with thp.mocked_call_later(autojump_threshold=0):
                run = asyncio.get_running_loop().run_in_executor
                work = [run(executor, late), run(executor, late)]
                await asyncio.sleep(1)
            go.set()
            return await asyncio.gather(*work)

    assert min(asyncio.run(main())) > 1_000_000_000


@pytest.mark.proves("T12")
def test_work_that_keeps_beginning_does_not_hold_the_clock_for_ever(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poller in a thread beside a long sleep costs the limit once, and the warning names its line."""
    monkeypatch.setattr(_pieces, "STANDSTILL_LIMIT", 0.2)

    async def main() -> None:
        async def poll() -> None:
            while True:
                await asyncio.to_thread(threading.Event().wait, 0.03)

        async with thp.mocked_call_later():
            poller = asyncio.create_task(poll())
            await asyncio.sleep(3600)
            poller.cancel()

    asyncio.run(main())

    [record] = records(caplog)
    assert "keeps beginning" in record.getMessage()
    assert "test_threads_and_limits.py:" in record.getMessage()


@pytest.mark.proves("T12")
def test_work_that_keeps_beginning_at_no_known_line_is_told_by_what_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop itself starts it, as a callback."""
    monkeypatch.setattr(_pieces, "STANDSTILL_LIMIT", 0.2)
    stopped = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def poll() -> None:
            if not stopped.wait(0.03):
                loop.call_soon_threadsafe(loop.run_in_executor, None, poll)

        async with thp.mocked_call_later():
            loop.call_soon(loop.run_in_executor, None, poll)
            await asyncio.sleep(3600)
            stopped.set()

    asyncio.run(main())

    # asyncio may log that the last call came after the end of the executor.
    [message] = logged(caplog)
    assert re.search(r"keeps beginning at \S+\.poll\(\): ", message)


@pytest.mark.proves("D9", "T13")
def test_dominos_go_by_the_threshold_of_the_virtual_time_around_them() -> None:
    """Each falls once the loop has been idle for so long, whatever is under way."""

    async def main() -> None:
        order = []
        go = threading.Event()

        async def take(futs: thp.FutureDominos, num: int) -> None:
            await futs[num]
            order.append(num)

        async with thp.mocked_call_later(autojump_threshold=0.01), thp.future_dominos(expected=2) as futs:
            held = asyncio.ensure_future(asyncio.to_thread(go.wait, 10))
            futs.begin()
            await asyncio.gather(take(futs, 2), take(futs, 1))
            go.set()
            await held
        assert order == [1, 2]

    asyncio.run(main())


@pytest.mark.proves("T12")
def test_what_run_in_executor_returns_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    """A loop whose method is a coroutine function gets its coroutine back, and nothing is held by it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def run_in_executor(executor: object, func: Callable[..., object], *args: object) -> object:
            return func(*args)

        vars(loop)["run_in_executor"] = run_in_executor
        async with thp.mocked_call_later():
            work = loop.run_in_executor(None, abs, -1)
            await asyncio.sleep(1)
            assert await work == 1

    asyncio.run(main())

    # After a hold of 2 s, "goes on without waiting for" is logged.
    assert records(caplog) == []


@pytest.mark.proves("T12")
def test_work_that_ends_while_it_begins_holds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """From Python 3.14 on the future is done when the loop returns it, as it may be of a quick thread."""

    class AtOnce(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            done: Future[Any] = Future()
            done.set_result(fn(*args, **kwargs))
            return done

    async def main() -> None:
        async with thp.mocked_call_later():
            work = asyncio.get_running_loop().run_in_executor(AtOnce(), abs, -1)
            assert work.done() is (sys.version_info >= (3, 14))
            await asyncio.sleep(1)
            assert await work == 1

    asyncio.run(main())

    assert records(caplog) == []


@pytest.mark.proves("T12")
def test_short_pieces_of_work_at_different_times_do_not_add_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit for one instant begins again when the clock has moved, though no work is under way by then."""
    # Less than all of it takes together, and much more than a single piece takes, also on a busy machine.
    monkeypatch.setattr(_pieces, "STANDSTILL_LIMIT", 1.5)
    # With anyio loaded, every move is looked at.
    monkeypatch.delitem(sys.modules, ANYIO, raising=False)

    async def main() -> None:
        async with thp.mocked_call_later():
            for _ in range(20):
                # Without a deadline, there is nothing that the work could hold.
                async with asyncio.timeout(5):
                    await asyncio.to_thread(threading.Event().wait, 0.1)
                await asyncio.sleep(1)
            assert time.time() == 20

    asyncio.run(main())

    assert records(caplog) == []
