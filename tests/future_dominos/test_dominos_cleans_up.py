"""Dominos clean up: what leaving the block raises, and what it leaves behind."""

import asyncio
import contextlib

import pytest

from machinery import test_helpers as thp
from tests.by_hand import step
from tests.dominos import Unusual, fall


class TestWhatIsMissing:
    """The two assertions on leaving without an exception."""

    @pytest.mark.proves("D7")
    @pytest.mark.parametrize(
        ("expected", "used", "missing"),
        [
            (1, [], "{1}"),
            (4, [1, 2], "{3, 4}"),
            (4, [1, 2, 3], "{4}"),
            # As a set these are shown as {8, 1, 33, 16}.
            (33, [num for num in range(1, 34) if num not in (1, 8, 16, 33)], "{1, 8, 16, 33}"),
        ],
        ids=["none used", "two left", "one left", "scattered"],
    )
    async def test_dominos_that_nobody_asked_for_are_named(self, expected: int, used: list[int], missing: str) -> None:
        """In ascending order, whatever the order in which Python keeps a set."""
        with pytest.raises(AssertionError) as error:
            async with thp.future_dominos(expected=expected) as futs:
                for num in used:
                    futs[num].set_result(None)

        assert str(error.value) == f"Not all the futures were accessed: {missing}"

    @pytest.mark.proves("D7")
    async def test_dominos_that_stand_are_named(self) -> None:
        """In ascending order, whatever the order in which they were retrieved."""
        with pytest.raises(AssertionError) as error:
            async with thp.future_dominos(expected=4) as futs:
                _ = futs[4], futs[3]
                await fall(futs, 1, 2)

        assert str(error.value) == "Not all the futures were completed: {3, 4}"

    @pytest.mark.proves("D7")
    async def test_scattered_dominos_that_stand_are_named_in_ascending_order(self) -> None:
        """As a set these would be shown as {8, 1, 33, 16}."""
        with pytest.raises(AssertionError) as error:
            async with thp.future_dominos(expected=33) as futs:
                for num in range(33, 0, -1):
                    if num in (1, 8, 16, 33):
                        futs[num]
                    else:
                        futs[num].cancel()

        assert str(error.value) == "Not all the futures were completed: {1, 8, 16, 33}"

    @pytest.mark.proves("D7")
    async def test_that_dominos_were_not_asked_for_is_said_first(self) -> None:
        """What stands as well is not in the message."""
        with pytest.raises(AssertionError) as error:
            async with thp.future_dominos(expected=4) as futs:
                _ = futs[3], futs[1]

        assert str(error.value) == "Not all the futures were accessed: {2, 4}"

    @pytest.mark.proves("D7")
    async def test_dominos_that_fell_without_being_awaited_are_not_missing(self) -> None:
        """Falling is enough, by itself or by hand."""
        async with thp.future_dominos(expected=4) as futs:
            await fall(futs, 1)
            futs[2].cancel()
            futs[3].set_exception(ValueError("by hand"))
            futs[4].set_result(None)

    @pytest.mark.proves("D7", "D8")
    async def test_waiters_of_a_missing_domino_are_cancelled(self) -> None:
        """The assertion leaves no task waiting."""
        with pytest.raises(AssertionError) as error:
            async with thp.future_dominos(expected=3) as futs:
                futs[1]
                task = asyncio.ensure_future(futs[3])
                await asyncio.sleep(0)

        assert str(error.value) == "Not all the futures were accessed: {2}"

        async with asyncio.timeout(30):
            await asyncio.wait([task])
        assert task.cancelled()


FAILURES = [
    ValueError("body"),
    AssertionError("body"),
    RuntimeError("body"),
    StopIteration("body"),
    StopAsyncIteration("body"),
    ExceptionGroup("body", [ValueError("one"), TypeError("two")]),
    TimeoutError("body"),
    asyncio.InvalidStateError("body"),
    asyncio.CancelledError("body"),
    KeyboardInterrupt("body"),
    SystemExit("body"),
    Unusual("body"),
]
every_failure = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)


