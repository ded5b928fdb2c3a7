"""What tries again: tenacity, stamina and backoff."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("backoff")

import backoff
import stamina
import tenacity

from machinery import test_helpers as thp

Attempt = Callable[[], Awaitable[None]]


class Outage:
    """A service that is down for some seconds, and who asked for it when."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.asked: list[float] = []

    async def ask(self) -> None:
        """Raise while the service is down."""
        self.asked.append(time.time())
        if time.time() < self._seconds:
            raise ConnectionError


@pytest.mark.proves("T0", "T1")
async def test_tenacity_waits_twice_as_long_each_time() -> None:
    """It asks after 1, 3, 7, 15, 31 and 63 seconds, and has an answer when the service is back after a minute."""
    outage = Outage(60)

    async with thp.mocked_call_later():
        await tenacity.AsyncRetrying(wait=tenacity.wait_exponential(multiplier=1))(outage.ask)

    assert outage.asked == [0, 1, 3, 7, 15, 31, 63]


@pytest.mark.proves("T0", "T1")
async def test_tenacity_stops_when_it_has_tried_for_long_enough() -> None:
    """Asking every ten minutes for an hour, it gives up at the first failure that is an hour late."""
    outage = Outage(1e9)

    async with thp.mocked_call_later():
        retrying = tenacity.AsyncRetrying(
            wait=tenacity.wait_fixed(600), stop=tenacity.stop_after_delay(3600), reraise=True
        )
        with pytest.raises(ConnectionError):
            await retrying(outage.ask)

    assert outage.asked == [0, 600, 1200, 1800, 2400, 3000, 3600]


@pytest.mark.proves("T0", "T1")
async def test_stamina_gives_up_after_its_timeout() -> None:
    """With waits of 1, 2, 4, ... minutes and never more than ten, the first failure after an hour is the last."""
    outage = Outage(1e9)

    async with thp.mocked_call_later():
        retrying = stamina.AsyncRetryingCaller(
            attempts=None, timeout=3600, wait_initial=60, wait_max=600, wait_jitter=0
        )
        with pytest.raises(ConnectionError):
            await retrying(ConnectionError, outage.ask)

    assert outage.asked == [0, 60, 180, 420, 900, 1500, 2100, 2700, 3300, 3900]


# It asks asyncio whether a function is a coroutine function, which is deprecated since Python 3.14.
@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")
@pytest.mark.proves("T0", "T1")
async def test_backoff_waits_as_its_generator_says() -> None:
    """With a constant interval of five minutes the third try comes after ten, when the service is back."""
    outage = Outage(500)

    async with thp.mocked_call_later():
        await backoff.on_exception(backoff.constant, ConnectionError, interval=300, jitter=None)(outage.ask)()

    assert outage.asked == [0, 300, 600]


@pytest.mark.proves("T0", "T1")
async def test_a_timeout_around_retries_strikes_between_them() -> None:
    """A retry that would come too late does not come."""
    outage = Outage(60)

    async with thp.mocked_call_later():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(
                tenacity.AsyncRetrying(wait=tenacity.wait_exponential(multiplier=1))(outage.ask), timeout=30
            )
        assert time.time() == 30

    assert outage.asked == [0, 1, 3, 7, 15]
