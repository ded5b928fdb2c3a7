"""What dominos and virtual time log, and how they show their names."""

import logging
from typing import Any
from unittest import mock

import pytest

from machinery import helpers as hp
from machinery import test_helpers as thp
from machinery._test_helpers._block import open_blocks
from tests.dominos import fall
from tests.reports.reading import records

NAME = "machinery.test_helpers"


class Lines:
    """A log that keeps what it is told, without being a logger."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, msg: object, /, *args: object, exc_info: BaseException | None = None) -> None:
        """Keep it."""
        self.lines.append(str(msg) % args)

    debug = warning = error = exception = info


class TestLogs:
    """One line when a domino is asked for, and one when it falls."""

    @pytest.mark.proves("B1")
    async def test_the_default_log_gets_a_line_for_each_retrieval_and_each_fall(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Asking again, and awaiting again, says nothing more."""
        with caplog.at_level(logging.INFO, logger=NAME):
            async with thp.future_dominos(expected=2) as futs:
                await fall(futs, 1, 1, 2, 2)

        assert [(each.name, each.levelno, each.getMessage()) for each in records(caplog)] == [
            (NAME, logging.INFO, "domino 1 was retrieved"),
            (NAME, logging.INFO, "domino 1 has fallen"),
            (NAME, logging.INFO, "domino 2 was retrieved"),
            (NAME, logging.INFO, "domino 2 has fallen"),
        ]

    @pytest.mark.proves("B1", "B2")
    @pytest.mark.parametrize("kind", ["logger", "adapter", "anything"])
    async def test_a_log_that_is_given_gets_the_lines_instead(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Any logger or adapter will do, and so will what is only shaped like one."""
        anything, logger = Lines(), logging.getLogger("tests.both")
        logs: dict[str, hp.protocols.Logger] = {
            "logger": logger,
            "adapter": logging.LoggerAdapter(logger, {}),
            "anything": anything,
        }
        with caplog.at_level(logging.INFO):
            async with thp.future_dominos(expected=1, name="race", log=logs[kind]) as futs:
                await fall(futs, 1)

        lines = ["domino 1 of 'race' was retrieved", "domino 1 of 'race' has fallen"]
        told = [] if kind == "anything" else [("tests.both", logging.INFO, line) for line in lines]
        assert [(each.name, each.levelno, each.getMessage()) for each in records(caplog)] == told
        assert anything.lines == (lines if kind == "anything" else [])

    @pytest.mark.proves("B1")
    async def test_a_domino_that_is_knocked_over_by_hand_has_its_line_as_well(self) -> None:
        """One for each, whatever was done to it."""
        log = Lines()
        async with thp.future_dominos(expected=3, log=log) as futs:
            futs[1].set_result(None)
            futs[2].set_exception(ValueError("by hand"))
            futs[3].cancel()
            futs[3].cancel()

        assert log.lines == [f"domino {num} {what}" for num in (1, 2, 3) for what in ("was retrieved", "has fallen")]

    @pytest.mark.proves("B1")
    async def test_a_log_that_fails_stops_nobody(self) -> None:
        """Such as one whose record reads a mocked clock; the loop itself would end with that error."""
        log = Lines()
        log.info = mock.Mock(side_effect=StopIteration)  # type: ignore[method-assign]

        async with thp.future_dominos(expected=2, log=log) as futs:
            await fall(futs, 1, 2)

        assert log.info.call_count == 4

    @pytest.mark.proves("B1")
    async def test_what_is_no_log_is_refused(self) -> None:
        """At once, and not when something is to be logged."""
        log: Any = "machinery"
        with pytest.raises(TypeError, match=r"^log must be a logger, got 'machinery'$"):
            async with thp.future_dominos(expected=1, log=log):
                pytest.fail("entered")


class TestNames:
    """The `name` that a block is given."""

    @pytest.mark.proves("B2")
    async def test_a_row_and_its_dominos_show_the_name_and_how_far_they_are(self) -> None:
        """In their reprs."""
        async with thp.future_dominos(expected=4, name="race") as futs:
            standing = repr(futs[4])
            await fall(futs, 1)
            futs[2].set_exception(ValueError("by hand"))
            futs[3].cancel()
            reprs = [standing, *(repr(each) for each in (futs, futs[1], futs[2], futs[3]))]
            await fall(futs, 4)

        told = [["4", "standing"], ["3 of 4"], ["1", "fallen"], ["2", "by hand"], ["3", "cancelled"]]
        missing = [(each, part) for each, parts in zip(reprs, told, strict=True) for part in parts if part not in each]
        assert missing == []
        assert [each for each in reprs if "'race'" not in each] == []

    @pytest.mark.proves("B2", "F6")
    async def test_the_plugin_names_dominos_as_the_user_sees_them(self) -> None:
        """In its error about a test that runs in another loop."""
        async with thp.future_dominos(expected=0, name="race") as futs:
            block = open_blocks[-1]

            assert repr(block.content) == repr(futs) == "<dominos of 'race': 0 of 0 have fallen>"

    @pytest.mark.proves("B2", "D7")
    @pytest.mark.parametrize("retrieved", [[1], [1, 2]], ids=["not accessed", "not completed"])
    async def test_the_report_on_missing_dominos_names_their_row(self, retrieved: list[int]) -> None:
        """In the notes and not in the message."""
        with pytest.raises(AssertionError) as error:
            async with thp.future_dominos(expected=2, name="race") as futs:
                for num in retrieved:
                    futs[num]

        assert "race" not in str(error.value)
        assert "dominos 'race'" in "\n".join(error.value.__notes__)
