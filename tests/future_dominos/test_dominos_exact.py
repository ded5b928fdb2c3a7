"""Dominos are exact: when each falls, which waiter wakes first, and what it costs."""

import asyncio
import contextvars
import functools
import gc
import logging
import random
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery import test_helpers as thp
from tests.dominos import all_that_can_fall, fallen, note


def remember(called: list[object], what: object, _: object) -> None:
    """Do the same as a done-callback."""
    called.append(what)


class TestWhenADominoFalls:
    """After `begin()`, once retrieved, with all earlier ones fallen and awaited, and the loop idle."""

    @pytest.mark.proves("D3")
    async def test_waiters_that_give_up_are_forgotten_and_the_others_are_not(self) -> None:
        """However often somebody waits for a domino with a timeout, it keeps only those who still wait."""
        async with thp.future_dominos(expected=1) as futs:
            patient = asyncio.ensure_future(futs[1])
            for _ in range(100):
                waiter = futs[1].__await__()
                next(waiter).cancel()  # type: ignore[attr-defined]
                waiter.close()
            assert repr(futs[1]) == "<domino 1, standing, 0 waiting>"
            await asyncio.sleep(0)
            assert repr(futs[1]) == "<domino 1, standing, 1 waiting>"
            assert len(futs[1]._waiters) < 30  # type: ignore[attr-defined]
            futs.begin()
            await patient

    @pytest.mark.proves("D2", "D6")
    async def test_no_domino_falls_before_begin(self) -> None:
        """Being retrieved and awaited is not enough."""
        async with thp.future_dominos(expected=2) as futs:
            both = asyncio.gather(futs[1], futs[2])
            await all_that_can_fall()
            before = fallen(futs, 1, 2)
            futs.begin()
            await both

        assert before == [False, False]

    @pytest.mark.proves("D2")
    async def test_a_domino_falls_no_earlier_than_it_is_retrieved(self) -> None:
        """Later ones wait for it too."""
        async with thp.future_dominos(expected=3) as futs:
            futs.begin()
            third = asyncio.ensure_future(futs[3])
            await futs[1]
            await all_that_can_fall()
            assert not futs[3].done()

            assert not futs[2].done()
            await all_that_can_fall()
            assert fallen(futs, 2, 3) == [True, False]

            await futs[2]
            await third

    @pytest.mark.proves("D2")
    async def test_the_next_domino_does_not_fall_before_this_one_is_awaited(self) -> None:
        """Looking at it is not awaiting it."""
        async with thp.future_dominos(expected=3) as futs:
            futs.begin()
            second = asyncio.ensure_future(futs[2])
            assert (futs[1].done(), futs[1].cancelled()) == (False, False)
            await all_that_can_fall()
            assert fallen(futs, 1, 2, 3) == [True, False, False]
            assert (futs[1].result(), futs[1].exception()) == (None, None)
            await all_that_can_fall()
            assert fallen(futs, 1, 2, 3) == [True, False, False]

            await futs[1]
            await second
            await all_that_can_fall()
            assert fallen(futs, 1, 2, 3) == [True, True, True]

    @pytest.mark.proves("D2")
    @pytest.mark.parametrize("when", ["before the fall", "after the fall"])
    async def test_a_done_callback_counts_as_awaiting(self, when: str) -> None:
        """The next domino falls when it has been called."""
        async with thp.future_dominos(expected=2) as futs:
            called: list[object] = []
            futs.begin()
            first, second = futs[1], futs[2]
            if when == "after the fall":
                await all_that_can_fall()
            assert not second.done()
            first.add_done_callback(called.append)
            second.add_done_callback(called.append)
            await futs.finished.wait()

        assert called == [first, second]

    @pytest.mark.proves("D2")
    async def test_awaiting_outside_of_any_task_counts(self) -> None:
        """A coroutine that is driven by hand awaits too."""
        async with thp.future_dominos(expected=2) as futs:
            by_hand = futs[1].__await__()
            asyncio.get_running_loop().call_soon(next, by_hand)
            futs.begin()
            await futs[2]
            with pytest.raises(StopIteration):
                next(by_hand)

    @pytest.mark.proves("D2")
    async def test_all_that_a_domino_woke_runs_before_the_next_one_falls(self) -> None:
        """However many loop iterations that takes, including tasks and callbacks started on the way."""
        async with thp.future_dominos(expected=3) as futs:
            called: list[object] = []
            loop = asyncio.get_running_loop()

            def call_on(left: int) -> None:
                called.append(("callback", left))
                if left:
                    loop.call_soon(call_on, left - 1)

            async def steps(name: str, count: int) -> None:
                for step in range(count):
                    await asyncio.sleep(0)
                    called.append((name, step))

            async def first() -> None:
                await futs[1]
                for step in range(100):
                    await asyncio.sleep(0)
                    called.append(("first", step))
                started.append(asyncio.create_task(steps("started by first", 100)))
                call_on(3)

            started: list[asyncio.Task[None]] = []
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(note(futs[2], called, 2))
                tasks.create_task(first())
                tasks.create_task(note(futs[3], called, 3))
                futs.begin()

        steps_of_first = [("first", step) for step in range(100)]
        assert called[:100] == steps_of_first
        assert sorted(called[100:-2], key=repr) == sorted(
            [("callback", left) for left in range(4)] + [("started by first", step) for step in range(100)], key=repr
        )
        assert called[-2:] == [2, 3]

    @pytest.mark.proves("D2")
    async def test_what_has_arrived_on_a_socket_is_handled_before_the_next_domino_falls(self) -> None:
        """The peer is on the same loop, so one of the two always has something to read."""
        here, there = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=here)
        echo_reader, echo_writer = await asyncio.open_connection(sock=there)
        called: list[object] = []

        async def echo() -> None:
            while data := await echo_reader.read(100):
                echo_writer.write(data)
            echo_writer.close()

        async def first(domino: thp.Domino) -> None:
            await domino
            for step in range(20):
                writer.write(b"%d" % step)
                called.append(await reader.read(100))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(echo())
            async with thp.future_dominos(expected=2) as futs:
                tasks.create_task(note(futs[2], called, "second"))
                tasks.create_task(first(futs[1]))
                futs.begin()
                await futs.finished.wait()
            writer.close()

        await asyncio.gather(writer.wait_closed(), echo_writer.wait_closed())
        assert called == [*(b"%d" % step for step in range(20)), "second"]

    @pytest.mark.proves("D2")
    async def test_a_pending_timer_does_not_delay_a_domino(self) -> None:
        """The loop counts as idle when only timers are left."""
        timer = asyncio.get_running_loop().call_later(3600, pytest.fail)
        async with thp.future_dominos(expected=2) as futs:
            futs.begin()
            await futs[1]
            await futs[2]
        timer.cancel()

    @pytest.mark.proves("D2")
    @given(order=st.permutations(range(1, 7)), seed=st.integers())
    def test_whatever_the_tasks_do_first_the_dominos_order_them(self, order: list[int], seed: int) -> None:
        """Tasks go on in domino order, in whatever order they start and whatever else they do."""
        called: list[object] = []
        rounds = random.Random(seed)

        async def task(futs: thp.FutureDominos, num: int) -> None:
            for _ in range(rounds.randrange(5)):
                await asyncio.sleep(0)
            await futs[num]
            called.append((num, "falls"))
            for _ in range(rounds.randrange(5)):
                await asyncio.sleep(0)
            called.append((num, "is done"))

        async def main() -> None:
            async with thp.future_dominos(expected=6) as futs, asyncio.TaskGroup() as tasks:
                for num in order:
                    tasks.create_task(task(futs, num))
                futs.begin()

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(main())

        assert called == [(num, what) for num in range(1, 7) for what in ("falls", "is done")]


