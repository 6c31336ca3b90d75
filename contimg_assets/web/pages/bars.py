"""Fractions along an axis, and over two, drawn as SVG.

Belongs here: geometry.  Does not belong here: what is drawn (``station/flag_views.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

#: Steps in which a fraction is shown: classes of the style sheet.
STEPS = 9
#: Columns of a waterfall at most: neighbours are drawn as one.
_COLUMNS = 96


@dataclass(frozen=True)
class Cell:
    """A rectangle of a waterfall."""

    x: float
    y: int
    width: float
    step: int
    """From 1 to ``STEPS``; nothing is drawn where nothing is flagged."""


@dataclass(frozen=True)
class Waterfall:
    """A drawing: time downwards, frequency to the right."""

    n_integrations: int
    n_columns: int
    low_mhz: float
    high_mhz: float
    cells: list[Cell]
    values: list[list[float]]
    """The same as numbers, by integration and column."""


def waterfall(told: dict[str, Any]) -> Waterfall:
    """Flagged fractions by integration and channel as a drawing: channels are averaged to columns."""
    rows: Sequence[Sequence[float]] = told["flagged_fraction"]
    frequencies: Sequence[float] = told["frequencies_mhz"]
    values = [_averaged(_rising(row, frequencies), _COLUMNS) for row in rows]
    cells: list[Cell] = []
    for y, row in enumerate(values):
        start = 0
        steps = [_step(value) for value in row]
        for x in range(1, len(row) + 1):
            if x < len(row) and steps[x] == steps[start]:
                continue
            if steps[start]:
                cells.append(Cell(start, y, x - start, steps[start]))
            start = x
    low, high = sorted((frequencies[0], frequencies[-1]))
    return Waterfall(len(rows), len(values[0]) if values else 0, low, high, cells, values)


def profile(values: Sequence[float], frequencies: Sequence[float], width: int = 384) -> str:
    """Fractions along channels as the path of an area 100 high."""
    columns = _averaged(_rising(values, frequencies), width)
    steps = "".join(f"V{100 - 100 * value:.1f}H{x + 1}" for x, value in enumerate(columns))
    return f"M0 100{steps}V100Z"


def _rising(values: Sequence[float], frequencies: Sequence[float]) -> Sequence[float]:
    """Low frequencies to the left, however the telescope orders its channels."""
    return values if frequencies[0] <= frequencies[-1] else values[::-1]


def _averaged(values: Sequence[float], columns: int) -> list[float]:
    """Means over neighbours: ``columns`` of them at most."""
    number = min(columns, len(values))
    edges = [round(k * len(values) / number) for k in range(number + 1)] if number else [0]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]


def _step(fraction: float) -> int:
    """Class of a fraction: nothing below half a percent."""
    return 0 if fraction < 0.005 else min(STEPS, 1 + int(fraction * STEPS))
