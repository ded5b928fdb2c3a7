"""Attributes of an object replaced for a while."""

from collections.abc import Mapping

_ABSENT = object()


class Layers:
    """Replacements of an object's attributes, each with an end of its own.

    The newest is seen, they may go in any order, and with the last one the original returns.
    """

    def __init__(self, target: object) -> None:
        self._target = target
        self._layers: list[Mapping[str, object]] = []
        self._originals: dict[str, object] = {}

    def add(self, layer: Mapping[str, object]) -> None:
        """Put these attributes over what is there."""
        there = vars(self._target)
        for name, value in layer.items():
            self._originals.setdefault(name, there.get(name, _ABSENT))
            setattr(self._target, name, value)
        self._layers.append(layer)

    def remove(self, layer: Mapping[str, object]) -> None:
        """Take these attributes away again, except where somebody else has since put theirs on top."""
        self._layers = [other for other in self._layers if other is not layer]
        there = vars(self._target)
        for name, value in layer.items():
            if there.get(name, _ABSENT) is value:
                below = self._originals[name]
                for other in self._layers:
                    below = other.get(name, below)
                if below is _ABSENT:
                    delattr(self._target, name)
                else:
                    setattr(self._target, name, below)
        if not self._layers:
            self._originals.clear()
