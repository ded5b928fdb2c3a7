"""Everything works on uvloop, which shares no code with asyncio's own loops."""

import asyncio
import contextlib
import functools
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _deadlocks, _uvloop_connections
from tests.loops import FACTORIES, run_on
from tests.reports.reading import logged
from tests.services import elsewhere
from tests.state import state_of

pytestmark = pytest.mark.skipif("uvloop" not in FACTORIES, reason="uvloop does not exist for this Python")

run = functools.partial(run_on, "uvloop")


class TestVirtualTime:
    """The clock moves when the loop is idle, and then at once."""

    @pytest.mark.proves("B3", "T0", "T2", "T19")
    def test_hours_pass_at_once(self) -> None:
        """Sleeps and timeouts end at exact virtual times."""

        async def body() -> None:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later() as m:
                await asyncio.sleep(3600)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), 0.1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout_at(4000.2):
                        await loop.create_future()
                assert m.called_times == [3600, 3600.1, 4000.2]
                assert (time.time(), time.monotonic(), loop.time()) == (4000.2, 4000.2, 4000.2)

        run(body())

    @pytest.mark.proves("B3", "T5", "T6", "T9")
    def test_timers_fire_in_order(self) -> None:
        """What a timer woke has run before the next timer fires, and `add` fires nothing beyond its amount."""
        order: list[object] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()

            async def follow() -> None:
                for _ in range(5):
                    await asyncio.sleep(0)
                order.append(("followed", loop.time()))

            async with thp.mocked_call_later() as m:
                loop.call_later(2, order.append, "at 2")
                loop.call_at(1, lambda: loop.create_task(follow()))
                loop.call_later(0, order.append, "now")
                loop.call_later(3, order.append, "at 3")
                order.append("set")
                await m.add(2)
                order.append(m.pending)

        run(body())

        assert order == ["set", "now", ("followed", 1), "at 2", [3]]

    @pytest.mark.proves("B3", "T0", "T19")
    def test_timers_can_be_cancelled(self) -> None:
        """Handles are asyncio's, with all their methods."""

        async def body() -> None:
            async with thp.mocked_call_later() as m:
                handle = asyncio.get_running_loop().call_later(5, pytest.fail)
                assert isinstance(handle, asyncio.TimerHandle)
                assert (handle.when(), handle.cancelled()) == (5, False)
                handle.cancel()
                assert handle.cancelled()
                await asyncio.sleep(10)
                assert m.called_times == [10]

        run(body())

    @pytest.mark.proves("B3", "T11")
    def test_timers_set_before_the_block_stay_real(self) -> None:
        """They fire after their real delay, however many virtual hours pass."""

        async def body() -> None:
            loop = asyncio.get_running_loop()
            soon, too_early = asyncio.Event(), asyncio.Event()
            loop.call_later(0.01, soon.set)
            far = loop.call_later(60, too_early.set)
            async with thp.mocked_call_later():
                await asyncio.sleep(3600)
                await soon.wait()
                assert not too_early.is_set()
            far.cancel()

        run(body())

    @pytest.mark.proves("B3", "T17")
    def test_blocks_nest(self) -> None:
        """Each block has a clock of its own, and the outer one goes on where it stood."""

        async def body() -> None:
            async with thp.mocked_call_later() as outer:
                await asyncio.sleep(1)
                async with thp.mocked_call_later(start_time=100) as inner:
                    await asyncio.sleep(5)
                    assert time.time() == 105
                await asyncio.sleep(1)
                assert time.time() == 2
                assert (outer.called_times, inner.called_times) == ([1, 2], [105])

        run(body())

    @pytest.mark.proves("B3", "B4")
    def test_it_works_in_debug_mode(self) -> None:
        """The checks of asyncio do not disturb it."""

        async def body() -> None:
            asyncio.get_running_loop().set_debug(True)
            async with thp.mocked_call_later() as m:
                await asyncio.sleep(3600)
                assert m.called_times == [3600]

        run(body())

    @pytest.mark.proves("T11", "B3")
    def test_a_watchdog_strikes_in_real_time(self) -> None:
        """Also when it is set inside the block."""
        struck: list[float] = []

        def strike() -> None:
            struck.append(time.time())

        strike.__module__ = "alt_pytest_asyncio.plugin"

        async def body() -> None:
            async with thp.mocked_call_later():
                asyncio.get_running_loop().call_later(0.01, strike)
                await asyncio.sleep(3600)
                while not struck:
                    await asyncio.to_thread(time.sleep, 0.001)

        run(body())

        assert struck == [3600]

    @pytest.mark.proves("R8", "B3")
    def test_time_that_stands_still_is_not_given_up(self) -> None:
        """What could still wake a loop of uvloop is never certain."""
        calls = 0

        async def body() -> None:
            loop = asyncio.get_running_loop()
            done = asyncio.Event()

            def again() -> None:
                nonlocal calls
                calls += 1
                if calls == 2500:
                    done.set()
                else:
                    loop.call_later(0, again)

            async with thp.mocked_call_later():
                again()
                await done.wait()

        run(body())

        assert calls == 2500


