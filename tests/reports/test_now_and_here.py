"""A report is about now, about this test, and about lines that are there."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import sysconfig
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from machinery import test_helpers as thp
from machinery._test_helpers import _source
from tests.reports.reading import FIRST, Boom, logged, plain, report_of, wait_for_ever

pytestmark = pytest.mark.usefixtures("quiet_loop")

EAGER = getattr(asyncio, "eager_task_factory", None)
has_eager_tasks = pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")


async def fail() -> None:
    """Fail at once."""
    raise Boom


class TestNow:
    """Not about what was."""

    @pytest.mark.proves("R5")
    async def test_a_timeout_that_was_handled_is_forgotten(self) -> None:
        """A later one, of another task, is told as it is then."""

        async def other() -> None:
            async with asyncio.timeout(1):
                await wait_for_ever()

        with pytest.raises(TimeoutError) as caught:
            async with thp.mocked_call_later():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await asyncio.sleep(100)
                await asyncio.sleep(95)
                await asyncio.create_task(other(), name="other")

        report = report_of(caught.value)
        assert report[0].startswith("virtual time is at 101.0, ")
        assert report[1] == "  task 'other' failed: TimeoutError() at HERE: async with asyncio.timeout(1):"
        assert report[-1] == "  last timer fired, due at 101.0: timeout of task 'other'"

    @pytest.mark.proves("R5")
    @pytest.mark.parametrize("seconds", [0, 1], ids=["at once", "later"])
    async def test_a_timeout_error_of_ones_own_after_a_timeout_is_told_as_it_is_then(self, seconds: float) -> None:
        """The earlier one is not its cause."""
        with pytest.raises(TimeoutError) as caught:
            async with thp.mocked_call_later():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await wait_for_ever()
                later = asyncio.create_task(wait_for_ever(), name="begun later")
                await asyncio.sleep(seconds)
                raise TimeoutError

        report = report_of(caught.value)
        assert report[0].startswith(f"virtual time is at {5.0 + seconds}, ")
        assert "  task 'begun later' waits at HERE: await asyncio.Event().wait()" in report
        later.cancel()

    @pytest.mark.proves("R2")
    async def test_differences_have_no_noise_of_floats(self, caplog: pytest.LogCaptureFixture) -> None:
        """In the report and in the log, on a clock of today."""
        with (
            caplog.at_level(logging.DEBUG, "machinery.test_helpers"),
            pytest.raises(Boom) as caught,
        ):
            async with thp.mocked_call_later(start_time=1_777_636_800.1):
                asyncio.get_running_loop().call_later(59.4 + 0.7, print)
                await asyncio.sleep(0.7)
                raise Boom

        report = report_of(caught.value)
        assert report[0].startswith("virtual time is at 1777636800.8, 0.7 s after its start ")
        assert report[1].startswith("  pending at 1777636860.2, in 59.4 s: print, ")
        [line] = [each.getMessage() for each in caplog.records if each.levelname == "DEBUG"]
        assert ": 0.7 virtual seconds took " in line


class TestNames:
    """Of tasks that nobody has named."""

    @pytest.mark.proves("R3")
    @has_eager_tasks
    @pytest.mark.parametrize("name", [None, "mine"])
    async def test_a_task_that_failed_in_its_eager_start_is_named_by_its_coroutine(self, name: str | None) -> None:
        """Or as somebody has named it."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(EAGER)
        try:
            with pytest.raises(ValueError, match="seen") as caught:
                async with thp.mocked_call_later():
                    task = asyncio.create_task(fail(), name=name)
                    raise ValueError("seen")
        finally:
            loop.set_task_factory(None)
        assert isinstance(task.exception(), Boom)

        line = report_of(caught.value)[1]
        assert line.endswith(" failed: Boom() at HERE: raise Boom")
        assert (" (fail) failed:" in line, " 'mine' failed:" in line) == (name is None, name is not None)

    @pytest.mark.proves("R4")
    @has_eager_tasks
    async def test_an_eager_task_that_took_part_is_named_by_its_coroutine(self) -> None:
        """Though it had ended before it was one."""

        async def take_part(futs: thp.FutureDominos) -> None:
            await futs[1]

        loop = asyncio.get_running_loop()
        loop.set_task_factory(EAGER)
        try:
            with pytest.raises(Boom) as caught:
                async with thp.future_dominos(expected=2) as futs:
                    futs[1].set_result(None)
                    task = asyncio.create_task(take_part(futs))
                    await asyncio.sleep(0)
                    raise Boom
        finally:
            loop.set_task_factory(None)

        assert task.done()
        assert [line for line in report_of(caught.value) if " (take_part) returned after domino 1" in line] != []

    @pytest.mark.proves("R2")
    @has_eager_tasks
    async def test_a_task_that_ended_in_its_eager_start_has_no_coroutine_to_be_named_by(self) -> None:
        """Python has forgotten it; the timeout that the task never left is told nevertheless."""

        async def enter() -> None:
            await asyncio.timeout(5).__aenter__()

        assert EAGER is not None
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                task = EAGER(asyncio.get_running_loop(), enter(), name="Task-7")
                raise Boom

        assert task.done()
        assert report_of(caught.value)[1] == "  pending at 5.0, in 5 s: timeout of task 'Task-N', which has ended"


