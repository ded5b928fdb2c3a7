"""The report of a block of dominos: which have fallen, and who waits for which."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from machinery import test_helpers as thp
from tests.by_hand import step
from tests.reports.reading import FIRST, Boom, logged, plain, report_of

pytestmark = pytest.mark.usefixtures("quiet_loop")


async def await_each(futs: thp.FutureDominos, *nums: int) -> None:
    """Await these dominos one after the other."""
    for num in nums:
        await futs[num]


class TestWhichHaveFallenAndWhy:
    """The first line."""

    @pytest.mark.proves("R4")
    @pytest.mark.parametrize(
        ("nums", "fallen", "following"),
        [
            ([], "none has fallen", "begin() has not been called"),
            ([0], "none has fallen", "domino 1 has not been asked for: nothing has used futs[1] yet"),
            ([0, 1], "fallen 1", "domino 2 has not been asked for: nothing has used futs[2] yet"),
            ([0, 1, 2, 3, 5, 7], "fallen 1-3", "domino 4 has not been asked for: nothing has used futs[4] yet"),
        ],
        ids=["not-begun", "begun", "one", "some"],
    )
    async def test_which_have_fallen_and_what_the_next_one_waits_for(
        self, nums: list[int], fallen: str, following: str
    ) -> None:
        """The next one is the first that has not fallen."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=9, name="upload") as futs:
                for num in nums:
                    asyncio.create_task(await_each(futs, num)) if num else futs.begin()
                await thp.wait_all_tasks_blocked()
                raise Boom

        assert report_of(caught.value)[:2] == [f"dominos 'upload' (expected=9): {fallen}", f"  {following}"]

    @pytest.mark.proves("R4")
    async def test_a_domino_that_was_asked_for_but_not_awaited_is_named(self) -> None:
        """It has fallen, and holds up the others."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=3) as futs:
                futs.begin()
                assert not futs[1].done()
                asyncio.create_task(await_each(futs, 2), name="second")
                await thp.wait_all_tasks_blocked()
                raise Boom

        assert report_of(caught.value) == [
            "dominos (expected=3): fallen 1",
            "  domino 1 has fallen, but nothing has awaited it",
            "  domino 2 is awaited by task 'second' at HERE: await futs[num]",
        ]

    @pytest.mark.proves("R4")
    async def test_dominos_that_were_set_by_hand_count_as_fallen(self) -> None:
        """Also out of turn."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=6) as futs:
                futs.begin()
                for num in (2, 3, 5):
                    futs[num].set_result(None)
                raise Boom

        assert report_of(caught.value) == [
            "dominos (expected=6): fallen 2-3, 5",
            "  domino 1 has not been asked for: nothing has used futs[1] yet",
        ]

    @pytest.mark.proves("R4")
    async def test_a_domino_that_is_to_fall_next_is_named(self) -> None:
        """Nothing is wrong with it, but the loop has not come to rest."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=2) as futs:
                futs.begin()
                assert not futs[1].done()
                raise Boom

        assert report_of(caught.value) == [
            "dominos (expected=2): none has fallen",
            "  domino 1 is next: it falls once the event loop is idle and no work is under way",
        ]

    @pytest.mark.proves("R4")
    async def test_when_all_have_fallen_none_is_left(self) -> None:
        """The failure has another reason."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=2) as futs:
                futs.begin()
                await await_each(futs, 1, 2)
                raise Boom

        assert report_of(caught.value) == ["dominos (expected=2): all have fallen"]


async def waits_for_domino_2(use: Callable[[thp.FutureDominos], Coroutine[object, object, None]]) -> str:
    """Return what a report says on who waits for domino 2 while a task named 'client' uses the dominos."""
    with pytest.raises(Boom) as caught:
        async with thp.future_dominos(expected=3) as futs:
            asyncio.create_task(use(futs), name="client")
            await thp.wait_all_tasks_blocked()
            raise Boom
    [line] = [line for line in report_of(caught.value) if "domino 2" in line]
    return line.partition(" is awaited by ")[2]


