"""A number of groups over time.

Belongs here: reading rows of ``group_summary``.  Does not belong here: drawing.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, select

from contimg_assets.radio.limits import Limit, load_limits
from contimg_assets.station.database import reading
from contimg_assets.station.group_listing import GroupFilter, conditions_of
from contimg_assets.station.group_summary import NUMBER_SOURCES
from contimg_assets.station.models import GroupSummary

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
    column = getattr(GroupSummary, name)
    statement = (
        select(GroupSummary.key, GroupSummary.mid_mjd, column, GroupSummary.verdict)
        .where(*conditions_of(wanted), column.is_not(None))
        .order_by(GroupSummary.key.desc())
        .limit(MOST_POINTS)
    )
    with reading(engine) as session:
        rows = session.execute(statement).all()[::-1]
    found = [Point(key, mjd, float(value), verdict) for key, mjd, value, verdict in rows]
    product, metric = NUMBER_SOURCES[name]
    return Points(found, load_limits().limits.get(product, {}).get(metric))
