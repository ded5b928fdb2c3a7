"""For how long pieces of work hold, on a loop whose rest is counted by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from machinery._test_helpers._pieces import Piece, Pieces


class Rest(SimpleNamespace):
    """Stands in for the hook of a loop."""

    total_idle_seconds = 0.0

    def has_events(self) -> bool:
        """Say that nothing has come."""
        return False


@pytest.fixture
def rest() -> Any:
    """Give how long the loop has been at rest."""
    return Rest()


@pytest.fixture
def pieces(rest: Any) -> Pieces:
    """Give the work of a loop that never waits for the rest of an answer longer than 0.05 s."""
    return Pieces(rest)


def begin(pieces: Pieces, key: str, kind: str) -> None:
    """Begin a piece of work."""
    pieces.begin(key, Piece(kind, lambda: kind, None))


def held(pieces: Pieces) -> float:
    """Return for how many more seconds something holds."""
    return round(pieces.hold_seconds("the clock", lambda _: 0.05), 6)


def test_work_that_makes_progress_holds_as_if_it_had_begun_now(rest: Any, pieces: Pieces) -> None:
    """As a server does that reads a long request slowly."""
    begin(pieces, "upload", "a")
    rest.total_idle_seconds = 1.5
    assert held(pieces) == 0.5

    pieces.note_progress("upload")
    assert held(pieces) == 2


def test_work_of_a_kind_that_did_not_end_in_time_holds_for_half_as_long_each_time(rest: Any, pieces: Pieces) -> None:
    """At first for a tenth of a second, and for two seconds again once one has ended."""
    limits = []
    for key in "abcd":
        begin(pieces, key, "metric")
        limits.append(pieces.under_way[key].limit)
        rest.total_idle_seconds += 2
        held(pieces)
        pieces.abandon(key)
    assert limits == [2, 0.1, 0.05, 0.025]

    begin(pieces, "in time", "metric")
    pieces.end("in time")
    begin(pieces, "next", "metric")

    assert held(pieces) == 2


def test_an_answer_does_not_shorten_how_long_other_work_holds(rest: Any, pieces: Pieces) -> None:
    """What may follow the answer is waited for when nothing else is."""
    begin(pieces, "slow", "a")
    pieces.note_answer("quick", lambda: None)
    assert held(pieces) == 2

    pieces.end("slow")

    assert held(pieces) == 0.05
