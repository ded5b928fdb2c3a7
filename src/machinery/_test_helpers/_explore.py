"""Runs a scenario in many orders of what arrives from outside, and reports the first order that fails.

PYTEST_DONT_REWRITE
"""

from asyncio import AbstractEventLoop, CancelledError, current_task
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from logging import getLogger
from types import TracebackType
from typing import Any, NamedTuple
from warnings import warn
from weakref import WeakKeyDictionary

from machinery._test_helpers._answers import Call
from machinery._test_helpers._idle import IdleHook, Turn
from machinery._test_helpers._known_tools import is_skip
from machinery._test_helpers._loops import running_loop
from machinery._test_helpers._orders import CLOCK, Choices, Chooser, Replay, Search, Step, domino_numbers, replay_text
from machinery._test_helpers._report import MAX_LISTED, fitted
from machinery._test_helpers._scenario_run import Run, Scenario
from machinery._test_helpers._source import drop_hidden_start

logger = getLogger("machinery.test_helpers")

FAILED_ONCE = (
    "  look here first: the same order did not fail when it was run again, so something else decides:"
    " random numbers, the order of a set, threads, or what a run leaves for the next one"
)

MOST_STEPS = 100
"""How many steps of an order are listed at most."""

_DOMINOS_IN_A_LINE = 20

_exploring: MutableMapping[AbstractEventLoop, Run] = WeakKeyDictionary()
"""The loops on which a scenario is being explored, and the latest run of each."""


class Explored(NamedTuple):
    """What :func:`.explore` has tried, when no order has failed."""

    runs: int
    """How many orders were tried."""
    complete: bool
    """Whether these are all possible orders."""


async def explore(scenario: Scenario, *, runs: int = 200, seed: int = 0, replay: str | None = None) -> Explored:
    """Run a scenario in many orders of what arrives from outside, and fail with the first order that fails.

    The scenario is passed ``outside``, and awaits ``outside(label)`` wherever an answer comes from outside: in the fake
    of a database, a server or a driver. In each run the answers arrive in another order. First come, first served is
    tried first, then the orders that depart from it least, then random ones. The exception of the scenario gets a note
    with the order, and with the ``replay`` argument that runs this order alone.

    .. code-block:: python

        import asyncio

        import pytest

        from machinery import test_helpers as thp


        async def test_a_deposit_is_lost():
            async def scenario(outside):
                row = {"balance": 0}

                async def deposit(amount):
                    await outside("read")
                    seen = row["balance"]
                    await outside("write")
                    row["balance"] = seen + amount

                await asyncio.gather(deposit(10), deposit(5))
                assert row["balance"] == 15

            with pytest.raises(AssertionError):
                await thp.explore(scenario)

    In any iteration of the loop any of the outstanding answers may arrive, in any order, except that a channel keeps
    its order. The clock may move to the next deadline while answers are outstanding, or while the loop still runs what
    an answer woke. Nothing else varies: timers keep the order of their deadlines, and tasks run in asyncio's order. So
    what is found can happen in production.

    Each run is a block of virtual time. Tasks and timers that it leaves behind are cancelled. On uvloop, and on other
    loops that do not show what they are about to run, answers arrive and the clock moves only while the loop is idle.

    :param scenario: an async callable; an order fails if it raises.
    :param runs: how many orders are tried at most, 1 or more. The first half are those with the fewest departures, the
        second half are random.
    :param seed: chooses the random orders.
    :param replay: an order from the note of a failure; only this one is run, and :attr:`.Explored.complete` is false.
    :return: how many orders were tried, and whether these are all.
    :raises TypeError: if an argument is of the wrong type.
    :raises ValueError: if ``runs`` is below 1, or ``replay`` does not fit the scenario.
    :raises RuntimeError: in a block of virtual time or dominos, or in a scenario that is explored; if the running loop
        is not supported; if a task that a run left behind does not end when it is cancelled.
    :raises Stuck: with the order, if a deadlock is reached.
    """
    __tracebackhide__ = True
    loop = running_loop()
    _check_arguments(scenario, runs, seed, replay)
    _check_not_inside(loop)
    try:
        if replay is not None:
            return await _replayed(loop, scenario, replay)
        search = Search(runs, seed)
        has_waited_together = False
        for choices in search:
            attempt = await _attempted(loop, scenario, choices)
            has_waited_together = has_waited_together or search.tried > 1 or attempt.run.answers.others_waited
            if attempt.failure is not None:
                headline = f"explore: order {search.tried} of at most {runs} fails"
                if choices.is_random:
                    attempt = await _simplest(loop, scenario, attempt, choices, runs)
                again = await _attempted(loop, scenario, Replay(replay_text(attempt.run.answers.steps)))
                raise _with_note(attempt, headline, *(() if again.fails_like(attempt) else [FAILED_ONCE]))
    finally:
        _exploring.pop(loop, None)
    if search.complete and not has_waited_together:
        warn(
            "explore proves nothing here: the scenario has only one order, since nothing else ever waited while an"
            " answer was outstanding; await outside(...) in the fakes, and run what races in tasks of its own",
            stacklevel=2,
        )
    return Explored(search.tried, search.complete)


