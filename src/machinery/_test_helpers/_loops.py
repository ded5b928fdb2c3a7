"""The running event loop, and its idle hook.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, get_running_loop

from machinery._test_helpers._asyncio_internals import is_uvloop, running_loop_or_none, selector_of
from machinery._test_helpers._idle import IdleHook
from machinery._test_helpers._idle_selector import SelectorHook
from machinery._test_helpers._idle_uvloop import UvloopHook


def running_loop(wanted: object = None, name: str = "loop") -> AbstractEventLoop:
    """Return the running loop; raise unless it is the wanted one, where one is wanted."""
    __tracebackhide__ = True
    loop = get_running_loop()
    if wanted is None or wanted is loop:
        return loop
    if not isinstance(wanted, AbstractEventLoop):
        raise TypeError(f"{name} must be an event loop or None, got {wanted!r}")
    raise ValueError(f"{name} must be the running loop {loop!r}, got {wanted!r}; leave it out or pass the running loop")


def check_own_loop(loop: AbstractEventLoop, what: object) -> None:
    """Raise ``RuntimeError`` if another loop than this one is running."""
    __tracebackhide__ = True
    running = running_loop_or_none()
    if running is not None and running is not loop:
        raise RuntimeError(
            f"{what!r} belongs to {_identified(loop)}, but {_identified(running)} is running: open the block in the"
            " loop that uses it; under alt-pytest-asyncio, an earlier sync test may have called asyncio.run, which"
            " takes away the loop of the tests; under pytest-asyncio, give the fixture and the test the same loop_scope"
        )


def _identified(loop: AbstractEventLoop) -> str:
    # Two loops of the same kind mostly have the same repr.
    return f"the {type(loop).__name__} at {id(loop):#x}"


def idle_hook(loop: AbstractEventLoop) -> IdleHook:
    """Return the idle hook of a loop; raise ``RuntimeError`` if the loop is not supported."""
    __tracebackhide__ = True
    hook = IdleHook.of_loop.get(loop)
    if hook is not None:
        return hook
    selector = selector_of(loop)
    if selector is not None:
        return SelectorHook(loop, selector)
    if is_uvloop(loop):
        return UvloopHook(loop)
    kind = type(loop)
    raise RuntimeError(
        f"a loop of type {kind.__module__}.{kind.__qualname__} is not supported, since it does not show when it is"
        " idle: run the test on one of asyncio's own loops or on uvloop"
    )
