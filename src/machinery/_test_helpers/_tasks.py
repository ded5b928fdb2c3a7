"""The tasks that were started in a block."""

import asyncio
from collections.abc import Callable
from typing import Any

from machinery._test_helpers._seam import failure_of

_FEW = 100


class Tasks:
    """Remembers the tasks that a loop starts, until it is known that they ended well."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._create_task: Callable[..., asyncio.Task[Any]] = loop.create_task
        self._tasks: list[asyncio.Task[Any]] = []
        self._sweep_at = _FEW
        self.layer: dict[str, object] = {"create_task": self.create_task}

    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """Start a task, as the loop does."""
        task = self._create_task(coro, **kwargs)
        self._tasks.append(task)
        if len(self._tasks) > self._sweep_at:
            # Sweeping when the list has doubled costs each task the same, however many there are.
            self._tasks = [task for task in self._tasks if not task.done() or failure_of(task) is not None]
            self._sweep_at = 2 * len(self._tasks) + _FEW
        return task

    def died(self) -> list[asyncio.Task[Any]]:
        """Return those that an exception ended."""
        return [task for task in self._tasks if failure_of(task) is not None]
