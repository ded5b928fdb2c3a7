"""Checks that the pictures, which are edited by hand, show what really happens: python docs/pictures/check.py."""

import asyncio
import re
import time
from pathlib import Path

from machinery import test_helpers as thp


def shapes(picture: str, pattern: str) -> list[tuple[str, ...]]:
    """Return what the groups of a pattern find in a picture."""
    return re.findall(pattern, (Path(__file__).parent / picture).read_text(encoding="utf-8"))


async def two_times() -> None:
    """Retry with twice the delay each time; one second is 22 wide."""
    tries = []
    began = time.perf_counter()
    async with thp.mocked_call_later():
        for attempt in range(6):
            tries.append(time.time())
            await asyncio.sleep(2**attempt)
    assert time.perf_counter() - began < 1
    dots = shapes("two-times.svg", r'<circle .* cx="([\d.]+)".*>\n<text .*>([\d.]+)')
    assert dots == [(f"{40 + 22 * when:g}", f"{when:g}") for when in tries], (dots, tries)


async def held_clock() -> None:
    """Let a thread work while others wait for virtual time; one second is 25 high."""
    events = []

    def work() -> None:
        events.append(("real", time.time()))
        time.sleep(0.1)
        events.append(("real", time.time()))

    async def heartbeat() -> None:
        for _ in range(5):
            await asyncio.sleep(2)
            events.append(("virtual", time.time()))

    async with thp.mocked_call_later(), asyncio.TaskGroup() as tasks:
        tasks.create_task(heartbeat())
        await asyncio.sleep(5)
        async with asyncio.timeout(3):
            await asyncio.to_thread(work)
    dots = shapes("held-clock.svg", r'<circle class="fill-(\w+) .* cy="([\d.]+)"')
    legend = [("virtual", "347"), ("real", "347")]
    assert dots == [*((kind, f"{306 - 25 * when:g}") for kind, when in events), *legend], (dots, events)


async def falling_dominos() -> None:
    """Await eight dominos in three tasks, and look when the fifth has fallen; each task is a row, each domino a box."""
    boxes = []
    async with thp.future_dominos(expected=8) as futs:

        async def take(foot: int, *numbers: int) -> None:
            for number in numbers:
                await futs[number]
                if number == 5:
                    fallen.update(each for each in range(1, 9) if futs[each].done())
                boxes.append((number, foot))

        fallen: set[int] = set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take(258, 8))
            tasks.create_task(take(98, 1, 2, 5, 7))
            tasks.create_task(take(178, 3, 4, 6))
            futs.begin()
    colours = {number: "virtual" if number in fallen else "page" for number in range(1, 9)} | {6: "real-wash"}
    shown = shapes("falling-dominos.svg", r'<rect class="fill-([\w-]+) .* y="(\d+)" width="16".*>\n<text .*>(\d)<')
    assert shown == [(colours[number], f"{foot - 50}", f"{number}") for number, foot in boxes], (shown, boxes)


for picture in (two_times, held_clock, falling_dominos):
    asyncio.run(picture())