class TestWhoWaits:
    """A line for each waiter, in the order of the dominos."""

    @pytest.mark.proves("R1", "R4")
    async def test_the_example_of_the_documentation(self) -> None:
        """Who waits, and who has ended how; the message stays as it is."""

        async def one(futs: thp.FutureDominos) -> None:
            await await_each(futs, 1, 2)
            await futs[7]

        async def two(futs: thp.FutureDominos) -> None:
            await await_each(futs, 3, 4)
            raise Boom("no such file")

        async def three(futs: thp.FutureDominos) -> None:
            await futs[8]

        with pytest.raises(AssertionError) as caught:
            async with thp.future_dominos(expected=8, name="upload") as futs:
                tasks = [asyncio.create_task(each(futs), name=each.__name__) for each in (one, two, three)]
                futs.begin()
                await thp.wait_all_tasks_blocked()

        assert str(caught.value) == "Not all the futures were accessed: {5, 6}"
        assert report_of(caught.value) == [
            "dominos 'upload' (expected=8): fallen 1-4",
            f"  {FIRST}task 'two' failed after domino 4: Boom('no such file') at HERE: raise Boom(\"no such file\")",
            "  domino 5 has not been asked for: nothing has used futs[5] yet",
            "  domino 7 is awaited by task 'one' at HERE: await futs[7]",
            "  domino 8 is awaited by task 'three' at HERE: await futs[8]",
        ]
        assert isinstance(tasks[1].exception(), Boom)

    @pytest.mark.proves("R4")
    async def test_waiting_through_something_else_is_waiting_too(self) -> None:
        """Such as a time limit, or a generator."""

        async def generate(futs: thp.FutureDominos) -> AsyncIterator[int]:
            await futs[3]
            yield 3

        async def iterate(futs: thp.FutureDominos) -> None:
            async for _ in generate(futs):
                pass

        async def limited(futs: thp.FutureDominos) -> None:
            async with asyncio.timeout(None):
                await futs[2]

        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=3) as futs:
                asyncio.create_task(iterate(futs), name="iterating")
                asyncio.create_task(limited(futs), name="limited")
                await thp.wait_all_tasks_blocked()
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  begin() has not been called",
            "  domino 2 is awaited by task 'limited' at HERE: await futs[2]",
            "  domino 3 is awaited by task 'iterating' at HERE: await futs[3]",
        ]

    @pytest.mark.proves("R4")
    async def test_who_waits_through_gather_is_the_task_that_gathers(self) -> None:
        """The tasks that gather makes for dominos have names that say nothing."""

        async def both(futs: thp.FutureDominos) -> None:
            await asyncio.gather(futs[2], futs[3])

        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=3) as futs:
                asyncio.create_task(both(futs), name="both")
                await thp.wait_all_tasks_blocked()
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  begin() has not been called",
            "  domino 2 is awaited by task 'both' at HERE: await asyncio.gather(futs[2], futs[3])",
            "  domino 3 is awaited by task 'both' at HERE: await asyncio.gather(futs[2], futs[3])",
        ]

    @pytest.mark.proves("R4")
    async def test_who_waits_through_a_task_of_the_user_is_that_task(self) -> None:
        """Even though another one gathers it."""

        async def both(futs: thp.FutureDominos) -> None:
            await asyncio.gather(asyncio.create_task(await_each(futs, 2), name="child"))

        assert (await waits_for_domino_2(both)).startswith("task 'child'")

    @pytest.mark.proves("R4")
    @pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio does not know who awaits whom")
    @pytest.mark.parametrize("waiting", ["wait", "as_completed", "shield"])
    async def test_who_waits_through_other_functions_of_asyncio_is_known_since_python_3_14(self, waiting: str) -> None:
        """They wrap a domino in a task as well."""

        async def client(futs: thp.FutureDominos) -> None:
            if waiting == "wait":
                await asyncio.wait([asyncio.ensure_future(futs[2])])
            elif waiting == "as_completed":
                await next(asyncio.as_completed([futs[2]]))
            else:
                await asyncio.shield(futs[2])

        assert (await waits_for_domino_2(client)).startswith("task 'client'")

    @pytest.mark.proves("R4")
    async def test_a_callback_that_waits_is_named(self) -> None:
        """It has no task."""

        def when_fallen(domino: object) -> None:
            """Do nothing."""

        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=1) as futs:
                futs[1].add_done_callback(when_fallen)
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  begin() has not been called",
            "  domino 1 is awaited by callback when_fallen",
        ]

    @pytest.mark.proves("R4")
    async def test_ten_waiters_are_named_and_the_rest_is_counted(self) -> None:
        """However many there are."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=100) as futs:
                for num in range(100, 0, -1):
                    asyncio.create_task(await_each(futs, num), name=f"number {num}")
                await thp.wait_all_tasks_blocked()
                raise Boom

        report = report_of(caught.value)
        assert report[2:12] == [
            f"  domino {num} is awaited by task 'number {num}' at HERE: await futs[num]" for num in range(1, 11)
        ]
        assert report[12] == "  and 90 more waiters"

    @pytest.mark.proves("R4", "R13")
    async def test_numbers_that_have_gaps_are_bounded_too(self) -> None:
        """Ten spans at most."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=1000) as futs:
                for num in range(2, 1000, 2):
                    futs[num].set_result(None)
                raise Boom

        assert report_of(caught.value) == [
            "dominos (expected=1000): fallen 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, ...",
            "  begin() has not been called",
        ]


