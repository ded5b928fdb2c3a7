"""What is explored on uvloop, which does not show its iterations."""

import asyncio

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _scenario_run
from machinery.test_helpers import Outside
from tests.explore.buggy import BUGGY, Scenario, connection_lost_in_hand_over
from tests.explore.right import RIGHT
from tests.loops import FACTORIES, run_on

pytestmark = pytest.mark.skipif("uvloop" not in FACTORIES, reason="there is no uvloop here")


@pytest.mark.proves("E10")
@pytest.mark.parametrize("scenario", BUGGY, ids=lambda each: each.__name__)
def test_most_bugs_are_found_on_uvloop(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for one that needs the clock to move while the loop is busy; a deadlock takes some time there."""
    monkeypatch.setattr(_scenario_run, "UNSURE_AFTER", 0.02)

    async def main() -> None:
        if scenario is connection_lost_in_hand_over:
            assert (await thp.explore(scenario)).complete
        else:
            with pytest.raises(Exception, match=r"explore: order \d of at most 8 fails"):
                await thp.explore(scenario, runs=8)

    run_on("uvloop", main())


@pytest.mark.proves("E10")
@pytest.mark.parametrize("scenario", RIGHT, ids=lambda each: each.__name__)
def test_what_is_right_is_left_alone_on_uvloop(scenario: Scenario) -> None:
    """All orders that can be made there are tried."""

    async def main() -> None:
        assert (await thp.explore(scenario)).complete

    run_on("uvloop", main())


@pytest.mark.proves("E10")
def test_several_answers_arrive_together_on_uvloop() -> None:
    """In one iteration of an idle loop, with the clock."""
    log: list[str] = []

    async def scenario(outside: Outside) -> None:
        async def note(name: str, seconds: float | None = None) -> None:
            await (outside(name) if seconds is None else asyncio.sleep(seconds))
            log.append(name)

        await asyncio.gather(note("a"), note("b"), note("slept", 5))

    async def main() -> None:
        await thp.explore(scenario, replay="2 1@0 clock@0")

    run_on("uvloop", main())
    assert log == ["b", "a", "slept"]
