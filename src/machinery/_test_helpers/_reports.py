"""What is said of a block when something has failed in it."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from machinery._test_helpers._seam import called_by, failure_of, gathered_by, timed_by, waited_for
from machinery._test_helpers._where import brief, name_of, raised_at, set_at, waits_at, yields_only

if TYPE_CHECKING:
    from machinery._test_helpers._future_dominos import Row
    from machinery._test_helpers._mocked_call_later import VirtualTime
    from machinery._test_helpers._timers import Timer

MOST = 10
"""How many things of a kind are named before the rest is only counted."""

_BUSY_ROUNDS = 100
_FIRST = "   <- look here first"

Task = asyncio.Task[Any]


def report_virtual_time(time: "VirtualTime", error: BaseException | None) -> Iterator[str]:
    """Tell where a clock stands and what its block waits for."""
    waiting = time.timers.waiting()
    tasks = _unfinished(time.loop)
    yield (
        f"virtual time{_called(time.name)} stands at {time.clock.now!r}:"
        f" {time.virtual_seconds():.10g} s of virtual time took {time.real_seconds():.3g} s"
    )
    if time.only_add_moves and waiting:
        yield "  it moves only through add(), since autojump_threshold is infinite"
    yield from _some(
        (
            f"  pending at {timer.when()!r}, in {timer.when() - time.clock.now:.10g} s: {describe_timer(timer, tasks)}"
            for _, timer in waiting
        ),
        len(waiting),
        "pending",
    )
    if not waiting:
        yield "  nothing is pending"
    if time.last_called is not None:
        yield f"  called last, at {time.called_times[-1]!r}: {describe_timer(time.last_called, tasks)}"
    yield from _some((f"  really running: {what}" for what in time.work.running()), len(time.work.running()), "running")
    yield from _waiting(tasks, time.owner.task, error)
    yield from _died(time.tasks.died())
    yield from _busy(time.seam.rounds, tasks)


def report_dominos(row: "Row", error: BaseException | None) -> Iterator[str]:
    """Tell which dominos have fallen, what the next one waits for, and who waits for which."""
    tasks = _unfinished(row.loop)
    yield f"dominos{_called(row.name)}: {_ranges(row.fallen())} of {row.expected} have fallen; {_next_domino(row)}"
    listed: set[Task] = set()
    lines = []
    for num, waiter in row.waiters():
        task = next((task for task in tasks if waited_for(task) is waiter), None)
        if task is None:
            lines.append(f"  {num} <- callback {name_of(getattr(waiter, 'function', waiter))}")
        else:
            behind = _task_behind(task, tasks)
            listed |= {task, behind}
            lines.append(f"  {num} <- {_task(behind)} at {waits_at(behind)}")
    yield from _some(iter(lines), len(lines), "wait for dominos")
    ended = [(task, num) for task, num in row.participants.items() if task is not None and task.done()]
    yield from _some(
        (f"  {_task(task)} ended after domino {num}: {_outcome(task)}" for task, num in ended), len(ended), "ended"
    )
    yield from _waiting([task for task in tasks if task not in listed], row.owner.task, error)
    yield from _busy(row.seam.rounds, tasks)


def _next_domino(row: "Row") -> str:
    num = row.next
    if num > row.expected:
        return "none is left"
    if not row.started.is_set():
        return "begin() has not been called"
    domino = row.dominos.get(num)
    if domino is None:
        return f"nobody has asked for domino {num}"
    if domino.done():
        return f"domino {num} has been asked for and has fallen, but nobody has awaited it"
    return f"domino {num} falls as soon as the loop rests"


def describe_timer(timer: "Timer", tasks: Iterable[Task] = ()) -> str:
    """Say what a timer calls and where it was set, or whom it wakes."""
    callback, args = called_by(timer)
    for task in tasks:
        if any(waited_for(task) is arg for arg in args if arg is not None):
            return f"{_task(task)} waits at {waits_at(task)}"
    place = set_at(timer.origin)
    timed = timed_by(callback)
    if place is None and timed is not None:
        return f"timeout of {_task(timed)}, which waits at {waits_at(timed)}"
    if callback is None:
        # Cancelled since it was called, as asyncio.sleep does with its own.
        return "the end of a sleep or wait" if place is None else f"what was set at {place}"
    return name_of(callback) if place is None else f"{name_of(callback)}, set at {place}"


def _waiting(tasks: list[Task], owner: Task | None, error: BaseException | None) -> Iterator[str]:
    others = [task for task in tasks if task is not owner]
    if owner is not None and isinstance(error, asyncio.CancelledError):
        yield f"  {_task(owner)}, which the block belongs to, waited at {raised_at(error.__traceback__)}"
    elif owner in tasks and error is None:
        yield f"  {_task(owner)}, which the block belongs to, waits at {waits_at(owner)}"
    yield from _some((f"  {_task(task)} waits at {waits_at(task)}" for task in others), len(others), "wait")


def _task_behind(task: Task, tasks: list[Task]) -> Task:
    """Return the task that awaits another through gather, which makes tasks of its own for what is merely awaitable."""
    return next((other for other in tasks if task in gathered_by(waited_for(other))), task)


def _died(tasks: list[Task]) -> Iterator[str]:
    lines = (
        f"  {_task(task)} died at {raised_at(getattr(failure_of(task), '__traceback__', None))}: {_outcome(task)}"
        for task in tasks
    )
    yield from _some(lines, len(tasks), "died")


def _outcome(task: Task) -> str:
    if task.cancelled():
        return "cancelled"
    failure = failure_of(task)
    return "returned" if failure is None else f"{brief(failure)}{_FIRST}"


def _busy(rounds: int, tasks: list[Task]) -> Iterator[str]:
    if rounds < _BUSY_ROUNDS:
        return
    pollers = [task for task in tasks if yields_only(task)]
    yield f"  the loop has not rested for {rounds:,} rounds, and time and dominos move only when it rests{_FIRST}"
    for task in pollers[:MOST]:
        yield (
            f"    {_task(task)} keeps it busy with sleep(0) at {waits_at(task)}:"
            " let it wait for an event, or sleep for longer than 0"
        )


def _unfinished(loop: asyncio.AbstractEventLoop) -> list[Task]:
    return sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))


def _task(task: Task) -> str:
    name = task.get_name()
    # asyncio's own names say nothing: the coroutine's does.
    return f"task {name!r} ({name_of(task.get_coro())})" if name.startswith("Task-") else f"task {name!r}"


def _called(name: str) -> str:
    return f" {name!r}" if name else ""


def _some(lines: Iterable[str], count: int, what: str) -> Iterator[str]:
    yield from itertools.islice(lines, MOST)
    if count > MOST:
        yield f"  and {count - MOST:,} more {what}"


def _ranges(numbers: list[int]) -> str:
    """Return ascending numbers as ``1-4, 7``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:MOST]]
    return ", ".join([*parts, "..."] if len(spans) > MOST else parts) or "none"
