"""What each tool is asked; run as a script, this puts one question to one tool and prints the answer.

An answer is a word or two for a table. A tool that hangs is ended by whoever runs the script.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from time import time as time_taken_out
from typing import Any

from tools import BY_HAND, DATETIME, IMPATIENT, PATIENT, TOOLS, Kit, Take, Tool, TooLate

Question = Callable[[Tool], str]

WORK = 0.3
"""For how many real seconds something is really at work."""

REMOTE = f"""
import socket, time
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    line = connection.recv(100)
    time.sleep({WORK})
    connection.sendall(line)
"""


class Enough(Exception):
    """Ends what would go on."""


def real_time() -> float:
    """Return the real time, from the one place where no tool replaces it."""
    return os.times().elapsed


def said(*, answer: bool) -> str:
    """Return how a table says it."""
    return "yes" if answer else "no"


def said_or_asked(tool: Tool, what: str, ask: Callable[..., bool]) -> str:
    """Return how a table says it, where a tool may do something only when asked."""
    if ask():
        return "yes"
    return "if asked" if what in tool.on_request and ask(**tool.on_request[what]) else "no"


# Clocks.


def sleeps(tool: Tool, **options: Any) -> str:
    """Ask whether a sleep takes no real time."""

    async def body(kit: Kit) -> bool:
        # What entering has taken is no part of the sleep, though uvloop reads its clock only once a round.
        await kit.sleep(0)
        began = real_time()
        await kit.during(3, lambda: kit.sleep(3))
        return real_time() - began < 1

    answer = said(answer=tool.run(body, **options))
    return "by hand" if answer == "yes" and tool.by_hand else answer


def moves(read: Callable[[Kit], float], on_request: str = "") -> Question:
    """Ask whether a clock moves by a minute while a minute passes."""

    def question(tool: Tool) -> str:
        async def body(kit: Kit) -> bool:
            before = read(kit)
            await kit.let_pass(60)
            return abs(read(kit) - before - 60) < 1

        return said_or_asked(tool, on_request, lambda **wishes: tool.run(body, **wishes))

    return question


def by_hand(tool: Tool) -> str:
    """Ask whether time moves when told, with what is due on the way at its own time."""

    async def body(kit: Kit) -> bool:
        advance = kit.advance
        if advance is None:
            return False
        woken: list[float] = []
        began = kit.now()

        async def thrice() -> None:
            for _ in range(3):
                await kit.sleep(1)
                woken.append(round(kit.now() - began, 3))

        async def hand() -> None:
            for _ in range(5):
                await kit.sleep(0)
            await advance(3)
            raise Enough

        try:
            await kit.together(thrice, hand)
        except BaseException:
            return woken == [1, 2, 3]
        return False

    return said(answer=tool.run(body, **tool.on_request.get(BY_HAND, {})))


# Exactness.


def timeouts(tool: Tool) -> str:
    """Ask whether a timeout of an hour strikes after an hour."""

    async def body(kit: Kit) -> bool:
        began = kit.now()
        try:
            await kit.during(3600, lambda: kit.within(3600, lambda: kit.sleep(7200)))
        except TooLate:
            return abs(kit.now() - began - 3600) < 0.2
        return False

    return said(answer=tool.run(body))


def equal_deadlines(tool: Tool) -> str:
    """Ask whether those who wait for the same moment wake in the order in which they began to wait."""

    async def body(kit: Kit) -> bool:
        woken: list[int] = []

        async def one(num: int) -> None:
            await kit.sleep(1)
            woken.append(num)

        await kit.during(1, lambda: kit.together(*(lambda num=num: one(num) for num in range(100))))
        return woken == list(range(100))

    return said(answer=tool.run(body))


def follow_up(tool: Tool) -> str:
    """Ask whether all that one deadline woke has run before the next deadline."""

    async def body(kit: Kit) -> bool:
        order: list[str] = []

        async def first() -> None:
            await kit.sleep(1)
            for _ in range(5):
                await kit.sleep(0)
            order.append("what the first woke")

        async def second() -> None:
            await kit.sleep(2)
            order.append("second")

        await kit.during(2, lambda: kit.together(first, second))
        return order == ["what the first woke", "second"]

    return said(answer=tool.run(body))


def exact(tool: Tool) -> str:
    """Ask whether a thousand sleeps of 0.1 are exactly 100."""

    async def body(kit: Kit) -> bool:
        began = kit.now()

        async def many() -> None:
            for _ in range(1000):
                await kit.sleep(0.1)

        await kit.during(100, many)
        return kit.now() - began == 100

    return said(answer=tool.run(body))


def long_sleeps(tool: Tool) -> str:
    """Ask whether 30 days cost what an hour costs."""

    async def body(kit: Kit) -> bool:
        async def cost(seconds: float) -> float:
            before = os.times()
            await kit.during(seconds, lambda: kit.sleep(seconds))
            after = os.times()
            return after.user + after.system - before.user - before.system

        return await cost(3600) * 10 + 0.1 > await cost(30 * 86400)

    return said(answer=tool.run(body))


# The real world.


def in_time(work: Callable[[Kit], Any]) -> Question:
    """Ask whether a timeout of five virtual seconds leaves work alone that really takes a moment."""

    def question(tool: Tool) -> str:
        async def body(kit: Kit) -> bool:
            began = kit.now()
            try:
                await kit.within(5, lambda: work(kit))
            except TooLate:
                return False
            # Where work cannot be cancelled, it comes to its end though the timeout has struck.
            return kit.now() - began < 5

        return said_or_asked(tool, PATIENT, lambda **wishes: tool.run(body, **wishes))

    return question


async def in_thread(kit: Kit) -> None:
    """Work in a thread."""
    await kit.in_thread(time.sleep, WORK)


async def in_process(kit: Kit) -> None:
    """Work in a process."""
    await kit.process(sys.executable, "-c", f"import time; time.sleep({WORK})")


async def on_loopback(kit: Kit) -> None:
    """Talk to a server of the same loop."""
    async with kit.echo() as port:
        for _ in range(20):
            assert await kit.ask(port, b"hello\n") == b"hello\n"


async def elsewhere(kit: Kit) -> None:
    """Talk to a server in another process."""
    with server() as port:
        assert await kit.ask(port, b"hello\n") == b"hello\n"


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Give the port of a server that takes its time."""
    with subprocess.Popen([sys.executable, "-c", REMOTE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


# Trouble and company.


def hang(tool: Tool) -> str:
    """Ask what happens to a test that waits for what never comes."""
    wishes = tool.on_request.get(IMPATIENT, {})
    ended = after_a_while(lambda: tool.run(lambda kit: kit.forever(), **wishes))
    return f"{ended}, if asked" if wishes else ended


def after_a_while(run: Callable[[], object]) -> str:
    """Return what a run is ended by."""
    try:
        run()
    except BaseException as error:
        while getattr(error, "exceptions", None):
            error = error.exceptions[0]  # type: ignore[attr-defined]
        return f"`{type(error).__name__}`"
    return "goes on"


def polling(tool: Tool) -> str:
    """Ask whether time goes on while a task polls with sleep(0)."""

    async def body(kit: Kit) -> bool:
        came: list[bool] = []

        async def wait() -> None:
            await kit.sleep(1)
            came.append(True)

        async def poll() -> None:
            began = real_time()
            while not came:
                if real_time() - began > WORK:
                    raise Enough
                await kit.sleep(0)

        try:
            await kit.during(1, lambda: kit.together(wait, poll))
        except BaseException:
            return False
        return True

    return said(answer=tool.run(body))


def failing(tool: Tool) -> str:
    """Ask whether an exception of the body arrives, with everything put back."""

    async def with_block(block: Any) -> bool:
        loop: Any = asyncio.get_running_loop()
        names = [name for name in dir(loop) if name[0] != "_"]

        def there() -> list[object]:
            return [*replaceable(), loop._selector.select, *(getattr(loop, name) for name in names)]

        before = there()
        try:
            async with block():
                raise Enough
        except Enough:
            return before == there()

    async def fail(_: Kit) -> None:
        raise Enough

    if tool.block is not None:
        return said(answer=asyncio.run(with_block(tool.block)))
    before = replaceable()
    try:
        tool.run(fail)
    except Enough:
        return said(answer=before == replaceable())
    return "no"


def replaceable() -> list[object]:
    """Return what a tool might replace in the standard library."""
    return [
        *(time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.sleep),
        *(datetime.datetime, asyncio.sleep, asyncio.wait_for, asyncio.BaseEventLoop.time),
        *(asyncio.BaseEventLoop.call_later, asyncio.BaseEventLoop.call_at, asyncio.new_event_loop),
    ]


def nested(tool: Tool) -> str:
    """Ask whether a block works in a block, and the outer time is back after the inner one."""
    block = tool.block
    if block is None:
        return "no"

    async def body(kit: Kit) -> bool:
        outer = kit.now()
        async with block() as advance:
            inner = Kit(advance, by_hand=tool.by_hand, clock=tool.clock)
            await inner.during(10, lambda: inner.sleep(10))
        back = abs(kit.now() - outer) < 1
        await kit.during(10, lambda: kit.sleep(10))
        return back and abs(kit.now() - outer - 10) < 1

    return said(answer=tool.run(body))


def on_uvloop(tool: Tool) -> str:
    """Ask whether it works on uvloop."""
    if tool.loop is not None or type(tool) is not Tool:
        return "no"
    import uvloop

    return said(answer=sleeps(tool, loop=uvloop.new_event_loop) in {"yes", "by hand"})


# Order.


def in_order(body: Callable[[Kit, list[int]], Any]) -> Question:
    """Ask what comes of steps that several tasks take."""

    def question(tool: Tool) -> str:
        taken: list[int] = []
        ended = after_a_while(lambda: tool.run_in_order(lambda kit: body(kit, taken)))
        return ended if ended != "goes on" else said(answer=taken == sorted(taken))

    return question


async def by_turns(kit: Kit, taken: list[int]) -> None:
    """Let three tasks take steps by turns."""
    async with kit.row(9) as take:

        async def one(first: int) -> None:
            for num in range(first, 10, 3):
                await take(num, lambda num=num: taken.append(num))

        await kit.together(lambda: one(2), lambda: one(3), lambda: one(1))


async def one_gives_up(kit: Kit, taken: list[int]) -> None:
    """Let a task give up waiting for its step before that comes."""
    async with kit.row(3) as take:

        async def impatient() -> None:
            try:
                await kit.within(WORK, lambda: take(2, lambda: taken.append(2)))
            except TooLate:
                await take(1, lambda: taken.append(1))

        await kit.together(impatient, lambda: take(3, lambda: taken.append(3)))


async def nobody_takes_one(kit: Kit, _: list[int]) -> None:
    """Let nobody take the second step."""
    async with kit.row(3) as take:
        await kit.together(lambda: take(1, list), lambda: take(3, list))


def many_steps(tool: Tool) -> str:
    """Ask whether ten times as many steps cost about ten times as much."""

    async def steps(kit: Kit, count: int) -> None:
        async with kit.row(count) as take:

            async def one(first: int, take: Take) -> None:
                for num in range(first, count + 1, 2):
                    await take(num, list)

            await kit.together(lambda: one(1, take), lambda: one(2, take))

    def cost(count: int) -> float:
        before = os.times()
        tool.run_in_order(lambda kit: steps(kit, count))
        after = os.times()
        return after.user + after.system - before.user - before.system

    return said(answer=cost(100) * 30 + 0.3 > cost(1000))


CLOCKS, EXACT, REAL, COMPANY, ORDER = (
    "Which clocks move",
    "How exact they are",
    "What a timeout of five virtual seconds leaves alone",
    "In trouble, and in company",
    "Order",
)
SLEEPS, STRIKES, HANG = "sleeps", "timeouts strike on time", "a test that waits for ever"
PUTS_BACK = "puts all back"
HANGS = HANG, "nobody takes a step"
"""What may be answered by hanging, too."""
QUESTIONS: dict[str, dict[str, Question]] = {
    CLOCKS: {
        SLEEPS: sleeps,
        "by hand, step by step": by_hand,
        "`loop.time`": moves(lambda kit: kit.loop_time()),
        "`time.time`": moves(lambda _: time.time()),
        "that, imported before": moves(lambda _: time_taken_out(), DATETIME),
        "`monotonic`": moves(lambda _: time.monotonic()),
        "`datetime`": moves(lambda _: datetime.datetime.now().timestamp(), DATETIME),
    },
    EXACT: {
        STRIKES: timeouts,
        "equal deadlines keep order": equal_deadlines,
        "follow-up work comes first": follow_up,
        "1,000 times 0.1 s are 100 s": exact,
        "30 days cost as an hour": long_sleeps,
    },
    REAL: {
        "a thread at work": in_time(in_thread),
        "a process at work": in_time(in_process),
        "client and server on one loop": in_time(on_loopback),
        "a server elsewhere": in_time(elsewhere),
    },
    COMPANY: {
        HANG: hang,
        "goes on while a task polls": polling,
        PUTS_BACK: failing,
        "nests": nested,
        "uvloop": on_uvloop,
    },
    ORDER: {
        "three tasks by turns": in_order(by_turns),
        "one gives up waiting": in_order(one_gives_up),
        HANGS[1]: in_order(nobody_takes_one),
        "1,000 cost as ten times 100": many_steps,
    },
}

if __name__ == "__main__":
    _, _tool, _table, _question = sys.argv
    print(QUESTIONS[_table][_question](TOOLS[_tool]))
