"""What is undone when a block ends."""

import pytest

from machinery._test_helpers._undo import UndoStack


@pytest.mark.proves("B6")
def test_every_step_is_undone_in_reverse_order_whatever_fails() -> None:
    """The last exception is raised, and leads to those before it."""
    undone: list[int] = []
    undo = UndoStack()
    for number in (1, 2, 3, 4):
        undo.callback(undone.append, number)
        if number % 2 == 0:
            undo.callback([].index, number)

    with pytest.raises(ValueError, match=r"^2 is not in list$") as caught:
        undo.close()

    assert undone == [4, 3, 2, 1]
    assert str(caught.value.__context__) == "4 is not in list"
    undo.close()
    assert undone == [4, 3, 2, 1]
