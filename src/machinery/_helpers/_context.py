"""A context that may be cancelled, with its children.

PYTEST_DONT_REWRITE
"""

import dataclasses
import warnings
from asyncio import AbstractEventLoop, Future, get_event_loop, get_running_loop, wait
from collections.abc import Generator
from types import TracebackType
from typing import Self

from machinery._helpers import _protocols as protocols


class CTX:
    """A named lifetime on an event loop. It ends once, and its children end with it.

    Its members are those of the protocol :class:`machinery.helpers.protocols.CTX`.

    .. code-block:: python

        import logging

        from machinery import helpers as hp


        async def test_a_child_ends_with_its_parent():
            with hp.CTX.beginning(name="app", log=logging.getLogger("app")) as ctx:
                child = ctx.child(name="reader")
                assert child.name == "app::reader"
                assert not child.done()
            assert child.cancelled()
    """

    def __init__(self, *, name: str, log: protocols.Logger, loop: AbstractEventLoop) -> None:
        self.name = name
        self.log = log
        self.loop = loop
        self._future: Future[None] = loop.create_future()
        self._parent: CTX | None = None
        self._children: dict[CTX, None] = {}  # a set that remembers the order

    @classmethod
    def beginning(cls, *, name: str, log: protocols.Logger, loop: AbstractEventLoop | None = None) -> Self:
        """Make a context without a parent.

        :param name: appears in logs and reprs.
        :param log: where it and its children log.
        :param loop: ``None`` means the running loop or, if none runs, the current one.
        :raises RuntimeError: if there is neither (before Python 3.12, asyncio may make one instead).
        """
        return cls(name=name, log=log, loop=_current_loop() if loop is None else loop)

    def __repr__(self) -> str:
        if not self.done():
            state = "pending"
        elif self.cancelled():
            state = "cancelled"
        else:
            state = repr(self.exception())
        return f"<CTX {self.name!r}: {state}>"

    def child(self, *, name: str, prefix: str = "", log: protocols.Logger | None = None) -> "CTX":
        full_name = "::".join(part for part in (self.name, prefix, name) if part)
        child = CTX(name=full_name, log=self.log if log is None else log, loop=self.loop)
        if self.done():
            child.cancel()
        else:
            child._parent = self
            self._children[child] = None
        return child

    def done(self) -> bool:
        return self._future.done()

    def cancelled(self) -> bool:
        return self._future.cancelled()

    def exception(self) -> BaseException | None:
        return self._future.exception()

    def result(self) -> None:
        return self._future.result()

    def cancel(self) -> bool:
        was_pending = self._future.cancel()
        self._end_family()
        return was_pending

    def set_exception(self, exc: BaseException) -> None:
        self._future.set_exception(exc)
        self._future.exception()  # counts as read, so asyncio warns nobody about it
        self._end_family()

    def _end_family(self) -> None:
        if self._parent is not None:
            self._parent._children.pop(self, None)
            self._parent = None
        for child in list(self._children):
            child.cancel()

    def add_done_callback(self, cb: protocols.FutureCallback[None]) -> protocols.FutureCallback[None]:
        self._future.add_done_callback(_Notify(self, cb))
        return cb

    def remove_done_callback(self, cb: protocols.FutureCallback[None]) -> int:
        return self._future.remove_done_callback(_Notify(self, cb))

    def __await__(self) -> Generator[None, None, None]:
        if get_running_loop() is not self.loop:
            raise RuntimeError(f"{self!r} lives on {self.loop!r}: await it in a task of that loop")
        # Awaiting the future itself would let one cancelled waiter cancel it for all.
        yield from wait([self._future]).__await__()
        self.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.cancel()


@dataclasses.dataclass(frozen=True)
class _Notify:
    """Calls back with the context in place of its future. Equal for equal callbacks, so that it can be removed."""

    ctx: CTX
    callback: protocols.FutureCallback[None]

    def __call__(self, _: Future[None]) -> None:
        self.callback(self.ctx)


def _current_loop() -> AbstractEventLoop:
    with warnings.catch_warnings():
        # Python 3.12 and 3.13 warn and then make a loop that nobody runs.
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return get_event_loop()
        except (DeprecationWarning, RuntimeError):
            raise RuntimeError("no event loop is running or set: pass loop=, or begin in async code") from None
