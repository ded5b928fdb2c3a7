"""Every order that is tried can happen on a plain loop."""

import asyncio
import re
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery import test_helpers as thp
from machinery.test_helpers import Outside
from tests.explore.plain_loop import ByHand

Log = list[tuple[int, str, float]]
Statement = tuple[Any, ...]

SECONDS = st.integers(1, 3)
SIMPLE: st.SearchStrategy[Statement] = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from([None, None, "wire"])),
    st.tuples(st.just("sleep"), SECONDS),
    st.just(("yield",)),
    st.just(("set",)),
    st.tuples(st.just("wait"), SECONDS),
    st.tuples(st.just("cancel"), st.integers(0, 2)),
)
STATEMENTS = st.one_of(
    SIMPLE,
    st.tuples(st.just("lock"), st.lists(SIMPLE, min_size=1, max_size=3)),
    st.tuples(st.just("timeout"), SECONDS, st.lists(SIMPLE, min_size=1, max_size=3)),
)
PROGRAMS = st.lists(st.lists(STATEMENTS, min_size=1, max_size=4), min_size=2, max_size=3)


class Program:
    """Some tasks that ask, wait, lock, time out and cancel each other; they always come to an end."""

    def __init__(self, tasks: list[list[Statement]], expect: Callable[[Log], None]) -> None:
        self._bodies = tasks
        self._expect = expect

    async def __call__(self, outside: Outside) -> None:
        """Run the tasks to their end, and have a look at what happened."""
        self._outside, self._log = outside, Log()
        self._lock, self._event = asyncio.Lock(), asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._run(name, body)) for name, body in enumerate(self._bodies)]
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._expect(self._log)

    async def _run(self, name: int, body: list[Statement]) -> None:
        for place, statement in enumerate(body):
            outcome = "cancelled"
            try:
                outcome = await self._do(name, statement)
            finally:
                self._log.append((name, f"{place} {statement[0]} {outcome}", asyncio.get_running_loop().time()))

    async def _do(self, name: int, statement: Statement) -> str:
        kind, *rest = statement
        try:
            match kind:
                case "ask":
                    await self._outside("answer", channel=rest[0])
                case "sleep":
                    await asyncio.sleep(rest[0])
                case "yield":
                    await asyncio.sleep(0)
                case "set":
                    self._event.set()
                case "wait":
                    await asyncio.wait_for(self._event.wait(), rest[0])
                    self._event.clear()
                case "cancel":
                    self._tasks[rest[0] % len(self._tasks)].cancel()
                case "lock":
                    async with self._lock:
                        await self._run(name, rest[0])
                case "timeout":
                    async with asyncio.timeout(rest[0]):
                        await self._run(name, rest[1])
        except TimeoutError:
            return "timed out"
        return "done"


def run(main: Awaitable[object]) -> None:
    """Run on a new loop; that a program has only one order is of no interest here."""

    async def quietly() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            await main

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(quietly())


@pytest.mark.proves("E3")
@given(tasks=PROGRAMS, picked=st.integers(0, 1000))
def test_each_order_can_be_replayed_on_a_plain_loop(tasks: list[list[Statement]], picked: int) -> None:
    """Futures are set by hand in the order of the note, and all happens as it did, at the same times."""
    logs: list[Log] = []
    run(thp.explore(Program(tasks, logs.append), runs=30))
    expected = logs[picked % len(logs)]

    def refuse(log: Log) -> None:
        assert log != expected

    with pytest.raises(AssertionError) as failed:
        run(thp.explore(Program(tasks, refuse), runs=30))
    note = failed.value.__notes__[-1]
    found = re.search(r"replay='(.*)'", note)
    assert found is not None
    assert "something else decides" not in note
    by_hand: list[Log] = []
    ByHand(found[1]).run(Program(tasks, by_hand.append))

    assert by_hand == [expected]
