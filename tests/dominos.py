"""What tests of dominos share."""

from machinery import test_helpers as thp


class Unusual(BaseException):
    """An exception that is not an `Exception`."""


async def fall(futs: thp.FutureDominos, *nums: int) -> None:
    """Begin, and await these dominos one after the other."""
    futs.begin()
    for num in nums:
        await futs[num]


async def all_that_can_fall() -> None:
    """Come back when no domino falls any more: they do before even an `add` of nothing ends."""
    async with thp.mocked_call_later() as m:
        await m.add(0)


def fallen(futs: thp.FutureDominos, *nums: int) -> list[bool]:
    """Tell which of these dominos have fallen; this retrieves them all."""
    return [futs[num].done() for num in nums]


async def note(domino: thp.Domino, called: list[object], what: object) -> None:
    """Add to a list what a domino tells to go on."""
    await domino
    called.append(what)