class TestThisTest:
    """Not about what others have left."""

    @pytest.mark.proves("R2", "R4", "R13")
    @pytest.mark.parametrize("block", [thp.mocked_call_later, lambda: thp.future_dominos(expected=0)])
    async def test_the_tasks_of_the_block_come_first(self, block: Callable[[], Any]) -> None:
        """However many a library has left, and however they are called."""
        old = [asyncio.create_task(wait_for_ever(), name=f"a{number}") for number in range(12)]
        with pytest.raises(Boom) as caught:
            async with block():
                mine = asyncio.create_task(wait_for_ever(), name="zzzz, the one of the test")
                await asyncio.sleep(0)
                raise Boom

        waiting = [line for line in report_of(caught.value) if " waits at " in line]
        assert waiting[0].startswith("  task 'zzzz, the one of the test' waits at HERE")
        assert len(waiting) == 10
        for task in (*old, mine):
            task.cancel()

    @pytest.mark.proves("R2", "R4")
    @pytest.mark.parametrize("block", [thp.mocked_call_later, lambda: thp.future_dominos(expected=0)])
    @pytest.mark.parametrize("child", [False, True])
    async def test_the_task_that_is_leaving_is_not_said_to_wait(self, block: Callable[[], Any], child: bool) -> None:
        """It does not."""

        async def body() -> None:
            with pytest.raises(Boom) as caught:
                async with block():
                    raise Boom
            reports.append(report_of(caught.value))

        reports: list[list[str]] = []
        await (asyncio.create_task(body(), name="leaver") if child else body())

        assert [
            line for line in reports[0] if "waits" in line and ("task 'leaver' " in line or "of this block" in line)
        ] == []

    @pytest.mark.proves("R2", "T11")
    @pytest.mark.parametrize(
        ("wait", "words"),
        [
            (lambda: asyncio.sleep(3600), "(in real time, set before the block)"),
            (lambda: asyncio.wait([forever()], timeout=3600), "(in real time, set before the block)"),
            (lambda: asyncio.wait_for(forever(), 3600), "(its timeout, set before the block, is in real time)"),
            (lambda: limited(3600), "(its timeout, set before the block, is in real time)"),
            (wait_for_ever, None),
        ],
        ids=["sleep", "wait", "wait_for", "timeout", "event"],
    )
    async def test_a_wait_whose_timer_was_set_before_the_block_is_said_to_be_in_real_time(
        self, wait: Callable[[], Coroutine[Any, Any, Any]], words: str | None
    ) -> None:
        """Otherwise it looks as if nothing could end it, next to "no timer is pending"."""
        task = asyncio.create_task(wait(), name="older")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Boom) as caught:
            async with thp.mocked_call_later():
                raise Boom
        task.cancel()

        [line] = [line for line in report_of(caught.value) if "task 'older' waits" in line]
        if asyncio.get_running_loop().__class__.__module__.startswith("asyncio"):
            # Up to Python 3.11, wait_for has a timer of its own in place of a timeout.
            assert line.endswith((words or "await asyncio.Event().wait()", "(in real time, set before the block)"))

    @pytest.mark.proves("R1")
    @pytest.mark.parametrize("name", ["Skipped", "SkipTest", "OutcomeException"])
    async def test_an_exception_of_ones_own_with_the_name_of_a_skip_gets_its_report(self, name: str) -> None:
        """Only those of the test tools themselves skip a test."""
        kind = type(name, (Exception,), {"__module__": "_pytest.outcomes"})
        with pytest.raises(kind) as caught:
            async with thp.mocked_call_later():
                raise kind

        assert report_of(caught.value) != []


