"""A real program beside virtual time."""

import asyncio
import subprocess
import time

import pytest

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop
from tests.programs import PYTHON

WORKER = """
import sys, time
for line in sys.stdin:
    time.sleep(0.02)
    print(line.strip().upper(), flush=True)
"""


@on_every_loop
@pytest.mark.proves("T12")
def test_a_worker_that_answers_is_not_overtaken(run: Run) -> None:
    """Asking a process every hour, with a timeout of a second around each answer, takes the hours and nothing else."""
    answers: list[tuple[bytes, float]] = []

    async def body() -> None:
        async with thp.mocked_call_later():
            process = await asyncio.create_subprocess_exec(
                *PYTHON, "-c", WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            for word in (b"one", b"two", b"three"):
                async with asyncio.timeout(1):
                    process.stdin.write(word + b"\n")
                    answers.append((await process.stdout.readline(), time.time()))
            process.stdin.close()
            assert await process.wait() == 0
            await asyncio.sleep(3600)
            assert time.time() == 3600

    run(body())

    assert answers == [(b"ONE\n", 0), (b"TWO\n", 0), (b"THREE\n", 0)]
