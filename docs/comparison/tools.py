"""The tools that are compared: how each is installed, and how it is asked to run a test."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

Advance = Callable[[float], Awaitable[object]]
Take = Callable[[int, Callable[[], object]], Awaitable[None]]
Body = Callable[[Any], Coroutine[Any, Any, Any]]
# Which is not the built-in one on Python 3.10.
TooLate: type[Exception] = vars(asyncio)["TimeoutError"]
Block = Callable[..., contextlib.AbstractAsyncContextManager[Any]]


class Kit:
    """What the questions need of asyncio, so that they can be put to Trio in the same words."""

    def __init__(
        self, advance: Advance | None = None, *, by_hand: bool = False, clock: Callable[[], float] | None = None
    ) -> None:
        self.advance = advance
        self.by_hand = by_hand
        self.clock = clock

    def loop_time(self) -> float:
        """Return the time of the loop."""
        return asyncio.get_running_loop().time()

    def now(self) -> float:
        """Return the time that the tool makes virtual."""
        return self.clock() if self.clock else self.loop_time()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        # Looked up here, inside the block: one of the tools replaces it.
        await asyncio.sleep(seconds)

    async def together(self, *bodies: Callable[[], Awaitable[Any]]) -> None:
        """Run several at once."""
        await asyncio.gather(*(body() for body in bodies))

    async def during(self, seconds: float, body: Callable[[], Awaitable[Any]]) -> Any:
        """Run something that takes so much virtual time, and move that by hand where it does not move by itself."""
        if not self.by_hand or self.advance is None:
            return await body()
        task = asyncio.ensure_future(body())
        for _ in range(10):
            await asyncio.sleep(0)
        await self.advance(seconds)
        return await task

    async def let_pass(self, seconds: float) -> None:
        """Let so much virtual time pass, whether or not somebody who sleeps for as long wakes up."""
        if not self.by_hand or self.advance is None:
            await self.sleep(seconds)
            return
        # One of the tools waits for a timer before it moves.
        sleeper = asyncio.ensure_future(self.sleep(seconds))
        for _ in range(10):
            await asyncio.sleep(0)
        await self.advance(seconds)
        sleeper.cancel()

    async def within(self, seconds: float, body: Callable[[], Awaitable[Any]]) -> Any:
        """Run something under a timeout."""
        return await asyncio.wait_for(body(), seconds)

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in a thread."""
        return await asyncio.to_thread(function, *args)

    async def process(self, *command: str) -> Any:
        """Run a process to its end."""
        child = await asyncio.create_subprocess_exec(*command)
        return await child.wait()

    async def forever(self) -> None:
        """Wait for what never comes."""
        await asyncio.get_running_loop().create_future()

    async def ask(self, port: int, line: bytes) -> bytes:
        """Send a line to a port of this machine and return the line that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(line)
        answer = await reader.readline()
        writer.close()
        return answer

    @contextlib.asynccontextmanager
    async def echo(self) -> AsyncIterator[int]:
        """Send lines back, on the port that this gives."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()

    @contextlib.asynccontextmanager
    async def row(self, count: int) -> AsyncIterator[Take]:
        """Give a way to take steps in the order of their numbers."""
        from machinery import test_helpers as thp

        async with thp.future_dominos(expected=count) as futs:

            async def take(num: int, action: Callable[[], object]) -> None:
                await futs[num]
                action()

            futs.begin()
            yield take


