"""Finds blocks in which nothing can happen any more.

PYTEST_DONT_REWRITE
"""

from collections.abc import Callable
from math import inf
from typing import ClassVar

from machinery._test_helpers._idle import IdleHook, Turn

STUCK_AFTER = 1.0
"""For how many real seconds nothing may be able to happen before a block is ended."""

HOPELESS_AFTER = 5.0
"""The same where only idle connections could wake it, before a report is logged."""


class DeadlockDetector:
    """Ends a block in which nothing can happen any more, and tells when only idle connections could change that."""

    turn = Turn.DEADLOCKS

    gives_up_beside_connections_after: ClassVar[float] = inf
    """For how many real seconds nothing but idle connections may be able to wake a block before it is ended as well."""

    def __init__(self, hook: IdleHook, give_up: Callable[[str], bool], log_report: Callable[[str], object]) -> None:
        self._hook = hook
        self._end_block = give_up
        self._log_report = log_report
        self._logged: tuple[int, float] | None = None
        """How many events there had been when the report was logged, and for how long the loop had been idle."""

    def on_idle(self, idle_seconds: float) -> float:
        """Give up when nothing has happened for long enough, and nothing could."""
        if idle_seconds < STUCK_AFTER:
            return STUCK_AFTER - idle_seconds
        if self._hook.nothing_can_wake():
            return self._give_up("deadlock: every task is waiting and nothing is left to wake one")
        events, idle_before = self._logged or (None, 0.0)
        waited = idle_seconds + (idle_before if events == self._hook.events_seen else 0.0)
        is_due = waited >= HOPELESS_AFTER if self._logged is None else waited >= self.gives_up_beside_connections_after
        if not is_due or not self._hook.only_connections_can_wake():
            return STUCK_AFTER
        reason = "deadlock: every task is waiting, and only an idle connection could wake one"
        if self._logged is not None:
            return self._give_up(reason)
        self._logged = self._hook.events_seen, waited
        self._log_report(reason)
        return 0

    def _give_up(self, reason: str) -> float:
        return 0 if self._end_block(reason) else inf

    def on_loop_closed(self) -> None:
        """Do nothing: the block is closed by its helper."""
