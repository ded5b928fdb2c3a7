"""Which orders are tried, without any loop."""

import pytest

from machinery._test_helpers._orders import CLOCK, GO_ON, Choices, Replay, Search, Step, domino_numbers, replay_text


def play(choices: Choices, *widths: int) -> tuple[int, ...]:
    """Make a choice at each of these points, and return all that were made."""
    return tuple(choices.choose(range(width), None) for width in widths)


class TestSearch:
    """The search as a whole."""

    @pytest.mark.proves("E5")
    def test_all_orders_are_tried_once_by_fewest_departures(self) -> None:
        """The first one has none."""
        search = Search(100, seed=0)
        tried = [play(choices, 2, 3, 2) for choices in search]

        departures = [sum(choice > 0 for choice in each) for each in tried]
        assert len(set(tried)) == len(tried) == 2 * 3 * 2
        assert departures == sorted(departures)
        assert tried[0] == (0, 0, 0)
        assert (search.complete, search.tried) == (True, 12)

    @pytest.mark.proves("E5")
    def test_half_of_the_runs_are_at_random(self) -> None:
        """The same ones for the same seed."""

        def tried(seed: int) -> list[tuple[bool, tuple[int, ...]]]:
            search = Search(20, seed)
            return [(choices.is_random, play(choices, *[3] * 10)) for choices in search]

        assert [is_random for is_random, _ in tried(0)] == [False] * 10 + [True] * 10
        assert tried(0) == tried(0)
        assert tried(0)[:10] == tried(1)[:10]
        assert tried(0)[10:] != tried(1)[10:]

    @pytest.mark.proves("E5")
    @pytest.mark.parametrize("runs", [1, 2, 3, 10, 23])
    def test_no_more_orders_are_tried_than_wanted(self, runs: int) -> None:
        """There are 24, of which half of the runs would have to find all."""
        search = Search(runs, seed=0)

        assert len([play(choices, 2, 3, 4) for choices in search]) == search.tried == runs
        assert not search.complete

    @pytest.mark.proves("E5")
    def test_one_order_is_complete_with_one_run(self) -> None:
        """Nothing was ever chosen."""
        search = Search(1, seed=0)

        assert [play(choices, 1, 1) for choices in search] == [(0, 0)]
        assert search.complete

    @pytest.mark.proves("E5")
    def test_a_run_that_does_not_offer_the_same_again_makes_the_search_incomplete(self) -> None:
        """There may be orders that cannot be reached on purpose."""
        search = Search(100, seed=0)
        for number, choices in enumerate(search):
            play(choices, 3 if number == 0 else 2)

        assert search.tried == 3
        assert not search.complete

    @pytest.mark.proves("E5")
    def test_a_random_order_comes_to_an_end(self) -> None:
        """It departs no more after many choices, since a scenario might go on while it does."""
        choices = [choices for choices in Search(40, seed=0) if play(choices, *[2] * 1100)][20:]

        assert all(each.is_random for each in choices)
        assert any(any(each.taken[900:1000]) for each in choices)
        assert not any(any(each.taken[1000:]) for each in choices)

    @pytest.mark.proves("E6")
    def test_simpler_orders_leave_out_some_departures(self) -> None:
        """Half of them at first, and each alone at last."""
        choices = Choices((1, 0, 2, 1, 1))
        play(choices, 2, 2, 3, 2, 2)

        assert list(choices.with_fewer_departures()) == [
            (0, 0, 0, 1, 1),
            (1, 0, 2, 0, 0),
            (0, 0, 2, 1, 1),
            (1, 0, 0, 1, 1),
            (1, 0, 2, 0, 1),
            (1, 0, 2, 1, 0),
        ]


STEPS = [
    Step(1, None, 1, 0.0),
    Step(3, 0, GO_ON, 0.0),
    Step(CLOCK, 12, GO_ON, 1.0),
    Step(2, None, 2, 1.0),
]


class TestReplay:
    """Orders as text."""

    @pytest.mark.proves("E6")
    def test_an_order_is_written_down_up_to_its_last_departure(self) -> None:
        """What follows is first come, first served."""
        assert replay_text(STEPS) == "1 3@0 clock@12"
        assert replay_text(STEPS[:1]) == ""

    @pytest.mark.proves("E6")
    def test_a_replay_takes_what_was_written_down(self) -> None:
        """Each at its place, and what comes first after that."""
        replay = Replay("2 3@0 clock@1200")

        assert replay.choose([GO_ON, 1, 2], 1) == GO_ON
        assert replay.choose([1, 2], None) == 2
        assert replay.choose([GO_ON, 1, 3], 0) == 3
        assert replay.choose([GO_ON, 1, CLOCK], 1199) == GO_ON
        assert replay.choose([GO_ON, 1, CLOCK], 1200) == CLOCK
        assert replay.choose([1, 4], None) == 1
        replay.note_end()
        assert replay.misfit is None

    @pytest.mark.proves("E6")
    @pytest.mark.parametrize(
        ("text", "options", "after"),
        [
            ("2", [1, 3], None),
            ("2@1", [GO_ON, 1], 1),
            ("2@1", [GO_ON, 2], 2),
            ("2@1", [1, 2], None),
            ("2", [1, 2], 101),
        ],
    )
    def test_a_step_that_is_not_offered_is_a_misfit(self, text: str, options: list[int], after: int | None) -> None:
        """The run goes on first come, first served, and what was not possible is kept."""
        replay = Replay(f"7 {text}")

        assert replay.choose([7], None) == 7
        assert replay.choose(options, after) == options[0]
        assert replay.choose([2], None) == 2
        replay.note_end()
        assert replay.misfit == f"step 2 of replay='7 {text}', which is {text}, is not possible in this run"

    @pytest.mark.proves("E6")
    def test_an_early_end_is_a_misfit(self) -> None:
        """Not all steps were taken."""
        replay = Replay("1")
        replay.note_end()

        assert replay.misfit == "step 1 of replay='1', which is 1, is not possible in this run"

    @pytest.mark.proves("E9")
    @pytest.mark.parametrize("text", ["read", "0", "-1", "1@", "1,2", "clock@x"])
    def test_what_no_note_shows_is_refused(self, text: str) -> None:
        """The message shows what it has to look like."""
        with pytest.raises(ValueError, match=r"replay must be what a note of explore shows, such as '1 3@0 clock'"):
            Replay(f"1 {text}")


@pytest.mark.proves("E6")
@pytest.mark.parametrize(
    ("steps", "asked", "dominos"),
    [
        ([], 0, []),
        ([(1, None), (3, None), (2, None)], 3, [1, 3, 2]),
        ([(1, None), (3, 0), (2, None)], 3, [1, 2, 1]),
        ([(3, None)], 4, [2, 3, 1, 4]),
        ([(3, None), (1, 0)], 3, None),
        ([(1, None), (2, 1)], 2, None),
        ([(CLOCK, None)], 1, None),
    ],
    ids=["nothing", "another order", "together", "not arrived", "together, later one first", "while busy", "clock"],
)
def test_an_order_is_made_with_dominos_where_that_is_possible(
    steps: list[tuple[int, int | None]], asked: int, dominos: list[int] | None
) -> None:
    """Each answer gets the number of a domino."""
    assert domino_numbers([Step(number, after, number, 0.0) for number, after in steps], asked) == dominos