class TestOrderOfArrival:
    """Several waiters of the same domino."""

    @pytest.mark.proves("D3")
    async def test_tasks_and_callbacks_wake_in_order_of_arrival(self) -> None:
        """Neither kind of waiter is preferred."""
        async with thp.future_dominos(expected=1) as futs:
            called: list[object] = []
            tasks = []
            for num in range(10):
                callback = functools.partial(remember, called, ("callback", num))
                futs[1].add_done_callback(callback)
                tasks.append(asyncio.create_task(note(futs[1], called, ("task", num))))
                await asyncio.sleep(0)
            futs.begin()
            await asyncio.gather(*tasks)

        assert called == [(kind, num) for num in range(10) for kind in ("callback", "task")]

    @pytest.mark.proves("D3")
    @pytest.mark.parametrize("how", ["cancelled", "timed out"])
    async def test_a_waiter_that_leaves_does_not_reorder_the_others(self, how: str) -> None:
        """The others keep their order."""
        async with thp.future_dominos(expected=1) as futs, thp.mocked_call_later() as m:
            called: list[object] = []

            async def in_line(num: int) -> None:
                async with asyncio.timeout(1 if num == 2 and how == "timed out" else None):
                    await note(futs[1], called, num)

            tasks = [asyncio.create_task(in_line(num)) for num in range(5)]
            await all_that_can_fall()
            if how == "cancelled":
                tasks[2].cancel()
            await m.add(1)
            futs.begin()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert tasks[2].cancelled() == (how == "cancelled")

        assert called == [0, 1, 3, 4]

    @pytest.mark.proves("D3")
    async def test_a_callback_runs_in_the_context_in_which_it_was_added(self) -> None:
        """Not in the context of the code that knocks the domino over."""
        variable = contextvars.ContextVar("variable", default="unset")
        async with thp.future_dominos(expected=1) as futs:
            called: list[str] = []
            variable.set("as it was added")
            futs[1].add_done_callback(lambda _: called.append(variable.get()))
            variable.set("later")
            futs.begin()
            await futs[1]

        assert called == ["as it was added"]

    @pytest.mark.proves("D3")
    async def test_a_failing_callback_is_reported_to_the_loop_and_stops_nothing(self) -> None:
        """As with futures, the exception handler of the loop gets it."""
        errors: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
        failure = ValueError("callback")

        def fail(_: object) -> None:
            raise failure

        async with thp.future_dominos(expected=2) as futs:
            called: list[object] = []
            futs[1].add_done_callback(fail)
            futs[1].add_done_callback(called.append)
            futs.begin()
            await futs[1]
            await futs[2]
        loop.set_exception_handler(None)

        assert errors == [failure]
        assert called == [futs[1]]


