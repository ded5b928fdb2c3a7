"""Dates of a block beside freezegun, in processes that have not imported time-machine before."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
import sys
from datetime import UTC, datetime

import freezegun

from machinery import test_helpers as thp


async def frozen():
    with freezegun.freeze_time("2026-01-01"):
        try:
            async with thp.mocked_call_later(datetime=True):
                print("entered")
        except RuntimeError as error:
            print(error)
        print(datetime.now(UTC).date())


async def virtual(start):
    async with thp.mocked_call_later(datetime=True, start_time=start):
        await asyncio.sleep(1)
        print(datetime.now(UTC).timestamp())


async def main():
    await frozen()
    print("time_machine" in sys.modules)
    await virtual(5)
    await frozen()
    await virtual(7)


asyncio.run(main())
"""


@pytest.mark.proves("T14", "T18")
def test_a_block_with_dates_is_refused_in_frozen_time_and_works_outside_of_it() -> None:
    """Whether or not time-machine has been imported by then."""
    pytest.importorskip("freezegun")

    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)

    refused = (
        "datetime=True does not work while another tool, such as freezegun, replaces datetime.datetime:"
        " open the block outside of it"
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [refused, "2026-01-01", "False", "6.0", refused, "2026-01-01", "8.0"]