class TestWhoHasEnded:
    """Tasks that took part, and tasks that never came to it."""

    @pytest.mark.proves("R4")
    async def test_how_each_participant_ended_is_told_failures_first(self) -> None:
        """By returning, by being cancelled, by an exception."""

        async def fail(futs: thp.FutureDominos) -> None:
            await futs[1]
            raise Boom(1)

        with pytest.raises(AssertionError, match=r"^Not all the futures were accessed: \{4\}\n") as caught:
            async with thp.future_dominos(expected=4) as futs:
                returns = asyncio.create_task(await_each(futs, 1, 2), name="returning")
                waits = asyncio.create_task(await_each(futs, 3), name="cancelled")
                fails = asyncio.create_task(fail(futs), name="failing")
                await thp.wait_all_tasks_blocked()
                waits.cancel()
                futs.begin()
                await returns
                await thp.wait_all_tasks_blocked()

        assert report_of(caught.value)[1:] == [
            f"  {FIRST}task 'failing' failed after domino 1: Boom(1) at HERE: raise Boom(1)",
            "  domino 4 has not been asked for: nothing has used futs[4] yet",
            "  task 'returning' returned after domino 2",
            "  task 'cancelled' was cancelled after domino 3",
        ]
        assert isinstance(fails.exception(), Boom)

    @pytest.mark.proves("R4")
    async def test_a_task_that_was_cancelled_while_it_waited_is_told_as_such(self) -> None:
        """The domino has not fallen."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=2) as futs:
                task = asyncio.create_task(await_each(futs, 2), name="second")
                await thp.wait_all_tasks_blocked()
                task.cancel()
                await thp.wait_all_tasks_blocked()
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  begin() has not been called",
            "  task 'second' was cancelled before domino 2 fell",
        ]

    @pytest.mark.proves("R3", "R4")
    async def test_a_task_that_died_before_it_came_to_a_domino_is_told(self) -> None:
        """It is why the domino was not retrieved."""

        async def fail(futs: thp.FutureDominos) -> None:
            raise Boom(1)

        with pytest.raises(AssertionError, match=r"^Not all the futures were accessed: \{1\}\n") as caught:
            async with thp.future_dominos(expected=1) as futs:
                futs.begin()
                task = asyncio.create_task(fail(futs), name="first")
                await thp.wait_all_tasks_blocked()

        assert report_of(caught.value) == [
            "dominos (expected=1): none has fallen",
            f"  {FIRST}task 'first' failed: Boom(1) at HERE: raise Boom(1)",
            "  domino 1 has not been asked for: nothing has used futs[1] yet",
        ]
        assert isinstance(task.exception(), Boom)

    @pytest.mark.proves("R4")
    async def test_a_task_that_has_been_woken_but_has_not_run_is_told_apart(self) -> None:
        """It has not run since its domino fell."""
        with pytest.raises(Boom) as caught:
            async with thp.future_dominos(expected=1) as futs:
                asyncio.create_task(await_each(futs, 1), name="woken")
                await thp.wait_all_tasks_blocked()
                futs[1].set_result(None)
                asyncio.create_task(await_each(futs, 1), name="unborn")
                raise Boom

        assert report_of(caught.value)[1:] == [
            "  task 'woken' is about to run at HERE: await futs[num]",
            "  task 'unborn' has not begun yet at HERE:"
            " async def await_each(futs: thp.FutureDominos, *nums: int) -> None:",
        ]


class TestCancelledByTheTest:
    """A domino that the test itself has cancelled."""

    @pytest.mark.proves("R4", "R5")
    async def test_it_is_the_likely_cause_of_a_cancellation(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nobody has cancelled the task of the block, and nothing else is missing."""
        errors = []

        async def body() -> None:
            async with thp.future_dominos(expected=2) as futs:
                futs[1].cancel()
                try:
                    await futs[1]
                except asyncio.CancelledError as error:
                    errors.append(error)
                    raise

        await asyncio.wait([asyncio.create_task(body())])

        report = [
            "dominos (expected=2): fallen 1",
            f"  {FIRST}domino 1 was cancelled: by its cancel(), not from outside",
            "  begin() has not been called",
            "  the task of this block was waiting at HERE: await futs[1]",
        ]
        assert report_of(errors[0])[:4] == report
        [message] = logged(caplog)
        assert plain(message)[:5] == ["cancelled by what it awaited, not from outside the block", *report]

    @pytest.mark.proves("R4")
    async def test_in_other_reports_it_is_only_told(self) -> None:
        """Something else may have failed."""
        with pytest.raises(AssertionError) as caught:
            async with thp.future_dominos(expected=2) as futs:
                futs[1].cancel()

        assert report_of(caught.value) == [
            "dominos (expected=2): fallen 1",
            f"  {FIRST}begin() has not been called",
            "  domino 1 was cancelled: by its cancel(), not from outside",
        ]


