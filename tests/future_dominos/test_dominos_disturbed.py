"""Interference: a waiter gives up, or a domino is made to fall by hand."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery import test_helpers as thp
from tests.dominos import Unusual, all_that_can_fall, fallen, note


async def cancelled(domino: thp.Domino) -> None:
    """Be cancelled while waiting."""
    task = asyncio.ensure_future(domino)
    await all_that_can_fall()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancelled_shield(domino: thp.Domino) -> None:
    """Be cancelled while somebody else waits for one."""
    task = asyncio.ensure_future(domino)
    shield = asyncio.shield(task)
    await all_that_can_fall()
    shield.cancel()
    await all_that_can_fall()
    assert not task.done()
    task.cancel()


async def cancelled_gather(domino: thp.Domino) -> None:
    """Be cancelled together with others."""
    both = asyncio.gather(domino, domino)
    await all_that_can_fall()
    both.cancel()
    with pytest.raises(asyncio.CancelledError):
        await both


async def timed_out_by_wait_for(domino: thp.Domino) -> None:
    """Time out as a call."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(domino, 1)


async def timed_out_by_timeout(domino: thp.Domino) -> None:
    """Time out as a block."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await domino


async def timed_out_by_wait(domino: thp.Domino) -> None:
    """Time out without an exception."""
    task = asyncio.ensure_future(domino)
    assert await asyncio.wait([task], timeout=1) == (set(), {task})
    task.cancel()


class TestGivingUp:
    """A waiter that leaves early."""

    @pytest.mark.proves("D4", "D9")
    @pytest.mark.parametrize(
        "give_up",
        [
            cancelled,
            cancelled_shield,
            cancelled_gather,
            timed_out_by_wait_for,
            timed_out_by_timeout,
            timed_out_by_wait,
        ],
    )
    async def test_giving_up_leaves_domino_and_chain_as_they_were(
        self, give_up: Callable[[thp.Domino], Awaitable[None]]
    ) -> None:
        """It counts as awaiting: no other task awaits the first domino, and the second falls."""
        async with thp.future_dominos(expected=2) as futs, thp.mocked_call_later():
            called: list[object] = []
            second = asyncio.create_task(note(futs[2], called, 2))
            await give_up(futs[1])
            assert fallen(futs, 1, 2) == [False, False]

            futs.begin()
            await second
            assert futs[1].result() is None

        assert called == [2]


HANDS: dict[str, Callable[[thp.Domino], None]] = {
    "set_result": lambda domino: domino.set_result(None),
    "set_exception": lambda domino: domino.set_exception(ValueError("by hand")),
    "cancel": lambda domino: domino.cancel(),
}
every_hand = pytest.mark.parametrize("hand", HANDS.values(), ids=HANDS)


Operation = Callable[[asyncio.Future[None] | thp.Domino], object]
OPERATIONS: dict[str, Operation] = {
    "set_result": lambda each: each.set_result(None),
    "set_exception": lambda each: each.set_exception(ValueError("by hand")),
    "set_exception to a class": lambda each: each.set_exception(cast(ValueError, ValueError)),
    "cancel": lambda each: [each.cancel()].clear(),
    "result": lambda each: [each.result()],
    "exception": lambda each: type(each.exception()),
    "cancelled": lambda each: each.cancelled(),
    "done": lambda each: each.done(),
}


def answer(operation: Operation, each: asyncio.Future[None] | thp.Domino) -> object:
    """Say what an operation gives or raises."""
    try:
        return operation(each)
    except (Exception, asyncio.CancelledError) as error:
        return type(error)


@pytest.mark.proves("D2")
async def test_a_callback_counts_as_awaiting_a_domino_too() -> None:
    """No task runs then."""
    async with thp.future_dominos(expected=2) as futs:
        asyncio.get_running_loop().call_soon(lambda: next(futs[1].__await__()))
        futs.begin()
        await futs[2]
        assert futs[1].done()


class TestByHand:
    """A domino that the test or the code under test knocks over."""

    @pytest.mark.proves("D5")
    @every_hand
    @pytest.mark.parametrize("num", [1, 2, 3, 4])
    @pytest.mark.parametrize("begun", [False, True], ids=["before begin", "after begin"])
    async def test_the_others_fall_in_their_order(
        self, hand: Callable[[thp.Domino], None], num: int, begun: bool
    ) -> None:
        """The one that fell by hand does not have to be awaited."""
        called: list[object] = []
        others = [other for other in (1, 2, 3, 4) if other != num]
        async with thp.future_dominos(expected=4) as futs, asyncio.TaskGroup() as tasks:
            for other in reversed(others):
                tasks.create_task(note(futs[other], called, other))
            if begun:
                futs.begin()
            hand(futs[num])
            assert fallen(futs, *others) == [False, False, False]
            if not begun:
                await all_that_can_fall()
                assert fallen(futs, *others) == [False, False, False]
                futs.begin()
            await futs.finished.wait()

        assert called == others

    @pytest.mark.proves("D3", "D5")
    @every_hand
    async def test_waiters_wake_at_once_in_order_of_arrival(self, hand: Callable[[thp.Domino], None]) -> None:
        """Before `begin()` and out of order as well."""
        async with thp.future_dominos(expected=2) as futs:
            called: list[object] = []

            async def waiter(name: str) -> None:
                with contextlib.suppress(ValueError, asyncio.CancelledError):
                    await futs[2]
                called.append(name)

            first, second = asyncio.create_task(waiter("first")), asyncio.create_task(waiter("second"))
            await asyncio.sleep(0)
            futs[2].add_done_callback(lambda _: called.append("callback"))
            hand(futs[2])
            await asyncio.gather(first, second)
            assert (called, futs[1].done()) == (["first", "second", "callback"], False)

            futs.begin()
            await futs[1]

    @pytest.mark.proves("D5")
    @pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
    @pytest.mark.parametrize("failure", [ValueError("by hand"), Unusual("by hand")], ids=repr)
    async def test_every_waiter_gets_the_exception(self, early: bool, failure: BaseException) -> None:
        """The same object, whether they came before it or after."""
        async with thp.future_dominos(expected=1) as futs:
            if not early:
                futs[1].set_exception(failure)
            ways: list[Awaitable[object]] = [futs[1], asyncio.shield(futs[1]), asyncio.gather(futs[1])]
            waiters = [asyncio.ensure_future(way) for way in (*ways, asyncio.wait_for(futs[1], 60))]
            await all_that_can_fall()
            if early:
                futs[1].set_exception(failure)
            await asyncio.wait(waiters)

        assert [waiter.exception() for waiter in waiters] == [failure] * 4
        assert (futs[1].done(), futs[1].cancelled(), futs[1].exception()) == (True, False, failure)
        with pytest.raises(type(failure), match=r"^by hand$"):
            futs[1].result()

    @pytest.mark.proves("D5")
    async def test_every_waiter_of_a_cancelled_domino_is_cancelled(self) -> None:
        """Whether they came before or after."""
        async with thp.future_dominos(expected=1) as futs:
            before = asyncio.ensure_future(futs[1])
            await asyncio.sleep(0)
            futs[1].cancel()
            after = asyncio.ensure_future(futs[1])
            await asyncio.wait([before, after])

        assert (before.cancelled(), after.cancelled(), futs[1].cancelled()) == (True, True, True)

    @pytest.mark.proves("D5")
    @every_hand
    @pytest.mark.parametrize("first", ["falls", *HANDS])
    async def test_a_domino_that_has_fallen_cannot_be_set(self, hand: Callable[[thp.Domino], None], first: str) -> None:
        """Nor does cancelling it change anything, which, as for futures, is no error."""
        async with thp.future_dominos(expected=1) as futs:
            if first == "falls":
                futs.begin()
                await futs[1]
            else:
                HANDS[first](futs[1])
            is_error = hand is not HANDS["cancel"]
            with pytest.raises(asyncio.InvalidStateError) if is_error else contextlib.nullcontext():
                hand(futs[1])

        assert futs[1].cancelled() == (first == "cancel")
        if first != "cancel":
            assert type(futs[1].exception()) is (ValueError if first == "set_exception" else type(None))

    @pytest.mark.proves("D5")
    async def test_a_domino_that_has_not_fallen_has_neither_result_nor_exception(self) -> None:
        """Asking for one is an error, as for futures."""
        async with thp.future_dominos(expected=1) as futs:
            with pytest.raises(asyncio.InvalidStateError):
                futs[1].result()
            with pytest.raises(asyncio.InvalidStateError):
                futs[1].exception()
            futs[1].set_result(None)

    @pytest.mark.proves("D5")
    @pytest.mark.parametrize("unfit", [StopIteration(), StopIteration, "no exception"], ids=repr)
    async def test_exceptions_that_a_future_rejects_are_rejected(self, unfit: ValueError) -> None:
        """With the same error, which differs between versions of Python."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with thp.future_dominos(expected=1) as futs:
            operations: list[Operation] = [lambda each: each.set_exception(unfit), OPERATIONS["done"]]
            answers = [[answer(operation, each) for operation in operations] for each in (future, futs[1])]
            futs[1].cancel()

        assert answers[0] == answers[1]

    @pytest.mark.proves("D5")
    @given(st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=4))
    def test_a_domino_behaves_like_a_future(self, names: list[str]) -> None:
        """For any sequence of operations on both."""

        async def main() -> None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            async with thp.future_dominos(expected=1) as futs:
                operations = [OPERATIONS[name] for name in names]
                answers = [(answer(operation, future), answer(operation, futs[1])) for operation in operations]
                futs[1].cancel()
            assert [from_future for from_future, _ in answers] == [from_domino for _, from_domino in answers]

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(main())

    @pytest.mark.proves("D5")
    @pytest.mark.parametrize("waiter", ["nobody", "a callback", "one who is cancelled", "one who is gone"])
    async def test_an_unread_exception_causes_no_warning(self, waiter: str) -> None:
        """The loop logs no exception that was never retrieved."""
        # What earlier tests have left would be told as well.
        gc.collect()
        told: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        async with thp.future_dominos(expected=1) as futs:
            if waiter == "a callback":
                futs[1].add_done_callback(told.append)
            task = asyncio.ensure_future(futs[1]) if waiter == "one who is cancelled" else None
            if waiter == "one who is gone":
                next(futs[1].__await__())
            await all_that_can_fall()
            futs[1].set_exception(ValueError("unread"))
            if task is not None:
                task.cancel()
            await all_that_can_fall()
            called = [futs[1]] if waiter == "a callback" else []
        del futs, task
        gc.collect()
        await asyncio.sleep(0)
        loop.set_exception_handler(None)

        assert told == called
