"""The event loops that the helpers work on."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


@pytest.mark.proves("B3")
@on_every_loop
def test_dominos_fall_in_order_on_every_loop(run: Run) -> None:
    """With real input and output between them."""

    async def main() -> None:
        called: list[object] = []
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            served.set()

        async def first(futs: thp.FutureDominos, port: int) -> None:
            await futs[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"first\n")
            called.append(await reader.readline())
            writer.close()
            await writer.wait_closed()
            await served.wait()
            called.append("closed")
            await futs[2]

        async def third(futs: thp.FutureDominos) -> None:
            await futs[3]
            called.append("third")

        async with (
            await asyncio.start_server(serve, "127.0.0.1", 0) as server,
            thp.future_dominos(expected=3) as futs,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(third(futs))
            tasks.create_task(first(futs, server.sockets[0].getsockname()[1]))
            futs.begin()
            await futs.finished.wait()

        assert called == [b"first\n", "closed", "third"]

    run(main())


@pytest.mark.proves("B3")
@pytest.mark.parametrize(
    "block", [lambda: thp.future_dominos(expected=1), thp.mocked_call_later], ids=["dominos", "time"]
)
def test_a_loop_that_does_not_tell_when_it_is_idle_is_refused(
    block: Callable[[], contextlib.AbstractAsyncContextManager[object]],
) -> None:
    """The error names the kind of the loop and says what to use."""
    foreign = type("Foreign", (asyncio.BaseEventLoop,), {})()
    before = set(vars(foreign)), dict(vars(time))
    entering = block().__aenter__()
    asyncio._set_running_loop(foreign)
    try:
        with pytest.raises(
            RuntimeError,
            match=r"^a loop of type .*Foreign is not supported, since it does not show when it is idle: .* uvloop$",
        ):
            next(entering.__await__())
    finally:
        asyncio._set_running_loop(None)
        after = set(vars(foreign)), dict(vars(time))
        foreign.close()
    assert after == before
