"""Attributes replaced for a while are put back in whatever order the replacements go."""

import itertools
from types import SimpleNamespace

import pytest

from machinery._test_helpers._patches import Patches


class Target:
    """Something with an attribute of its class."""

    inherited: object = "of the class"


@pytest.mark.proves("T15")
def test_an_attribute_of_the_class_is_seen_again_and_none_of_the_instance_is_left() -> None:
    """What was not on the instance before is not on it afterwards."""
    target = Target()
    layers, layer = Patches(target), {"inherited": "replaced", "new": "added"}

    layers.add(layer)
    replaced = dict(vars(target))
    layers.remove(layer)

    assert replaced == layer
    assert vars(target) == {}
    assert target.inherited == "of the class"


@pytest.mark.proves("T15")
def test_an_attribute_of_the_instance_is_restored_beside_one_that_it_did_not_have() -> None:
    """Each is as it was, in the same order."""
    target = SimpleNamespace(first=1, own="original", last=2)
    layers, layer = Patches(target), {"new": "added", "own": "replaced"}

    layers.add(layer)
    replaced = dict(vars(target))
    layers.remove(layer)

    assert replaced == {"first": 1, "own": "replaced", "last": 2, "new": "added"}
    assert list(vars(target).items()) == [("first", 1), ("own", "original"), ("last", 2)]


@pytest.mark.proves("T15", "T17")
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_layers_go_in_any_order_and_the_newest_that_is_left_is_seen(order: tuple[int, ...]) -> None:
    """The way in which blocks overlap does not matter to what is seen."""
    target = SimpleNamespace(name="original")
    layers, replacements = Patches(target), [{"name": "first"}, {"name": "second"}, {"name": "third"}]
    for replacement in replacements:
        layers.add(replacement)
    seen = []

    for number in order:
        layers.remove(replacements[number])
        seen.append(target.name)

    left = [[n for n in range(3) if n not in order[: gone + 1]] for gone in range(3)]
    assert seen == [replacements[max(numbers)]["name"] if numbers else "original" for numbers in left]


@pytest.mark.proves("T15", "T17")
def test_layers_of_different_attributes_do_not_meet() -> None:
    """A layer that lacks an attribute lets the one below shine through."""
    target = SimpleNamespace(one=1, two=2)
    layers, below, above = Patches(target), {"one": "below", "two": "below"}, {"one": "above"}
    layers.add(below)
    layers.add(above)

    layers.remove(above)
    without_above = dict(vars(target))
    layers.remove(below)

    assert without_above == below
    assert vars(target) == {"one": 1, "two": 2}


@pytest.mark.proves("T15")
def test_what_somebody_else_put_on_top_stays() -> None:
    """A replacement by others is theirs to take back."""
    target = SimpleNamespace(name="original")
    layers, layer = Patches(target), {"name": "ours"}
    layers.add(layer)

    target.name = "theirs"
    layers.remove(layer)

    assert target.name == "theirs"


@pytest.mark.proves("T15")
def test_an_attribute_that_somebody_else_took_away_stays_away() -> None:
    """Removing what is no longer there is no error."""
    target = Target()
    layers, layer = Patches(target), {"inherited": "ours"}
    layers.add(layer)

    del target.inherited
    layers.remove(layer)

    assert target.inherited == "of the class"


@pytest.mark.proves("T15")
def test_the_original_is_looked_up_anew_each_time() -> None:
    """What lies below is what was there when the first layer came, not what was there once."""
    target = SimpleNamespace(name="old")
    layers, layer = Patches(target), {"name": "ours"}
    layers.add(layer)
    layers.remove(layer)
    target.name = "new"

    layers.add(layer)
    layers.remove(layer)

    assert target.name == "new"