class TestDominos:
    """Dominos fall when the loop is idle."""

    @pytest.mark.proves("B3", "D2", "D6")
    def test_they_fall_in_order(self) -> None:
        """Each falls after what the previous one woke has run, even over many loop iterations."""
        order: list[object] = []

        async def body() -> None:
            async with thp.future_dominos(expected=4) as futs:

                async def work(*numbers: int) -> None:
                    for number in numbers:
                        await futs[number]
                        for _ in range(5):
                            await asyncio.sleep(0)
                        order.append(number)

                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(work(2, 4))
                    tasks.create_task(work(1, 3))
                    futs.begin()
                await futs.finished.wait()

        run(body())

        assert order == [1, 2, 3, 4]

    @pytest.mark.proves("B3", "D9", "T8")
    def test_they_fall_before_the_clock_moves(self) -> None:
        """Dominos take no virtual time."""
        order: list[object] = []

        async def body() -> None:
            async with thp.mocked_call_later(), thp.future_dominos(expected=2) as futs:

                async def sleep() -> None:
                    await asyncio.sleep(1)
                    order.append("slept")

                sleeping = asyncio.create_task(sleep())
                futs.begin()
                for number in (1, 2):
                    await futs[number]
                    order.append((number, time.time()))
                await sleeping

        run(body())

        assert order == [(1, 0), (2, 0), "slept"]


async def exchange_by_streams() -> None:
    """Send something back and forth by streams."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for size in (5, 5, 1_000_000):
        writer.write(b"x" * size)
        assert len(await reader.readexactly(size)) == size
    writer.close()
    await writer.wait_closed()
    server.close()


async def exchange_by_streams_of_a_pair() -> None:
    """Send something back and forth by streams between two sockets that no server has connected."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    other_reader, other_writer = await asyncio.open_connection(sock=far)
    for _ in range(5):
        writer.write(b"hello")
        other_writer.write(await other_reader.readexactly(5))
        assert await reader.readexactly(5) == b"hello"
    for each in (writer, other_writer):
        each.close()
        await each.wait_closed()


async def exchange_by_protocols() -> None:
    """Let two protocols talk for a while: nothing of it passes through a future, a task or a callback of the loop."""
    loop = asyncio.get_running_loop()
    said: list[bytes] = []
    over = loop.create_future()

    class Talker(asyncio.Protocol):
        """Says back what it hears, until it was said often enough."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)

        def data_received(self, data: bytes) -> None:
            said.append(data)
            if len(said) < 100:
                self.transport.write(data)
            else:
                over.set_result(None)

    server = await loop.create_server(Talker, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(Talker, *server.sockets[0].getsockname())
    transport.write(b"hello")
    await over
    transport.close()
    server.close()


async def exchange_by_datagrams() -> None:
    """The same with datagrams."""
    loop = asyncio.get_running_loop()
    heard: list[bytes] = []
    over = loop.create_future()

    class Talker(asyncio.DatagramProtocol):
        """Says back what it hears, until it was said often enough."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
            heard.append(data)
            if len(heard) < 20:
                self.transport.sendto(data, address)
            elif not over.done():
                over.set_result(None)

    near, far = [(await loop.create_datagram_endpoint(Talker, ("127.0.0.1", 0)))[0] for _ in range(2)]
    near.sendto(b"hello", far.get_extra_info("sockname"))
    await over
    near.close()
    far.close()


