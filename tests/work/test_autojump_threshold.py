"""How long the loop has to be idle before the clock moves by itself."""

import asyncio
import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop
from tests.state import state_of

AWHILE = 0.05
LONG = 3600.0


@contextlib.contextmanager
def peer_in_a_thread() -> Iterator[tuple[str, int]]:
    """Give the address of a server, of which the loop knows nothing, that takes its time to echo what it gets."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(100):
                time.sleep(AWHILE)
                connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            thread.join()


async def say_hello(address: tuple[str, int]) -> bytes:
    """Send something to a server and read what comes back."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(b"hello")
        return await reader.readexactly(5)
    finally:
        writer.close()
        await writer.wait_closed()


class TestANumber:
    """The clock waits for things that the loop does not know of."""

    @on_every_loop
    @pytest.mark.proves("T13")
    def test_a_peer_that_answers_in_time_is_not_overtaken(self, run: Run) -> None:
        """No timeout strikes while a server in a thread takes its time, which is less than the threshold."""

        async def body() -> None:
            with peer_in_a_thread() as address:
                async with thp.mocked_call_later(autojump_threshold=LONG), asyncio.timeout(5):
                    assert await say_hello(address) == b"hello"
                    assert time.time() == 0

        run(body())

    @on_every_loop
    @pytest.mark.proves("T13")
    def test_the_clock_moves_after_that_much_idleness_each_time(self, run: Run) -> None:
        """Every move of the clock comes after as many real seconds, of which there may be a fraction."""
        threshold: Any = Fraction(3, 5)

        async def body() -> None:
            async with thp.mocked_call_later(autojump_threshold=threshold) as m:
                began = time.perf_counter()
                for _ in range(2):
                    await asyncio.sleep(LONG)
                assert time.perf_counter() - began >= 1
                assert m.called_times == [LONG, 2 * LONG]

        run(body())

    @on_every_loop
    @pytest.mark.proves("T13")
    def test_what_is_due_now_does_not_wait(self, run: Run) -> None:
        """The threshold only delays moves of the clock."""

        async def body() -> None:
            fired = asyncio.Event()
            async with thp.mocked_call_later(autojump_threshold=LONG) as m:
                asyncio.get_running_loop().call_later(0, fired.set)
                await fired.wait()
                assert m.called_times == [0]

        run(body())

    @on_every_loop
    @pytest.mark.proves("T9", "T13")
    def test_adding_time_does_not_wait(self, run: Run) -> None:
        """A clock that is moved by hand moves at once."""

        async def body() -> None:
            async with thp.mocked_call_later(autojump_threshold=LONG) as m:
                sleeping = asyncio.ensure_future(asyncio.sleep(7200))
                await m.add(7200)
                assert sleeping.done()
                assert time.time() == 7200

        run(body())

    @on_every_loop
    @pytest.mark.proves("T12", "T13")
    def test_work_that_takes_longer_is_overtaken_without_a_warning(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An explicit threshold applies whether or not work is under way."""
        released = threading.Event()

        async def body() -> None:
            try:
                async with thp.mocked_call_later(autojump_threshold=AWHILE):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(asyncio.to_thread(released.wait), 5)
                    assert time.time() == 5
            finally:
                released.set()

        run(body())

        assert [record.name for record in caplog.records if record.levelname == "WARNING"] == []


class TestZero:
    """Nothing holds the clock."""

    @on_every_loop
    @pytest.mark.proves("T13")
    def test_work_is_overtaken_at_once(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        """The clock moves past work, by itself and by hand, without a warning."""
        released = threading.Event()
        times: list[float] = []

        async def body() -> None:
            try:
                async with thp.mocked_call_later(autojump_threshold=0) as m:
                    work = asyncio.ensure_future(asyncio.to_thread(released.wait))
                    work.add_done_callback(lambda work: times.append(-1))
                    await asyncio.sleep(LONG)
                    times.append(time.time())
                    await m.add(LONG)
                    times.append(time.time())
            finally:
                released.set()
            await work

        run(body())

        assert times == [LONG, 2 * LONG, -1]
        assert [record.name for record in caplog.records if record.levelname == "WARNING"] == []


class TestInfinity:
    """Time moves through `add` alone."""

    @on_every_loop
    @pytest.mark.proves("T13")
    def test_the_clock_moves_only_by_add(self, run: Run) -> None:
        """However long the loop is idle, a deadline is reached only by adding time."""
        order: list[object] = []

        async def body() -> None:
            async with thp.mocked_call_later(autojump_threshold=math.inf) as m:
                asyncio.get_running_loop().call_later(1, order.append, "due at 1")
                await asyncio.to_thread(time.sleep, AWHILE)
                await thp.wait_all_tasks_blocked()
                order.append(time.time())
                await m.add(0.9)
                order.append(time.time())
                await m.add(0.1)
                order.append(time.time())
                await asyncio.to_thread(time.sleep, AWHILE)
                assert time.time() == 1

        run(body())

        assert order == [0, 0.9, "due at 1", 1]

    @on_every_loop
    @pytest.mark.proves("T13", "T17")
    def test_the_clock_around_it_goes_on_by_its_own_rule(self, run: Run) -> None:
        """A timer of an outer block fires while an inner clock stands."""

        async def body() -> None:
            fired = asyncio.Event()
            async with thp.mocked_call_later() as outer:
                asyncio.get_running_loop().call_later(LONG, fired.set)
                async with thp.mocked_call_later(autojump_threshold=math.inf) as inner:
                    asyncio.get_running_loop().call_later(1, fired.set)
                    await fired.wait()
                    assert time.time() == 0
                    assert inner.called_times == []
                assert time.time() == LONG
                assert outer.called_times == [LONG]

        run(body())


@pytest.mark.parametrize(
    ("threshold", "error", "message"),
    [
        (-1, ValueError, "autojump_threshold must be 0 seconds or more, got -1"),
        (math.nan, ValueError, "autojump_threshold must be 0 seconds or more, got nan"),
        ("1", TypeError, "autojump_threshold must be a number of seconds, got '1'"),
        (True, TypeError, "autojump_threshold must be a number of seconds, got True"),
    ],
    ids=str,
)
@pytest.mark.proves("T13", "T18")
async def test_invalid_thresholds_are_rejected(threshold: float, error: type[Exception], message: str) -> None:
    """Entering raises, and nothing has been replaced."""
    loop = asyncio.get_running_loop()
    before = state_of(loop)

    with pytest.raises(error, match=f"^{message}$"):
        async with thp.mocked_call_later(autojump_threshold=threshold):
            pytest.fail("entered")

    assert state_of(loop) == before
