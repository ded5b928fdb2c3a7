"""The text of reports, made from plain data: what is going on in a block when something fails in it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

MAX_LISTED = 10
"""How many things of a kind are listed; the others are only counted."""

_RUNAWAY = 1000
"""So many timers fired look as if they were set for ever."""

_LOOK_HERE = "look here first: "


class FailedTask(NamedTuple):
    """A task that an exception ended."""

    name: str
    outcome: str
    """The exception, and where it was raised."""
    retrieved: bool
    """Whether somebody has read the exception."""


class PendingTimer(NamedTuple):
    """A timer that has not fired yet."""

    when: float
    delay: float
    """Seconds from now."""
    what: str


class TasksSnapshot(NamedTuple):
    """What the tasks of a loop were doing."""

    failed: Sequence[FailedTask] = ()
    """The first of the tasks that failed."""
    failed_count: int = 0
    own: str | None = None
    """What the task of the block was doing, if that is of interest."""
    waiting: Sequence[str] = ()
    """What the other unfinished tasks were doing."""
    polling: Sequence[str] | None = None
    """The tasks that keep the loop busy with ``sleep(0)``; ``None`` if the loop was not busy."""
    busy: Sequence[str] = ()
    """Other tasks or callbacks that keep the loop busy."""
    wakeups: Sequence[str] = ()
    """What could still have woken the loop."""


class VirtualTimeSnapshot(NamedTuple):
    """A block of virtual time at one moment."""

    name: str
    now: float
    passed: float
    real_seconds: float
    precision: float
    only_add_moves: bool = False
    pending: Sequence[PendingTimer] = ()
    """The first of the timers to come."""
    pending_count: int = 0
    last_fired: tuple[float, str] | None = None
    """When the latest timer was due, and what it called."""
    fired_count: int = 0
    work: Sequence[str] = ()
    """What is under way in threads, processes and servers."""
    waits: bool = False
    """Whether the block was waiting, and not failing for another reason."""
    tasks: TasksSnapshot = TasksSnapshot()


class DominosSnapshot(NamedTuple):
    """A row of dominos at one moment."""

    name: str
    expected: int
    fallen: Sequence[int]
    next: str
    """What the next domino waits for."""
    next_needs_action: bool = False
    """Whether the test has to do something before it can fall."""
    waiters: Sequence[tuple[int, str]] = ()
    ended: Sequence[tuple[str, bool]] = ()
    """How the tasks that took part have ended, and whether that was a failure that nobody has read."""
    waits: bool = False
    """Whether the block was waiting, and not failing for another reason."""
    work: Sequence[str] = ()
    tasks: TasksSnapshot = TasksSnapshot()


def virtual_time_report(time: VirtualTimeSnapshot) -> Iterator[str]:
    """Yield the lines of a report on virtual time."""
    yield (
        f"virtual time{_named(time.name)} is at {time.now!r}, {time.passed:.10g} s after its start"
        f" ({_duration(time.real_seconds)} real time; precision {time.precision!r} s)"
    )
    if time.waits and time.only_add_moves and time.pending_count:
        yield f"  {_LOOK_HERE}only add() moves this clock, since autojump_threshold is infinite"
    elif time.only_add_moves:
        yield "  only add() moves this clock, since autojump_threshold is infinite"
    if time.waits and time.fired_count > _RUNAWAY:
        yield f"  {_LOOK_HERE}{time.fired_count:,} timers have fired: something sets new ones for ever"
    yield from _failed(time.tasks)
    for timer in time.pending[:MAX_LISTED]:
        yield f"  pending at {timer.when!r}, in {timer.delay:.10g} s: {timer.what}"
    yield from _more(time.pending_count, "pending")
    if not time.pending_count:
        yield "  no timer is pending"
    if time.last_fired is None:
        yield "  no timer has fired yet"
    else:
        yield f"  last timer fired, due at {time.last_fired[0]!r}: {time.last_fired[1]}"
    yield from _listed((f"  under way in real time: {what}" for what in time.work), len(time.work), "under way")
    yield from _tasks(time.tasks)


def dominos_report(dominos: DominosSnapshot) -> Iterator[str]:
    """Yield the lines of a report on dominos."""
    yield f"dominos{_named(dominos.name)}: fallen {_ranges(dominos.fallen)} of {dominos.expected}"
    yield f"  {_LOOK_HERE if dominos.next_needs_action and dominos.waits else ''}{dominos.next}"
    waiters = dominos.waiters
    yield from _listed((f"  domino {num} <- {who}" for num, who in waiters), len(waiters), "wait for dominos")
    yield from _listed(
        (f"  {_LOOK_HERE if failed else ''}{what}" for what, failed in dominos.ended), len(dominos.ended), "ended"
    )
    yield from _failed(dominos.tasks)
    yield from _listed((f"  under way in real time: {what}" for what in dominos.work), len(dominos.work), "under way")
    yield from _tasks(dominos.tasks)


def _failed(tasks: TasksSnapshot) -> Iterator[str]:
    lines = (f"  {'' if each.retrieved else _LOOK_HERE}{each.name} failed: {each.outcome}" for each in tasks.failed)
    yield from _listed(lines, tasks.failed_count, "failed")


def _tasks(tasks: TasksSnapshot) -> Iterator[str]:
    if tasks.own is not None:
        yield f"  {tasks.own}"
    yield from _listed((f"  {what}" for what in tasks.waiting), len(tasks.waiting), "tasks")
    yield from _listed(
        (f"  could still be woken by {what}" for what in tasks.wakeups), len(tasks.wakeups), "could wake it"
    )
    if tasks.polling is not None:
        yield f"  {_LOOK_HERE}the loop is never idle, so the clock and the dominos stand"
        if tasks.polling:
            yield "  it is kept busy by sleep(0): wait for an event instead, or sleep for longer than 0"
        yield from _listed((f"    {what}" for what in tasks.polling), len(tasks.polling), "poll")
        yield from _listed((f"    kept busy by {what}" for what in tasks.busy), len(tasks.busy), "keep it busy")


def _listed(lines: Iterable[str], count: int, what: str) -> Iterator[str]:
    yield from islice(lines, MAX_LISTED)
    yield from _more(count, what)


def _more(count: int, what: str) -> Iterator[str]:
    if count > MAX_LISTED:
        yield f"  and {count - MAX_LISTED:,} more {what}"


def _named(name: str) -> str:
    return f" {name}" if name else ""


def _duration(seconds: float) -> str:
    """Return a real duration with two digits, as people write it."""
    if seconds < 1:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s"


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as ``1-4, 7``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:MAX_LISTED]]
    return ", ".join([*parts, "..."] if len(spans) > MAX_LISTED else parts) or "none"
