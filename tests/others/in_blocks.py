"""A pytest plugin for other packages' suites: each async test runs in virtual time."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from machinery import test_helpers as thp


def pytest_configure() -> None:
    """Let the clock of a block stand in for the one that the tests of aiotools put in place of the loop's."""
    with contextlib.suppress(ImportError):
        import aiotools

        aiotools.VirtualClock.patch_loop = lambda _: contextlib.nullcontext()
        aiotools.VirtualClock.virtual_time = lambda _: asyncio.get_running_loop().time()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each async test into a block."""
    for item in items:
        mark = item.get_closest_marker("looptime") or pytest.mark.looptime.mark
        # Tests with `looptime(False)` are about real time.
        if isinstance(item, pytest.Function) and mark.args != (False,):
            inner = inspect.unwrap(item.obj)
            if inspect.iscoroutinefunction(item.obj):
                item.obj = in_block(item.obj, mark.kwargs.get("start", 0))
            elif inspect.iscoroutinefunction(inner):
                # What a decorator runs in a loop of its own, as tenacity's does.
                bound = inner.__get__(item.obj.__self__) if inspect.ismethod(item.obj) else inner
                item.obj = in_loop(in_block(bound, 0))


def in_block(test: Callable[..., Awaitable[None]], start_time: float) -> Callable[..., Coroutine[object, object, None]]:
    """Return the test in virtual time."""

    @functools.wraps(test)
    async def run(*args: object, **fixtures: object) -> None:
        async with thp.mocked_call_later(precision=1e-6, start_time=start_time):
            with contextlib.ExitStack() as stack:
                if "looptime" in fixtures:
                    # It began to measure before the block.
                    from looptime import Chronometer

                    fixtures["looptime"] = stack.enter_context(Chronometer(asyncio.get_running_loop().time))
                await test(*args, **fixtures)

    return run


def in_loop(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Return an async test as a plain one."""

    @functools.wraps(test)
    def run(*args: object, **fixtures: object) -> None:
        with asyncio.Runner() as runner:
            runner.run(test(*args, **fixtures))

    return run
