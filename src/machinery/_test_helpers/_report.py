"""The text of reports, made from plain data: what is going on in a block when something fails in it.

A line break in this data is a place where a long line may be broken. Where the line is short enough, it is a space.

PYTEST_DONT_REWRITE
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime as _datetime
from datetime import timedelta
from typing import NamedTuple

MAX_LISTED = 10
"""How many things of a kind are listed; the others are only counted."""

WIDTH = 96
"""Longer lines are broken where they may be. With the margin that pytest gives them, they have 100 characters."""

_RUNAWAY = 1000
"""So many timers fired look as if they were set for ever."""

_LOOK_HERE = "look here first: "
_INDENT = "  "
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"), (1e-9, "ns"))
_EPOCH = _datetime(1970, 1, 1)


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
    """The other tasks or callbacks that keep it busy."""
    wakeups: Sequence[str] = ()
    """What could still have woken the loop."""


class VirtualTimeSnapshot(NamedTuple):
    """A block of virtual time at one moment."""

    name: str
    now: float
    passed: float
    real_seconds: float
    precision: float
    shows_dates: bool = False
    """Whether the time is shown as a date."""
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
    """What the next domino waits for; empty if there is none."""
    next_needs_action: bool = False
    """Whether the test has to do something before it can fall."""
    cancelled: Sequence[int] = ()
    """Those that the test itself has cancelled."""
    ended_by_these: bool = False
    """Whether one of these may be what ends the block."""
    waiters: Sequence[tuple[int, str]] = ()
    ended: Sequence[tuple[str, bool]] = ()
    """How the tasks that took part have ended, and whether that was a failure that nobody has read, these first."""
    waits: bool = False
    """Whether the block was waiting, and not failing for another reason."""
    work: Sequence[str] = ()
    tasks: TasksSnapshot = TasksSnapshot()


def virtual_time_report(time: VirtualTimeSnapshot) -> Iterator[str]:
    """Yield the lines of a report on virtual time."""
    dates = time.shows_dates
    yield from fitted(
        f"virtual time{_named(time.name)} is at {moment_text(time.now, dates=dates)}, {_seconds(time.passed)} after its"
        f" start\n({_real_seconds(time.real_seconds)} real time; precision {_seconds(time.precision)})",
        "",
    )
    tasks = time.tasks
    only_add = ["only add() moves this clock, since autojump_threshold is infinite"]
    is_held_by_add = time.only_add_moves and time.waits and bool(time.pending_count)
    is_endless = time.waits and time.fired_count > _RUNAWAY and tasks.polling is None
    endless = [f"{time.fired_count:,} timers have fired: something keeps setting new ones"]
    yield from _causes(
        [
            *_unread_failures(tasks),
            *_busy(tasks),
            *([only_add] if is_held_by_add else ()),
            *([endless] if is_endless else ()),
        ]
    )
    yield from _other_failures(tasks)
    if time.only_add_moves and not is_held_by_add:
        yield from _lines(only_add)
    if not time.pending_count:
        yield from _waiting(tasks)
    yield from _listed(time.work, "under way in real time: {}", "piece{} of work under way")
    pending = (
        f"pending at {moment_text(timer.when, dates=dates)}, in {_seconds(timer.delay)}: {timer.what}"
        for timer in time.pending[:MAX_LISTED]
    )
    yield from _lines(pending)
    yield from _more(time.pending_count, "pending timer{}")
    if not time.pending_count:
        yield "  no timer is pending"
    if time.last_fired is None:
        yield "  no timer has fired yet"
    else:
        when, what = time.last_fired
        yield from fitted(f"last timer fired, due at {moment_text(when, dates=dates)}: {what}")
    if time.pending_count:
        yield from _waiting(tasks)


def dominos_report(dominos: DominosSnapshot) -> Iterator[str]:
    """Yield the lines of a report on dominos."""
    if len(dominos.fallen) == dominos.expected:
        fallen = "all have fallen"
    else:
        fallen = f"fallen {_ranges(dominos.fallen)}" if dominos.fallen else "none has fallen"
    yield f"dominos{_named(dominos.name)} (expected={dominos.expected}): {fallen}"
    tasks = dominos.tasks
    following = [dominos.next] if dominos.next else []
    cancelled = [f"domino {num} was cancelled: by its cancel(), not from outside" for num in dominos.cancelled]
    told = [*cancelled[:MAX_LISTED], *(each.strip() for each in _more(len(cancelled), "cancelled domino{}"))]
    likely, unlikely = (told, following) if dominos.ended_by_these else (following, told)
    is_cause = dominos.ended_by_these or (dominos.next_needs_action and dominos.waits)
    failed = [[what] for what, unread in dominos.ended[:MAX_LISTED] if unread]
    yield from _causes([*([likely] if is_cause else ()), *failed, *_unread_failures(tasks), *_busy(tasks)])
    yield from _lines([*(() if is_cause else likely), *unlikely])
    yield from _lines(what for what, unread in dominos.ended[:MAX_LISTED] if not unread)
    yield from _more(len(dominos.ended), "task{} that took part")
    yield from _other_failures(tasks)
    waiters = [f"domino {num} is awaited by {who}" for num, who in dominos.waiters]
    yield from _listed(waiters, "{}", "waiter{}")
    yield from _waiting(tasks)
    yield from _listed(dominos.work, "under way in real time: {}", "piece{} of work under way")


def fitted(text: str, indent: str = _INDENT) -> Iterator[str]:
    """Yield a text as one line or, if that would be too long, as several, broken where it may be."""
    line, _, rest = f"{indent}{text}".partition("\n")
    while rest:
        if len(line) + len(rest) < WIDTH:
            line, rest = f"{line} {rest}".replace("\n", " "), ""
        else:
            yield line
            first, _, rest = rest.partition("\n")
            line = f"{indent}{_INDENT}{_INDENT if line.endswith(':') else ''}{first}"
    yield line


def moment_text(time: float, *, dates: bool) -> str:
    """Return a virtual time as the clock reads, or as a date."""
    if dates:
        try:
            date = (_EPOCH + timedelta(microseconds=round(time * 1e6))).isoformat()
        except OverflowError:
            return repr(float(time))
        return f"{date.rstrip('0') if '.' in date else date}Z"
    return repr(float(time))


def _causes(causes: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of what is wrong, the most likely cause first and marked as such."""
    for number, (what, *details) in enumerate(causes):
        yield from fitted(what if number else f"{_LOOK_HERE}{what}")
        yield from _lines(details, 2 * _INDENT)


