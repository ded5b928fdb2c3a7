"""A context that owns a lifetime on an event loop, and a holder for the tasks started in it.

PYTEST_DONT_REWRITE
"""

from machinery._helpers._context import CTX
from machinery._helpers._task_holder import task_holder
from machinery.helpers import protocols

__all__ = ["CTX", "protocols", "task_holder"]
