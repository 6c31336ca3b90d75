"""The sky that images with measurements that count cover, as a multi-order coverage map.

Belongs here: which groups, and where they pointed.  Does not belong here: maps
(``radio/sky_regions.py``).
"""

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine, select

from contimg_assets.radio.sidereal_day import sidereal_time_deg
from contimg_assets.radio.sky_regions import discs, field_radius_deg, mean_places
from contimg_assets.station.database import reading
from contimg_assets.station.models import GroupSummary

if TYPE_CHECKING:
    from mocpy import MOC

#: Groups that point to the same cell of this size, deg, cover the same sky, so that ten years of a strip are
#: as many discs as one.  A cell of the map is five times larger.
_SAME_DEG = 0.05
_YEAR = 365.25


def coverage(engine: Engine, least_beam: float, *, since: str = "", until: str = "") -> "MOC":
    """Where the beam, averaged over the drift, is at least so much in any group that counts.

    Parameters
    ----------
    engine : Engine
    least_beam : float
        Above 0.
    since, until : str
        Keys, or the first part of them, from which and before which.
    """
    statement = select(GroupSummary.mid_mjd, GroupSummary.declination_deg).where(
        GroupSummary.measured_version_id.is_not(None), GroupSummary.key >= since
    )
    if until:
        statement = statement.where(GroupSummary.key < until)
    with reading(engine) as session:
        rows = np.array([tuple(row) for row in session.execute(statement)], np.float64).reshape(-1, 2)
    if not len(rows):
        return discs([], [], [])
    # Precession by the year: 20″, of cells of 14′.
    years = rows[:, 0] // _YEAR
    places = np.empty((len(rows), 2))
    for year in np.unique(years):
        own = years == year
        times = np.array([sidereal_time_deg(float(mjd)) for mjd in rows[own, 0]])
        places[own] = np.stack(mean_places(times, rows[own, 1], float((year + 0.5) * _YEAR)), axis=-1)
    _, first = np.unique(places // _SAME_DEG, axis=0, return_index=True)
    pointings, which = np.unique(np.round(rows[first, 1], 1), return_inverse=True)
    reach = np.array([field_radius_deg(float(pointing), least_beam) for pointing in pointings])
    return discs(places[first, 0], places[first, 1], reach[which])