def forever() -> "asyncio.Future[None]":
    """Return a future that is never done."""
    return asyncio.get_running_loop().create_future()


async def limited(seconds: float) -> None:
    """Wait with a limit."""
    async with asyncio.timeout(seconds):
        await forever()


class TestDominos:
    """Their reports and reprs."""

    @pytest.mark.proves("R4")
    @pytest.mark.parametrize("begun", [False, True])
    async def test_who_asks_for_a_domino_out_of_range_is_not_pointed_elsewhere(self, begun: bool) -> None:
        """Nothing is wrong with the other dominos."""
        with pytest.raises(IndexError) as caught:
            async with thp.future_dominos(expected=2) as futs:
                if begun:
                    futs.begin()
                    await futs[1]
                futs[3]

        assert FIRST.strip() not in "\n".join(report_of(caught.value))

    @pytest.mark.proves("R11")
    async def test_who_has_gone_is_not_counted_and_not_kept(self) -> None:
        """After many timeouts, the repr counts those who still wait, and nothing grows."""
        kept: list[weakref.ref[asyncio.Task[None]]] = []

        async def wait(futs: thp.FutureDominos) -> None:
            await futs[1]

        async with thp.future_dominos(expected=1) as futs:
            for _ in range(100):
                task = asyncio.create_task(wait(futs))
                kept.append(weakref.ref(task))
                await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            del task
            gc.collect()
            shown, waiters = repr(futs[1]), len(getattr(futs[1], "_waiters"))  # noqa: B009
            futs.begin()
            await futs[1]

        assert (shown, waiters <= 20) == ("<domino 1, standing, 0 waiting>", True)
        assert [each for each in kept if each() is not None] == []


