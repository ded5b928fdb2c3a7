"""Temporary replacements of an object's attributes, which may be removed in any order.

PYTEST_DONT_REWRITE
"""

from collections.abc import Mapping

_ABSENT = object()


class Patches:
    """Sets of replaced attributes of one object: the newest wins, and the last one removed restores the original."""

    def __init__(self, target: object) -> None:
        self._target = target
        self._sets: list[Mapping[str, object]] = []
        self._originals: dict[str, object] = {}

    def add(self, attributes: Mapping[str, object]) -> None:
        """Replace these attributes."""
        current = vars(self._target)
        self._sets.append(attributes)
        for name, value in attributes.items():
            self._originals.setdefault(name, current.get(name, _ABSENT))
            setattr(self._target, name, value)

    def replaces(self, name: str) -> bool:
        """Return whether any of the sets replaces an attribute."""
        return any(name in attributes for attributes in self._sets)

    def remove(self, attributes: Mapping[str, object]) -> None:
        """Take these replacements away, except where somebody else has since replaced them again."""
        self._sets = [other for other in self._sets if other is not attributes]
        current = vars(self._target)
        for name, value in attributes.items():
            if current.get(name, _ABSENT) is value:
                below = self._originals[name]
                for other in self._sets:
                    below = other.get(name, below)
                if below is _ABSENT:
                    delattr(self._target, name)
                else:
                    setattr(self._target, name, below)
        if not self._sets:
            self._originals.clear()
