"""What all tests share."""

import asyncio
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _keep_current_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put back the current loop, which `asyncio.run` clears and alt-pytest-asyncio runs the next async test on."""
    if not request.config.pluginmanager.hasplugin("alt_pytest_asyncio.enable"):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = asyncio.get_event_loop()
    yield
    asyncio.set_event_loop(loop)