def _unread_failures(tasks: TasksSnapshot) -> list[list[str]]:
    return [[f"{each.name} failed: {each.outcome}"] for each in tasks.failed[:MAX_LISTED] if not each.retrieved]


def _other_failures(tasks: TasksSnapshot) -> Iterator[str]:
    yield from _lines(f"{each.name} failed: {each.outcome}" for each in tasks.failed[:MAX_LISTED] if each.retrieved)
    yield from _more(tasks.failed_count, "failed task{}")


def _busy(tasks: TasksSnapshot) -> list[list[str]]:
    if tasks.polling is None:
        return []
    lines = [f"kept busy by {who}" for who in (*tasks.polling, *tasks.busy)]
    listed = [*lines[:MAX_LISTED], *(each.strip() for each in _more(len(lines), "of these"))]
    advice = ["wait for an event instead of calling sleep(0), or sleep for longer than 0"] if tasks.polling else []
    return [["the event loop is never idle, so neither the clock nor the dominos can move", *listed, *advice]]


def _waiting(tasks: TasksSnapshot) -> Iterator[str]:
    if tasks.own is not None:
        yield from fitted(tasks.own)
    yield from _listed(tasks.waiting, "{}", "task{}")
    yield from _listed(tasks.wakeups, "could still be woken by {}", "thing{} that could wake it")


def _lines(texts: Iterable[str], indent: str = _INDENT) -> Iterator[str]:
    for text in texts:
        yield from fitted(text, indent)


def _listed(texts: Sequence[str], form: str, what: str) -> Iterator[str]:
    yield from _lines(form.format(text) for text in texts[:MAX_LISTED])
    yield from _more(len(texts), what)


def _more(count: int, what: str) -> Iterator[str]:
    others = count - MAX_LISTED
    if others > 0:
        yield f"  and {others:,} more {what.format('' if others == 1 else 's')}"


def _named(name: str) -> str:
    return f" {name}" if name else ""


def _seconds(seconds: float) -> str:
    """Return a virtual duration, exactly."""
    size, unit = next((each for each in _UNITS if seconds >= each[0]), _UNITS[0]) if seconds < 0.01 else _UNITS[0]
    return f"{seconds / size:.15g} {unit}"


def _real_seconds(seconds: float) -> str:
    """Return a real duration with two digits."""
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
    return ", ".join([*parts, "..."] if len(spans) > MAX_LISTED else parts)
