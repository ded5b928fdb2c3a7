"""What all seams have in common."""

import abc
import asyncio
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol

from machinery._test_helpers._clock import Clock
from machinery._test_helpers._layers import Layers


class Listener(Protocol):
    """Something that acts when a loop is idle."""

    @property
    def rank(self) -> int:
        """Lower ranks are asked first; of equal ranks, in the order of entering, or those first that ask to be."""
        ...

    def at_rest(self, rested: float) -> float:
        """Act, or say how long not to.

        :param rested: for how many real seconds the loop has been idle.
        :return: 0 if something was done, so that the loop looks again what it has to run; infinity if there is nothing
            to do before something happens on the loop; else after how many real seconds to ask again, if nothing does.
        """
        ...

    def close(self) -> None:
        """Stop for good: the loop is being closed."""
        ...


class Watched(Protocol):
    """Something that has to know when a task is cancelled."""

    seen: int
    """How often the task was being cancelled at the latest look."""

    @property
    def cancelling(self) -> Callable[[], int]:
        """Return how often the task is being cancelled now."""
        ...

    def look(self) -> None:
        """Learn that this has changed."""
        ...


class HasClock(Protocol):
    """A block of virtual time."""

    clock: Clock
    left: bool


class Seam(abc.ABC):
    """Watches one loop, and asks its listeners in turn whenever that loop has nothing left to run."""

    of_loop: ClassVar[dict[asyncio.AbstractEventLoop, "Seam"]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rest = 0.0
        """For how many real seconds the loop has been idle so far, while a listener asked to be asked again."""
        self.rounds = 0
        """How many rounds the loop has run since it was last idle."""
        self.anything_to_read: Callable[[], object] = bool
        """Tell whether the loop would find events now."""
        self.watched: list[Watched] = []
        """Looked after between two rounds of the loop, while no task runs."""
        self._some_are_cancelled = False
        self.layers = Layers(loop)
        self._loop = loop
        self._listeners: list[Listener] = []
        self._real_close = loop.close
        self._on_loop: dict[str, object] = {"close": self._close}

    def enter(self, listener: Listener, *, first: bool = False) -> None:
        """Ask a listener from now on, last or first of those of its rank."""
        if not self._listeners:
            self._install()
            self.of_loop[self._loop] = self
        self._listeners.insert(0 if first else len(self._listeners), listener)
        self._listeners.sort(key=lambda each: each.rank)

    def leave(self, listener: Listener) -> None:
        """Ask a listener no more; with the last one the loop is as it was."""
        # One that was in nobody's hands when the loop was closed has gone already.
        if listener in self._listeners:
            self._listeners.remove(listener)
            if not self._listeners:
                del self.of_loop[self._loop]
                self._uninstall()

    @abc.abstractmethod
    def real_call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer in the loop's own time."""
        ...

    @abc.abstractmethod
    def time_of(self, block: HasClock) -> Callable[[], float]:
        """Return a ``loop.time`` that reads the clock of a block until that is left."""
        ...

    @abc.abstractmethod
    def in_next_round(self, callback: Callable[[], object]) -> None:
        """Call a callback before the loop's next round, when the loop itself looks for timers that are due."""
        ...

    def wakers(self) -> Iterator[str]:
        """Describe what real things could still wake this loop; nothing at all only if that is certain."""
        yield from ()

    def certain(self) -> bool:
        """Return whether nothing real could ever wake this loop."""
        return False

    def _install(self) -> None:
        self.layers.add(self._on_loop)

    def _uninstall(self) -> None:
        self.layers.remove(self._on_loop)

    def _look(self) -> None:
        for each in self.watched:
            if each.cancelling() != each.seen:
                each.look()
                self._some_are_cancelled = each.seen > 0

    def _ask(self, rested: float) -> float:
        for listener in self._listeners:
            wait = listener.at_rest(rested)
            if wait < math.inf:
                return wait
        return math.inf

    def _close(self) -> None:
        if not self._loop.is_running():
            for listener in list(self._listeners):
                listener.close()
                self.leave(listener)
        self._real_close()
