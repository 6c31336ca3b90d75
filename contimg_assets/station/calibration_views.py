"""Calibration sets and groups held against each other, as people and programs are shown it.

Belongs here: gathering.  Does not belong here: whether solutions fit
(``radio/calibration/compatibility.py``), or which set a group gets
(``calibration_selection.py``).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from contimg_assets.radio.calibration.compatibility import Finding
from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.errors import NoCalibratorError
from contimg_assets.station.calibration_registry import HOURS_PER_DAY
from contimg_assets.station.calibration_selection import CalibrationSelection, need_of
from contimg_assets.station.database import reading
from contimg_assets.station.models import CalibrationSet, GroupCalibration, GroupSummary
from contimg_assets.station.products import StationRecords


@dataclass(frozen=True)
class HeldSet:
    """A set held against a group."""

    found: CalibrationSet
    hours: float
    """Mid-time of the set minus that of the group."""
    findings: list[Finding]
    choice: int | None
    """Place among those that the group would be calibrated with; 1 is the one that it gets."""
    fallback: str | None
    """How it would be come by."""
    warning: str

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it."""
        return self.found.status == "active" and all(finding.fits for finding in self.findings)


def sets_for(
    selection: CalibrationSelection, records: StationRecords, key: str, days: float
) -> tuple[list[HeldSet], str]:
    """Sets near a group in time, each with what fits and what does not; and why none is chosen, if none is.

    The chosen ones first, then by their distance in time.
    """
    group = records.group(key)
    need = need_of(group, records)
    refusal = ""
    try:
        options = {chosen.set_id: (place, chosen) for place, chosen in enumerate(selection.options(need), 1)}
    except NoCalibratorError as error:
        options, refusal = {}, str(error)
    held: list[HeldSet] = []
    for found in selection.near(group.mid_mjd, days):
        place, chosen = options.get(found.id, (None, None))
        hours = (found.mid_mjd - group.mid_mjd) * HOURS_PER_DAY
        fallback = chosen.fallback if chosen else None
        findings = selection.held_against(found, need)
        held.append(HeldSet(found, hours, findings, place, fallback, chosen.warning if chosen else ""))
    return sorted(held, key=lambda item: item.choice or len(options) + 1), refusal


def groups_of_sets(engine: Engine) -> dict[str, int]:
    """How many groups each set calibrated last."""
    statement = (
        select(GroupSummary.set_id, func.count())
        .where(GroupSummary.set_id.is_not(None))
        .group_by(GroupSummary.set_id)
    )
    with reading(engine) as session:
        return {set_id: number for set_id, number in session.execute(statement) if set_id is not None}


def ever_calibrated(engine: Engine, set_id: str) -> list[str]:
    """Keys of the groups that a set has ever calibrated, also those that were made again with another."""
    statement = (
        select(GroupCalibration.key).where(GroupCalibration.set_id == set_id).distinct().order_by("key")
    )
    with reading(engine) as session:
        return list(session.scalars(statement))


def solver_sidecar(found: CalibrationSet, home: Path) -> dict[str, Any]:
    """What the solver said of a set; empty if that is not there."""
    path = home / found.path / SIDECAR
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
