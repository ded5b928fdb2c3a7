"""Which orders are tried, and how an order is written down. Independent of asyncio.

PYTEST_DONT_REWRITE
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from re import fullmatch
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from random import Random

GO_ON = -1
"""Nothing arrives now: the loop runs what is ready."""

CLOCK = 0
"""The clock moves to the next deadline. Answers are numbered from 1, in the order in which they were asked for."""

_MOST_RANDOM_CHOICES = 1000
"""After so many choices a random order continues first come, first served: otherwise a scenario might never end."""

_STEP = r"(clock|[1-9]\d*)(?:@(\d+))?"


class Chooser(Protocol):
    """Decides what happens next in a run."""

    def choose(self, options: Sequence[int], after: int | None) -> int:
        """Return one of the options; the first one is first come, first served.

        :param after: how many iterations ago the latest step was; ``None`` if the loop is idle.
        """
        ...


class Choices:
    """The choices of one run, as indexes of the options: first the given ones, then 0, or random ones."""

    def __init__(self, given: Sequence[int] = (), random: "Random | None" = None) -> None:
        self.taken: list[int] = []
        self.is_random = random is not None
        self._given = given
        self._random = random
        self._rate = random.random() ** 2 if random is not None else 0.0
        self._widths: list[int] = []
        self._all_fit = True

    @property
    def fits(self) -> bool:
        """Whether the given choices were possible in the run."""
        return self._all_fit and len(self.taken) >= len(self._given)

    @property
    def departures(self) -> list[int]:
        """The indexes of the choices that departed from first come, first served."""
        return [place for place, choice in enumerate(self.taken) if choice]

    def choose(self, options: Sequence[int], after: int | None) -> int:
        """Return the option of the next choice."""
        if len(options) == 1:
            return options[0]
        place = len(self.taken)
        choice = self._given[place] if place < len(self._given) else self._further(place, len(options))
        if choice >= len(options):
            self._all_fit, choice = False, 0
        self.taken.append(choice)
        self._widths.append(len(options))
        return options[choice]

    def _further(self, place: int, width: int) -> int:
        random = self._random
        if random is None or place >= _MOST_RANDOM_CHOICES or random.random() >= self._rate:
            return 0
        return random.randrange(1, width)

    def with_one_more_departure(self) -> Iterator[tuple[int, ...]]:
        """Yield choices with one more departure than this run, after the given ones."""
        for place in range(len(self._given), len(self.taken)):
            for choice in range(1, self._widths[place]):
                yield (*self.taken[:place], choice)

    def with_fewer_departures(self) -> Iterator[tuple[int, ...]]:
        """Yield choices without some of the departures; those that drop the most come first."""
        departures = self.departures
        size = len(departures) // 2
        while size:
            for start in range(0, len(departures), size):
                left_out = set(departures[start : start + size])
                yield tuple(0 if place in left_out else choice for place, choice in enumerate(self.taken))
            size //= 2


class Search:
    """Yields the choices of the runs; each run has to be made before the next is requested."""

    def __init__(self, runs: int, seed: int) -> None:
        self.tried = 0
        self.complete = False
        """Whether all possible orders have been tried."""
        self._runs = runs
        self._seed = seed

    def __iter__(self) -> Iterator[Choices]:
        all_fit = True
        for choices in _by_departures():
            if self.tried * 2 >= self._runs:
                break
            self.tried += 1
            yield choices
            all_fit = all_fit and choices.fits
        else:
            self.complete = all_fit
            return
        # Imported only here: most explorations are complete before this, and the import takes milliseconds.
        from random import Random

        random = Random(self._seed)
        while self.tried < self._runs:
            self.tried += 1
            yield Choices(random=random)


def _by_departures() -> Iterator[Choices]:
    """Yield each order once, those with the fewest departures from first come, first served first."""
    ran: list[Choices]
    given: Iterator[tuple[int, ...]] = iter([()])
    while True:
        ran = []
        for each in given:
            ran.append(Choices(each))
            yield ran[-1]
        if not ran:
            return
        given = chain.from_iterable([choices.with_one_more_departure() for choices in ran])


class Step(NamedTuple):
    """An answer that arrived, or a move of the clock past outstanding answers."""

    number: int
    after: int | None
    """How many iterations after the previous step, or the start, it came; ``None`` if the loop was idle."""
    instead_of: int
    """What would have happened first come, first served."""
    time: float
    """Its virtual time."""

    @property
    def departs(self) -> bool:
        """Whether this is not first come, first served."""
        return self.number != self.instead_of


class Replay:
    """Follows an order that was written down."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._steps = [_parsed(text, step) for step in text.split()]
        self._next = 0
        self.misfit: str | None = None
        """Which step was not possible in the run."""

    def choose(self, options: Sequence[int], after: int | None) -> int:
        """Return the next step if it is due; first come, first served after the last step."""
        if self._next == len(self._steps) or self.misfit is not None:
            return options[0]
        number, wanted_after = self._steps[self._next]
        if wanted_after == after:
            if number in options:
                self._next += 1
                return number
        elif GO_ON in options and (wanted_after is None or (after is not None and after < wanted_after)):
            return GO_ON
        self._note_misfit()
        return options[0]

    def note_end(self) -> None:
        """Note that the run has ended."""
        if self._next < len(self._steps) and self.misfit is None:
            self._note_misfit()

    def _note_misfit(self) -> None:
        step = self._text.split()[self._next]
        self.misfit = f"step {self._next + 1} of replay={self._text!r}, which is {step}, is not possible in this run"


def replay_text(steps: Sequence[Step]) -> str:
    """Write an order down, up to the last departure: after that, it is first come, first served."""
    last = max((place for place, step in enumerate(steps, 1) if step.departs), default=0)
    return " ".join(
        ("clock" if step.number == CLOCK else str(step.number)) + ("" if step.after is None else f"@{step.after}")
        for step in steps[:last]
    )


def _parsed(text: str, step: str) -> tuple[int, int | None]:
    __tracebackhide__ = True
    match = fullmatch(_STEP, step)
    if match is None:
        raise ValueError(
            f"replay must be what a note of explore shows, such as '1 3@0 clock', got {text!r}:"
            f" {step!r} is neither the number of an answer nor 'clock'"
        )
    number, after = match.groups()
    return CLOCK if number == "clock" else int(number), None if after is None else int(after)


def domino_numbers(steps: Sequence[Step], asked: int) -> list[int] | None:
    """Return which domino each call of ``outside`` has to await, in order; ``None`` if dominos cannot make the order.

    Dominos fall while the loop is idle, and waiters of the same one resume in the order in which they came.
    """
    dominos: dict[int, int] = {}
    fallen = latest = 0
    for step in steps:
        if step.number == CLOCK or step.after or (step.after == 0 and step.number < latest):
            return None
        if step.after is None:
            fallen += 1
        latest = step.number
        dominos[step.number] = fallen
    for number in range(1, asked + 1):
        if number not in dominos:
            fallen += 1
            dominos[number] = fallen
    return [dominos[number] for number in range(1, asked + 1)]
