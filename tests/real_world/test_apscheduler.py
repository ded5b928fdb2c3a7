"""Jobs of APScheduler, which reads the date."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("apscheduler")

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from machinery import test_helpers as thp
from tests.loops import Run, on_every_loop


async def stop(scheduler: AsyncIOScheduler) -> None:
    """Stop the scheduler while its time is still virtual: it does so in the next round of the loop."""
    scheduler.shutdown()
    await thp.wait_all_tasks_blocked()


@on_every_loop
@pytest.mark.proves("T14")
def test_jobs_run_at_their_dates(run: Run) -> None:
    """In a day and a bit, an hourly job runs 24 times and the one at half past six once, all on the second."""
    hourly: list[datetime] = []
    daily: list[datetime] = []
    midnight = datetime(2026, 3, 1, tzinfo=UTC)

    async def note(dates: list[datetime]) -> None:
        dates.append(datetime.now(UTC))

    async def body() -> None:
        async with thp.mocked_call_later(datetime=True, start_time=midnight.timestamp()):
            scheduler = AsyncIOScheduler(timezone=UTC)
            scheduler.add_job(note, "interval", [hourly], hours=1)
            scheduler.add_job(note, "cron", [daily], hour=6, minute=30)
            scheduler.start()
            await asyncio.sleep(24 * 3600 + 60)
            await stop(scheduler)

    run(body())

    assert hourly == [midnight + timedelta(hours=n) for n in range(1, 25)]
    assert daily == [midnight + timedelta(hours=6, minutes=30)]


@on_every_loop
@pytest.mark.proves("T14")
def test_a_job_that_is_still_running_is_not_started_twice(run: Run) -> None:
    """A job every ten minutes that takes fifteen runs every twenty."""
    began: list[float] = []

    async def job() -> None:
        began.append(time.time())
        await asyncio.sleep(900)

    async def body() -> None:
        async with thp.mocked_call_later(datetime=True):
            scheduler = AsyncIOScheduler(timezone=UTC)
            scheduler.add_job(job, "interval", minutes=10)
            scheduler.start()
            await asyncio.sleep(3950)
            await stop(scheduler)

    run(body())

    assert began == [600, 1800, 3000]
