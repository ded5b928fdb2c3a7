"""A holder of tasks that ends with its block.

PYTEST_DONT_REWRITE
"""

import contextlib
from asyncio import CancelledError, Task, current_task, get_running_loop, isfuture, wait
from collections.abc import AsyncGenerator, Coroutine, Iterator
from logging import getLogger
from typing import TypeVar

from machinery._helpers import _protocols as protocols
from machinery._helpers._context import CTX

T = TypeVar("T")


@contextlib.asynccontextmanager
async def task_holder(*, ctx: protocols.CTX, name: str = "") -> AsyncGenerator[protocols.TaskHolder]:
    """Start tasks in a block, and wait for them before the block is left.

    ``async with`` gives a :class:`machinery.helpers.protocols.TaskHolder`. If the block raises, ``ctx`` ends or the
    waiting is cancelled, the tasks are cancelled and awaited, and a task that is added later is cancelled at once. As
    with ``asyncio.TaskGroup``, a task that swallows its cancellation holds up the exit. A task that fails disturbs
    neither the block nor the other tasks; its exception is logged to ``ctx.log``, unless it is ``silent``.

    .. code-block:: python

        import logging

        from machinery import helpers as hp


        async def test_tasks_are_awaited():
            greeted = []

            async def greet(name):
                greeted.append(name)

            with hp.CTX.beginning(name="app", log=logging.getLogger("app")) as ctx:
                async with hp.task_holder(ctx=ctx) as tasks:
                    tasks.add_coroutine(greet("Ada"))
                    tasks.add_coroutine(greet("Bob"))
                    assert tasks.pending == 2
            assert greeted == ["Ada", "Bob"]

    :param ctx: a context of the running loop, or anything else with a ``loop`` attribute.
    :param name: appears in logs and reprs.
    :raises RuntimeError: if ``ctx`` belongs to another loop.
    """
    if ctx.loop is not (running := get_running_loop()):
        raise RuntimeError(f"ctx lives on {ctx.loop!r}, but {running!r} is running: pass a ctx of the running loop")
    if not hasattr(ctx, "child"):
        ctx = CTX.beginning(name="", log=getLogger("machinery.helpers"), loop=ctx.loop)

    with ctx.child(name=name, prefix="task_holder") as own_ctx:
        tasks = _TaskHolder(own_ctx)
        try:
            yield tasks
        except BaseException:
            own_ctx.cancel()
            with contextlib.suppress(CancelledError):
                await tasks.wait()
            raise
        await tasks.wait()


class _TaskHolder:
    def __init__(self, ctx: protocols.CTX) -> None:
        self._ctx = ctx
        self._owner = current_task()
        self._tasks: dict[Task[object], bool] = {}  # whether each is silent
        ctx.add_done_callback(self._cancel_all)

    def __repr__(self) -> str:
        return f"<TaskHolder {self._ctx.name!r}: {self.pending} pending>"

    def add_coroutine(self, coro: Coroutine[object, object, T], *, silent: bool = False) -> Task[T]:
        return self._hold(self._ctx.loop.create_task(coro), silent=silent)

    def add_task(self, task: Task[T]) -> Task[T]:
        if not isfuture(task):
            raise TypeError(f"add_task takes a task, not {task!r}: give a coroutine to add_coroutine")
        if task.get_loop() is not self._ctx.loop:
            raise ValueError(f"{task!r} belongs to another loop: hold it in a task holder on that loop")
        if task is self._owner:
            raise ValueError(f"{task!r} opened this task holder, and would wait for itself: add another task")
        return task if task in self else self._hold(task, silent=False)

    def _hold(self, task: Task[T], *, silent: bool) -> Task[T]:
        self._tasks[task] = silent
        task.add_done_callback(self._let_go)
        if self._ctx.done():
            task.cancel()
        return task

    def _let_go(self, task: Task[object]) -> None:
        silent = self._tasks.pop(task)
        if task.cancelled() or (exc := task.exception()) is None or silent:
            return
        self._ctx.log.error("%s: %r failed", self._ctx.name, task, exc_info=exc)

    def _cancel_all(self, _: protocols.FutureStatus[None]) -> None:
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        cancelled: CancelledError | None = None
        while self._tasks:
            try:
                await wait(self._tasks)
            except CancelledError as exc:
                cancelled = exc
                self._ctx.cancel()
        if cancelled is not None:
            raise cancelled

    @property
    def pending(self) -> int:
        return sum(not task.done() for task in self._tasks)

    def __iter__(self) -> Iterator[Task[object]]:
        return iter(tuple(self._tasks))

    def __contains__(self, task: object) -> bool:
        return task in self._tasks
