"""What is logged when the clock moves on past work elsewhere."""

import asyncio
import subprocess
import sys
import threading

import pytest

from machinery import test_helpers as thp
from tests.reports.reading import logged, plain


@pytest.mark.usefixtures("work_patience")
@pytest.mark.proves("T12")
async def test_the_warning_names_the_block_how_long_it_waited_and_all_that_it_moves_past(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A function by its name, a process by its number."""
    released = threading.Event()
    async with thp.mocked_call_later(name="shop"):
        work = asyncio.ensure_future(asyncio.to_thread(released.wait))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
        await asyncio.sleep(5)
        released.set()
        await work
        await process.communicate(b"\n")

    assert [line for message in logged(caplog) for line in plain(message)] == [
        "<virtual time 'shop' at 0.0, 1 pending, next at 5.0> goes on without waiting for Event.wait(),"
        f" process {process.pid}, ({sys.executable!r}, '-c', 'input()'), begun at HERE,"
        " under way for 0.1 real seconds (autojump_threshold sets how long to wait)"
    ]
