"""Random asyncio programs, and what each does in real time and in virtual time.

A program is Python source, made from a seed.
Time is cut into slots, and whatever waits for time waits for one of its own: no two deadlines are closer than a slot.
What happens within a slot is ordered by cause and effect alone.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import CodeType
from typing import NamedTuple, TypeVar

from machinery import test_helpers as thp

SLOTS = 16
Log = list[tuple[float, str]]
Statement = Callable[[], list[str]]
T = TypeVar("T")


class Clock(NamedTuple):
    """The virtual time that a program runs in."""

    slot_seconds: float
    precision: float
    start_time: float


def program(seed: int) -> str:
    """Return the source of the program of a seed."""
    return Writer(seed).program()


class Writer:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._free_slots = list(range(-100, SLOTS))
        # The slot that will have come when what is being written runs, were it never to wait for another task.
        self._slot = 0
        self._depth = 0
        self._cancellable: list[str] = []
        # What stands in a list twice is chosen twice as often.
        self._at_once = [self._event, self._offer, self._cancel, self._cancel]
        self._simple_waits = [
            self._sleep,
            self._sleep,
            self._sleep_zero,
            self._event_wait,
            self._get,
            self._put,
            self._fail,
        ]
        self._starts = [self._spawn, self._timer, self._timer]
        self._nested_waits = [
            self._lock,
            self._timeout,
            self._timeout,
            self._wait_for,
            self._task_group,
            self._gather,
            self._wait,
            self._shield,
            self._join,
            self._finally,
            self._catch,
        ]

    def program(self) -> str:
        """Return the source of the program."""
        tasks = (self._spawn() for _ in range(self._random.randint(2, 5)))
        return "\n".join(itertools.chain.from_iterable(tasks))

    # Pieces.

    def _task(self) -> tuple[list[str], str]:
        name = f"task_{next(self._numbers)}"
        lines = [f"async def {name}():", *self._body()]
        self._cancellable.append(name)
        return lines, name

    def _callback(self) -> tuple[list[str], str]:
        name = f"callback_{next(self._numbers)}"
        lines = [f"def {name}():", f"    log('{name}')", *indent(self._block(self._at_once, self._starts))]
        self._cancellable.append(name)
        return lines, name

    def _body(self) -> list[str]:
        return indent(self._block(self._at_once + self._simple_waits, self._starts + self._nested_waits))

    def _block(self, simple: list[Statement], nested: list[Statement]) -> list[str]:
        slot = self._slot
        self._depth += 1
        choices = simple if self._depth > 3 else simple + nested
        statements = range(self._random.randint(1, max(1, 4 - self._depth)))
        lines = [line for _ in statements for line in [*self._random.choice(choices)(), self._log()]]
        self._depth -= 1
        self._slot = slot
        return lines

    def _log(self, what: str = "") -> str:
        return f"log('{next(self._numbers)}{what}')"

    def _take_slot(self) -> int:
        """Take a slot that nothing else waits for: most often one that comes soon, at times one that has passed."""
        soon = [slot for slot in self._free_slots if slot > self._slot][:5]
        slot = self._random.choice(soon if soon and self._random.random() < 0.9 else self._free_slots)
        self._free_slots.remove(slot)
        return slot

    def _until(self) -> str:
        return f"until({self._take_slot()})"

    def _one_of(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _any_event(self) -> str:
        return self._one_of("red", "green")

    def _any_queue(self) -> str:
        return self._one_of("long_queue", "short_queue")

    # What callbacks and tasks do.

    def _event(self) -> list[str]:
        return [f"{self._any_event()}.{self._one_of('set', 'set', 'set', 'clear')}()"]

    def _offer(self) -> list[str]:
        queue = self._any_queue()
        return [f"if not {queue}.full():", f"    {queue}.put_nowait({next(self._numbers)})"]

    def _cancel(self) -> list[str]:
        return [f"cancel({self._one_of(*self._cancellable, 'nothing')!r})"]

    def _spawn(self) -> list[str]:
        lines, task = self._task()
        return [*lines, f"start({task})"]

    def _timer(self) -> list[str]:
        slot, before = self._take_slot(), self._slot
        self._slot = max(slot, before)
        lines, callback = self._callback()
        self._slot = before
        call = self._one_of("call_soon(", f"call_later(until({slot}), ", f"call_at(at({slot}), ")
        return [*lines, f"started[{callback!r}] = loop.{call}{callback})"]

    # What only tasks do.

    def _sleep(self) -> list[str]:
        slot = self._take_slot()
        self._slot = max(slot, self._slot)
        return [f"await asyncio.sleep(until({slot}))"]

    def _sleep_zero(self) -> list[str]:
        return ["await asyncio.sleep(0)"]

    def _event_wait(self) -> list[str]:
        return [f"await {self._any_event()}.wait()"]

    def _get(self) -> list[str]:
        return [f"log(f'got {{await {self._any_queue()}.get()}}')"]

    def _put(self) -> list[str]:
        return [f"await {self._any_queue()}.put({next(self._numbers)})"]

    def _fail(self) -> list[str]:
        return [f"if {self._any_event()}.is_set():", "    raise ArithmeticError"]

    def _lock(self) -> list[str]:
        return ["async with lock:", *self._body()]

    def _timeout(self) -> list[str]:
        limit = self._one_of(f"timeout({self._until()})", f"timeout_at(at({self._take_slot()}))", "timeout(None)")
        then = self._one_of("pass", "pass", f"limit.reschedule(at({self._take_slot()}))")
        block = [f"async with asyncio.{limit} as limit:", *self._body(), f"    {then}", *self._body()]
        return ["try:", *indent(block), "except TimeoutError:", f"    {self._log(' timed out')}"]

    def _wait_for(self) -> list[str]:
        until = self._until()
        lines, task = self._task()
        wait = f"    await asyncio.wait_for(told({task}), {until})"
        return [*lines, "try:", wait, "except TimeoutError:", f"    {self._log(' timed out')}"]

    def _task_group(self) -> list[str]:
        # Of one task only: a group cancels its tasks in the order of a set, which differs from run to run.
        lines, task = self._task()
        start = f"    started[{task!r}] = group.create_task(told({task}))"
        return [*lines, "async with asyncio.TaskGroup() as group:", start, *self._body()]

    def _gather(self) -> list[str]:
        lines, tasks = self._two_tasks()
        return [*lines, f"await asyncio.gather({tasks}, return_exceptions={self._one_of('True', 'False')})"]

    def _wait(self) -> list[str]:
        limits = f"timeout={self._until()}, return_when=asyncio.{self._one_of('FIRST_COMPLETED', 'ALL_COMPLETED')}"
        lines, tasks = self._two_tasks()
        wait = f"done, _ = await asyncio.wait([{tasks}], {limits})"
        return [*lines, wait, "log(sorted(task.get_name() for task in done))"]

    def _two_tasks(self) -> tuple[list[str], str]:
        one, first = self._task()
        two, second = self._task()
        return one + two, f"start({first}), start({second})"

    def _shield(self) -> list[str]:
        lines, task = self._task()
        return [*lines, f"await asyncio.shield(start({task}))"]

    def _join(self) -> list[str]:
        lines, task = self._task()
        return [*lines, f"await start({task})"]

    def _finally(self) -> list[str]:
        return ["try:", *self._body(), "finally:", *indent(self._sleep()), f"    {self._log(' cleaned up')}"]

    def _catch(self) -> list[str]:
        return ["try:", *self._body(), "except (ArithmeticError, ExceptionGroup):", f"    {self._log(' caught')}"]


def indent(lines: list[str]) -> list[str]:
    """Return the lines one level deeper."""
    return [f"    {line}" for line in lines]


class Stage:
    """What a program finds around it."""

    def __init__(self, slot_seconds: float) -> None:
        self._slot_seconds = slot_seconds
        self._began_at = asyncio.get_running_loop().time()
        self.logged: Log = []
        self.started: dict[str, asyncio.Handle | asyncio.Task[None]] = {}
        self.given = {
            "asyncio": asyncio,
            "loop": asyncio.get_running_loop(),
            "red": asyncio.Event(),
            "green": asyncio.Event(),
            "long_queue": asyncio.Queue[int](),
            "short_queue": asyncio.Queue[int](1),
            "lock": asyncio.Lock(),
            "at": self.at,
            "until": self.until,
            "log": self.log,
            "told": self.told,
            "start": self.start,
            "started": self.started,
            "cancel": self.cancel,
        }

    def at(self, slot: int) -> float:
        """Return the time on the loop's clock at which a slot begins."""
        return self._began_at + slot * self._slot_seconds

    def until(self, slot: int) -> float:
        """Return the seconds until a slot begins, negative if it has begun."""
        return self.at(slot) - asyncio.get_running_loop().time()

    def log(self, what: object) -> None:
        """Log something, at the time now in slots."""
        elapsed = asyncio.get_running_loop().time() - self._began_at
        self.logged.append((elapsed / self._slot_seconds, str(what)))

    async def told(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run an async function and log how it ends."""
        name = getattr(function, "__name__", "")
        try:
            await function()
        except BaseException as error:
            self.log(f"{name} ended by {type(error).__name__}")
            raise
        self.log(f"{name} ended")

    def start(self, function: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start an async function as a task."""
        name = getattr(function, "__name__", "")
        task = asyncio.create_task(self.told(function), name=name)
        self.started[name] = task
        return task

    def cancel(self, name: str) -> None:
        """Cancel a task or timer, if there is one yet."""
        if name in self.started:
            self.started[name].cancel()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Return all the tasks that were started."""
        return [task for task in self.started.values() if isinstance(task, asyncio.Task)]


async def run(program: str | CodeType, slot_seconds: float) -> Log:
    """Run a program, cancel what of it has not ended in the last slot, and return its log."""
    stage = Stage(slot_seconds)
    exec(program, stage.given)
    await asyncio.sleep(stage.until(SLOTS))
    stage.log("cancelling all")
    while pending := [task for task in stage.tasks() if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*stage.tasks(), return_exceptions=True)
    return stage.logged


def in_virtual_time(program: str, clock: Clock) -> Log:
    """Return the log of a program in virtual time."""

    async def virtually() -> Log:
        # A timeout set outside the block counts real time: it ends a program that hangs.
        async with asyncio.timeout(30):
            async with thp.mocked_call_later(precision=clock.precision, start_time=clock.start_time):
                return await run(program, clock.slot_seconds)

    return [(round(slot, 5), what) for slot, what in settle(virtually(), asyncio.new_event_loop)]


def in_real_time(programs: Sequence[str]) -> list[Log]:
    """Return the logs of programs that run beside each other in real time.

    If anything may have fallen into the wrong slot, because the machine was slow, all is done again with longer slots.
    """
    compiled = [compile(program, "<program>", "exec") for program in programs]
    # On Windows the clock may tick only 64 times a second.
    slot_seconds = max(0.02, 8 * time.get_clock_info("monotonic").resolution)
    while True:
        selector = Watched()
        loop_factory = functools.partial(asyncio.SelectorEventLoop, selector)
        # Debug mode is too slow for short slots.
        logs = settle(side_by_side(compiled, slot_seconds), loop_factory, debug=False)
        if selector.late + selector.busy < slot_seconds / 2:
            return [[(round(slot), what) for slot, what in log] for log in logs]
        slot_seconds *= 2


async def side_by_side(programs: Sequence[CodeType], slot_seconds: float) -> list[Log]:
    """Run programs beside each other, and spread over a slot what they begin with."""

    async def run_after(delay: float, program: CodeType) -> Log:
        await asyncio.sleep(delay)
        return await run(program, slot_seconds)

    step = slot_seconds / len(programs)
    logs = await asyncio.gather(*(run_after(step * place, program) for place, program in enumerate(programs)))
    # How long the loop was busy is known when it sleeps again.
    await asyncio.sleep(slot_seconds)
    return logs


class Watched(selectors.DefaultSelector):
    """Measures how punctual a loop is: nothing happens more than ``late + busy`` after the deadline that caused it.

    A timer that falls due while the loop sleeps is served at most ``late`` after that, and all that follows at most
    ``busy`` later.
    One that falls due while the loop is awake is served, with all that follows, before the loop sleeps again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.late = self.busy = 0.0
        self._woke = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as asked to, and see how long the loop was busy before and how late it wakes."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        fell_asleep = time.monotonic()
        events = super().select(timeout)
        self.busy = max(self.busy, fell_asleep - self._woke)
        self._woke = time.monotonic()
        self.late = max(self.late, self._woke - fell_asleep - timeout)
        return events


def settle(
    coroutine: Coroutine[object, object, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    *,
    debug: bool | None = None,
) -> T:
    """Run a coroutine on a loop of its own, and leave alone the loop that an async plugin has set for the tests."""
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(coroutine)
