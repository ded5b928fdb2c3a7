"""Undoes steps in reverse order.

PYTEST_DONT_REWRITE
"""

from collections.abc import Callable
from functools import partial
from typing import Any


class UndoStack:
    """What :class:`contextlib.ExitStack` does for callbacks, without ``sys.exc_info``, which a test may have mocked."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def callback(self, undo: Callable[..., object], *args: Any) -> None:
        """Undo a step when the stack is closed."""
        self._steps.append(partial(undo, *args))

    def close(self) -> None:
        """Undo all steps, also if some fail; the last failure is raised, with those before it as its context."""
        while self._steps:
            undo = self._steps.pop()
            try:
                undo()
            except BaseException:
                self.close()
                raise
