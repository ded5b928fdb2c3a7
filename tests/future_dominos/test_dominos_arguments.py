"""Dominos are numbered from 1, and invalid arguments are rejected at once."""

import asyncio
import contextlib
from typing import cast

import pytest

from machinery import test_helpers as thp


class Two:
    """An integer that is no int, as the numbers of numpy are."""

    def __index__(self) -> int:
        return 2


async def use_all(futs: thp.FutureDominos, expected: int) -> None:
    """Let a row of dominos end well."""
    futs.begin()
    for num in range(1, expected + 1):
        await futs[num]


class TestNumbers:
    """Valid and invalid numbers."""

    @pytest.mark.proves("D1")
    async def test_each_number_has_one_domino_of_its_own(self) -> None:
        """Asking twice gives the same one."""
        async with thp.future_dominos(expected=3) as futs:
            asked = [futs[num] for num in (1, 2, 3, 1, 2, 3)]
            await use_all(futs, 3)

        assert asked[:3] == asked[3:]
        assert len({id(domino) for domino in asked}) == 3

    @pytest.mark.proves("D1")
    @pytest.mark.parametrize("num", [0, 4, -1, -3, 10**30])
    async def test_a_number_out_of_range_is_an_index_error_that_names_the_range(self, num: int) -> None:
        """Negative numbers do not count from the end."""
        async with thp.future_dominos(expected=3) as futs:
            with pytest.raises(IndexError, match=rf"^there is no domino {num}: the numbers go from 1 to 3$"):
                futs[num]
            await use_all(futs, 3)

    @pytest.mark.proves("D1")
    @pytest.mark.parametrize("num", [True, 1.0, "1", None, (1,), slice(1, 2)], ids=repr)
    @pytest.mark.parametrize("known", [False, True], ids=["at first", "when domino 1 is known"])
    async def test_a_number_of_another_type_is_a_type_error_that_names_the_range(
        self, num: object, known: bool
    ) -> None:
        """A value that equals 1 but is not an integer is rejected."""
        async with thp.future_dominos(expected=3) as futs:
            if known:
                futs[1]
            with pytest.raises(
                TypeError, match=r"^the number of a domino must be an integer, got .+: the numbers go from 1 to 3$"
            ):
                futs[cast(int, num)]
            await use_all(futs, 3)

    @pytest.mark.proves("D1")
    async def test_an_integer_of_another_type_finds_the_same_domino(self) -> None:
        """Any type with `__index__` works."""
        async with thp.future_dominos(expected=3) as futs:
            by_index = [futs[cast(int, Two())], futs[2], futs[cast(int, Two())]]
            await use_all(futs, 3)

        assert by_index == [futs[2]] * 3

    @pytest.mark.proves("D1", "D6", "D7")
    async def test_a_row_of_no_dominos_has_no_numbers_and_finishes(self) -> None:
        """Nothing is expected, so nothing is missing."""
        async with thp.future_dominos(expected=0) as futs:
            with pytest.raises(IndexError, match=r"^there is no domino 1: expected=0 means that there are none$"):
                futs[1]
            futs.begin()
            await futs.finished.wait()


class TestArguments:
    """Invalid arguments are rejected on entering."""

    @pytest.mark.proves("D1")
    @pytest.mark.parametrize("expected", [True, 3.0, "3", None], ids=repr)
    async def test_expecting_what_is_no_int_is_a_type_error(self, expected: object) -> None:
        """The error shows what was passed."""
        with pytest.raises(TypeError, match=rf"^expected must be an int, .*got {expected!r}$"):
            await thp.future_dominos(expected=cast(int, expected)).__aenter__()

    @pytest.mark.proves("D1")
    async def test_expecting_less_than_nothing_is_a_value_error(self) -> None:
        """The error shows what was passed."""
        with pytest.raises(ValueError, match=r"^expected must be 0 or more, got -1$"):
            await thp.future_dominos(expected=-1).__aenter__()

    @pytest.mark.proves("D1")
    async def test_the_loop_is_optional(self) -> None:
        """`None` means the running loop."""
        for loop in (None, asyncio.get_running_loop()):
            async with thp.future_dominos(expected=1, loop=loop) as futs:
                await use_all(futs, 1)

    @pytest.mark.proves("D1")
    async def test_a_loop_that_does_not_run_is_a_value_error(self) -> None:
        """Dominos can fall only on the loop that runs the block."""
        with (
            contextlib.closing(asyncio.new_event_loop()) as other,
            pytest.raises(ValueError, match=r"^loop must be the running loop .+$"),
        ):
            await thp.future_dominos(expected=1, loop=other).__aenter__()

    @pytest.mark.proves("D1")
    async def test_what_is_no_loop_is_a_type_error(self) -> None:
        """The error shows what was passed."""
        loop = cast(asyncio.AbstractEventLoop, "uvloop")
        with pytest.raises(TypeError, match=r"^loop must be an event loop or None, got 'uvloop'$"):
            await thp.future_dominos(expected=1, loop=loop).__aenter__()

    @pytest.mark.proves("D5")
    async def test_a_domino_set_to_a_value_is_a_type_error(self) -> None:
        """It stands as before."""
        async with thp.future_dominos(expected=1) as futs:
            with pytest.raises(TypeError, match=r"^a domino carries no value, got 'value': pass None$"):
                futs[1].set_result(cast(None, "value"))
            assert not futs[1].done()
            await use_all(futs, 1)
