"""Waiting until all other tasks wait.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, Future
from math import inf

from machinery._test_helpers._idle import Turn
from machinery._test_helpers._loops import idle_hook, running_loop


async def wait_all_tasks_blocked() -> None:
    """Wait until every other task waits and the loop has nothing left to run.

    Use it instead of a guessed number of ``await asyncio.sleep(0)``. Dominos whose turn it is fall first. Virtual time
    does not move for it, and work in threads, processes or servers is not waited for.

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

    :raises RuntimeError: if the running loop is not supported.
    """
    hook = idle_hook(running_loop())
    waiter = _Waiter(hook.loop)
    try:
        hook.add(waiter)
        await waiter.reached
    finally:
        hook.remove(waiter)


class _Waiter:
    """Wakes one task when the loop is idle."""

    turn = Turn.ALL_TASKS_BLOCKED

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.reached: Future[None] = loop.create_future()

    def on_idle(self, idle_seconds: float) -> float:
        """Wake the task, once."""
        if self.reached.done():
            return inf
        self.reached.set_result(None)
        return 0

    def on_loop_closed(self) -> None:
        """Stop waiting."""
        self.reached.cancel()
