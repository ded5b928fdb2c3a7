"""Waiting until every other task waits."""

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from machinery import test_helpers as thp
from tests.by_hand import step
from tests.loops import Run, on_every_loop
from tests.state import state_of


async def take_steps(order: list[object], steps: int, name: str = "worker") -> None:
    """Run for some passes of the loop, then tell."""
    for _ in range(steps):
        await asyncio.sleep(0)
    order.append(name)


class TestWaiting:
    """It returns when nothing is left to run, and no sooner."""

    @on_every_loop
    @pytest.mark.parametrize("steps", [0, 1, 50])
    @pytest.mark.proves("W1")
    def test_it_returns_after_all_that_runs_by_itself(self, run: Run, steps: int) -> None:
        """However many loop iterations the others need."""
        order: list[object] = []

        async def body() -> None:
            task = asyncio.create_task(take_steps(order, steps))
            await thp.wait_all_tasks_blocked()
            order.append("blocked")
            await task

        run(body())

        assert order == ["worker", "blocked"]

    @on_every_loop
    @pytest.mark.proves("W1")
    def test_a_chain_of_tasks_runs_to_its_end(self, run: Run) -> None:
        """Tasks that are woken by other tasks have run too."""
        order: list[object] = []

        async def body() -> None:
            first, second = asyncio.Queue[int](), asyncio.Queue[int]()

            async def pass_on() -> None:
                while True:
                    item = await first.get()
                    await asyncio.sleep(0)
                    second.put_nowait(item)

            async def take() -> None:
                while True:
                    order.append(await second.get())

            tasks = [asyncio.create_task(pass_on()), asyncio.create_task(take())]
            for item in (1, 2, 3):
                first.put_nowait(item)
            await thp.wait_all_tasks_blocked()
            order.append("blocked")
            for task in tasks:
                task.cancel()
            await thp.wait_all_tasks_blocked()
            assert all(task.cancelled() for task in tasks)

        run(body())

        assert order == [1, 2, 3, "blocked"]

    @on_every_loop
    @pytest.mark.proves("W1")
    def test_tasks_may_begin_to_use_sockets_meanwhile(self, run: Run) -> None:
        """It needs no block, and waits until what they say to each other has been read."""

        async def body() -> None:
            loop = asyncio.get_running_loop()
            near, far = socket.socketpair()
            with near, far:
                near.setblocking(False)
                far.setblocking(False)
                answering = asyncio.create_task(loop.sock_recv(far, 100))
                asking = asyncio.create_task(loop.sock_sendall(near, b"hello"))
                await thp.wait_all_tasks_blocked()
                assert asking.done()
                assert answering.result() == b"hello"

        run(body())

    @on_every_loop
    @pytest.mark.proves("W1")
    def test_it_does_not_wait_for_blocked_tasks(self, run: Run) -> None:
        """Outside virtual time a sleeping task counts as blocked."""

        async def body() -> None:
            sleeping = asyncio.create_task(asyncio.sleep(3600))
            event = asyncio.Event()
            waiting = asyncio.create_task(event.wait())
            await thp.wait_all_tasks_blocked()
            assert not sleeping.done()
            assert not waiting.done()
            sleeping.cancel()
            event.set()
            await thp.wait_all_tasks_blocked()
            assert waiting.done()

        run(body())

    @on_every_loop
    @pytest.mark.proves("W1")
    def test_what_a_peer_in_the_same_loop_answers_has_arrived(self, run: Run) -> None:
        """Bytes in transit count as work; a silent peer does not."""
        order: list[object] = []

        async def body() -> None:
            async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while line := await reader.readline():
                    writer.write(line)
                writer.close()

            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

            async def listen() -> None:
                while line := await reader.readline():
                    order.append(line)

            listening = asyncio.create_task(listen())
            await thp.wait_all_tasks_blocked()
            order.append("silent")
            for line in (b"one\n", b"two\n"):
                writer.write(line)
            await thp.wait_all_tasks_blocked()
            order.append("blocked")
            writer.close()
            await listening
            server.close()

        run(body())

        assert order == ["silent", b"one\n", b"two\n", "blocked"]

    @on_every_loop
    @pytest.mark.proves("W1")
    def test_what_waits_in_a_socket_is_read_first(self, run: Run) -> None:
        """A readable socket counts as work."""
        order: list[object] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()
            near, far = socket.socketpair()
            with near, far:
                near.setblocking(False)
                loop.add_reader(near, lambda: order.append(near.recv(10)))
                await asyncio.sleep(0)
                far.send(b"x")
                await thp.wait_all_tasks_blocked()
                order.append("blocked")
                loop.remove_reader(near)

        run(body())

        assert order == [b"x", "blocked"]

    @pytest.mark.proves("W1", "P4")
    async def test_it_works_on_the_loop_of_the_test_framework(self) -> None:
        """It returns even though that loop runs other things too."""
        order: list[object] = []
        task = asyncio.create_task(take_steps(order, 3))

        await thp.wait_all_tasks_blocked()

        assert order == ["worker"]
        await task


