"""The pictures of the documentation are those that their script draws."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
PICTURES: dict[str, Callable[[], str]] = runpy.run_path(str(FOLDER / "draw.py"))["PICTURES"]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_what_a_run_gives_today(name: str) -> None:
    """What is checked in is what `python docs/pictures/draw.py` draws."""
    assert PICTURES[name]() == (FOLDER / name).read_text(encoding="utf-8")


def test_there_is_no_picture_that_nothing_draws() -> None:
    """The folder holds no others."""
    assert sorted(PICTURES) == sorted(path.name for path in FOLDER.glob("*.svg"))
