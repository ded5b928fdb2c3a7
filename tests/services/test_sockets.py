"""A server of plain sockets in threads, by every way to reach it that a loop has."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _clock_mover, _pieces
from tests.reports.reading import logged
from tests.services.elsewhere import Lines, passing, really_within, seen_in_the_log

Ask = Callable[[str], Coroutine[object, object, str]]
Connect = Callable[[Lines], AbstractAsyncContextManager[Ask]]


@asynccontextmanager
async def asking_by_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Ask]:
    """Ask by asyncio's streams."""

    async def ask(question: str) -> str:
        writer.write(f"{question}\n".encode())
        return (await reader.readline()).decode().rstrip()

    try:
        yield ask
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def streams(lines: Lines) -> AsyncIterator[Ask]:
    """Connect by TCP."""
    async with asking_by_streams(*await asyncio.open_connection(*lines.tcp)) as ask:
        yield ask


@asynccontextmanager
async def unix_streams(lines: Lines) -> AsyncIterator[Ask]:
    """Connect by a Unix socket."""
    if not lines.unix:
        pytest.skip("there are no Unix sockets on this system")
    async with asking_by_streams(*await asyncio.open_unix_connection(lines.unix)) as ask:
        yield ask


class Collecting(asyncio.Protocol, asyncio.DatagramProtocol):
    """Collects what arrives, of a connection or in datagrams."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Take a part of a line, or the whole."""
        self.received += data
        while b"\n" in self.received:
            line, _, self.received = self.received.partition(b"\n")
            self.lines.put_nowait(line.decode())

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take a line."""
        self.data_received(data)


@asynccontextmanager
async def protocol(lines: Lines) -> AsyncIterator[Ask]:
    """Connect with a transport and a protocol."""
    transport, protocol = await asyncio.get_running_loop().create_connection(Collecting, *lines.tcp)

    async def ask(question: str) -> str:
        transport.write(f"{question}\n".encode())
        return await protocol.lines.get()

    try:
        yield ask
    finally:
        transport.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def datagrams(lines: Lines) -> AsyncIterator[Ask]:
    """Send datagrams by a transport."""
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Collecting, remote_addr=lines.datagrams
    )

    async def ask(question: str) -> str:
        transport.sendto(f"{question}\n".encode())
        return await protocol.lines.get()

    try:
        yield ask
    finally:
        transport.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def talking_over_a_socket(
    lines: Lines, receive: Callable[[socket.socket], Coroutine[None, None, bytes]]
) -> AsyncIterator[Ask]:
    """Connect a socket, send by the loop, and receive as said."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, lines.tcp)

        async def ask(question: str) -> str:
            await loop.sock_sendall(connection, f"{question}\n".encode())
            received = b""
            while not received.endswith(b"\n"):
                received += await receive(connection)
            return received.decode().rstrip()

        yield ask


def sock_calls(lines: Lines) -> AbstractAsyncContextManager[Ask]:
    """Receive by the loop."""

    async def receive(connection: socket.socket) -> bytes:
        return await asyncio.get_running_loop().sock_recv(connection, 100)

    return talking_over_a_socket(lines, receive)


def sock_calls_into_a_buffer(lines: Lines) -> AbstractAsyncContextManager[Ask]:
    """Receive by the loop into a buffer of the caller's."""

    async def receive(connection: socket.socket) -> bytes:
        buffer = bytearray(100)
        return bytes(buffer[: await asyncio.get_running_loop().sock_recv_into(connection, buffer)])

    return talking_over_a_socket(lines, receive)


