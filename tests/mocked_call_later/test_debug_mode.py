"""Virtual time in the debug mode of asyncio."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _asyncio_internals


@pytest.fixture
async def debug() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """Give the running loop, in debug mode."""
    loop = asyncio.get_running_loop()
    before = loop.get_debug()
    loop.set_debug(True)
    yield loop
    loop.set_debug(before)


class TestDebugMode:
    """Asyncio's debug mode."""

    @pytest.mark.proves("B4", "T0")
    async def test_timers_know_where_they_were_set(self, debug: asyncio.AbstractEventLoop) -> None:
        """Their repr names the line, and they fire as usual."""
        called: list[int] = []
        async with thp.mocked_call_later() as m:
            timer = debug.call_later(1, called.append, 1)
            shown = repr(timer)
            await m.add(1)

        assert f"created at {__file__}:" in shown
        assert called == [1]

    @pytest.mark.proves("B4", "T0")
    async def test_timers_cannot_be_set_from_another_thread(self, debug: asyncio.AbstractEventLoop) -> None:
        """Asyncio's check works in virtual time too."""
        errors: list[str] = []

        def set_timers() -> None:
            for set_timer in (debug.call_later, debug.call_at):
                try:
                    set_timer(1, int)
                except RuntimeError as error:
                    errors.append(str(error))

        async with thp.mocked_call_later() as m:
            await asyncio.to_thread(set_timers)

            assert m.pending == []
        message = "timers can be set only from the thread of their loop: use loop.call_soon_threadsafe"
        assert errors == [message, message]

    @pytest.mark.proves("B4", "T0")
    async def test_a_coroutine_function_is_no_callback(self, debug: asyncio.AbstractEventLoop) -> None:
        """It would never be awaited."""

        async def forgotten() -> None:
            pytest.fail("this cannot be reached")

        async with thp.mocked_call_later() as m:
            with pytest.raises(TypeError, match=r"^callback must be a plain function, got the coroutine function .*$"):
                debug.call_later(1, forgotten)

            assert m.pending == []

    @pytest.mark.proves("B4", "T11", "T15")
    async def test_timers_of_real_time_and_timers_left_over_work(self, debug: asyncio.AbstractEventLoop) -> None:
        """The loop still measures slow callbacks in real time."""
        set_before = asyncio.Event()
        debug.call_later(0.01, set_before.set)
        left_over = asyncio.Event()
        async with thp.mocked_call_later(precision=0.01):
            await asyncio.sleep(3600)
            debug.call_later(0.01, left_over.set)
            await set_before.wait()
        await left_over.wait()

    @pytest.mark.proves("B4", "T7")
    async def test_sockets_and_timeouts_work(self, debug: asyncio.AbstractEventLoop) -> None:
        """A socket exchange within a timeout takes no virtual time."""
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            async with thp.mocked_call_later(), asyncio.timeout(0.1):
                right.send(b"x")
                assert await debug.sock_recv(left, 1) == b"x"
                assert time.time() == 0

    @pytest.mark.proves("B4")
    async def test_a_handle_that_was_made_before_debug_mode_has_no_origin_to_mend(self) -> None:
        """It stays as it is."""
        handle = asyncio.Handle(print, (), SimpleNamespace(get_debug=lambda: False))  # type: ignore[arg-type]
        before = repr(handle)

        _asyncio_internals.hide_callers(handle, 2)

        assert repr(handle) == before

    @pytest.mark.proves("B4")
    @pytest.mark.parametrize("delay", [5, 0, 0.05])
    async def test_a_slow_callback_of_a_timer_is_logged_as_asyncio_logs_it(
        self, debug: asyncio.AbstractEventLoop, delay: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By its own name and line, with the real time that it took, and others are not."""

        def slow() -> None:
            end = time.perf_counter() + 0.02
            while time.perf_counter() < end:
                pass

        before, debug.slow_callback_duration = debug.slow_callback_duration, 0.02
        try:
            async with thp.mocked_call_later() as m:
                debug.call_later(delay, slow)
                await m.add(6)
        finally:
            debug.slow_callback_duration = before

        told = [each.getMessage() for each in caplog.records if "<Timer" in each.getMessage()]
        assert re.fullmatch(
            r"Executing <Timer when=[\d.]+ .*slow\(\) at .* created at .*> took \d+\.\d+ seconds", "\n".join(told)
        )