class TestAWatchdog:
    """Cancelled from outside."""

    @pytest.mark.proves("R5")
    async def test_the_report_is_logged_once_and_shows_who_waited_when_that_happened(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Though a task group has ended them by the time that the cancellation leaves the block."""

        async def body() -> None:
            async with thp.future_dominos(expected=3) as futs:
                futs.begin()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(await_each(futs, 1, 3), name="child")

        task = asyncio.create_task(body())
        await thp.wait_all_tasks_blocked()
        task.cancel()
        await asyncio.wait([task])

        [message] = logged(caplog)
        assert plain(message)[:5] == [
            "cancelled from outside the block",
            "dominos (expected=3): fallen 1",
            "  domino 2 has not been asked for: nothing has used futs[2] yet",
            "  domino 3 is awaited by task 'child' at HERE: await futs[num]",
            "  the task of this block waits at HERE: async with asyncio.TaskGroup() as tasks:",
        ]

    @pytest.mark.proves("R10")
    async def test_a_task_that_polls_with_sleep_0_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        """No domino falls while the loop is busy."""

        async def poll(futs: thp.FutureDominos) -> None:
            for _ in itertools.takewhile(lambda _: not futs[1].done(), itertools.count()):
                await asyncio.sleep(0)

        async def body() -> None:
            async with thp.future_dominos(expected=1) as futs:
                asyncio.create_task(poll(futs), name="poller")
                futs.begin()
                await futs.finished.wait()

        task = asyncio.create_task(body())
        for _ in range(500):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        report = plain(logged(caplog)[0])
        assert report[1:6] == [
            "dominos (expected=1): none has fallen",
            f"  {FIRST}the event loop is never idle, so neither the clock nor the dominos can move",
            "    kept busy by task 'poller' at HERE: await asyncio.sleep(0)",
            "    wait for an event instead of calling sleep(0), or sleep for longer than 0",
            "  domino 1 is next: it falls once the event loop is idle and no work is under way",
        ]


class TestRepr:
    """One line, at any moment."""

    @pytest.mark.proves("R11")
    async def test_that_of_the_row_counts_the_fallen(self) -> None:
        """Before, during and after."""
        async with thp.future_dominos(expected=2, name="a\nb") as futs:
            reprs = [repr(futs)]
            futs.begin()
            await futs[1]
            reprs.append(repr(futs))
            await futs[2]
        reprs.append(repr(futs))

        assert reprs == [
            r"<dominos of 'a\nb': 0 of 2 have fallen>",
            r"<dominos of 'a\nb': 1 of 2 have fallen>",
            r"<dominos of 'a\nb': 2 of 2 have fallen>",
        ]

    @pytest.mark.proves("R11", "R13")
    async def test_that_of_a_domino_tells_its_state_whatever_it_was_given(self) -> None:
        """An exception that cannot be shown is shown as such."""

        class SilentError(Exception):
            def __repr__(self) -> str:
                raise Boom

        lines = "1\n" * 100
        async with thp.future_dominos(expected=5, name="row") as futs:
            reprs = [repr(futs[1])]
            waiter = asyncio.ensure_future(futs[1])
            await asyncio.sleep(0)
            reprs.append(repr(futs[1]))
            futs.begin()
            await waiter
            futs[2].cancel()
            futs[3].set_exception(SilentError())
            futs[4].set_exception(ValueError(lines))
            futs[5].set_result(None)
            reprs += [repr(futs[num]) for num in range(1, 5)]

        assert reprs == [
            "<domino 1 of 'row', standing, 0 waiting>",
            "<domino 1 of 'row', standing, 1 waiting>",
            "<domino 1 of 'row', fallen>",
            "<domino 2 of 'row', cancelled>",
            "<domino 3 of 'row', fallen with <SilentError whose repr raised Boom>>",
            f"<domino 4 of 'row', fallen with {repr(ValueError(lines))[:77]}...>",
        ]


class TestOutsideOfTasks:
    """A block that a callback enters and leaves, with no task."""

    @pytest.mark.proves("R1", "B6")
    async def test_an_exception_that_a_callback_lets_out_gets_its_note(self) -> None:
        """The report is made without a current task."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[BaseException] = loop.create_future()
        block = thp.future_dominos(expected=1, name="row")

        def enter_and_leave() -> None:
            step(block.__aenter__())
            error = ValueError("boom")
            step(block.__aexit__(ValueError, error, None))
            over.set_result(error)

        loop.call_soon(enter_and_leave)
        error = await over

        assert str(error) == "boom"
        assert report_of(error)[0].startswith("dominos 'row'")
