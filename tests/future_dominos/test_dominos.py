"""Dominos work: the documented example, and how they are awaited, begun and finished."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Protocol, cast

import pytest

from machinery import test_helpers as thp


class WaitForAnything(Protocol):
    """What `asyncio.wait` is at run time: more than futures will do."""

    def __call__(
        self, fs: Iterable[thp.Domino], *, return_when: str = asyncio.ALL_COMPLETED
    ) -> Awaitable[tuple[set[thp.Domino], set[thp.Domino]]]:
        """Give those that are done and those that are not."""


wait = cast(WaitForAnything, asyncio.wait)


@pytest.mark.proves("D2", "D3", "D6")
async def test_the_documented_example_works() -> None:
    """The example of the documentation stands here word for word, but for where its `loop` comes from."""
    loop = asyncio.get_running_loop()

    async with thp.future_dominos(loop=loop, expected=8) as futs:
        called: list[object] = []

        async def one() -> None:
            await futs[1]
            called.append("first")
            await futs[2]
            called.append("second")
            await futs[5]
            called.append("fifth")
            await futs[7]
            called.append("seventh")

        async def two() -> AsyncGenerator[tuple[str, int]]:
            await futs[3]
            called.append("third")

            start = 4
            while start <= 6:
                await futs[start]
                called.append(("gen", start))
                yield ("genresult", start)
                start += 2

        async def three() -> None:
            await futs[8]
            called.append("final")

        loop.create_task(three())
        loop.create_task(one())

        async def run_two() -> None:
            async for r in two():
                called.append(r)

        loop.create_task(run_two())
        futs.begin()
        await futs.finished.wait()

        assert called == [
            "first",
            "second",
            "third",
            ("gen", 4),
            ("genresult", 4),
            "fifth",
            ("gen", 6),
            ("genresult", 6),
            "seventh",
            "final",
        ]


async def in_timeout(domino: thp.Domino) -> None:
    """Wait in a block that has a timeout."""
    async with asyncio.timeout(60):
        await domino


async def in_task_group(domino: thp.Domino) -> None:
    """Wait for a task that waits."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(in_timeout(domino))


Way = Callable[[thp.Domino], Awaitable[object]]
WAYS: dict[str, Way] = {
    "await": lambda domino: domino,
    "ensure_future": asyncio.ensure_future,
    "gather": asyncio.gather,
    "gather with others": lambda domino: asyncio.gather(asyncio.sleep(0), domino, return_exceptions=True),
    "wait": lambda domino: wait([domino]),
    "wait_for": lambda domino: asyncio.wait_for(domino, 60),
    "wait_for without end": lambda domino: asyncio.wait_for(domino, None),
    "shield": asyncio.shield,
    "as_completed": lambda domino: next(iter(asyncio.as_completed([domino]))),
    "timeout": in_timeout,
    "TaskGroup": in_task_group,
}
if sys.version_info >= (3, 13):

    async def in_async_for(domino: thp.Domino) -> None:
        """Wait as for those of many that are done first."""
        async for each in asyncio.as_completed([domino]):
            await each

    WAYS["async for"] = in_async_for
every_way = pytest.mark.parametrize("wait_by", WAYS.values(), ids=WAYS)


