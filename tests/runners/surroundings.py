"""What a pytest that is run by a test may know of the one that runs it: nothing."""

import os
from collections.abc import Callable

Outcome = Callable[[str, str], tuple[int, str]]
"""Gives the exit code and the output of a run, by the names of its runner and of the run."""

# pytest prints more, or in colours, or in wider lines, for some of the others: with `CI` each failure in full twice.
_KEPT_FROM_IT = ("PYTEST_", "BUILD_NUMBER", "CI", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PY_COLORS")


def environment(**settings: str) -> dict[str, str]:
    """Return the environment for it, with these variables in addition."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_FROM_IT)}
    return inherited | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | settings
