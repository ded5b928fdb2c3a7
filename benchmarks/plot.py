"""Draws a line for each series on two logarithmic axes, as an SVG that can be read on light and on dark pages."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 80, 170, 44, 56
STYLE = """
  svg { --page: #fff; --ink: #1f2328; --grid: #d8dee4; --s0: #0969da; --s1: #6e7781; --s2: #bc4c00; --s3: #8250df }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --grid: #30363d; --s0: #58a6ff; --s1: #8b949e; --s2: #f0883e; --s3: #bc8cff }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink) }
  .page { fill: var(--page) } .grid { stroke: var(--grid) } polyline { fill: none; stroke-width: 2 }
"""


def svg(title: str, across: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return a drawing of times in seconds, against what is counted across."""
    points = [point for line in series.values() for point in line]
    x_ends, y_ends = _decades([x for x, _ in points]), _decades([y for _, y in points])

    def at(x: float, y: float) -> tuple[float, float]:
        right = (math.log10(x) - x_ends[0]) / (x_ends[-1] - x_ends[0]) * (WIDTH - LEFT - RIGHT)
        up = (math.log10(y) - y_ends[0]) / (y_ends[-1] - y_ends[0]) * (HEIGHT - TOP - BOTTOM)
        return round(LEFT + right, 1), round(HEIGHT - BOTTOM - up, 1)

    parts = [f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="6"/>']
    parts.append(_text(LEFT, 26, title, "font-weight: 600"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, across, "text-anchor: middle"))
    for power in x_ends:
        x, y = at(10.0**power, 10.0 ** y_ends[0])
        parts.append(
            f'<path class="grid" d="M{x} {TOP}V{y}"/>' + _text(x, y + 18, _count(power), "text-anchor: middle")
        )
    for power in y_ends:
        x, y = at(10.0 ** x_ends[0], 10.0**power)
        parts.append(f'<path class="grid" d="M{x} {y}H{WIDTH - RIGHT}"/>')
        parts.append(_text(x - 8, y + 4, _seconds(power), "text-anchor: end"))
    name_at = 0.0
    for number, (name, line) in sorted(enumerate(series.items()), key=lambda each: -each[1][1][-1][1]):
        places, colour = [at(*point) for point in line], f"var(--s{number % 4})"
        parts.append(f'<polyline style="stroke: {colour}" points="{" ".join(f"{x},{y}" for x, y in places)}"/>')
        parts += [f'<circle style="fill: {colour}" cx="{x}" cy="{y}" r="3"/>' for x, y in places]
        # Each name stands at the end of its line, or below the one above where they would touch.
        name_at = max(places[-1][1] + 4, name_at + 16)
        parts.append(_text(places[-1][0] + 9, name_at, name, f"fill: {colour}"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", *parts, "</svg>\n"])


def _decades(values: Sequence[float]) -> range:
    """Return the powers of ten between which all values lie, at least two."""
    low = math.floor(math.log10(min(values)))
    return range(low, max(math.ceil(math.log10(max(values))), low + 1) + 1)


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{round(x, 1)}" y="{round(y, 1)}" style="{style}">{escape(text)}</text>'


def _count(power: int) -> str:
    return f"{10**power:,}" if power < 5 else f"10{str(power).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _seconds(power: int) -> str:
    unit, least = next(each for each in (("s", 0), ("ms", -3), ("µs", -6), ("ns", -9)) if power >= each[1])
    return f"{10 ** (power - least):,} {unit}"