class TestFailingBody:
    """Leaving by an exception."""

    @pytest.mark.proves("D8")
    @every_failure
    async def test_the_exception_of_the_body_is_seen(self, failure: BaseException) -> None:
        """It wins over dominos that were not retrieved or have not fallen."""
        with pytest.raises(type(failure)) as error:
            async with thp.future_dominos(expected=3) as futs:
                futs[1]
                raise failure

        assert error.value is failure
        assert failure.__cause__ is None

    @pytest.mark.proves("D8")
    @every_failure
    async def test_dominos_that_stand_are_cancelled_and_the_fallen_ones_stay_as_they_are(
        self, failure: BaseException
    ) -> None:
        """Every waiter is cancelled."""
        called: list[object] = []
        with pytest.raises(type(failure)):
            async with thp.future_dominos(expected=5) as futs:
                futs[3].set_exception(ValueError("by hand"))
                await fall(futs, 1)
                waiting = [asyncio.ensure_future(futs[num]) for num in (2, 4)]
                futs[4].add_done_callback(called.append)
                async with asyncio.timeout(30):
                    await waiting[0]
                raise failure

        async with asyncio.timeout(30):
            await asyncio.wait(waiting)
        assert [futs[num].cancelled() for num in (1, 2, 3, 4)] == [False, False, False, True]
        assert [task.cancelled() for task in waiting] == [False, True]
        assert called == [futs[4]]

    @pytest.mark.proves("D8")
    async def test_leaving_by_return_is_leaving_without_an_exception(self) -> None:
        """Missing dominos are reported."""

        async def leave() -> None:
            async with thp.future_dominos(expected=1):
                return

        with pytest.raises(AssertionError) as error:
            await leave()

        assert str(error.value) == "Not all the futures were accessed: {1}"

    @pytest.mark.proves("D8")
    @pytest.mark.parametrize("begun", [False, True], ids=["before begin", "after begin"])
    async def test_a_body_that_waits_for_a_domino_can_be_cancelled(self, begun: bool) -> None:
        """It is cancelled, and so are the other waiters."""
        inside = asyncio.Event()
        waiting: list[asyncio.Future[None]] = []

        async def body() -> None:
            async with thp.future_dominos(expected=4) as futs:
                waiting.append(asyncio.ensure_future(futs[4]))
                if begun:
                    await fall(futs, 1)
                inside.set()
                await futs[3]

        task = asyncio.create_task(body())
        await inside.wait()
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait([task, *waiting])

        assert (task.cancelled(), waiting[0].cancelled()) == (True, True)

    @pytest.mark.proves("D8")
    async def test_a_timeout_around_the_block_is_seen_as_a_timeout(self) -> None:
        """The cancellation that it sends through the block is not changed on the way."""
        async with thp.mocked_call_later():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), thp.future_dominos(expected=2) as futs:
                    await futs[2]


