"""Which bugs are found, and what is left alone."""

import asyncio
import re
import sys
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from machinery import test_helpers as thp
from machinery.test_helpers import Outside, Stuck
from tests.explore.buggy import BUGGY, Scenario, connection_lost_to_a_cancelled_waiter
from tests.explore.plain_loop import ByHand
from tests.explore.right import RIGHT

T = TypeVar("T")


def on_asyncio(main: Coroutine[object, object, T]) -> T:
    """Run on a loop of asyncio, which shows each iteration."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)


async def replay_of_failure(scenario: Scenario, *, runs: int) -> tuple[type[BaseException], str]:
    """Return the type of the exception that the scenario fails with, and what to pass as `replay`."""
    with pytest.raises(Exception, match=r"explore: order") as failed:
        await thp.explore(scenario, runs=runs)
    found = re.search(r"replay='(.*)'", failed.value.__notes__[-1])
    assert found is not None
    return failed.type, found[1]


@pytest.mark.proves("E1")
@pytest.mark.parametrize("scenario", BUGGY, ids=lambda each: each.__name__)
def test_a_bug_is_found_in_few_runs(scenario: Scenario) -> None:
    """Each of these needs four orders at most."""
    kind, replay = on_asyncio(replay_of_failure(scenario, runs=8))

    with pytest.raises(kind, match=r"explore: this order fails"):
        on_asyncio(thp.explore(scenario, replay=replay))


@pytest.mark.proves("E1", "E3")
@pytest.mark.parametrize("scenario", BUGGY, ids=lambda each: each.__name__)
def test_what_is_found_fails_on_a_plain_loop_as_well(scenario: Scenario) -> None:
    """Nothing of ours is needed: only the order counts."""
    kind, replay = on_asyncio(replay_of_failure(scenario, runs=8))

    if issubclass(kind, Stuck):
        assert not ByHand(replay).run(scenario)
    else:
        with pytest.raises(kind):
            ByHand(replay).run(scenario)


@pytest.mark.proves("E1", "E3")
def test_a_bug_that_needs_two_answers_in_one_iteration_is_found() -> None:
    """Wherever the second answer comes later, the program is right."""
    scenario = connection_lost_to_a_cancelled_waiter
    _, replay = on_asyncio(replay_of_failure(scenario, runs=8))

    assert replay == "1 2@0"
    for other in ("1 2@1", "1 2", "2 1", "2 1@0"):
        on_asyncio(thp.explore(scenario, replay=other))


@pytest.mark.proves("E2")
@pytest.mark.parametrize("scenario", RIGHT, ids=lambda each: each.__name__)
async def test_a_program_that_is_right_is_left_alone(scenario: Scenario) -> None:
    """Whatever relies on the order of tasks, locks and timers passes, and all orders are tried."""
    explored = await thp.explore(scenario, runs=300)

    assert explored.complete
    assert explored.runs < 150


if sys.version_info >= (3, 12):

    @pytest.mark.proves("E1", "E2")
    def test_eager_tasks_make_no_difference() -> None:
        """What is wrong is found, and what is right is left alone."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            for scenario in BUGGY:
                await replay_of_failure(scenario, runs=8)
            for scenario in RIGHT:
                assert (await thp.explore(scenario, runs=300)).complete

        on_asyncio(main())


async def cancellation_swallowed_by_wait_for(outside: Outside) -> None:
    """A reply and a cancellation meet in `asyncio.wait_for`."""

    async def fetch() -> None:
        await asyncio.wait_for(outside("reply"), 5)

    task = asyncio.create_task(fetch())
    await outside("stop")
    was_running = task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or not was_running


@pytest.mark.proves("E1")
def test_a_bug_of_python_itself_is_found() -> None:
    """`asyncio.wait_for` swallowed cancellations up to Python 3.11."""
    if sys.version_info < (3, 12):
        kind, _ = on_asyncio(replay_of_failure(cancellation_swallowed_by_wait_for, runs=20))
        assert kind is AssertionError
    else:
        assert on_asyncio(thp.explore(cancellation_swallowed_by_wait_for, runs=200)).complete
