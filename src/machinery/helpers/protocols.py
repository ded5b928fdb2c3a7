"""The shapes that the helpers take and give: anything that fits a Protocol may stand in for our own classes.

PYTEST_DONT_REWRITE
"""

from machinery._helpers._protocols import CTX, FutureCallback, FutureStatus, Logger, TaskHolder

__all__ = ["CTX", "FutureCallback", "FutureStatus", "Logger", "TaskHolder"]
