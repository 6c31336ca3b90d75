"""For how long calibration holds: sets in force where the telescope looks, and calibrators that are to come.

Belongs here: gathering.  Does not belong here: which set a group gets
(``calibration_selection.py``), or when a calibrator transits
(``radio/calibration/transits.py``).
"""

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Engine, select

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.station.calibration_registry import HOURS_PER_DAY
from contimg_assets.station.database import reading
from contimg_assets.station.models import CalibrationSet, GroupSummary

#: Transits of so long are told.
HOURS_AHEAD = 24.0


@dataclass(frozen=True)
class NextTransit:
    """A calibrator that is to cross the beam."""

    calibrator: str
    mjd: float
    """Of the transit, UTC."""
    apparent_jy: float
    """Flux density through the drifting beam."""
    role: str
    """``calibrator``, or ``back-up``: one that is fainter."""


@dataclass(frozen=True)
class Outlook:
    """Calibration at a time, at the declination of the last group before it."""

    mjd: float
    declination_deg: float
    sets: list[CalibrationSet]
    """Active sets of this declination within a day, oldest first."""
    holds: CalibrationSet | None
    """The one that holds longest; None: none holds."""
    hours_left: float | None
    """For so long after the time it is within its validity."""
    transits: list[NextTransit]
    """Calibrators that cross the beam after the time, the next one first."""


def outlook(engine: Engine, settings: CalibrationOptions, until: str | None = None) -> Outlook | None:
    """For how long calibration holds.

    Parameters
    ----------
    engine : Engine
    settings : CalibrationOptions
    until : str, optional
        Day, UTC, after whose last group it is looked; default: after the newest.

    Returns
    -------
    Outlook or None
        None if there is no group.
    """
    last = select(GroupSummary.mid_mjd, GroupSummary.declination_deg).order_by(GroupSummary.key.desc())
    if until is not None:
        last = last.where(GroupSummary.key <= f"{until}~")
    with reading(engine) as session:
        group = session.execute(last.limit(1)).first()
        if group is None:
            return None
        statement = (
            select(CalibrationSet)
            .where(
                CalibrationSet.status == "active",
                CalibrationSet.mid_mjd.between(group.mid_mjd - 1.0, group.mid_mjd + 1.0),
                CalibrationSet.declination_deg.between(
                    group.declination_deg - settings.strip_deg, group.declination_deg + settings.strip_deg
                ),
            )
            .order_by(CalibrationSet.mid_mjd)
        )
        sets = list(session.scalars(statement))
    holding = [each for each in sets if each.valid_from_mjd <= group.mid_mjd <= each.valid_to_mjd]
    longest = max(holding, key=lambda each: each.valid_to_mjd, default=None)
    left = None if longest is None else (longest.valid_to_mjd - group.mid_mjd) * HOURS_PER_DAY
    # Frozen options have a hash, which their type does not tell.
    coming = _coming(round(group.declination_deg, 2), round(group.mid_mjd, 3), settings)  # type: ignore[arg-type]
    return Outlook(group.mid_mjd, group.declination_deg, sets, longest, left, list(coming))


@lru_cache(maxsize=16)
def _coming(declination_deg: float, mjd: float, settings: CalibrationOptions) -> tuple[NextTransit, ...]:
    # Loads numpy and the precession of the equinoxes.
    from contimg_assets.radio.calibration.transits import transits

    found = transits(declination_deg, mjd, mjd + HOURS_AHEAD / HOURS_PER_DAY, settings)
    told = (NextTransit(each.source.name, each.mjd, each.apparent_jy, each.role) for each in found)
    return tuple(sorted(told, key=lambda each: each.mjd))
