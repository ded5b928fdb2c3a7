"""What `hp.CTX` promises."""

import asyncio
import contextlib
import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from machinery import helpers as hp
from tests.helpers.contexts import LOG, begin


@pytest.fixture
async def loop_of_the_test() -> asyncio.AbstractEventLoop:
    """Give the loop that the test plugin runs."""
    return asyncio.get_running_loop()


@pytest.fixture
def ctx_of_a_sync_fixture(loop_of_the_test: asyncio.AbstractEventLoop) -> Iterator[hp.CTX]:
    """Give a context begun while that loop is set but not running."""
    # A plugin sets it once, and any `asyncio.run` in an earlier test has unset it.
    asyncio.set_event_loop(loop_of_the_test)
    with begin() as ctx:
        yield ctx


class TestBeginning:
    """Which name, log and loop a context has."""

    @pytest.mark.proves("H1")
    async def test_a_context_has_a_name_a_log_and_the_running_loop(self) -> None:
        """In async code the loop argument is optional."""
        ctx = begin("app")

        assert (ctx.name, ctx.log, ctx.loop) == ("app", LOG, asyncio.get_running_loop())

    @pytest.mark.proves("H1")
    async def test_a_context_lives_on_the_loop_it_is_given(self) -> None:
        """A given loop goes before the running one."""
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            assert hp.CTX.beginning(name="app", log=LOG, loop=loop).loop is loop

    @pytest.mark.proves("H1")
    async def test_a_context_begun_in_a_sync_fixture_lives_on_the_loop_of_the_test(
        self, ctx_of_a_sync_fixture: hp.CTX
    ) -> None:
        """That loop is the current one, though it does not run yet."""
        assert ctx_of_a_sync_fixture.loop is asyncio.get_running_loop()

    @pytest.mark.proves("H1")
    async def test_the_current_loop_is_used_when_none_is_running(self) -> None:
        """A loop that is set but does not run will do."""

        def begin_beside(loop: asyncio.AbstractEventLoop) -> hp.CTX:
            asyncio.set_event_loop(loop)
            return begin()

        with contextlib.closing(asyncio.new_event_loop()) as loop:
            ctx = await asyncio.to_thread(begin_beside, loop)

        assert ctx.loop is loop

    @pytest.mark.proves("H1")
    def test_a_context_without_any_loop_says_what_to_pass(self) -> None:
        """A thread of its own has no loop."""
        errors: list[RuntimeError] = []

        def begin_without_loop() -> None:
            try:
                begin()
            except RuntimeError as error:
                errors.append(error)

        thread = threading.Thread(target=begin_without_loop)
        thread.start()
        thread.join()

        (error,) = errors
        assert str(error) == "no event loop is running or set: pass loop=, or begin in async code"

    @pytest.mark.proves("H1")
    def test_a_loop_that_nobody_set_is_not_made_where_python_warns_of_that(self) -> None:
        """The main thread of Python 3.12 and later gets the same error as any other thread."""
        code = "import logging; from machinery import helpers as hp; hp.CTX.beginning(name='', log=logging.getLogger())"

        ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

        assert ("RuntimeError: no event loop is running or set" in ran.stderr) == (sys.version_info >= (3, 12))