def _check_arguments(scenario: object, runs: object, seed: object, replay: object) -> None:
    __tracebackhide__ = True
    if not callable(scenario):
        raise TypeError(
            f"scenario must be an async callable, got {scenario!r}: pass the function itself, do not call it"
        )
    for name, value in (("runs", runs), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {value!r}")
    if isinstance(runs, int) and runs < 1:
        raise ValueError(f"runs must be 1 or more, got {runs!r}")
    if replay is not None and not isinstance(replay, str):
        raise TypeError(f"replay must be a str from the note of a failure, or None, got {replay!r}")


def _check_not_inside(loop: AbstractEventLoop) -> None:
    __tracebackhide__ = True
    if loop in _exploring and not _exploring[loop].is_abandoned:
        raise RuntimeError("a scenario is being explored on this loop: await its explore() first, and do not nest them")
    hook = IdleHook.of_loop.get(loop)
    if hook is not None and any(True for turn in (Turn.CLOCKS, Turn.DOMINOS) for _ in hook.listeners_of(turn)):
        raise RuntimeError(
            "explore() cannot be used in a block of virtual time or dominos: each of its runs opens a block of its own,"
            " so leave out the one around it, which may be in a fixture"
        )


class _Attempt(NamedTuple):
    """A run that has ended."""

    run: Run
    failure: BaseException | None
    report: str | None
    """The report of its block, if that was in the notes of the failure."""
    traceback: TracebackType | None

    def fails_like(self, other: "_Attempt") -> bool:
        """Return whether both failed in the same way."""
        return self.failure is not None and type(self.failure) is type(other.failure)


async def _attempted(loop: AbstractEventLoop, scenario: Scenario, chooser: Chooser) -> _Attempt:
    """Run the scenario once; raise only exceptions that are not failures of the scenario."""
    __tracebackhide__ = True
    own = current_task()
    cancels_before = own.cancelling() if own is not None else 0
    run = Run(loop, chooser)
    # In a task of its own, so that context variables set by one run do not reach the next.
    _exploring[loop] = run
    failure = await loop.create_task(run.play(scenario))
    if failure is not None and (failure is run.misuse or is_skip(failure)):
        raise failure
    # Several runs may raise the same object, as that of a mock.
    attempt = _Attempt(run, failure, _without_report(failure, run.report_text), getattr(failure, "__traceback__", None))
    if failure is not None:
        failure.__traceback__ = None
    if isinstance(failure, CancelledError) and own is not None and own.cancelling() > cancels_before:
        error = _with_note(attempt, "explore: cancelled in this order")
        if not run.is_abandoned:
            # Watchdogs replace this exception by their own, and its notes are lost.
            _log("%s", error.__notes__[-1])
        raise error
    return attempt


def _without_report(failure: Any, report: str | None) -> str | None:
    """Take the report out of the notes of a failure; return it if it was there."""
    if report is None or report not in getattr(failure, "__notes__", ()):
        return None
    failure.__notes__.remove(report)
    return report


async def _replayed(loop: AbstractEventLoop, scenario: Scenario, text: str) -> Explored:
    __tracebackhide__ = True
    replay = Replay(text)
    attempt = await _attempted(loop, scenario, replay)
    if attempt.failure is None:
        replay.note_end()
    if replay.misfit is not None:
        message = f"{replay.misfit}: if the scenario has changed, explore it again without replay"
        raise ValueError(message) from attempt.failure
    if attempt.failure is not None:
        raise _with_note(attempt, "explore: this order fails")
    return Explored(1, False)


async def _simplest(
    loop: AbstractEventLoop, scenario: Scenario, found: _Attempt, choices: Choices, runs: int
) -> _Attempt:
    """Return a failing run with as few departures as can be found in ``runs`` further runs."""
    left = runs
    is_simpler = True
    while is_simpler:
        is_simpler = False
        for given in choices.with_fewer_departures():
            if left == 0:
                break
            left -= 1
            simpler = Choices(given)
            attempt = await _attempted(loop, scenario, simpler)
            if attempt.fails_like(found) and len(simpler.departures) < len(choices.departures):
                found, choices, is_simpler = attempt, simpler, True
                break
    return found


def _with_note(failed: _Attempt, headline: str, *further: str) -> BaseException:
    """Return the exception of a failed run with the order in its notes, and without our frames in its traceback."""
    error = failed.failure
    assert error is not None
    note = "\n".join([f"{headline}; * marks what departs from first come, first served", *_order(failed.run), *further])
    try:
        if failed.report is not None:
            error.add_note(failed.report)
        error.add_note(note)
    except Exception:
        # Its class overrides `add_note` or `__notes__`.
        _log("%s is leaving explore()\n%s", type(error).__name__, note)
    return error.with_traceback(drop_hidden_start(failed.traceback))


def _log(message: str, *args: object) -> None:
    # A test may have mocked functions that logging uses; that must not hide the test's own failure.
    with suppress(Exception):
        logger.warning(message, *args)


def _order(run: Run) -> Iterator[str]:
    """Yield the lines that describe the order of a run."""
    asked, steps = run.answers.asked, run.answers.steps
    for place, step in enumerate(steps[:MOST_STEPS], 1):
        first, *others = fitted(f"{place}. {_what(step, asked)}", indent="    ")
        yield first.replace("    ", "  * ", 1) if step.departs else first
        yield from others
    if len(steps) > MOST_STEPS:
        yield f"    and {len(steps) - MOST_STEPS:,} more"
    for call in run.not_arrived[:MAX_LISTED]:
        yield from fitted(f"not arrived: {call}", indent="    ")
    if len(run.not_arrived) > MAX_LISTED:
        yield f"    and {len(run.not_arrived) - MAX_LISTED:,} more not arrived"
    yield f"  to run this order alone: await explore(scenario, replay={replay_text(steps)!r})"
    dominos = domino_numbers(steps, len(asked))
    if dominos is None:
        yield "  dominos cannot make this order, since they fall only while the loop is idle and the clock stands"
    elif dominos:
        numbers = [*map(str, dominos)]
        starts = range(0, len(numbers), _DOMINOS_IN_A_LINE)
        yield from fitted(
            f"to make it with future_dominos(expected={max(dominos)}):\n"
            "the calls of outside, in the order in which they are made, await dominos\n"
            + ",\n".join(", ".join(numbers[start : start + _DOMINOS_IN_A_LINE]) for start in starts)
        )


def _what(step: Step, asked: Sequence[Call]) -> str:
    what = f"the clock moves to {step.time!r}" if step.number == CLOCK else str(asked[step.number - 1])
    if step.after is not None:
        when = f"{step.after} iteration{'s' if step.after > 1 else ''} later" if step.after else "in the same iteration"
        return f"{what},\n{when}, while the loop is busy"
    if not step.departs:
        return what
    passed = asked[step.instead_of - 1]
    return f"{what},\nahead of {passed.label} ({passed.number})"
