"""What all tests with real libraries share."""

import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _takes_no_real_time() -> Iterator[None]:
    """Fail a test that took many seconds: all the minutes and hours in these tests are virtual."""
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < 30