async def exchange_by_sockets() -> None:
    """The same with bare sockets."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()

    async def echo() -> None:
        while data := await loop.sock_recv(far, 100):
            await loop.sock_sendall(far, data)

    with far:
        with near:
            near.setblocking(False)
            far.setblocking(False)
            echoing = asyncio.create_task(echo())
            for _ in range(20):
                await loop.sock_sendall(near, b"hello")
                assert await loop.sock_recv(near, 100) == b"hello"
        await echoing


class TestSockets:
    """What is on its way through the machine's own sockets is not overtaken."""

    @pytest.mark.parametrize(
        "exchange",
        [
            exchange_by_streams,
            exchange_by_streams_of_a_pair,
            exchange_by_protocols,
            exchange_by_datagrams,
            exchange_by_sockets,
        ],
        ids=lambda exchange: exchange.__name__,
    )
    @pytest.mark.proves("B3", "T7")
    def test_no_timeout_strikes_while_both_ends_talk(self, exchange: Callable[[], Awaitable[None]]) -> None:
        """The clock does not move while either end has something to read."""

        async def body() -> None:
            for _ in range(5):
                async with thp.mocked_call_later(), asyncio.timeout(1):
                    await exchange()
                    assert time.time() == 0

        run(body())

    @pytest.mark.proves("B3", "T12")
    def test_a_thread_can_wake_the_loop(self) -> None:
        """`call_soon_threadsafe` from a thread runs while the clock is held by that thread's work."""
        order: list[object] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()

            def work() -> None:
                for step in range(3):
                    threading.Event().wait(0.01)
                    loop.call_soon_threadsafe(order.append, step)

            async with thp.mocked_call_later(), asyncio.timeout(5):
                await asyncio.to_thread(work)
                order.append(time.time())

        run(body())

        assert order == [0, 1, 2, 0]

    @pytest.mark.proves("B3")
    def test_without_its_backend_sockets_are_taken_to_be_quiet(self) -> None:
        """A loop that does not show what it waits on is watched by rounds alone."""

        async def body() -> None:
            async with thp.mocked_call_later(), asyncio.timeout(2 * 3600):
                await exchange_by_sockets()
                await asyncio.sleep(3600)
                assert time.time() == 3600

        blind = type("Blind", (type(FACTORIES["uvloop"]()),), {"_get_backend_id": None})
        with asyncio.Runner(loop_factory=blind) as runner:
            runner.run(asyncio.wait_for(body(), 60))


