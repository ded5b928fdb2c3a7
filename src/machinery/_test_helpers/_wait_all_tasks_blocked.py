"""Waiting until everybody else waits."""

import asyncio
import math

from machinery._test_helpers._seam import running_loop, seam_of


async def wait_all_tasks_blocked() -> None:
    """Wait until every other task waits and the loop has nothing left to run.

    It lets a test go on exactly when the code under test has come as far as it gets by itself, in place of a guessed
    number of ``await asyncio.sleep(0)``. Dominos whose turn it is fall before that; the clock of virtual time does not
    move for it.

    .. code-block:: python

        import asyncio

        from machinery import test_helpers as thp


        async def test_a_worker_takes_what_is_there():
            queue = asyncio.Queue()
            taken = []

            async def worker():
                while True:
                    taken.append(await queue.get())

            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(worker())
                for item in (1, 2, 3):
                    queue.put_nowait(item)
                await thp.wait_all_tasks_blocked()
                assert taken == [1, 2, 3]
                task.cancel()

    :raises RuntimeError: if the running loop is of a kind that does not tell when it is idle.
    """
    blocked = Blocked(running_loop())
    seam = seam_of(blocked.loop)
    seam.enter(blocked)
    try:
        await blocked.reached
    finally:
        seam.leave(blocked)


class Blocked:
    """One who waits until the others do."""

    rank = 1

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reached: asyncio.Future[None] = loop.create_future()

    def at_rest(self, rested: float) -> float:
        """Wake up, once."""
        if self.reached.done():
            return math.inf
        self.reached.set_result(None)
        return 0

    def close(self) -> None:
        """Wait no longer."""
        self.reached.cancel()