class TestLinesThatAreThere:
    """Of the user, and of files that can be read."""

    @pytest.mark.proves("R12")
    @pytest.mark.parametrize("folder", ["dist-packages", "site-packages"])
    async def test_a_library_is_one_wherever_the_system_keeps_it(self, folder: str, tmp_path: Path) -> None:
        """Debian has a folder with another name."""
        path = os.path.join(os.sep, "usr", "lib", "python3", folder, "client", "core.py")
        scope: dict[str, Any] = {}
        exec(compile("async def fetch(wait):\n    await wait()\n", path, "exec"), scope)

        async def use() -> None:
            await scope["fetch"](asyncio.Event().wait)

        task = asyncio.create_task(use())
        await thp.wait_all_tasks_blocked()

        [line] = plain(_source.waits_at(task).replace("\n", " "))
        assert line == 'HERE: await scope["fetch"](asyncio.Event().wait)'
        assert _source._is_library(path)
        assert _source._inside_library(path) == os.path.join("client", "core.py")

    @pytest.mark.proves("R12")
    def test_the_folders_of_this_python_are_asked_for(self) -> None:
        """As `sysconfig` gives them."""
        paths = sysconfig.get_paths()

        assert all(_source._is_library(os.path.join(paths[name], "x.py")) for name in ("purelib", "platlib", "stdlib"))

    @pytest.mark.proves("R12")
    @pytest.mark.parametrize("is_there", [False, True], ids=["no file", "another file of this name"])
    async def test_a_line_of_a_compiled_library_is_not_shown(
        self, is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was compiled from a file that is elsewhere: the innermost line that is really there is shown instead."""
        monkeypatch.syspath_prepend(tmp_path)
        if is_there:
            (tmp_path / "protocol").mkdir()
            (tmp_path / "protocol" / "protocol.pyx").write_text("wrong\n" * 10, encoding="utf-8")
        scope: dict[str, Any] = {}
        exec(compile("async def fetch(wait):\n    await wait()\n", "protocol/protocol.pyx", "exec"), scope)

        async def use() -> None:
            await scope["fetch"](asyncio.Event().wait)

        inside, alone = asyncio.create_task(use()), asyncio.create_task(scope["fetch"](asyncio.Event().wait))
        await thp.wait_all_tasks_blocked()

        assert plain(_source.waits_at(inside).replace("\n", " ")) == [
            'HERE: await scope["fetch"](asyncio.Event().wait)'
        ]
        assert _source.waits_at(alone) == "protocol/protocol.pyx:2"


class TestPatterns:
    """What `pytest.raises` matches."""

    @pytest.mark.proves("R1")
    async def test_a_pattern_with_an_end_matches_inside_the_block_or_without_its_end(self) -> None:
        """The report is a note, and pytest matches notes as well."""
        async with thp.mocked_call_later():
            with pytest.raises(Boom, match=r"^lost$"):
                raise Boom("lost")
        with pytest.raises(Boom, match=r"^lost\b") as caught:
            async with thp.mocked_call_later():
                raise Boom("lost")

        assert str(caught.value) == "lost"
        with pytest.raises(AssertionError), pytest.raises(Boom, match=r"^lost$"):
            async with thp.mocked_call_later():
                raise Boom("lost")


class TestBusy:
    """Who keeps the loop busy."""

    @pytest.mark.proves("R10")
    @pytest.mark.skipif(sys.platform == "win32", reason="there a refused connection takes seconds")
    async def test_who_retries_without_a_delay_over_real_sockets_is_named(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The clock stands, so the server that a timer is to open never comes."""
        tries = 0
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        async def connect() -> None:
            nonlocal tries
            while True:
                try:
                    await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    tries += 1
                    if tries == 300:
                        body_task.cancel()
                    await asyncio.sleep(0)  # AGAIN

        async def body() -> None:
            async with thp.mocked_call_later():
                asyncio.get_running_loop().call_later(5, print)
                await asyncio.create_task(connect(), name="client")

        body_task = asyncio.create_task(body())
        await asyncio.wait([body_task])

        report = plain(logged(caplog)[0])
        assert report[2:4] == [
            f"  {FIRST}the event loop is never idle, so neither the clock nor the dominos can move",
            "    kept busy by task 'client' at HERE: await asyncio.sleep(0)  # AGAIN",
        ]

    @pytest.mark.proves("R10")
    async def test_tasks_that_take_turns_are_all_named_though_one_is_cancelled_each_time(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A limit of zero cancels its task in each round."""
        rounds = 0

        async def spin() -> None:
            nonlocal rounds
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0):
                        await wait_for_ever()
                rounds += 1
                if rounds == 300:
                    body_task.cancel()

        async def body() -> None:
            async with thp.mocked_call_later():
                spinner = asyncio.create_task(spin(), name="spinner")
                await asyncio.wait([spinner])

        body_task = asyncio.create_task(body())
        await asyncio.wait([body_task])

        if asyncio.get_running_loop().__class__.__module__.startswith("asyncio"):
            [line] = [line for line in plain(logged(caplog)[0]) if "kept busy" in line]
            assert line.startswith("    kept busy by task 'spinner' at HERE: ")