class TestServersElsewhere:
    """Servers that share no loop with the test, and what Linux tells about the connections to them."""

    @pytest.mark.proves("C1")
    def test_an_answer_on_a_connection_older_than_the_block_takes_no_virtual_time(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The block has not seen how it was made."""

        async def body() -> None:
            with elsewhere.answering() as lines:
                reader, writer = await asyncio.open_connection(*lines.tcp)
                async with thp.mocked_call_later(), asyncio.timeout(0.1):
                    writer.write(b"0.3 yes\n")
                    assert await reader.readline() == b"yes\n"
                    assert time.time() == 0
                writer.close()
                await writer.wait_closed()

        run(body())

        assert logged(caplog) == []

    @pytest.mark.proves("C2")
    def test_a_connection_that_has_taken_the_number_of_another_is_not_confused_with_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What our server sends is not taken for a question to the server whose connection was there before."""

        async def body() -> None:
            loop = asyncio.get_running_loop()
            with (
                elsewhere.answering() as lines,
                socket.create_connection(lines.tcp) as old,
                socket.create_server(("127.0.0.1", 0)) as listening,
                socket.create_connection(listening.getsockname()),
            ):
                old.sendall(b"0 yes\n")
                assert old.recv(100) == b"yes\n"
                loop.add_reader(old, bool)
                async with thp.mocked_call_later():
                    accepted, _ = listening.accept()
                    loop.remove_reader(old)
                    with accepted:
                        # In one step, so that no other thread takes the number in between.
                        os.dup2(accepted.fileno(), old.fileno())
                    loop.add_reader(old, bool)
                    await asyncio.sleep(1)
                    old.sendall(b"hello")
                    await asyncio.sleep(3600)
                loop.remove_reader(old)

        run(body())

        assert logged(caplog) == []

    @pytest.mark.proves("B3")
    def test_where_linux_does_not_count_what_is_sent_no_answer_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Connections work there, and a virtual timeout strikes at once."""
        # Old kernels tell less; here we ask for more than any kernel tells.
        monkeypatch.setattr(_uvloop_connections, "_LENGTH", 1000)

        async def body() -> None:
            with elsewhere.answering() as lines:
                async with thp.mocked_call_later():
                    reader, writer = await asyncio.open_connection(*lines.tcp)
                    writer.write(b"held yes\n")
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(reader.readline(), 5)
                    assert time.time() == 5
                lines.released.set()
                assert await reader.readline() == b"yes\n"
                writer.close()
                await writer.wait_closed()

        run(body())

        assert logged(caplog) == []

    @pytest.mark.proves("B3", "C2")
    def test_a_protocol_may_abort_a_connection_as_soon_as_it_is_made(self, caplog: pytest.LogCaptureFixture) -> None:
        """It has no socket any more when it is returned."""

        class Aborting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                cast("asyncio.Transport", transport).abort()

        async def body() -> None:
            with elsewhere.answering() as lines:
                async with thp.mocked_call_later():
                    transport, _ = await asyncio.get_running_loop().create_connection(Aborting, *lines.tcp)
                    await asyncio.sleep(3600)
                    assert transport.is_closing()
                    assert time.time() == 3600

        run(body())

        assert logged(caplog) == []

    @pytest.mark.proves("B3")
    def test_a_connection_whose_number_another_one_has_taken_is_watched_no_more(self) -> None:
        """What the other one has sent and received is less, and is no answer."""
        noted: list[object] = []
        connections: Any = SimpleNamespace(
            sockets=SimpleNamespace(of_file=str), note_spoken=noted.append, note_asked=lambda *args: noted.append(args)
        )
        watched = _uvloop_connections.UvloopConnections(connections)
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ends = []
            for _ in range(2):
                ends.append(stack.enter_context(socket.create_connection(listener.getsockname())))
                ends.append(stack.enter_context(listener.accept()[0]))
            old, old_peer, new, new_peer = ends
            old_peer.sendall(b"answer")
            assert old.recv(100) == b"answer"
            watched.add([old.fileno()])
            stack.callback(watched.close)

            os.dup2(new.fileno(), old.fileno())
            watched.look()
            new_peer.sendall(b"other")
            assert new.recv(100) == b"other"
            watched.look()

        assert noted == []

    @pytest.mark.proves("B3")
    def test_a_hopeless_wait_beside_an_idle_connection_is_not_told(
        self, deadlock_patience: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What else could wake a loop of uvloop cannot be seen."""
        monkeypatch.setattr(_deadlocks, "HOPELESS_AFTER", deadlock_patience)

        async def body() -> None:
            loop = asyncio.get_running_loop()
            woken = asyncio.Event()
            with elsewhere.answering() as lines:
                _, writer = await asyncio.open_connection(*lines.tcp)
                async with thp.mocked_call_later():
                    thread = threading.Timer(10 * deadlock_patience, loop.call_soon_threadsafe, [woken.set])
                    thread.start()
                    await woken.wait()
                    thread.join()
                writer.close()
                await writer.wait_closed()

        run(body())

        assert logged(caplog) == []


class TestLeaving:
    """After the block the loop is as it was."""

    @pytest.mark.parametrize("error", [None, ZeroDivisionError, asyncio.CancelledError], ids=str)
    @pytest.mark.proves("B3", "T15", "B6")
    def test_everything_is_put_back(self, error: type[BaseException] | None) -> None:
        """However the block is left, and whatever was pending."""

        async def body() -> None:
            loop = asyncio.get_running_loop()
            before = state_of(loop)

            async def block() -> None:
                async with thp.mocked_call_later(), thp.future_dominos(expected=0):
                    sleeping = loop.create_task(asyncio.sleep(5))
                    await asyncio.sleep(1)
                    assert state_of(loop) != before
                    sleeping.cancel()
                    if error is not None:
                        raise error

            (result,) = await asyncio.gather(block(), return_exceptions=True)
            assert isinstance(result, error or type(None))
            assert state_of(loop) == before
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(60), 0.01)

        run(body())

    @pytest.mark.proves("B3", "T16")
    def test_pending_timers_go_on(self) -> None:
        """A timer fires after what remained of its delay, unless its handle is cancelled."""
        order: list[object] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later(precision=0.01) as m:
                loop.call_later(100.05, order.append, "late")
                cancelled = loop.call_later(100.02, order.append, "cancelled")
                loop.call_later(100.02, order.append, "early")
                await m.add(100)
            cancelled.cancel()
            assert order == []
            await asyncio.sleep(0.1)

        run(body())

        assert order == ["early", "late"]

    @pytest.mark.proves("B3", "T15")
    def test_a_loop_that_is_closed_ends_the_block(self) -> None:
        """Closing the loop of an open block makes time real again."""
        before = time.time
        loop = FACTORIES["uvloop"]()
        block = thp.mocked_call_later()

        loop.run_until_complete(block.__aenter__())
        assert time.time is not before
        loop.close()

        assert time.time is before
