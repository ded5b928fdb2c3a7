"""Draws the pictures of the documentation, each from a run that really takes place.

    python docs/pictures/draw.py

What the pictures tell comes out of the run, and the run fails if real time does not bear out what they say of it.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

from machinery import test_helpers as thp

HERE = Path(__file__).parent
WORK = 0.1
"""For how many real seconds the thread in the second picture works."""

LIGHT = {
    "page": "#ffffff",
    "ink": "#1f2328",
    "soft": "#59636e",
    "faint": "#d1d9e0",
    "virtual": "#0969da",
    "virtual-wash": "#ddf4ff",
    "real": "#bc4c00",
    "real-wash": "#fff1e5",
}
DARK = {
    "page": "#131416",
    "ink": "#e6edf3",
    "soft": "#9198a1",
    "faint": "#3d444d",
    "virtual": "#58a6ff",
    "virtual-wash": "#12263f",
    "real": "#f0883e",
    "real-wash": "#3a2310",
}


class Drawing:
    """An SVG whose colours follow the page that it stands on."""

    def __init__(self, width: int, height: int, title: str) -> None:
        rules = [*_rules(LIGHT), "@media (prefers-color-scheme: dark) {", *_rules(DARK), "}"]
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            "<style>",
            "text { font: 14px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif }",
            ".small { font-size: 12px } .strong { font-weight: 600 } .plain { font-weight: 400 }",
            ".middle { text-anchor: middle }",
            ".end { text-anchor: end } path { fill: none; stroke-width: 2; stroke-linecap: round }",
            ".thin { stroke-width: 1.25 } .dashed { stroke-dasharray: 2 5 } rect, circle { stroke-width: 2 }",
            *rules,
            "</style>",
            f'<rect class="fill-page" width="{width}" height="{height}" rx="8"/>',
        ]

    def text(self, x: float, y: float, text: str, style: str = "fill-ink", then: str = "") -> None:
        """Write a line, and perhaps more on the same line in a softer colour."""
        more = f'<tspan class="fill-soft plain" dx="10">{escape(then)}</tspan>' if then else ""
        self._parts.append(f'<text class="{style}" x="{x:g}" y="{y:g}">{escape(text)}{more}</text>')

    def path(self, course: str, style: str) -> None:
        """Draw a line along a course."""
        self._parts.append(f'<path class="{style}" d="{course}"/>')

    def arrow(self, course: str, x: float, y: float, turn: float, style: str) -> None:
        """Draw a line along a course, with a head where it ends, turned clockwise by so many degrees from the right."""
        self.path(course, style)
        head = f'<path class="{style.replace("dashed", "")}" d="M-6 -4L0 0L-6 4"'
        self._parts.append(f'{head} transform="translate({x:g} {y:g}) rotate({turn:g})"/>')

    def dot(self, x: float, y: float, style: str) -> None:
        """Draw a dot."""
        self._parts.append(f'<circle class="{style}" cx="{x:g}" cy="{y:g}" r="5"/>')

    def box(self, x: float, y: float, width: float, height: float, style: str, turn: float = 0) -> None:
        """Draw a box, turned around the middle of its foot."""
        turned = f' transform="rotate({turn:g} {x + width / 2:g} {y + height:g})"' if turn else ""
        size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self._parts.append(f'<rect class="{style}" {size} rx="3"{turned}/>')

    def svg(self) -> str:
        """Return all of it."""
        return "\n".join([*self._parts, "</svg>\n"])


def _rules(colours: dict[str, str]) -> list[str]:
    return [f".fill-{name} {{ fill: {value} }} .line-{name} {{ stroke: {value} }}" for name, value in colours.items()]


# The run of each picture, and what is drawn of it.


async def tries() -> list[float]:
    """Try again and again with twice the pause, and return when that was."""
    tried: list[float] = []
    async with thp.mocked_call_later():
        for attempt in range(6):
            tried.append(time.time())
            await asyncio.sleep(2**attempt)
    return tried


def two_times() -> str:
    """Draw real against virtual time."""
    began = time.perf_counter()
    tried = asyncio.run(tries())
    assert time.perf_counter() - began < 1
    drawing = Drawing(760, 236, "Six tries over 31 seconds of virtual time take less than a second of real time")
    left, second, above, below = 40, 22, 112, 186

    drawing.text(left, 30, "virtual time", "fill-virtual strong", then="what the code under test lives in")
    end = left + tried[-1] * second
    drawing.path(f"M{left:g} {above:g}H{end:g}", "line-faint")
    for earlier, later in itertools.pairwise(tried):
        x, to = left + earlier * second, left + later * second
        high = min(52.0, 14 + (to - x) * 0.28)
        drawing.arrow(
            f"M{x:g} {above - 9}C{x:g} {above - 9 - high:g} {to:g} {above - 9 - high:g} {to:g} {above - 9}",
            to,
            above - 9,
            90,
            "line-virtual thin",
        )
    for number, when in enumerate(tried):
        x = left + when * second
        drawing.dot(x, above, "fill-virtual line-page")
        drawing.text(x, above + 24, f"{when:g}" + (" s" if number == len(tried) - 1 else ""), "fill-soft small middle")

    drawing.text(left, below - 22, "real time", "fill-real strong", then="what you wait, on the same scale")
    drawing.path(f"M{left + second:g} {below:g}H{end:g}", "line-faint dashed")
    drawing.box(left, below - 8, second, 16, "fill-real")
    drawing.text(left, below + 30, "all six tries, in less than a second", "fill-soft small")
    return drawing.svg()


async def beside_a_thread() -> list[tuple[str, float]]:
    """Let a thread really work while others wait for virtual time, and return when what happened."""
    happened: list[tuple[str, float]] = []

    def note(what: str) -> None:
        happened.append((what, time.time()))

    def work() -> None:
        note("thread begins")
        time.sleep(WORK)
        note("thread ends")

    async def heart() -> None:
        for _ in range(5):
            await asyncio.sleep(2)
            note("heartbeat")

    async with thp.mocked_call_later(), asyncio.TaskGroup() as tasks:
        tasks.create_task(heart())
        await asyncio.sleep(5)
        async with asyncio.timeout(3):
            await asyncio.to_thread(work)
    return happened


def held_clock() -> str:
    """Draw the jumps of the clock, and a thread that holds it."""
    happened = asyncio.run(beside_a_thread())
    drawing = Drawing(760, 372, "The clock jumps from deadline to deadline, and stands while a thread works")
    left, floor, second, step, hold = 84, 306.0, 25, 38, 340

    for mark in range(0, 11, 2):
        y = floor - mark * second
        drawing.path(f"M{left - 8:g} {y:g}H730", "line-faint thin")
        drawing.text(left - 16, y + 5, f"{mark}", "fill-soft small end")
    drawing.text(24, 34, "virtual time, s", "fill-virtual strong")
    drawing.arrow(f"M{left - 8:g} {floor + 22:g}H730", 730, floor + 22, 0, "line-real thin")
    drawing.text(730, floor + 45, "real time", "fill-real strong end")

    x, y = left + 10.0, floor
    course = f"M{x:g} {y:g}"
    marks: list[tuple[float, float, str]] = []
    stood: dict[str, tuple[float, float]] = {}
    for what, when in happened:
        x += hold if what == "thread ends" else step
        course += f"H{x:g}"
        y = floor - when * second
        course += f"V{y:g}"
        marks.append((x, y, what))
        stood[what] = x, y
    begin, end = stood["thread begins"], stood["thread ends"]
    assert begin[1] == end[1], "the clock moved while the thread worked"

    drawing.box(begin[0], 56, hold, floor - 56, "fill-real-wash")
    strikes = floor - 8 * second
    drawing.path(f"M{begin[0]:g} {strikes:g}H{end[0]:g}", "line-real dashed")
    drawing.text((begin[0] + end[0]) / 2, strikes - 10, "its timeout would strike here, at 8", "fill-real small middle")
    drawing.text((begin[0] + end[0]) / 2, begin[1] + 30, "a thread works for 0.1 s,", "fill-ink middle")
    drawing.text((begin[0] + end[0]) / 2, begin[1] + 50, "and the clock stands at 5", "fill-ink middle")
    drawing.path(course + f"H{x + step:g}", "line-virtual")
    for x, y, what in marks:
        drawing.dot(x, y, "fill-virtual line-page" if what == "heartbeat" else "fill-real line-page")
    drawing.dot(left, floor + 41, "fill-virtual line-page")
    drawing.text(left + 12, floor + 45, "a heartbeat every 2 s; jumps take no time", "fill-soft small")
    drawing.dot(left + 300, floor + 41, "fill-real line-page")
    drawing.text(left + 312, floor + 45, "the thread begins and ends", "fill-soft small")
    return drawing.svg()


async def three_tasks() -> tuple[list[tuple[str, int]], list[int]]:
    """Let eight dominos fall across three tasks; return who took which, and which had fallen with the fifth."""
    taken: list[tuple[str, int]] = []
    fallen: list[int] = []
    async with thp.future_dominos(expected=8) as futs:

        async def take(task: str, *numbers: int) -> None:
            for number in numbers:
                await futs[number]
                taken.append((task, number))
                if number == 5:
                    fallen.extend(each for each in range(1, 9) if futs[each].done())

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take("three", 8))
            tasks.create_task(take("one", 1, 2, 5, 7))
            tasks.create_task(take("two", 3, 4, 6))
            futs.begin()
    return taken, fallen


def falling_dominos() -> str:
    """Draw dominos across three tasks, at the moment when the fifth has fallen."""
    taken, fallen = asyncio.run(three_tasks())
    drawing = Drawing(760, 338, "Eight dominos fall one after the other across three tasks; five have fallen")
    left, column, width, height = 150, 74, 16, 50
    lane_of = {number: task for task, number in taken}
    lanes = {"one": 98.0, "two": 178.0, "three": 258.0}

    def place(number: int) -> tuple[float, float]:
        return left + (number - 1) * column, lanes[lane_of[number]]

    for task, y in lanes.items():
        drawing.text(24, y - height / 2 + 5, f"task {task}", "fill-ink strong")
        drawing.path(f"M{left - 36:g} {y:g}H730", "line-faint")
    for (_, earlier), (_, later) in itertools.pairwise(taken):
        (x, y), (to, lane) = place(earlier), place(later)
        style = "line-virtual thin" if later in fallen else "line-soft thin dashed"
        start, high = (x + 44, y - 26) if earlier in fallen else (x + 14, y - 25)
        target, low = to - 13, high + lane - y
        drawing.arrow(
            f"M{start:g} {high:g}C{target:g} {high:g} {start:g} {low:g} {target:g} {low:g}", target, low, 0, style
        )
    for _, number in taken:
        x, y = place(number)
        turn = 48 if number in fallen else 0
        style = "fill-virtual line-virtual" if number in fallen else "fill-page line-soft"
        if number == max(fallen) + 1:
            style = "fill-real-wash line-real"
        drawing.box(x - width / 2, y - height, width, height, style, turn)
        drawing.text(x, y + 20, f"{number}", "fill-soft small middle")
    drawing.text(24, 28, "5 has just fallen", "fill-virtual strong", then="and woken task one, which now asks for 7")
    drawing.text(24, 318, "6 is next", "fill-real strong", then="and falls when nothing is left to run")
    return drawing.svg()


PICTURES: dict[str, Callable[[], str]] = {
    "two-times.svg": two_times,
    "held-clock.svg": held_clock,
    "falling-dominos.svg": falling_dominos,
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (HERE / name).write_text(draw(), encoding="utf-8")
