"""What newer Pythons have brought to asyncio works in a block."""

import asyncio
import io
import subprocess
import sys
import time

import pytest

from machinery import test_helpers as thp
from tests.reports.reading import Boom, logged, report_of, wait_for_ever

pytestmark = pytest.mark.usefixtures("quiet_loop")

if sys.version_info >= (3, 12):

    @pytest.mark.proves("R2", "R3")
    async def test_reports_name_the_tasks_of_an_eager_factory() -> None:
        """Those that failed in their first step, and those that wait since then."""

        async def fail() -> None:
            raise ValueError("at once")

        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        try:
            with pytest.raises(Boom) as caught:
                async with thp.mocked_call_later():
                    failed = loop.create_task(fail())
                    sleeping = loop.create_task(asyncio.sleep(5))
                    waiting = loop.create_task(wait_for_ever(), name="waiting")
                    raise Boom
        finally:
            loop.set_task_factory(None)

        report = report_of(caught.value)
        assert any("failed: ValueError('at once')" in line for line in report), report
        assert any(line.startswith("  pending at 5.0, in 5 s: ") for line in report), report
        assert any(line.startswith("  task 'waiting' waits") for line in report), report
        assert isinstance(failed.exception(), ValueError)
        sleeping.cancel()
        waiting.cancel()


if sys.version_info >= (3, 14):

    @pytest.mark.proves("T0", "T19")
    async def test_a_task_that_starts_eagerly_waits_in_virtual_time() -> None:
        """Its first step is over when `create_task` returns."""
        events: list[object] = []

        async def nap() -> None:
            events.append(time.time())
            await asyncio.sleep(3600)
            events.append(time.time())

        async with thp.mocked_call_later() as m, asyncio.TaskGroup() as tasks:
            await asyncio.sleep(1)
            tasks.create_task(nap(), eager_start=True)
            events.append("created")
            assert m.pending == [3601]

        assert events == [1, "created", 3601]

    @pytest.mark.proves("D2", "D3")
    async def test_dominos_fall_in_order_for_tasks_that_start_eagerly() -> None:
        """Each awaits its domino while it is created."""
        order: list[int] = []

        async def step(num: int) -> None:
            await futs[num]
            order.append(num)

        async with thp.future_dominos(expected=3) as futs, asyncio.TaskGroup() as tasks:
            for num in (3, 1, 2):
                tasks.create_task(step(num), eager_start=True)
            futs.begin()

        assert order == [1, 2, 3]

    @pytest.mark.proves("R1", "T15")
    async def test_a_block_may_be_entered_in_an_eager_start() -> None:
        """Its task is the new one, which is the one that gets the report."""

        async def body() -> None:
            async with thp.mocked_call_later():
                await asyncio.sleep(5)
                raise Boom

        task = asyncio.create_task(body(), eager_start=True)
        with pytest.raises(Boom) as caught:
            await task

        assert report_of(caught.value)[0].startswith("virtual time is at 5.0, ")

    @pytest.mark.proves("B3")
    async def test_the_call_graph_of_a_task_that_waits_for_a_domino_ends_at_its_line() -> None:
        """And it names the task that waits for that one."""

        async def step() -> None:
            await futs[1]

        async def outer() -> None:
            await inner

        text = io.StringIO()
        async with thp.mocked_call_later(), thp.future_dominos(expected=1) as futs, asyncio.TaskGroup() as tasks:
            inner = tasks.create_task(step(), name="inner")
            tasks.create_task(outer(), name="outer")
            await thp.wait_all_tasks_blocked()
            asyncio.print_call_graph(inner, file=text)
            futs.begin()

        assert "step()" in text.getvalue()
        assert "* Task(name='outer'" in text.getvalue()

    @pytest.mark.proves("T12")
    async def test_a_pool_of_interpreters_holds_the_clock_and_reads_real_time() -> None:
        """Each interpreter has a module `time` of its own."""
        from concurrent.futures import InterpreterPoolExecutor

        with InterpreterPoolExecutor(1) as pool:
            # An interpreter takes a while to start.
            pool.submit(abs, 1).result()
            async with thp.mocked_call_later(), asyncio.timeout(5):
                now = await asyncio.get_running_loop().run_in_executor(pool, eval, "__import__('time').time()")
                assert time.time() == 0

        assert now > 1_700_000_000


if sys.version_info >= (3, 15):

    @pytest.mark.proves("T6")
    async def test_a_task_group_in_a_block_can_be_cancelled() -> None:
        """At a virtual time, and time goes on from there."""
        async with thp.mocked_call_later() as m:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.sleep(100))
                asyncio.get_running_loop().call_later(3, tasks.cancel)
                await wait_for_ever()
            assert time.time() == 3
            assert m.pending == []
            await asyncio.sleep(1)
            assert time.time() == 4

    @pytest.mark.proves("R5", "T15")
    @pytest.mark.parametrize("helper", ["mocked_call_later", "future_dominos"])
    async def test_a_task_group_around_a_block_can_be_cancelled(helper: str, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing is logged, since nothing has failed."""

        async def body() -> None:
            block = thp.mocked_call_later() if helper == "mocked_call_later" else thp.future_dominos(expected=1)
            async with asyncio.TaskGroup() as tasks, block:
                asyncio.get_running_loop().call_soon(tasks.cancel)
                await wait_for_ever()

        await asyncio.create_task(body())

        assert logged(caplog) == []


CHILDREN = """
import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from machinery import test_helpers as thp

async def main():
    loop = asyncio.get_running_loop()
    async with thp.mocked_call_later(start_time=500):
        for context in (None, get_context("fork")):
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                print(await loop.run_in_executor(pool, eval, "__import__('time').time()"))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork by default")
@pytest.mark.proves("T1")
def test_a_process_that_is_forked_in_a_block_reads_virtual_time() -> None:
    """Up to Python 3.13 the default context of process pools forks; from 3.14 it does not."""
    command = [sys.executable, "-W", "ignore", "-c", CHILDREN]

    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, ran.stderr
    default, forked = map(float, ran.stdout.split())
    assert forked == 500
    assert (default == 500) is (sys.version_info < (3, 14)), default