class TestChildren:
    """What a family of contexts shares, and how it ends."""

    @pytest.mark.proves("H2")
    @pytest.mark.parametrize(
        ("parent", "prefix", "name", "expected"),
        [
            pytest.param("app", "", "reader", "app::reader", id="name"),
            pytest.param("app", "io", "reader", "app::io::reader", id="prefix"),
            pytest.param("", "io", "reader", "io::reader", id="nameless parent"),
            pytest.param("app", "io", "", "app::io", id="nameless child"),
        ],
    )
    async def test_a_child_is_named_after_its_parent(self, parent: str, prefix: str, name: str, expected: str) -> None:
        """The parts are joined by two colons, and empty ones are left out."""
        assert begin(parent).child(name=name, prefix=prefix).name == expected

    @pytest.mark.proves("H2")
    async def test_a_child_shares_the_loop_and_the_log_of_its_parent(self) -> None:
        """What is not passed is inherited."""
        parent = begin()
        child = parent.child(name="child")

        assert (child.loop, child.log) == (parent.loop, LOG)

    @pytest.mark.proves("H2")
    async def test_a_child_may_have_a_log_of_its_own(self) -> None:
        """Any object that logs will do."""
        log = logging.LoggerAdapter(LOG, {})

        assert begin().child(name="child", log=log).log is log

    @pytest.mark.proves("H4")
    async def test_cancelling_a_parent_cancels_its_whole_family_at_once(self) -> None:
        """No pass of the loop is needed."""
        parent = begin()
        first, second = parent.child(name="first"), parent.child(name="second")
        grandchild = first.child(name="grandchild")

        parent.cancel()

        assert [ctx.cancelled() for ctx in (first, second, grandchild)] == [True, True, True]

    @pytest.mark.proves("H4")
    async def test_a_parent_that_fails_cancels_its_children(self) -> None:
        """The exception stays with the parent."""
        parent = begin()
        child = parent.child(name="child")

        parent.set_exception(ValueError("parent"))

        assert child.cancelled()

    @pytest.mark.proves("H4")
    async def test_a_child_that_ends_leaves_its_parent_and_siblings_alone(self) -> None:
        """Ending goes down the family, never up."""
        parent = begin()
        cancelled, failed, sibling = (parent.child(name=name) for name in "abc")

        cancelled.cancel()
        failed.set_exception(ValueError("child"))

        assert [ctx.done() for ctx in (parent, sibling)] == [False, False]

    @pytest.mark.proves("H4")
    async def test_the_child_of_a_context_that_is_done_is_cancelled_from_the_start(self) -> None:
        """Nothing can begin in a lifetime that is over."""
        parent = begin()
        parent.cancel()

        assert parent.child(name="late").cancelled()

    @pytest.mark.proves("H5")
    async def test_a_child_that_is_done_is_forgotten_by_its_parent(self) -> None:
        """A long-lived parent may have any number of short-lived children."""
        parent = begin()
        child = parent.child(name="child")
        seen = weakref.ref(child)

        child.cancel()
        del child
        gc.collect()

        assert (seen(), parent.done()) == (None, False)

    @pytest.mark.proves("H5")
    async def test_a_parent_that_is_done_is_forgotten_by_its_child(self) -> None:
        """Keeping a child does not keep its parent."""
        parent = begin()
        child = parent.child(name="child")
        seen = weakref.ref(parent)

        parent.cancel()
        del parent
        gc.collect()

        assert (seen(), child.cancelled()) == (None, True)


class TestEnding:
    """How a context ends, and what it tells of its end."""

    @pytest.mark.proves("H3")
    async def test_cancelling_works_once(self) -> None:
        """As for futures, the answer says whether this call did it."""
        ctx = begin()

        assert [ctx.cancel(), ctx.cancel()] == [True, False]
        assert (ctx.done(), ctx.cancelled()) == (True, True)

    @pytest.mark.proves("H3")
    async def test_a_context_that_is_not_done_has_no_outcome(self) -> None:
        """As for futures, asking too early is an error."""
        ctx = begin()

        assert (ctx.done(), ctx.cancelled()) == (False, False)
        with pytest.raises(asyncio.InvalidStateError):
            ctx.exception()
        with pytest.raises(asyncio.InvalidStateError):
            ctx.result()

    @pytest.mark.proves("H3")
    async def test_the_outcome_of_a_cancelled_context_is_the_cancellation(self) -> None:
        """As for futures, both questions raise."""
        ctx = begin()
        ctx.cancel()

        with pytest.raises(asyncio.CancelledError):
            ctx.exception()
        with pytest.raises(asyncio.CancelledError):
            ctx.result()

    @pytest.mark.proves("H3")
    async def test_a_context_keeps_the_first_exception_it_is_given(self) -> None:
        """A second exception is refused and a later cancellation does nothing."""
        ctx = begin()
        error = ValueError("first")
        ctx.set_exception(error)

        with pytest.raises(asyncio.InvalidStateError):
            ctx.set_exception(ValueError("second"))

        assert (ctx.cancel(), ctx.cancelled(), ctx.exception()) == (False, False, error)
        with pytest.raises(ValueError, match=r"^first$"):
            ctx.result()

    @pytest.mark.proves("H3")
    async def test_an_unread_exception_of_a_context_causes_no_warning(self) -> None:
        """The loop logs nothing."""
        # What earlier tests have left would be reported as well.
        gc.collect()
        reported: list[dict[str, object]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, report: reported.append(report))
        try:
            begin().set_exception(ValueError("unread"))
            gc.collect()
        finally:
            loop.set_exception_handler(None)

        assert reported == []

    @pytest.mark.proves("H6")
    async def test_leaving_the_block_cancels_the_context(self) -> None:
        """Inside the block it lives."""
        with begin() as ctx:
            inside = ctx.done()

        assert (inside, ctx.cancelled()) == (False, True)

    @pytest.mark.proves("H6")
    async def test_an_exception_passes_through_the_block(self) -> None:
        """The context is cancelled, and the exception is the one that the user sees."""
        with pytest.raises(ValueError, match=r"^body$"), begin() as ctx:
            raise ValueError("body")

        assert ctx.cancelled()

    @pytest.mark.proves("H18")
    async def test_the_repr_shows_the_name_and_the_state(self) -> None:
        """A reader of a log knows which context it was and how it ended."""
        pending, cancelled, failed = (begin(name) for name in "abc")
        cancelled.cancel()
        failed.set_exception(ValueError("no"))

        assert [repr(ctx) for ctx in (pending, cancelled, failed)] == [
            "<CTX 'a': pending>",
            "<CTX 'b': cancelled>",
            "<CTX 'c': ValueError('no')>",
        ]