class TestLeftBehind:
    """What is there after the block."""

    @pytest.mark.proves("D8")
    @pytest.mark.parametrize("leave", ["cleanly", "missing", "failing"])
    async def test_no_task_of_ours_is_left(self, leave: str) -> None:
        """There is none inside the block either."""
        before = asyncio.all_tasks()
        with contextlib.suppress(AssertionError, ValueError):
            async with thp.future_dominos(expected=2) as futs:
                await fall(futs, 1)
                inside = asyncio.all_tasks()
                if leave == "failing":
                    raise ValueError
                if leave == "cleanly":
                    await futs[2]

        # An earlier test on this loop may have left one that ends meanwhile.
        assert (inside - before, asyncio.all_tasks() - before) == (set(), set())

    @pytest.mark.proves("D8")
    @pytest.mark.parametrize("leave", ["cleanly", "missing", "failing"])
    async def test_nobody_is_left_waiting_for_finished(self, leave: str) -> None:
        """However the block is left, waiters of `finished` wake up."""
        with contextlib.suppress(AssertionError, ValueError):
            async with thp.future_dominos(expected=2) as futs:
                task = asyncio.create_task(futs.finished.wait())
                await fall(futs, 1)
                if leave == "failing":
                    raise ValueError
                if leave == "cleanly":
                    await futs[2]

        await asyncio.wait([task], timeout=0.1)
        is_left = not task.done()
        task.cancel()
        assert not is_left

    @pytest.mark.proves("D8")
    async def test_nobody_is_left_waiting_for_started(self) -> None:
        """A task that waits for the beginning and then for a domino finds that cancelled."""

        async def work() -> None:
            await futs.started.wait()
            await futs[1]

        with contextlib.suppress(ValueError):
            async with thp.future_dominos(expected=1) as futs:
                task = asyncio.create_task(work())
                await asyncio.sleep(0)
                raise ValueError

        await asyncio.wait([task], timeout=30)
        is_left = not task.done()
        task.cancel()
        assert not is_left
        assert task.cancelled()

    @pytest.mark.proves("D8")
    async def test_awaiting_a_domino_after_the_block_returns_at_once(self) -> None:
        """One that is retrieved late is cancelled; those that fell stay as they were."""
        with contextlib.suppress(ValueError):
            async with thp.future_dominos(expected=3) as futs:
                await fall(futs, 1)
                futs[2]
                raise ValueError

        futs.begin()
        late = [asyncio.ensure_future(futs[num]) for num in (1, 2, 3)]
        async with asyncio.timeout(30):
            await asyncio.wait(late)
        assert [task.cancelled() for task in late] == [False, True, True]

    @pytest.mark.proves("D1", "D8")
    async def test_after_the_block_numbers_out_of_range_are_still_index_errors(self) -> None:
        """The row knows how long it was."""
        async with thp.future_dominos(expected=1) as futs:
            await fall(futs, 1)

        with pytest.raises(IndexError, match=r"^there is no domino 2: the numbers go from 1 to 1$"):
            futs[2]

    @pytest.mark.proves("D8")
    async def test_after_the_block_nothing_falls_any_more(self) -> None:
        """A late `begin()` has no effect."""
        with pytest.raises(AssertionError) as error:
            async with thp.future_dominos(expected=1) as futs:
                futs[1]

        assert str(error.value) == "Not all the futures were completed: {1}"

        futs.begin()
        async with thp.mocked_call_later() as m:
            await m.add(1)
        assert futs[1].cancelled()

    @pytest.mark.proves("D8")
    @pytest.mark.parametrize("leave", ["cleanly", "missing", "failing"])
    async def test_a_second_row_works_after_the_first_however_that_was_left(self, leave: str) -> None:
        """Nothing of the first one is in the way."""
        called: list[object] = []
        with contextlib.suppress(AssertionError, ValueError):
            async with thp.future_dominos(expected=2) as futs:
                await fall(futs, 1)
                if leave == "failing":
                    raise ValueError
                if leave == "cleanly":
                    await futs[2]

        async with thp.future_dominos(expected=2) as futs:
            for num in (1, 2):
                futs[num].add_done_callback(called.append)
            futs.begin()
            await futs.finished.wait()
        assert called == [futs[1], futs[2]]

    @pytest.mark.proves("D8")
    def test_closing_the_loop_inside_the_block_cancels_the_dominos(self) -> None:
        """Leaving the block afterwards still works, although no waiter can be woken."""
        loop = asyncio.new_event_loop()
        block = thp.future_dominos(expected=1)
        futs = loop.run_until_complete(block.__aenter__())
        first = futs[1]
        loop.close()
        assert first.cancelled()

        with pytest.raises(StopIteration):
            block.__aexit__(None, None, None).send(None)

    @pytest.mark.proves("B6", "D8")
    def test_closing_the_loop_puts_everything_back(self) -> None:
        """Also when `wait_all_tasks_blocked` was waiting on it."""
        loop = asyncio.new_event_loop()
        selector = loop._selector  # type: ignore[attr-defined]
        before = set(vars(loop)), set(vars(selector))
        block, waiting = thp.future_dominos(expected=1), thp.wait_all_tasks_blocked()

        def open_both_and_stop() -> None:
            step(block.__aenter__())
            waiting.send(None)
            loop.stop()

        loop.call_soon(open_both_and_stop)
        loop.run_forever()
        loop.close()

        assert (set(vars(loop)), set(vars(selector))) == before
        waiting.close()

    @pytest.mark.proves("D8")
    def test_dominos_can_be_left_when_their_loop_has_been_closed(self) -> None:
        """The exception of the body is not masked, though waiters can no longer be woken."""
        loop = asyncio.new_event_loop()
        block = thp.future_dominos(expected=1)

        def open_it_and_stop() -> None:
            futs = step(block.__aenter__())
            futs[1].add_done_callback(print)  # type: ignore[index]
            loop.stop()

        loop.call_soon(open_it_and_stop)
        loop.run_forever()
        type(loop).close(loop)

        assert not step(block.__aexit__(ValueError, ValueError("of the body"), None))