class TestAwaiting:
    """All that can be done with a future, in the order of the dominos."""

    @pytest.mark.proves("D3")
    async def test_awaiting_gives_none(self) -> None:
        """Before the fall and after it, once and again."""
        async with thp.future_dominos(expected=1) as futs:
            futs.begin()
            ways: list[Awaitable[object]] = [futs[1], futs[1], asyncio.wait_for(futs[1], 60), asyncio.shield(futs[1])]
            results = [await way for way in ways]
            results.extend(await asyncio.gather(futs[1], asyncio.ensure_future(futs[1])))

        assert results == [None] * 6

    @pytest.mark.proves("D2", "D3")
    @every_way
    async def test_every_way_of_awaiting_keeps_the_order(self, wait_by: Way) -> None:
        """The waiters of each domino have all run before the next one falls."""
        called: list[tuple[int, str]] = []

        async def waiter(num: int, name: str) -> None:
            await wait_by(futs[num])
            called.append((num, name))

        async with thp.future_dominos(expected=4) as futs, asyncio.TaskGroup() as tasks:
            for num in (3, 1, 4, 2):
                tasks.create_task(waiter(num, "a"))
                tasks.create_task(waiter(num, "b"))
            futs.begin()

        assert called == [(num, name) for num in (1, 2, 3, 4) for name in "ab"]

    @pytest.mark.proves("D2", "D3")
    async def test_dominos_gathered_together_fall_in_their_order(self) -> None:
        """The order in which they are given does not count."""
        async with thp.future_dominos(expected=3) as futs:
            called: list[object] = []
            for num in (1, 2, 3):
                futs[num].add_done_callback(called.append)
            futs.begin()
            await asyncio.gather(futs[3], futs[1], futs[2])

        assert called == [futs[1], futs[2], futs[3]]

    @pytest.mark.proves("D3")
    async def test_waiting_for_the_first_gives_the_first(self) -> None:
        """`asyncio.wait` tells the dominos themselves apart, for they are hashable."""
        async with thp.future_dominos(expected=3) as futs:
            futs.begin()
            done, pending = await wait({futs[3], futs[1], futs[2]}, return_when=asyncio.FIRST_COMPLETED)
            assert (done, pending) == ({futs[1]}, {futs[2], futs[3]})

            done, pending = await wait(pending)
            assert (done, pending) == ({futs[2], futs[3]}, set())

    @pytest.mark.proves("D3")
    async def test_who_has_waited_for_the_first_does_not_wait_for_the_others(self) -> None:
        """Nothing is kept for them."""
        async with thp.future_dominos(expected=2) as futs:
            futs.begin()
            await wait({futs[1], futs[2]}, return_when=asyncio.FIRST_COMPLETED)
            standing = repr(futs[2])
            await futs[2]

        assert "0 waiting" in standing

    @pytest.mark.proves("D2", "D3")
    async def test_dominos_are_yielded_as_completed_in_their_order(self) -> None:
        """None is skipped and none comes early."""
        async with thp.future_dominos(expected=3) as futs:
            futs.begin()
            states = []
            for each in asyncio.as_completed([futs[3], futs[1], futs[2]]):
                await each
                states.append([futs[num].done() for num in (1, 2, 3)])

        assert states == [[True, False, False], [True, True, False], [True, True, True]]

    @pytest.mark.proves("D3")
    async def test_a_done_callback_gets_the_domino_and_is_given_back(self) -> None:
        """It is called by the loop and not at once, also when it comes after the fall."""
        async with thp.future_dominos(expected=1) as futs:
            called: list[object] = []

            def early(fut: object) -> None:
                called.append(("early", fut))

            def late(fut: object) -> None:
                called.append(("late", fut))

            assert futs[1].add_done_callback(early) is early
            futs.begin()
            await futs.finished.wait()
            assert futs[1].add_done_callback(late) is late
            assert called == [("early", futs[1])]
            await asyncio.sleep(0)

        assert called == [("early", futs[1]), ("late", futs[1])]

    if sys.version_info >= (3, 12):

        @pytest.mark.proves("D3")
        def test_eager_tasks_keep_the_order(self) -> None:
            """Their first step runs while they are created."""
            called: list[int] = []

            async def waiter(futs: thp.FutureDominos, num: int) -> None:
                await futs[num]
                called.append(num)

            async def main() -> None:
                asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
                async with thp.future_dominos(expected=3) as futs, asyncio.TaskGroup() as tasks:
                    for num in (3, 2, 1):
                        tasks.create_task(waiter(futs, num))
                    futs.begin()

            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(main())

            assert called == [1, 2, 3]

    @pytest.mark.proves("D2")
    async def test_a_coroutine_function_is_no_done_callback(self) -> None:
        """It would never be awaited."""

        async def forgotten(domino: object) -> None:
            pytest.fail("this cannot be reached")

        async with thp.future_dominos(expected=1) as futs:
            with pytest.raises(TypeError, match=r"^a done-callback must be a plain function, got the coroutine .*"):
                futs[1].add_done_callback(forgotten)  # type: ignore[arg-type]
            futs[1].set_result(None)


class TestBeginningAndFinishing:
    """The two events of a row."""

    @pytest.mark.proves("D2", "D6")
    async def test_beginning_sets_started_at_once(self) -> None:
        """Beginning again does nothing."""
        async with thp.future_dominos(expected=1) as futs:
            before = futs.started.is_set()
            futs.begin()
            futs.begin()
            after = futs.started.is_set()
            await futs[1]
            futs.begin()
            await futs.finished.wait()

        assert (before, after) == (False, True)

    @pytest.mark.proves("D6")
    async def test_started_wakes_those_who_wait_for_it(self) -> None:
        """They run before the first domino falls."""
        async with thp.future_dominos(expected=1) as futs:
            called: list[str] = []

            async def on_started() -> None:
                await futs.started.wait()
                called.append("started")

            async def first() -> None:
                await futs[1]
                called.append("first")

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(first())
                tasks.create_task(on_started())
                await asyncio.sleep(0)
                futs.begin()

        assert called == ["started", "first"]

    @pytest.mark.proves("D6")
    async def test_finished_is_set_when_what_the_last_one_woke_has_run(self) -> None:
        """All that the last domino sets off comes before it."""
        async with thp.future_dominos(expected=2) as futs:
            called: list[object] = []

            async def last() -> None:
                await futs[2]
                for step in range(50):
                    called.append(step)
                    assert not futs.finished.is_set()
                    await asyncio.sleep(0)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(last())
                futs.begin()
                await futs[1]
                assert not futs.finished.is_set()
                await futs.finished.wait()
                called.append("finished")

        assert called == [*range(50), "finished"]

    @pytest.mark.proves("D6")
    async def test_the_last_domino_finishes_the_row_though_nobody_awaits_it(self) -> None:
        """It has only to be retrieved, as any other, to fall."""
        async with thp.future_dominos(expected=1) as futs:
            futs[1]
            futs.begin()
            await futs.finished.wait()

        assert futs[1].done()

    @pytest.mark.proves("D6")
    async def test_the_events_are_the_same_each_time(self) -> None:
        """They can be kept and handed on."""
        async with thp.future_dominos(expected=0) as futs:
            assert futs.started is futs.started
            assert futs.finished is futs.finished
