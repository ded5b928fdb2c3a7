"""Temporary replacements of an object's attributes, which may be removed in any order.

PYTEST_DONT_REWRITE
"""

from collections.abc import Mapping
from typing import Any

_ABSENT = object()


class Patches:
    """Sets of replaced attributes of one object: the newest wins, and the last one removed restores the original.

    The dictionary of the object is changed directly: with ``setattr`` and ``delattr`` an empty block takes 8 % more
    instructions. So it cannot be a class, whose dictionary is read-only.
    """

    def __init__(self, target: object) -> None:
        self._current: Any = vars(target)
        self._sets: list[Mapping[str, object]] = []
        self._originals: dict[str, object] = {}
        """Those of the replaced attributes that the object itself had, and not only its class."""
        self._overlap = False
        """Whether an attribute may have been replaced by more than one set."""

    def add(self, attributes: Mapping[str, object]) -> None:
        """Replace these attributes."""
        current, sets = self._current, self._sets
        for name in attributes:
            if name in current:
                if sets and self.replaces(name):
                    self._overlap = True
                else:
                    self._originals[name] = current[name]
        sets.append(attributes)
        current.update(attributes)

    def replaces(self, name: str) -> bool:
        """Return whether any of the sets replaces an attribute."""
        return any(name in attributes for attributes in self._sets)

    def remove(self, attributes: Mapping[str, object]) -> None:
        """Take these replacements away, except where somebody else has since replaced them again."""
        self._sets = sets = [other for other in self._sets if other is not attributes]
        current, originals = self._current, self._originals
        for name, value in attributes.items():
            if name in current and current[name] is value:
                below = originals.get(name, _ABSENT) if originals else _ABSENT
                if self._overlap:
                    for other in sets:
                        below = other.get(name, below)
                if below is _ABSENT:
                    del current[name]
                else:
                    current[name] = below
        if not sets:
            originals.clear()
            self._overlap = False
