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
        for name, value in layer.items():
            self._originals.setdefault(name, vars(self._target).get(name, _ABSENT))
            setattr(self._target, name, value)
        self._layers.append(layer)

    def remove(self, layer: Mapping[str, object]) -> None:
        """Take these attributes away again, except where somebody else has since put theirs on top."""
        self._layers = [other for other in self._layers if other is not layer]
        for name, value in layer.items():
            if vars(self._target).get(name, _ABSENT) is value:
                self._show(name)
        if not self._layers:
            self._originals.clear()

    def _show(self, name: str) -> None:
        value = next((layer[name] for layer in reversed(self._layers) if name in layer), self._originals[name])
        if value is _ABSENT:
            delattr(self._target, name)
        else:
            setattr(self._target, name, value)
