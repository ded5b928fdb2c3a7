"""Turns what was measured into Markdown."""

import math
import statistics
from collections.abc import Mapping, Sequence

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"
Samples = Sequence[float]
Spread = tuple[float, float, float]


def spread(samples: Samples) -> Spread:
    """Return the median and the quartiles around it."""
    if len(samples) < 2:
        return samples[0], samples[0], samples[0]
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return middle, low, high


def number(value: float) -> str:
    """Return a number with as many digits as it deserves."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def told(samples: Samples | str) -> str:
    """Return median and quartiles, or why there are none."""
    if isinstance(samples, str):
        return samples
    middle, low, high = map(number, spread(samples))
    return f"{middle} ({low} to {high})"


def ranked(peers: Mapping[str, Samples | str]) -> list[str]:
    """Return the peers, the fastest first, and last those that have no figure."""

    def rank(name: str) -> float:
        samples = peers[name]
        return math.inf if isinstance(samples, str) else spread(samples)[0]

    return [f"{name} {told(peers[name])}" for name in sorted(peers, key=rank)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page_with(page: str, measured: str) -> str:
    """Return a page with what was measured between its two marks, which are put at its end where it has none."""
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{measured}\n{END}{after}"