class TrioKit(Kit):
    """The same for Trio."""

    def loop_time(self) -> float:
        """Return the time of the clock of the run."""
        return float(self._trio().current_time())

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await self._trio().sleep(seconds)

    async def together(self, *bodies: Callable[[], Awaitable[Any]]) -> None:
        """Run several at once."""
        async with self._trio().open_nursery() as nursery:
            for body in bodies:
                nursery.start_soon(body)

    async def within(self, seconds: float, body: Callable[[], Awaitable[Any]]) -> Any:
        """Run something under a timeout."""
        try:
            with self._trio().fail_after(seconds):
                return await body()
        except self._trio().TooSlowError as error:
            raise TooLate from error

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in a thread."""
        return await self._trio().to_thread.run_sync(function, *args)

    async def process(self, *command: str) -> Any:
        """Run a process to its end."""
        return (await self._trio().run_process(command)).returncode

    async def forever(self) -> None:
        """Wait for what never comes."""
        await self._trio().Event().wait()

    async def ask(self, port: int, line: bytes) -> bytes:
        """Send a line to a port of this machine and return the line that comes back."""
        stream = await self._trio().open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(line)
            return bytes(await stream.receive_some())

    @contextlib.asynccontextmanager
    async def echo(self) -> AsyncIterator[int]:
        """Send lines back, on the port that this gives."""
        trio = self._trio()

        async def serve(stream: Any) -> None:
            await stream.send_all(await stream.receive_some())

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            yield listeners[0].socket.getsockname()[1]
            nursery.cancel_scope.cancel()

    @contextlib.asynccontextmanager
    async def row(self, count: int) -> AsyncIterator[Take]:
        """Give a way to take steps in the order of their numbers."""
        sequencer = self._trio().testing.Sequencer()

        async def take(num: int, action: Callable[[], object]) -> None:
            async with sequencer(num - 1):
                action()

        yield take

    @staticmethod
    def _trio() -> Any:
        import trio
        import trio.testing

        return trio


@contextlib.asynccontextmanager
async def _mocked_call_later(**wishes: Any) -> AsyncIterator[Any]:
    from machinery import test_helpers as thp

    async with thp.mocked_call_later(**wishes) as m:
        yield m.add


@contextlib.asynccontextmanager
async def _virtual_clock() -> AsyncIterator[None]:
    from aiotools import VirtualClock

    with VirtualClock().patch_loop():
        yield


@contextlib.asynccontextmanager
async def _fast_forward() -> AsyncIterator[Any]:
    from aiofastforward import FastForward

    with FastForward(asyncio.get_running_loop()) as advance:
        yield advance


def _ticking(tick: Callable[[float], object]) -> Advance:
    async def advance(seconds: float) -> None:
        tick(seconds)
        for _ in range(10):
            await asyncio.sleep(0)

    return advance


@contextlib.asynccontextmanager
async def _freezegun() -> AsyncIterator[Advance]:
    from freezegun import freeze_time

    with freeze_time("1970-01-01") as frozen:
        yield _ticking(frozen.tick)


@contextlib.asynccontextmanager
async def _time_machine() -> AsyncIterator[Advance]:
    import time_machine

    with time_machine.travel(0, tick=False) as traveller:
        yield _ticking(traveller.shift)


def _solipsist() -> asyncio.AbstractEventLoop:
    import async_solipsism

    return async_solipsism.EventLoop()


def _time_traveller() -> asyncio.AbstractEventLoop:
    from asyncio_time_travel import TimeTravelLoop

    return TimeTravelLoop()


def _looptime(**wishes: Any) -> asyncio.AbstractEventLoop:
    import looptime

    return looptime.new_event_loop(start=0, **wishes)


class Tool(NamedTuple):
    """A tool: what pip installs for it, and the block or the loop that it offers."""

    needs: tuple[str, ...] = ()
    by_hand: bool = False
    """Whether its time moves only by hand."""
    block: Block | None = None
    loop: Callable[..., asyncio.AbstractEventLoop] | None = None
    clock: Callable[[], float] | None = None
    """What it makes virtual, where that is not the time of the loop."""
    on_request: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    """What to ask of it, for what it does only then."""

    def run(self, body: Body, *, loop: Callable[[], Any] | None = None, **wishes: Any) -> Any:
        """Run a body in the time of the tool, and give it what it needs."""
        new_loop = loop or (lambda: self.loop(**wishes) if self.loop else asyncio.new_event_loop())
        enter = (lambda: self.block(**wishes)) if self.block else contextlib.nullcontext

        async def main() -> Any:
            async with enter() as advance:
                return await body(Kit(advance, by_hand=self.by_hand, clock=self.clock))

        with contextlib.closing(new_loop()) as running:
            asyncio.set_event_loop(running)
            return running.run_until_complete(main())

    def run_in_order(self, body: Body) -> Any:
        """Run a body in real time."""
        return asyncio.run(body(Kit()))


class Trio(Tool):
    """Trio's clock, which belongs to a run of Trio's own loop."""

    def run(self, body: Body, *, loop: Callable[[], Any] | None = None, **wishes: Any) -> Any:
        """Run a body."""
        import trio
        from trio.testing import MockClock

        clock = MockClock(**{"autojump_threshold": 0, **wishes})

        async def advance(seconds: float) -> None:
            clock.jump(seconds)
            await trio.testing.wait_all_tasks_blocked()

        return trio.run(body, TrioKit(advance), clock=clock)

    def run_in_order(self, body: Body) -> Any:
        """Run a body in real time."""
        import trio

        return trio.run(body, TrioKit())


class Asynctest(Tool):
    """A test case with a clock."""

    def run(self, body: Body, *, loop: Callable[[], Any] | None = None, **wishes: Any) -> Any:
        """Run a body."""
        import asynctest

        results: list[Any] = []

        class Case(asynctest.ClockedTestCase):
            async def test(self) -> None:
                results.append(await body(Kit(self.advance, by_hand=True)))

        Case("test").debug()
        return results[0]


PATIENT, DATETIME, BY_HAND, IMPATIENT = "patient", "datetime", "by hand", "impatient"
_TERMS = {PATIENT: {"autojump_threshold": 0.6}, BY_HAND: {"autojump_threshold": math.inf}}
OURS = "machinery"
TOOLS: dict[str, Tool] = {
    OURS: Tool(block=_mocked_call_later, on_request={**_TERMS, DATETIME: {"datetime": True}}),
    "machinery-collection": Tool(("machinery-collection",), block=_mocked_call_later, clock=lambda: time.time()),
    "looptime": Tool(("looptime",), loop=_looptime, on_request={IMPATIENT: {"idle_timeout": 1.0}}),
    # Without typing_extensions, which it does not ask for, this release cannot be imported.
    "aiotools": Tool(("aiotools", "typing_extensions"), block=_virtual_clock),
    "async-solipsism": Tool(("async-solipsism",), loop=_solipsist),
    "asyncio-time-travel": Tool(("asyncio-time-travel",), loop=_time_traveller),
    "aiofastforward": Tool(("aiofastforward",), by_hand=True, block=_fast_forward),
    "asynctest": Asynctest(("asynctest",), by_hand=True),
    "trio": Trio(("trio",), on_request=_TERMS),
    "freezegun": Tool(("freezegun",), by_hand=True, block=_freezegun),
    "time-machine": Tool(("time-machine",), by_hand=True, block=_time_machine),
}