class TestSeveralWaiters:
    """Tasks that wait for each other to block all return."""

    @on_every_loop
    @pytest.mark.proves("W2")
    def test_each_returns_once_the_others_wait(self, run: Run) -> None:
        """They resume one at a time, in order of arrival, each when the previous one has blocked or ended."""
        order: list[object] = []

        async def body() -> None:
            async def waiter(name: str) -> None:
                await thp.wait_all_tasks_blocked()
                order.append(f"{name} returned")
                await take_steps(order, 3, f"{name} is done")

            async with asyncio.TaskGroup() as tasks:
                for name in ("first", "second"):
                    tasks.create_task(waiter(name))

        run(body())

        assert order == ["first returned", "first is done", "second returned", "second is done"]

    @on_every_loop
    @pytest.mark.proves("W2")
    def test_a_cancelled_waiter_does_not_affect_the_others(self, run: Run) -> None:
        """It is cancelled at once, and the others return as if it had not been there."""
        order: list[object] = []

        async def body() -> None:
            loop = asyncio.get_running_loop()
            before = state_of(loop)
            cancelled = asyncio.create_task(thp.wait_all_tasks_blocked())
            other = asyncio.create_task(thp.wait_all_tasks_blocked())
            await asyncio.sleep(0)
            cancelled.cancel()
            worker = asyncio.create_task(take_steps(order, 10))
            await other
            order.append("blocked")
            assert cancelled.cancelled()
            await worker
            assert state_of(loop) == before

        run(body())

        assert order == ["worker", "blocked"]


class TestBesideTheOtherHelpers:
    """It returns before virtual time moves, and after dominos that can fall."""

    @on_every_loop
    @pytest.mark.proves("W1", "T7")
    def test_the_clock_stands_still(self, run: Run) -> None:
        """It returns before the clock moves, even if every other task is sleeping."""
        order: list[object] = []

        async def body() -> None:
            async with thp.mocked_call_later() as m:
                sleeping = asyncio.create_task(asyncio.sleep(5))
                await thp.wait_all_tasks_blocked()
                order.append(time.time())
                assert m.pending == [5]
                await sleeping
                order.append(time.time())

        run(body())

        assert order == [0, 5]

    @on_every_loop
    @pytest.mark.proves("W1", "T9")
    def test_what_is_due_now_is_served_first(self, run: Run) -> None:
        """A timer that is due now counts as work."""
        order: list[object] = []

        async def body() -> None:
            async with thp.mocked_call_later():
                asyncio.get_running_loop().call_later(0, order.append, "due now")
                await thp.wait_all_tasks_blocked()
                order.append("blocked")

        run(body())

        assert order == ["due now", "blocked"]

    @on_every_loop
    @pytest.mark.parametrize("virtual", [True, False], ids=["virtual time", "real time"])
    @pytest.mark.proves("W1", "D2")
    def test_dominos_that_can_fall_do_so_first(self, run: Run, virtual: bool) -> None:
        """A task that awaits a domino that is about to fall is not blocked."""
        order: list[object] = []

        async def dominos() -> None:
            async with thp.future_dominos(expected=2) as futs:

                async def follow() -> None:
                    for number in (1, 2):
                        await futs[number]
                        order.append(number)

                following = asyncio.create_task(follow())
                futs.begin()
                await thp.wait_all_tasks_blocked()
                order.append("blocked")
                await following

        async def body() -> None:
            if virtual:
                async with thp.mocked_call_later():
                    await dominos()
            else:
                await dominos()

        run(body())

        assert order == [1, 2, "blocked"]


@pytest.mark.parametrize("leave", [lambda task: None, lambda task: task.cancel()], ids=["returned", "cancelled"])
@pytest.mark.proves("W2", "B6")
async def test_nothing_stays_replaced(leave: Callable[[asyncio.Task[None]], object]) -> None:
    """Afterwards the loop is as it was."""
    loop = asyncio.get_running_loop()
    before = state_of(loop)
    task = asyncio.create_task(thp.wait_all_tasks_blocked())
    await asyncio.sleep(0)
    assert state_of(loop) != before

    leave(task)
    await asyncio.wait([task])

    assert state_of(loop) == before


class TestOutsideOfTasks:
    """A coroutine that somebody drives by hand."""

    @pytest.mark.proves("W2")
    async def test_a_waiter_that_nobody_resumes_does_not_block_the_loop(self) -> None:
        """Real timers fire as usual, and resuming the waiter later ends it."""
        waiting = thp.wait_all_tasks_blocked()
        waiting.send(None)

        await asyncio.sleep(0.01)
        # On a slow machine the timer may be due before the loop is idle.
        await thp.wait_all_tasks_blocked()

        assert step(waiting) is None

    @pytest.mark.proves("W2", "B6")
    def test_closing_the_loop_cancels_it(self) -> None:
        """Resuming it afterwards raises the cancellation."""
        loop = asyncio.new_event_loop()
        waiting = thp.wait_all_tasks_blocked()

        def wait_and_stop() -> None:
            waiting.send(None)
            loop.stop()

        loop.call_soon(wait_and_stop)
        loop.run_forever()
        loop.close()

        with pytest.raises(asyncio.CancelledError):
            waiting.send(None)