class TestCallbacks:
    """Who is called when a context ends."""

    @pytest.mark.proves("H7")
    async def test_callbacks_get_the_context_from_the_loop_in_the_order_of_adding(self) -> None:
        """They never run inside the call that ends the context."""
        called: list[object] = []

        def first(fut: hp.protocols.FutureStatus[None]) -> None:
            called.append(("first", fut))

        ctx = begin()
        added = ctx.add_done_callback(first)
        ctx.add_done_callback(lambda fut: called.append(("second", fut)))
        ctx.cancel()
        called.append("cancelled")
        await asyncio.sleep(0)

        assert added is first
        assert called == ["cancelled", ("first", ctx), ("second", ctx)]

    @pytest.mark.proves("H7")
    async def test_a_callback_added_to_a_context_that_is_done_is_called_soon(self) -> None:
        """It comes too late for the end, but is told of it."""
        called: list[object] = []
        ctx = begin()
        ctx.cancel()

        ctx.add_done_callback(called.append)
        before = list(called)
        await asyncio.sleep(0)

        assert (before, called) == ([], [ctx])

    @pytest.mark.proves("H7")
    async def test_a_callback_that_was_removed_is_not_called(self) -> None:
        """The answer says how often it had been added, and other callbacks stay."""
        called: list[object] = []
        other: list[object] = []
        ctx = begin()
        for _ in range(2):
            ctx.add_done_callback(called.append)
        ctx.add_done_callback(other.append)

        removed = [ctx.remove_done_callback(called.append), ctx.remove_done_callback(called.append)]
        ctx.cancel()
        await asyncio.sleep(0)

        assert (removed, called, other) == ([2, 0], [], [ctx])


class TestAwaiting:
    """What those who wait for a context see."""

    @pytest.mark.proves("H8")
    async def test_awaiting_raises_what_the_context_ended_with(self) -> None:
        """Every waiter is told, before and after the end."""
        ctx = begin()
        waiters = asyncio.gather(*(asyncio.wait_for(ctx, timeout=None) for _ in range(2)), return_exceptions=True)
        await asyncio.sleep(0)
        error = ValueError("end")

        ctx.set_exception(error)

        assert await waiters == [error, error]
        with pytest.raises(ValueError, match=r"^end$"):
            await ctx

    @pytest.mark.proves("H8")
    async def test_awaiting_a_cancelled_context_raises_cancelled_error(self) -> None:
        """As for futures."""
        ctx = begin()
        asyncio.get_running_loop().call_soon(ctx.cancel)

        with pytest.raises(asyncio.CancelledError):
            await ctx

    @pytest.mark.proves("H8")
    async def test_cancelling_a_waiter_leaves_the_context_alone(self) -> None:
        """One that gives up does not end the lifetime of the others."""
        ctx = begin()

        async def wait() -> None:
            await ctx

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])

        assert (waiter.cancelled(), ctx.done()) == (True, False)

    @pytest.mark.proves("H8")
    async def test_awaiting_on_another_loop_is_an_error(self) -> None:
        """The alternative would be to wait for ever."""
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            ctx = hp.CTX.beginning(name="far", log=LOG, loop=loop)
            message = r"^<CTX 'far': pending> lives on <.*>: await it in a task of that loop$"
            with pytest.raises(RuntimeError, match=message):
                await ctx


@pytest.mark.proves("H19")
async def test_the_protocols_are_fitted_by_what_users_have() -> None:
    """The type checker reads this: loggers, contexts, futures, tasks and plain functions all fit."""
    results: list[int] = []

    def callback(fut: hp.protocols.FutureStatus[int]) -> None:
        results.append(fut.result())

    async def number() -> int:
        return 1

    ctx = begin()
    task = asyncio.create_task(number())
    task.add_done_callback(callback)
    loggers: list[hp.protocols.Logger] = [LOG, logging.LoggerAdapter(LOG, {})]
    contexts: list[hp.protocols.CTX] = [ctx, ctx.child(name="child")]
    nothing: list[hp.protocols.FutureStatus[None]] = [ctx]
    numbers: list[hp.protocols.FutureStatus[int]] = [asyncio.get_running_loop().create_future(), task]
    callbacks: list[hp.protocols.FutureCallback[int]] = [callback, print]

    assert (await task, results) == (1, [1])
    assert [len(found) for found in (loggers, contexts, nothing, numbers, callbacks)] == [2, 2, 1, 2, 2]
