"""The timers of virtual time are like those of asyncio."""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import time

import pytest

from machinery import test_helpers as thp


class TestTimers:
    """What `call_later` and `call_at` return, and how it behaves."""

    @pytest.mark.proves("T0")
    async def test_timers_are_timer_handles(self) -> None:
        """Both methods return what asyncio would return."""
        loop = asyncio.get_running_loop()
        async with thp.mocked_call_later(start_time=10):
            later, at = loop.call_later(3, print, "x"), loop.call_at(15, print, "y")
            cancelled = [later.cancelled(), at.cancelled()]
            at.cancel()
            at.cancel()

            assert isinstance(later, asyncio.TimerHandle)
            assert isinstance(at, asyncio.TimerHandle)
            assert (later.when(), at.when()) == (13, 15)
            assert [*cancelled, later.cancelled(), at.cancelled()] == [False, False, False, True]
            assert "when=13.0 print(" in repr(later)
            assert "cancelled when=15" in repr(at)
            later.cancel()

    @pytest.mark.proves("T0")
    async def test_a_callback_is_called_with_its_arguments(self) -> None:
        """Arguments are passed on unchanged."""
        loop = asyncio.get_running_loop()
        called: list[tuple[object, ...]] = []
        async with thp.mocked_call_later() as m:
            loop.call_later(1, lambda *args: called.append(args))
            loop.call_at(2, lambda *args: called.append(args), 1, "two", None)
            await m.add(2)

        assert called == [(), (1, "two", None)]

    @pytest.mark.proves("T0")
    async def test_a_callback_runs_in_the_context_it_was_given_or_in_a_copy(self) -> None:
        """As in asyncio, a timer copies the current context unless it is given another."""
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")
        other = contextvars.copy_context()
        other.run(variable.set, "given")
        loop = asyncio.get_running_loop()
        seen = []

        def look() -> None:
            seen.append(variable.get())
            variable.set("changed by a callback")

        async with thp.mocked_call_later() as m:
            variable.set("when it was set")
            loop.call_later(1, look)
            loop.call_later(2, look, context=other)
            loop.call_at(3, look, context=other)
            variable.set("later")
            await m.add(3)

            assert seen == ["when it was set", "given", "changed by a callback"]
            assert variable.get() == "later"

    @pytest.mark.proves("T0")
    @pytest.mark.parametrize(
        "failure",
        [ValueError("no"), StopIteration(1), StopAsyncIteration(), GeneratorExit(), asyncio.CancelledError()],
        ids=lambda failure: type(failure).__name__,
    )
    async def test_a_failing_callback_is_reported_to_the_loop_and_stops_nothing(self, failure: BaseException) -> None:
        """The exception handler of the loop is called, and time goes on."""
        loop = asyncio.get_running_loop()
        reported: list[object] = []
        called: list[str] = []

        def fail() -> None:
            raise failure

        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        try:
            async with thp.mocked_call_later() as m:
                loop.call_later(1, fail)
                loop.call_later(1, called.append, "at the same time")
                loop.call_later(2, called.append, "later")
                await asyncio.sleep(3)
        finally:
            loop.set_exception_handler(None)

        assert reported == [failure]
        assert called == ["at the same time", "later"]
        assert m.called_times == [1, 1, 2, 3]

    @pytest.mark.proves("T0", "T5")
    @pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_in_a_callback_stops_the_loop_as_it_does_without_us(
        self, failure: type[BaseException]
    ) -> None:
        """It ends the run, and if the loop runs again no timer has been lost."""
        real = time.time
        called: list[str] = []

        def interrupt() -> None:
            raise failure

        async def main() -> list[float]:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later() as m:
                loop.call_later(1, lambda: (called.append("before"), loop.call_later(0, called.append, "follow-up")))
                loop.call_later(1, interrupt)
                loop.call_later(1, called.append, "after").cancel()
                loop.call_later(1, called.append, "after")
                await asyncio.sleep(5)
                return m.called_times

        with contextlib.closing(asyncio.new_event_loop()) as loop:
            task = loop.create_task(main())
            with pytest.raises(failure):
                loop.run_until_complete(task)
            called.append("interrupted")
            called_times = loop.run_until_complete(task)

        assert called == ["before", "interrupted", "after", "follow-up"]
        assert called_times == [1, 1, 1, 1, 5]
        assert time.time is real

    @pytest.mark.proves("T0", "T5")
    def test_an_interrupt_in_a_callback_that_is_due_at_once_loses_no_other(self) -> None:
        """The others of the same iteration are called when the loop runs again."""
        called: list[str] = []

        def interrupt() -> None:
            raise KeyboardInterrupt

        async def main() -> list[float]:
            loop = asyncio.get_running_loop()
            async with thp.mocked_call_later() as m:
                loop.call_later(0, called.append, "after")
                loop.call_later(-1, interrupt)
                await asyncio.sleep(5)
                return m.called_times

        with contextlib.closing(asyncio.new_event_loop()) as loop:
            task = loop.create_task(main())
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(task)
            called.append("interrupted")
            called_times = loop.run_until_complete(task)

        assert called == ["interrupted", "after"]
        assert called_times == [0, 0, 5]

    @pytest.mark.proves("T0")
    async def test_invalid_timers_are_rejected_where_they_are_set(self) -> None:
        """A wrong argument is an error in the call, not later in the loop."""
        loop = asyncio.get_running_loop()
        called: list[object] = []
        event: object = None
        async with thp.mocked_call_later() as m:
            with pytest.raises(TypeError, match=r"^delay must be a number of seconds, got '3'$"):
                loop.call_later("3", called.append)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"^when must be a time in seconds, got None$"):
                loop.call_at(None, called.append)  # type: ignore[arg-type]
            with pytest.raises(
                TypeError, match=r"^callback must be callable, got None: pass the function itself, do not call it$"
            ):
                loop.call_later(3, event)  # type: ignore[arg-type]
            assert m.pending == []


@pytest.mark.proves("T0", "B4")
async def test_arguments_can_be_passed_by_keyword() -> None:
    """By the names that they have without the block, to every method of the loop that is replaced."""
    loop = asyncio.get_running_loop()
    called: list[str] = []
    async with thp.mocked_call_later() as m:
        loop.call_later(delay=1, callback=functools.partial(called.append, "later"))
        loop.call_at(when=loop.time() + 2, callback=functools.partial(called.append, "at"), context=None)
        await m.add(2)
        replaced = vars(asyncio.AbstractEventLoop).keys() & vars(loop).keys()
        for name in replaced:
            parameters = inspect.signature(getattr(asyncio.AbstractEventLoop, name)).parameters.values()
            positional = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
            inspect.signature(getattr(loop, name)).bind(**dict.fromkeys(positional[1:]))

    assert called == ["later", "at"]
    assert {"call_later", "call_at", "run_in_executor", "create_task", "sock_recv"} <= replaced
