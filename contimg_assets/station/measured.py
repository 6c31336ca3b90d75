"""Which measurements of groups count now, and which of them the files of tiles do not have yet.

A file counts while it is the current version of its group's ``photometry``, was made
from the current image, and neither has a check that says ERROR: the group's summary
says so, written with whatever changes it.  So a group that is made again has its rows
once, and one whose image is condemned or lost takes them out.  Belongs here: asking.
Does not belong here: merging (``tile_merge.py``), reading rows (``light_curves.py``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, Select, select

from contimg_assets.radio.photometry.table import FILE
from contimg_assets.radio.sidereal_day import group_keys, sidereal_time_deg
from contimg_assets.station.database import reading
from contimg_assets.station.models import GroupSummary, ProductVersion
from contimg_assets.station.store import Store

#: Positions of date are not farther from those of J2000 than this in this century's first half, deg.
_PRECESSED_DEG = 0.7


@dataclass(frozen=True)
class Measured:
    """The measurements of one group that count now."""

    group: str
    version: int | None
    """Identity of the product's version; None if nothing counts (any more)."""
    path: Path | None
    """Of the file."""
    declination_deg: float
    """Of the pointing, apparent."""
    mid_mjd: float
    merged: int | None
    """Identity of the version that is in the files of tiles."""


#: Statement that selects what ``Measured`` has; the path is None where nothing counts.
_Rows = Select[tuple[str, int | None, str, float, float, int | None]]


def _statement() -> _Rows:
    columns = (
        GroupSummary.key,
        GroupSummary.measured_version_id,
        ProductVersion.path,
        GroupSummary.declination_deg,
        GroupSummary.mid_mjd,
        GroupSummary.merged_version_id,
    )
    return (
        select(*columns)
        .outerjoin(ProductVersion, ProductVersion.id == GroupSummary.measured_version_id)
        .order_by(GroupSummary.key)
    )


def _found(
    engine: Engine,
    store: Store,
    statement: _Rows,
) -> list[Measured]:
    with reading(engine) as session:
        return [
            Measured(key, version, None if path is None else store.absolute(path) / FILE, dec, mjd, merged)
            for key, version, path, dec, mjd, merged in session.execute(statement)
        ]


def measured_on(engine: Engine, store: Store, day: str) -> list[Measured]:
    """Groups of a day that have measurements, or had when they were merged, in the order of time."""
    first, end = group_keys(day)
    counts = GroupSummary.measured_version_id.is_not(None) | GroupSummary.merged_version_id.is_not(None)
    of_day = _statement().where(GroupSummary.key >= first, GroupSummary.key < end, counts)
    return _found(engine, store, of_day)


def unmerged(engine: Engine, store: Store) -> list[Measured]:
    """Groups whose measurements are other than those in the files of tiles."""
    return _found(engine, store, _statement().where(GroupSummary.merge_due.is_not(None)))


def measured_near(
    engine: Engine, store: Store, position: tuple[float, float], reach_deg: float
) -> list[Measured]:
    """Groups with measurements that count whose pointing, in their middle, is so near a place.

    Parameters
    ----------
    engine, store
        Of the station.
    position : tuple of float
        ICRS right ascension and declination, deg; precession since J2000 is in the bargain.
    reach_deg : float

    Returns
    -------
    list of Measured
        In the order of time.
    """
    ra, dec = position
    low, high = dec - reach_deg - _PRECESSED_DEG, dec + reach_deg + _PRECESSED_DEG
    statement = _statement().where(
        GroupSummary.measured_version_id.is_not(None), GroupSummary.declination_deg.between(low, high)
    )
    # Along the equator of date an hour angle is as much sky as the cosine of the declination leaves of it.
    reach = (reach_deg + _PRECESSED_DEG) / max(math.cos(math.radians(dec)), 0.02)
    return [
        one
        for one in _found(engine, store, statement)
        if abs((sidereal_time_deg(one.mid_mjd) - ra + 180) % 360 - 180) <= reach
    ]


def days_due(engine: Engine) -> list[str]:
    """Days with such groups, the oldest first."""
    statement = select(GroupSummary.merge_due).where(GroupSummary.merge_due.is_not(None)).distinct()
    with reading(engine) as session:
        return sorted(day for day in session.scalars(statement) if day is not None)


def summaries(keys: Sequence[str]) -> Select[tuple[GroupSummary]]:
    """Statement that selects and locks the summaries of some groups."""
    return select(GroupSummary).where(GroupSummary.key.in_(keys)).order_by(GroupSummary.key).with_for_update()
