"""A number over time, drawn as SVG: each point is a link, limits are lines.

Belongs here: geometry.  Does not belong here: which groups (``station/trend_views.py``).
"""

import math
from dataclasses import dataclass

from sqlalchemy import Engine

from contimg_assets.station.group_listing import GroupFilter
from contimg_assets.station.trend_views import Point, points_of
from contimg_assets.web.pages.words import Number

WIDTH, HEIGHT, MARGIN = 600.0, 110.0, 8.0
#: Part of the points that the axis must show; what is beyond is drawn at its edge.
_SHOWN = 0.98
#: Points that are links: more would make the page heavy and nobody could hit them.
_LINKED = 60


@dataclass(frozen=True)
class Dot:
    """A point's place."""

    x: float
    y: float
    point: Point
    outside: bool
    """Its value is beyond the axis."""


@dataclass(frozen=True)
class Trend:
    """A drawing."""

    number: Number
    dots: list[Dot]
    lines: list[tuple[str, float]]
    """What a limit means, and where it is."""
    low: float
    high: float
    linked: bool
    path: str
    """All points as one path of small squares, where they are no links."""


def trend(engine: Engine, wanted: GroupFilter, number: Number) -> Trend | None:
    """A number of the newest groups over time; None if fewer than two have it."""
    found = points_of(engine, wanted, number.name)
    if len(found.points) < 2:
        return None
    values = sorted(point.value for point in found.points)
    limits = [] if found.limit is None else [("WARN", found.limit.soft), ("ERROR", found.limit.hard)]
    high = values[min(len(values) - 1, math.ceil(_SHOWN * len(values)))]
    low = values[len(values) - 1 - min(len(values) - 1, math.ceil(_SHOWN * len(values)))]
    # A limit is shown if it is near: one that is far off would press all points flat.
    near = [
        (word, value) for word, value in limits if low - 2 * (high - low) <= value <= high + 2 * (high - low)
    ]
    low, high = min([low, *(value for _, value in near)]), max([high, *(value for _, value in near)])
    if high == low:
        low, high = low - 0.5 * abs(low) - 0.5, high + 0.5 * abs(high) + 0.5
    first, last = found.points[0].mjd, found.points[-1].mjd

    def place(value: float) -> float:
        part = min(1.0, max(0.0, (value - low) / (high - low)))
        return HEIGHT - MARGIN - part * (HEIGHT - 2 * MARGIN)

    dots = [
        Dot(
            MARGIN + (point.mjd - first) / ((last - first) or 1.0) * (WIDTH - 2 * MARGIN),
            place(point.value),
            point,
            not low <= point.value <= high,
        )
        for point in found.points
    ]
    lines = [(word, place(value)) for word, value in near]
    path = "".join(f"M{dot.x:.1f} {dot.y:.1f}h0" for dot in dots)
    return Trend(number, dots, lines, low, high, len(dots) <= _LINKED, path)
