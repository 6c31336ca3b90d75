"""A number of groups over time.

Belongs here: reading rows of ``group_summary``.  Does not belong here: drawing.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from contimg_assets.radio.limits import Limit, load_limits
from contimg_assets.station.group_listing import GroupFilter, list_groups
from contimg_assets.station.group_summary import NUMBER_SOURCES

#: Points of a line at most: the newest.
MOST_POINTS = 300


@dataclass(frozen=True)
class Point:
    """A group's number."""

    key: str
    mjd: float
    value: float
    verdict: str


@dataclass(frozen=True)
class Points:
    """A number over time, oldest first, and its limit if it has one."""

    points: list[Point]
    limit: Limit | None


def points_of(engine: Engine, wanted: GroupFilter, name: str) -> Points:
    """A number of the newest groups for which a filter holds.

    Parameters
    ----------
    engine : Engine
    wanted : GroupFilter
    name : str
        Column of ``group_summary``.
    """
    rows = list_groups(engine, wanted, limit=MOST_POINTS).rows[::-1]
    found: list[Point] = []
    for row in rows:
        value: Any = getattr(row, name)
        if value is not None:
            found.append(Point(row.key, row.mid_mjd, float(value), row.verdict))
    product, metric = NUMBER_SOURCES[name]
    return Points(found, load_limits().limits.get(product, {}).get(metric))