@asynccontextmanager
async def talking_by_datagrams(
    lines: Lines, receive: Callable[[socket.socket], Coroutine[None, None, bytes]]
) -> AsyncIterator[Ask]:
    """Send datagrams by the loop, of a socket that is not connected, and receive as said."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as sending:
        sending.setblocking(False)

        async def ask(question: str) -> str:
            await loop.sock_sendto(sending, f"{question}\n".encode(), lines.datagrams)
            return (await receive(sending)).decode().rstrip()

        yield ask


def sock_datagrams(lines: Lines) -> AbstractAsyncContextManager[Ask]:
    """Receive them by the loop."""

    async def receive(sending: socket.socket) -> bytes:
        received, _ = await asyncio.get_running_loop().sock_recvfrom(sending, 100)
        return received

    return talking_by_datagrams(lines, receive)


def sock_datagrams_into_a_buffer(lines: Lines) -> AbstractAsyncContextManager[Ask]:
    """Receive them by the loop into a buffer of the caller's."""

    async def receive(sending: socket.socket) -> bytes:
        buffer = bytearray(100)
        count, _ = await asyncio.get_running_loop().sock_recvfrom_into(sending, buffer)
        return bytes(buffer[:count])

    return talking_by_datagrams(lines, receive)


@asynccontextmanager
async def readers_and_writers(lines: Lines) -> AsyncIterator[Ask]:
    """Send when the loop says that the socket is writable, and receive when it is readable."""
    loop = asyncio.get_running_loop()

    async def until(add: Callable[..., object], remove: Callable[..., object], file: socket.socket) -> None:
        ready = loop.create_future()
        add(file, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            remove(file)

    with socket.socket() as connection:
        connection.setblocking(False)
        connection.connect_ex(lines.tcp)
        await until(loop.add_writer, loop.remove_writer, connection)

        async def ask(question: str) -> str:
            await until(loop.add_writer, loop.remove_writer, connection)
            connection.send(f"{question}\n".encode())
            received = b""
            while not received.endswith(b"\n"):
                await until(loop.add_reader, loop.remove_reader, connection)
                received += connection.recv(100)
            return received.decode().rstrip()

        yield ask


KINDS = [
    streams,
    unix_streams,
    protocol,
    datagrams,
    sock_calls,
    sock_calls_into_a_buffer,
    sock_datagrams,
    sock_datagrams_into_a_buffer,
    readers_and_writers,
]
of_every_kind = pytest.mark.parametrize("connect", KINDS, ids=lambda connect: connect.__name__)


@pytest.mark.proves("C1")
@of_every_kind
async def test_an_answer_takes_no_virtual_time(
    connect: Connect, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it comes at once or after a while, a timeout of one tick does not strike."""
    async with thp.mocked_call_later(), connect(lines) as ask:
        with passing(0):
            for delay in (0, 0.02, 0.3):
                async with asyncio.timeout(0.1):
                    assert await ask(f"{delay} yes") == "yes"

    assert logged(caplog) == []


@pytest.mark.proves("C1")
@of_every_kind
async def test_connections_may_be_older_than_the_block(
    connect: Connect, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """What a fixture has connected is waited for as well, whether or not anything was said before the block."""
    async with connect(lines) as new, connect(lines) as used:
        assert await used("0 before") == "before"
        async with thp.mocked_call_later(), asyncio.timeout(0.1):
            with passing(0):
                assert await new("0.3 yes") == "yes"
                assert await used("0.3 yes") == "yes"

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_a_server_that_speaks_first_takes_no_virtual_time(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    """A task that waits for its greeting meets no timeout, though nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                time.sleep(0.5)
                connection.sendall(b"hello\n")

        thread = threading.Thread(target=greet)
        thread.start()
        async with thp.mocked_call_later():
            with passing(0):
                async with asyncio.timeout(0.1):
                    reader, writer = await asyncio.open_connection(*listening.getsockname())
                    assert await reader.readline() == b"hello\n"
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        thread.join()

    assert logged(caplog) == []


@pytest.mark.proves("C1")
async def test_a_server_that_takes_a_large_request_slowly_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes longer than the bound in all, but goes on reading."""
    monkeypatch.setattr(_pieces, "HOLD_LIMIT", 1)
    size, part = 8_000_000, 400_000
    with socket.socket() as listening:
        # Small buffers, so that most of it stays with us until it is read.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, part)
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def take() -> None:
            connection, _ = listening.accept()
            with connection:
                left = size
                while left:
                    time.sleep(0.1)
                    left -= len(connection.recv(part))
                connection.sendall(b"thanks\n")

        thread = threading.Thread(target=take)
        thread.start()
        async with thp.mocked_call_later():
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, part)
            with passing(0):
                async with asyncio.timeout(0.1):
                    writer.write(bytes(size))
                    assert await reader.readline() == b"thanks\n"
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        thread.join()

    assert logged(caplog) == []


@pytest.mark.proves("C2")
@of_every_kind
async def test_a_connection_that_has_its_answer_holds_nothing(
    connect: Connect, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand hours pass beside it at once, and then it still works."""
    async with thp.mocked_call_later(), connect(lines) as ask:
        assert await ask("0 yes") == "yes"
        with passing(1000 * 3600), really_within(10):
            for _ in range(1000):
                await asyncio.sleep(3600)
        with passing(0):
            assert await ask("0.1 yes") == "yes"

    assert logged(caplog) == []


@pytest.mark.proves("C4")
@of_every_kind
async def test_time_that_is_added_ends_after_the_answer(connect: Connect, lines: Lines) -> None:
    """A task that asks every ten seconds has its answers at these times, also the last one."""
    answers: list[tuple[float, str]] = []

    async with thp.mocked_call_later() as m, connect(lines) as ask:

        async def poll() -> None:
            while True:
                await asyncio.sleep(10)
                answers.append((time.time(), await ask("0.1 yes")))

        polling = asyncio.create_task(poll())
        await m.add(30)
        polling.cancel()

    assert answers == [(10, "yes"), (20, "yes"), (30, "yes")]


@pytest.mark.proves("C4")
@of_every_kind
async def test_dominos_fall_after_the_answer(connect: Connect, lines: Lines) -> None:
    """The first to ask gets the slowest answer, and yet is the first to go on."""
    order: list[str] = []

    async with connect(lines) as slow, connect(lines) as quick, thp.future_dominos(expected=2) as futs:

        async def ask(turn: thp.Domino, question: Ask, words: str) -> None:
            await turn
            order.append(await question(words))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask(futs[1], slow, "0.3 first"))
            tasks.create_task(ask(futs[2], quick, "0 second"))
            futs.begin()
            await futs.finished.wait()
            assert order == ["first", "second"]


@pytest.mark.proves("C5")
@pytest.mark.parametrize("connect", [streams, unix_streams, datagrams], ids=lambda connect: connect.__name__)
async def test_a_server_that_never_answers_is_given_up_after_the_bound(
    connect: Connect, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """The virtual timeout around it strikes at its time, and one warning says who owed an answer to whom."""
    async with thp.mocked_call_later(), connect(lines) as ask:
        with passing(5), really_within(15), pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await ask("never yes")

    (warning,) = logged(caplog)
    ports = {streams: lines.tcp[1], datagrams: lines.datagrams[1]}
    assert (f"127.0.0.1:{ports[connect]}" if connect in ports else lines.unix) in warning
    assert "autojump_threshold" in warning


@pytest.mark.proves("C7")
async def test_the_warning_names_the_task_and_the_line_that_wait(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who reads it finds the culprit."""

    async def poll(ask: Ask) -> None:
        await ask("never yes")

    async with thp.mocked_call_later(), streams(lines) as ask:
        task = asyncio.create_task(poll(ask), name="the poller")
        await asyncio.sleep(1)
        task.cancel()

    (warning,) = logged(caplog)
    assert re.search(rf" although {lines.name} has owed an answer for [\d.]+ s to task 'the poller' at ", warning)
    assert re.search(r"test_sockets\.py:\d+", warning)


@pytest.mark.proves("C5")
async def test_one_that_never_answers_does_not_let_time_run_past_others(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Each answer is waited for from its own beginning: together they may take longer than the bound."""
    async with thp.mocked_call_later(), streams(lines) as silent, streams(lines) as ask:
        waiting = asyncio.create_task(silent("never yes"))
        await asyncio.sleep(1)
        for _ in range(8):
            with passing(0):
                async with asyncio.timeout(0.1):
                    assert await ask("0.4 yes") == "yes"
        waiting.cancel()

    assert len(logged(caplog)) == 1


@pytest.mark.proves("C5")
async def test_an_answer_that_was_released_after_the_bound_is_waited_for(lines: Lines) -> None:
    """The time that has gone past it does not go on past it when it comes at last."""
    async with thp.mocked_call_later(), streams(lines) as ask:
        waiting = asyncio.create_task(ask("held yes"))
        await asyncio.sleep(1)
        assert time.time() == 1
        lines.released.set()
        with passing(0):
            async with asyncio.timeout(0.1):
                assert await waiting == "yes"


@pytest.mark.proves("C3")
async def test_answers_in_parts_are_waited_for_as_a_whole(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    """No timeout strikes, and no sleep of others ends, between the parts."""
    async with thp.mocked_call_later(), streams(lines) as ask:
        with passing(0):
            async with asyncio.timeout(0.1):
                for _ in range(50):
                    assert await ask("parts word") == "word"
        beside = asyncio.create_task(asyncio.sleep(0.1))
        assert await ask("parts word") == "word"
        assert not beside.done()
        await beside

    assert logged(caplog) == []


@pytest.mark.proves("C3")
async def test_an_answer_that_begins_at_once_is_waited_for_as_a_whole(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On uvloop its first part may be there when we first see that something was sent."""
    monkeypatch.setattr(_clock_mover, "PAUSE_BEFORE_TIMEOUT", 2)
    async with thp.mocked_call_later():
        reader, writer = await asyncio.open_connection(*lines.tcp)
        with closing(writer), passing(3600):
            await asyncio.sleep(3600)
            writer.write(b"followed yes\n")
            await asyncio.sleep(0)
            threading.Event().wait(0.05)
            assert await reader.readline() == b"yes\n"
            threading.Timer(0.1, lines.released.set).start()
            async with asyncio.timeout(1):
                assert await reader.readline() == b"more\n"


@pytest.mark.proves("C3")
async def test_no_timeout_could_fire_where_every_task_sleeps(
    lines: Lines, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause is that before a sleep, whatever other timers are due."""
    monkeypatch.setattr(_pieces, "STANDSTILL_LIMIT", 2)
    # Far longer than the limit, which would be logged.
    monkeypatch.setattr(_clock_mover, "PAUSE_BEFORE_TIMEOUT", 60)
    async with thp.mocked_call_later(), protocol(lines) as ask:
        assert await ask("0 yes") == "yes"
        with passing(1):
            asyncio.get_running_loop().call_later(1, lines.released.clear)
            await asyncio.sleep(1)

    assert logged(caplog) == []


@pytest.mark.proves("C3")
async def test_a_timeout_without_a_task_waits_for_the_parts_of_an_answer(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback has asked, and may have set a timeout."""
    monkeypatch.setattr(_clock_mover, "PAUSE_BEFORE_TIMEOUT", 2)
    async with thp.mocked_call_later():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Collecting, *lines.tcp)
        with closing(transport):
            loop.call_later(1, transport.write, b"followed yes\n")
            loop.call_later(2, protocol.lines.put_nowait, "timeout")
            threading.Timer(0.1, lines.released.set).start()
            await asyncio.sleep(3)

    assert [protocol.lines.get_nowait() for _ in range(3)] == ["yes", "more", "timeout"]


@pytest.mark.proves("C3")
@pytest.mark.proves("E3")
async def test_an_exploration_waits_for_the_parts_of_an_answer(lines: Lines) -> None:
    """What is marked as coming from outside arrives after what a real server has begun to say."""
    log: list[str] = []

    async def scenario(outside: thp.Outside) -> None:
        async def real() -> None:
            async with streams(lines) as ask:
                for _ in range(300):
                    log.append(await ask("parts word"))

        async def marked() -> None:
            await outside("answer")
            log.append("answer")

        await asyncio.gather(real(), marked())

    await thp.explore(scenario, replay="")

    assert log == ["word"] * 300 + ["answer"]


@pytest.mark.proves("C5")
@pytest.mark.parametrize("connect", [streams, datagrams], ids=lambda connect: connect.__name__)
async def test_who_never_answers_costs_the_bound_once(
    connect: Connect, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """A publisher of metrics sends a hundred times to somebody who says nothing, and one warning tells it."""
    async with thp.mocked_call_later(), connect(lines) as ask:
        with passing(100 * 60), really_within(15):
            for _ in range(100):
                sending = asyncio.create_task(ask("never mind"))
                await asyncio.sleep(60)
                sending.cancel()

    assert len(logged(caplog)) == 1


@pytest.mark.proves("C5")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what a full queue has no room for")
async def test_a_server_that_accepts_nobody_costs_the_bound_once(caplog: pytest.LogCaptureFixture) -> None:
    """Attempts to connect that are cancelled early show nothing of the server, and do not renew the bound."""
    loop = asyncio.get_running_loop()

    async def connect(address: tuple[str, int]) -> None:
        with socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)

    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):
            async with thp.mocked_call_later():
                with passing(10 * 60), really_within(15):
                    for _ in range(10):
                        late, early = (asyncio.create_task(connect(address)) for _ in range(2))
                        await thp.wait_all_tasks_blocked()
                        early.cancel()
                        await asyncio.sleep(60)
                        late.cancel()
                        await asyncio.gather(early, late, return_exceptions=True)

    (warning,) = logged(caplog)
    assert f"127.0.0.1:{address[1]} has owed an answer" in warning


@pytest.mark.proves("C6")
async def test_somebody_who_polls_for_ever_does_not_hold_an_hour(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers that are asked for again and again at one virtual time hold it for ten real seconds."""
    async with thp.mocked_call_later(), streams(lines) as ask:

        async def poll() -> None:
            while True:
                await ask("0.3 no")

        polling = asyncio.create_task(poll(), name="the poller")
        try:
            with passing(3600), really_within(25):
                await asyncio.sleep(3600)
        finally:
            polling.cancel()

    (warning,) = logged(caplog)
    assert "the poller" in warning


@pytest.mark.proves("C6")
async def test_a_server_whose_answers_have_held_for_too_long_holds_nothing_more(
    lines: Lines, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next parts of its answers are not waited for any more, and one warning tells it."""
    monkeypatch.setattr(_pieces, "STANDSTILL_LIMIT", 0.2)
    # Far longer than the limit, as if an answer went on and on.
    monkeypatch.setattr(_clock_mover, "PAUSE_BEFORE_SLEEP", 60)
    async with thp.mocked_call_later(), streams(lines) as ask:
        for _ in range(3):
            assert await ask("0 word") == "word"
            with passing(3600):
                await asyncio.sleep(3600)

    (warning,) = logged(caplog)
    assert warning.startswith("nothing has moved for 0.2 real seconds")


@pytest.mark.proves("C6")
async def test_what_a_server_sends_unasked_is_no_part_of_its_previous_answer(
    lines: Lines, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the clock has moved since that answer, it does not wait for more."""
    monkeypatch.setattr(_pieces, "STANDSTILL_LIMIT", 2)
    async with thp.mocked_call_later():
        reader, writer = await asyncio.open_connection(*lines.tcp)
        with closing(writer), passing(2 * 3600):
            writer.write(b"followed yes\n")
            assert await reader.readline() == b"yes\n"
            await asyncio.sleep(3600)
            # Far longer than the limit, which would be logged.
            monkeypatch.setattr(_clock_mover, "PAUSE_BEFORE_SLEEP", 60)
            lines.released.set()
            assert await reader.readline() == b"more\n"
            await asyncio.sleep(3600)

    assert logged(caplog) == []


@pytest.mark.proves("C2")
async def test_the_first_answer_counts_for_all_that_was_sent_before_it(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two requests that share a connection, the second holds nothing once the first is answered."""
    async with thp.mocked_call_later():
        reader, writer = await asyncio.open_connection(*lines.tcp)
        with closing(writer), passing(3600):
            writer.write(b"0 first\n")
            writer.write(b"held second\n")
            assert await reader.readline() == b"first\n"
            await asyncio.sleep(3600)
            lines.released.set()
            assert await reader.readline() == b"second\n"

    assert logged(caplog) == []


@pytest.mark.proves("C8")
async def test_a_block_is_left_at_once_though_an_answer_is_owed(lines: Lines) -> None:
    """Leaving waits for nothing, and the answer comes after it in real time."""
    async with streams(lines) as ask:
        async with thp.mocked_call_later():
            waiting = asyncio.create_task(ask("held yes"))
            await thp.wait_all_tasks_blocked()
        assert not waiting.done()
        lines.released.set()
        assert await waiting == "yes"


class TestThreshold:
    """`autojump_threshold` replaces the rule."""

    @pytest.mark.proves("C8")
    async def test_with_zero_nothing_is_waited_for(self, lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
        """Timeouts strike and dominos fall whatever an answer would have been."""
        async with thp.mocked_call_later(autojump_threshold=0), streams(lines) as ask:
            with passing(5), pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await ask("held yes")
            async with thp.future_dominos(expected=1) as futs:
                asking = asyncio.create_task(ask("held yes"))
                futs.begin()
                await futs[1]
                await futs.finished.wait()
                assert not asking.done()
                asking.cancel()

        assert logged(caplog) == []

    @pytest.mark.proves("C8")
    async def test_with_infinity_time_moves_by_hand_alone(self, lines: Lines) -> None:
        """An answer does not make time move, and is waited for by what moves it."""
        async with thp.mocked_call_later(autojump_threshold=float("inf")) as m, streams(lines) as ask:
            sleeping = asyncio.create_task(asyncio.sleep(1))
            assert await ask("0.2 yes") == "yes"
            assert (time.time(), sleeping.done()) == (0, False)
            await m.add(1)
            assert (time.time(), sleeping.done()) == (1, True)


class TestReports:
    """A report says what is owed."""

    @pytest.mark.proves("C7")
    async def test_it_names_the_server_by_its_address(self, lines: Lines) -> None:
        """Not by the number of a file."""
        async with streams(lines) as ask:
            with pytest.raises(ZeroDivisionError) as caught:
                async with thp.mocked_call_later():
                    asking = asyncio.create_task(ask("held yes"))
                    await thp.wait_all_tasks_blocked()
                    raise ZeroDivisionError
            lines.released.set()
            assert await asking == "yes"

        assert re.search(rf"{lines.name} has owed an answer for [\d.]+ s", "\n".join(caught.value.__notes__))

    @pytest.mark.proves("C7")
    async def test_it_names_the_line_where_no_task_waits(
        self, lines: Lines, work_patience: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What a callback of the loop has asked is awaited by nobody whom we know."""
        loop = asyncio.get_running_loop()

        async with thp.mocked_call_later():
            transport, _ = await loop.create_connection(Collecting, *lines.tcp)
            loop.call_soon(lambda: transport.write(b"never yes\n"))
            await asyncio.sleep(1)
            transport.close()

        (warning,) = logged(caplog)
        assert re.search(rf"{lines.name} has owed an answer for [\d.]+ s, asked at \S*test_sockets\.py:\d+", warning)

    @pytest.mark.proves("C7")
    async def test_it_names_a_server_whose_socket_was_watched_before_it_was_connected(
        self, lines: Lines, work_patience: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A library may wait for a socket to become writable before it knows where to connect it."""
        loop = asyncio.get_running_loop()

        async with thp.mocked_call_later():
            with socket.socket() as connection:
                connection.setblocking(False)
                connected = asyncio.Event()
                loop.add_writer(connection, connected.set)
                connection.connect_ex(lines.tcp)
                await connected.wait()
                loop.remove_writer(connection)
                await loop.sock_sendall(connection, b"never yes\n")
                receiving = asyncio.create_task(loop.sock_recv(connection, 100))
                await asyncio.sleep(1)
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

        (warning,) = logged(caplog)
        assert f"{lines.name} has owed an answer" in warning

    @pytest.mark.proves("C7")
    async def test_a_hopeless_wait_beside_an_idle_connection_is_told(self, lines: Lines) -> None:
        """Though something could still come, the report is logged after a while, and names the connection."""
        told = asyncio.Event()

        async with thp.mocked_call_later(), streams(lines) as ask:
            assert await ask("0 yes") == "yes"
            with seen_in_the_log(told) as messages, passing(0), really_within(20):
                await told.wait()

        (report,) = messages
        assert lines.name in report