class TestCost:
    """How much a row of dominos costs."""

    @pytest.mark.proves("D10")
    @pytest.mark.parametrize("tasks", ["one task", "as many tasks", "gathered"])
    def test_twice_as_many_dominos_cost_twice_as_much(self, tasks: str) -> None:
        """Measured in function calls, which are the same on every machine."""

        async def main(expected: int) -> None:
            nums = range(expected, 0, -1)
            async with thp.future_dominos(expected=expected, log=logging.Logger("quiet", "WARNING")) as futs:
                futs.begin()
                if tasks == "gathered":
                    await asyncio.gather(*(futs[num] for num in nums))
                elif tasks == "as many tasks":
                    await asyncio.gather(*(note(futs[num], [], num) for num in nums))
                else:
                    for num in reversed(nums):
                        await futs[num]
                await futs.finished.wait()

        def cost(expected: int) -> int:
            events: list[str] = []
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(main(expected))
                # Garbage of other tests would be counted when it is freed.
                gc.disable()
                sys.setprofile(lambda _, event, __: events.append(event))
                try:
                    runner.run(main(expected))
                finally:
                    sys.setprofile(None)
                    gc.enable()
            return len(events)

        small, middle, large = cost(100), cost(200), cost(400)
        # It would be 4 if the cost grew with the square.
        assert (large - middle) / (middle - small) < 3
