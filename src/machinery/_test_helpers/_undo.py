"""What has to be undone when a block ends."""

from collections.abc import Callable


class UndoStack:
    """Steps that are undone in reverse order, all of them, whatever some of them raise.

    ``contextlib.ExitStack`` does more, and would take a fifth of what an empty block does.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def callback(self, function: Callable[..., object], *args: object) -> None:
        """Call a function with these arguments when everything is undone."""
        self._steps.append((function, args))

    def close(self) -> None:
        """Undo everything; then raise the last exception that this has met, if any."""
        failure = None
        while self._steps:
            function, args = self._steps.pop()
            try:
                function(*args)
            except BaseException as error:
                error.__context__ = error.__context__ or failure
                failure = error
        if failure is not None:
            raise failure
