"""What is said of a block when something has failed in it."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from machinery._test_helpers._seam import called_by, failure_of, gathered_by, ready, timed_by, waited_for, was_noticed
from machinery._test_helpers._where import (
    brief,
    coroutine_of,
    has_begun,
    name_of,
    peek,
    raised_at,
    set_at,
    waits_at,
    yields_only,
)

if TYPE_CHECKING:
    from machinery._test_helpers._future_dominos import Row, Waiter
    from machinery._test_helpers._mocked_call_later import VirtualTime
    from machinery._test_helpers._seam import Seam, Timer

MOST = 10
"""How many things of a kind are named before the rest is only counted."""

_BUSY_ROUNDS = 100
_MANY_CALLS = 1000
_FIRST = "   <- look here first"

Task = asyncio.Task[Any]


def report_virtual_time(time: "VirtualTime", error: BaseException | None) -> Iterator[str]:
    """Tell where a clock stands and what its block waits for."""
    waiting = time.timers.waiting()
    tasks = _unfinished(time.loop)
    yield (
        f"virtual time{_called(time.name)} stands at {time.clock.now!r}, {time.virtual_seconds():.10g} s after it"
        f" began, which took {time.real_seconds():.2g} s; it moves in steps of {time.clock.precision!r} s"
    )
    if time.only_add_moves:
        yield f"  it moves only through add(), since autojump_threshold is infinite{_FIRST if waiting else ''}"
    yield from _died(time.tasks.died())
    woken: list[Task] = []
    for _, timer in waiting[:MOST]:
        what = _timer(timer, tasks, time.owner.task, woken)
        yield f"  pending at {timer.when()!r}, in {timer.when() - time.clock.now:.10g} s: {what}"
    yield from _more(len(waiting), "pending")
    if not waiting:
        yield "  nothing is pending"
    if time.last_called is None:
        yield "  nothing has been called"
    else:
        yield f"  called last, due at {time.last_called.when()!r}: {_timer(time.last_called, (), time.owner.task, [])}"
    running = time.work.running()
    yield from _some((f"  really running: {what}" for what in running), len(running), "running")
    if error is None:
        yield from _could_wake(time.seam)
        called = len(time.called_times)
        if called > _MANY_CALLS:
            yield f"  {called:,} callbacks have been called: what is pending seems to go on for ever{_FIRST}"
    yield from _waiting([task for task in tasks if task not in woken], time.owner.task, error)
    yield from _busy(time.seam.rounds, time.loop, tasks, time.owner.task)


def report_dominos(row: "Row", error: BaseException | None) -> Iterator[str]:
    """Tell which dominos have fallen, what the next one waits for, and who waits for which."""
    tasks = _unfinished(row.loop)
    yield f"dominos{_called(row.name)}: {_ranges(row.fallen())} of {row.expected} have fallen; {_next_domino(row)}"
    task_of = {id(waited_for(task)): task for task in tasks}
    # A future that nobody waits for any more is what a waiter has left that was cancelled.
    waiters = [each for each in row.waiters() if id(each[1]) in task_of or not isinstance(each[1], asyncio.Future)]
    listed: list[Task] = []
    for num, waiter in waiters[:MOST]:
        yield f"  {num} <- {_waiter(waiter, task_of.get(id(waiter)), tasks, row.owner.task, listed)}"
    yield from _more(len(waiters), "wait for dominos")
    ended = [(task, num) for task, num in row.participants.items() if task is not None and task.done()]
    ended.sort(key=lambda each: failure_of(each[0]) is None)
    yield from _some((_ended(row, task, num) for task, num in ended), len(ended), "ended")
    yield from _died([task for task in row.tasks.died() if task not in row.participants])
    yield from _waiting([task for task in tasks if task not in listed], row.owner.task, error)
    if error is None:
        yield from _could_wake(row.seam)
    yield from _busy(row.seam.rounds, row.loop, tasks, row.owner.task)


def describe_timer(timer: "Timer") -> str:
    """Say what a timer calls and where it was set."""
    return _timer(timer, (), None, [])


def _timer(timer: "Timer", tasks: Iterable[Task], owner: Task | None, woken: list[Task]) -> str:
    callback, args = called_by(timer)
    for task in tasks:
        if any(waited_for(task) is arg for arg in args if arg is not None):
            woken.append(task)
            return f"{_whose(task, owner)} {_doing(task)}"
    place = set_at(timer.origin)
    timed = timed_by(callback)
    if place is None and timed is not None:
        woken.append(timed)
        return f"timeout of {_whose(timed, owner)}, which {_doing(timed)}"
    if callback is None:
        # Cancelled since it was called, as asyncio.sleep does with its own.
        return "the end of a sleep or wait" if place is None else f"what was set at {place}"
    return name_of(callback) if place is None else f"{name_of(callback)}, set at {place}"


def _next_domino(row: "Row") -> str:
    num = row.next
    # The row itself goes on counting only when the loop rests.
    while num in row.dominos and row.dominos[num].done() and (row.dominos[num].awaited or num == row.expected):
        num += 1
    if num > row.expected:
        return "none is left"
    if not row.started.is_set():
        return f"begin() has not been called{_FIRST}"
    domino = row.dominos.get(num)
    if domino is None:
        return f"nobody has asked for domino {num}"
    if domino.done():
        return f"domino {num} has been asked for and has fallen, but nobody has awaited it{_FIRST}"
    return f"domino {num} is to fall when the loop rests next"


def _waiter(waiter: "Waiter", task: Task | None, tasks: list[Task], owner: Task | None, listed: list[Task]) -> str:
    if task is None:
        return f"callback {name_of(getattr(waiter, 'function', waiter))}"
    behind = _task_behind(task, tasks)
    listed += task, behind
    return f"{_whose(behind, owner)} at {waits_at(behind)}"


def _ended(row: "Row", task: Task, num: int) -> str:
    when = "after" if row.dominos[num].done() else "while it waited for"
    return f"  {_task(task)} ended {when} domino {num}: {_outcome(task)}"


def _waiting(tasks: list[Task], owner: Task | None, error: BaseException | None) -> Iterator[str]:
    others = [task for task in tasks if task is not owner]
    if isinstance(error, asyncio.CancelledError):
        yield f"  the block's own task waited at {raised_at(error.__traceback__)}"
    elif owner in tasks and error is None:
        yield f"  {_whose(owner, owner)} {_doing(owner)}"
    yield from _some((f"  {_task(task)} {_doing(task)}" for task in others), len(others), "wait")


def _doing(task: Task) -> str:
    if not has_begun(task):
        return f"has not begun yet at {waits_at(task)}"
    future = waited_for(task)
    if isinstance(future, asyncio.Future) and future.done() and not future.cancelled():
        return f"is about to go on at {waits_at(task)}"
    return f"waits at {waits_at(task)}"


def _task_behind(task: Task, tasks: list[Task]) -> Task:
    """Return the task that awaits another through gather, which makes tasks of its own for what is merely awaitable."""
    return next((other for other in tasks if task in gathered_by(waited_for(other))), task)


def _died(tasks: list[Task]) -> Iterator[str]:
    tasks = sorted(tasks, key=was_noticed)
    yield from _some((f"  {_task(task)} died: {_outcome(task)}" for task in tasks), len(tasks), "died")


def _outcome(task: Task) -> str:
    if task.cancelled():
        return "cancelled"
    failure = failure_of(task)
    if failure is None:
        return "returned"
    return f"{brief(failure)} at {raised_at(failure.__traceback__)}{'' if was_noticed(task) else _FIRST}"


def _busy(rounds: int, loop: asyncio.AbstractEventLoop, tasks: list[Task], owner: Task | None) -> Iterator[str]:
    if rounds < _BUSY_ROUNDS:
        return
    yield f"  the loop never rests, and time and dominos move only when it does{_FIRST}"
    pollers = [task for task in tasks if yields_only(task)]
    if pollers:
        yield "  sleep(0) keeps it busy: wait for an event in its place, or sleep for longer than 0"
    yield from _some((f"    {_whose(task, owner)} at {waits_at(task)}" for task in pollers), len(pollers), "poll")
    others = [] if pollers else ready(loop)
    yield from _some((f"    ready to run: {_runner(callback)}" for callback in others), len(others), "ready")


def _runner(callback: object) -> str:
    task = peek(callback, "__self__")
    return f"{_task(task)} at {waits_at(task)}" if isinstance(task, asyncio.Task) else name_of(callback)


def _unfinished(loop: asyncio.AbstractEventLoop) -> list[Task]:
    return sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))


def _whose(task: Task | None, owner: Task | None) -> str:
    """Name a task; that of the block as such, since runners give it a name and a coroutine that no user knows."""
    return "the block's own task" if task is None or task is owner else _task(task)


def _task(task: Task) -> str:
    name = task.get_name()
    # asyncio's own names say nothing: the coroutine's does.
    return f"task {brief(name)} ({coroutine_of(task)})" if name.startswith("Task-") else f"task {brief(name)}"


def _could_wake(seam: "Seam") -> Iterator[str]:
    wakers = list(seam.wakers())
    yield from _some((f"  could still be woken by {waker}" for waker in wakers), len(wakers), "could wake it")


def _called(name: str) -> str:
    return f" {brief(name)}" if name else ""


def _some(lines: Iterable[str], count: int, what: str) -> Iterator[str]:
    yield from itertools.islice(lines, MOST)
    yield from _more(count, what)


def _more(count: int, what: str) -> Iterator[str]:
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
