"""Helpers for testing asyncio code: virtual time, and concurrent code in an exact order.

PYTEST_DONT_REWRITE
"""

from machinery._test_helpers._answers import Outside
from machinery._test_helpers._explore import Explored, explore
from machinery._test_helpers._future_dominos import Domino, FutureDominos, future_dominos
from machinery._test_helpers._mocked_call_later import Cancellable, MockedCallLater, mocked_call_later
from machinery._test_helpers._task_watch import Stuck
from machinery._test_helpers._wait_all_tasks_blocked import wait_all_tasks_blocked

__all__ = [
    "Cancellable",
    "Domino",
    "Explored",
    "FutureDominos",
    "MockedCallLater",
    "Outside",
    "Stuck",
    "explore",
    "future_dominos",
    "mocked_call_later",
    "wait_all_tasks_blocked",
]
