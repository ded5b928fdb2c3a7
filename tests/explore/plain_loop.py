"""Runs a scenario in a given order on a plain loop: futures are set, and the time is moved, by hand."""

import asyncio
import heapq
import re
import socket
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from machinery.test_helpers import Outside

EPSILON = 1e-7
STEPS = re.compile(r"(clock|\d+)(?:@(\d+))?")


class HandLoop(asyncio.SelectorEventLoop):
    """A loop of asyncio whose time stands until somebody moves it."""

    now = 0.0
    timers = 0

    def time(self) -> float:
        """Return the time that was set."""
        return self.now

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """Set a timer that is a bit later than those before: the loop does not keep the order of equal deadlines."""
        self.timers += 1
        return super().call_at(when + self.timers * EPSILON, callback, *args, context=context)


class ByHand:
    """Sets futures in the order that a note of `explore` shows.

    It is called once in each iteration of the loop, after what was ready and before timers, since it reads from a
    socket that always has something: that is where a loop learns of what comes from outside.
    """

    def __init__(self, replay: str) -> None:
        self._steps = [
            (0 if number == "clock" else int(number), int(after) if after else None)
            for number, after in STEPS.findall(replay)
        ]
        self._calls: list[tuple[Hashable, asyncio.Future[None]]] = []
        self._iteration = 0
        self._latest_step = -1
        self._loop = HandLoop()

    def run(self, scenario: Callable[[Outside], Awaitable[object]]) -> bool:
        """Run the scenario, and return whether it ended by itself; raise what it raises."""
        ours, theirs = socket.socketpair()
        theirs.send(b".")
        loop = self._loop

        async def main() -> bool:
            self._task = asyncio.ensure_future(scenario(self.outside))
            try:
                loop.add_reader(ours, self._come)
                await asyncio.wait([self._task])
            finally:
                loop.remove_reader(ours)
            if self._task.cancelled():
                return False
            self._task.result()
            return True

        with asyncio.Runner(loop_factory=lambda: loop) as runner, ours, theirs:
            return runner.run(main())

    async def outside(self, label: str, *, channel: Hashable = None) -> None:
        """Wait for a future that is set by hand."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._calls.append((channel, future))
        await future

    def _come(self) -> None:
        if self._task.done():
            return
        if not self._ready():
            self._come_while_idle()
        while self._steps and self._ready() and self._steps[0][1] == self._iteration - self._latest_step:
            self._take(self._steps.pop(0)[0])
        self._iteration += 1

    def _ready(self) -> int:
        return len(vars(self._loop)["_ready"])

    def _come_while_idle(self) -> None:
        outstanding = [number for number, (_, future) in enumerate(self._calls, 1) if not future.done()]
        if outstanding and self._steps:
            number, after = self._steps.pop(0)
            assert after is None, "the loop is idle earlier than it was"
            self._take(number)
        elif outstanding:
            self._take(outstanding[0])
        elif self._timers():
            self._move_clock()
        else:
            self._task.cancel()

    def _take(self, number: int) -> None:
        self._latest_step = self._iteration
        if number:
            channel, future = self._calls[number - 1]
            earlier = [other for name, other in self._calls[: number - 1] if name is not None and name == channel]
            assert all(other.done() for other in earlier), "a channel keeps its order"
            future.set_result(None)
        else:
            self._move_clock()

    def _timers(self) -> list[asyncio.TimerHandle]:
        timers: list[asyncio.TimerHandle] = vars(self._loop)["_scheduled"]
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        return timers

    def _move_clock(self) -> None:
        """Run what is due next, as the loop would after what its selector has told."""
        self._loop.now = round(self._timers()[0].when(), 3)
        while self._timers() and self._timers()[0].when() < self._loop.now + 1e-3:
            heapq.heappop(self._timers())._run()
