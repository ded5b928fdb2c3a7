"""How tests start a program that runs beside virtual time."""

import sys

PYTHON = (sys.executable, "-S")
"""Without `site`, which makes coverage measure each program: to start that may take longer than it holds the clock."""
