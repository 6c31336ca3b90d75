"""How the antennas stand, group by group, as people and programs are shown it.

Belongs here: gathering from flags and calibration sets.  Does not belong here:
which antenna is dead (``radio/flagging``), or which is the reference
(``radio/calibration/reference.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.calibration_views import solver_sidecar
from contimg_assets.station.database import reading
from contimg_assets.station.flag_views import FLAGS, flag_summary, read_summary
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import GROUP, ProductVersion

#: Newest sets whose reference antennas are named.
SETS_SHOWN = 5


@dataclass(frozen=True)
class AntennaInGroup:
    """An antenna in one group."""

    antenna: str
    flagged_fraction: float | None
    """Of the cross-correlations with it."""
    coherence: float | None
    """Relative to the array's median."""
    dead: bool
    faults: tuple[str, ...] = ()
    """What was wrong with it for a part of the group, feed or subbands: no signal, noisy, jumped."""


@dataclass(frozen=True)
class AntennaStanding:
    """An antenna in a group, and in the solutions nearest to it."""

    antenna: str
    flagged_fraction: float | None
    coherence: float | None
    dead: bool
    snr: float | None
    """Of a channel's solution, the lower of the two feeds."""
    phase_wander_deg: float | None
    """In the course of the calibrator's scan, the larger of the two feeds."""
    reference_of: tuple[str, ...]
    """The newest sets that were solved with it as their reference."""


@dataclass(frozen=True)
class AntennaHistory:
    """An antenna in the newest groups."""

    antenna: str
    n_groups: int
    """Groups that it is in, of those looked at."""
    n_dead: int
    mean_flagged_fraction: float | None
    changed: str | None
    """Since when it is dead, or well again: the first group, if that is among those looked at."""
    dead_now: bool
    """In the newest group that it is in."""
    n_faulty: int = 0
    """Groups for a part of which it had no signal, was noisy or jumped, the dead ones apart."""
    faults: tuple[str, ...] = ()
    """Which of these, in any of the groups."""


def antennas_of(station: Installation, key: str) -> list[AntennaStanding]:
    """The antennas of a group with what tells whether one can be the reference: the dead ones last.

    Raises
    ------
    MissingInputError
        If the group is not registered, or has no flags.
    """
    group = station.records.group(key)
    summary = flag_summary(station.records, station.store, key)
    near = station.selection.near(group.mid_mjd, station.settings.calibration.earlier_days)
    quality: dict[str, Any] = {}
    for found in near:
        quality = solver_sidecar(found, station.store.home).get("antenna_quality", {})
        if quality:
            break
    newest = sorted(near, key=lambda item: -item.mid_mjd)[:SETS_SHOWN]
    stands = [
        AntennaStanding(
            antenna=each.antenna,
            flagged_fraction=each.flagged_fraction,
            coherence=each.coherence,
            dead=each.dead,
            snr=_of_feeds(min, quality.get(each.antenna, {}).get("snr")),
            phase_wander_deg=_of_feeds(max, quality.get(each.antenna, {}).get("phase_wander_deg")),
            reference_of=tuple(item.id for item in newest if item.refant == each.antenna),
        )
        for each in in_summary(group.antennas, summary)
    ]
    return sorted(stands, key=lambda each: (each.dead, each.flagged_fraction or 0.0))


def in_summary(names: Sequence[str], summary: dict[str, Any]) -> list[AntennaInGroup]:
    """What the summary of a group's flags says of its antennas."""
    flagged, coherence = summary["by_antenna"], summary.get("coherence_by_antenna", {})
    dead = set(summary["dead_antennas"])
    faults: dict[str, set[str]] = {}
    for span in summary.get("bad_spans", ()):
        faults.setdefault(span["antenna"], set()).add(span["kind"])
    for jump in summary.get("jumps", ()):
        faults.setdefault(jump["antenna"], set()).add("jumped")
    return [
        AntennaInGroup(
            name,
            flagged.get(name),
            _finite(coherence.get(name)),
            name in dead,
            tuple(sorted(faults.get(name, ()))),
        )
        for name in names
    ]


@dataclass(frozen=True)
class AntennaMatrix:
    """Antennas in groups."""

    groups: list[str]
    """Oldest first."""
    antennas: dict[str, dict[str, AntennaInGroup]]
    """By name, then group: groups that have no such antenna are left out."""

    @property
    def histories(self) -> list[AntennaHistory]:
        """How each antenna stood, the most often dead first."""
        found = [_history(antenna, of_group) for antenna, of_group in self.antennas.items()]
        return sorted(found, key=lambda each: (-each.n_dead, each.antenna))


def histories(station: Installation, n_groups: int) -> tuple[list[str], list[AntennaHistory]]:
    """The newest groups with flags, oldest of them first, and how each antenna stood in them."""
    found = antenna_matrix(station, n_groups)
    return found.groups, found.histories


def antenna_matrix(station: Installation, n_groups: int, until: str | None = None) -> AntennaMatrix:
    """The antennas in the newest groups with flags, or in those up to a day (UTC, as keys begin)."""
    statement = (
        select(ProductVersion.key, ProductVersion.path, ProductVersion.numbers)
        .where(
            ProductVersion.kind == GROUP,
            ProductVersion.product == FLAGS,
            ProductVersion.superseded_at.is_(None),
        )
        .order_by(ProductVersion.key.desc())
        .limit(n_groups)
    )
    if until is not None:
        statement = statement.where(ProductVersion.key <= f"{until}~")
    with reading(station.engine) as session:
        rows = session.execute(statement).all()[::-1]
    seen: dict[str, dict[str, AntennaInGroup]] = {}
    for key, path, numbers in rows:
        try:
            summary = read_summary(station.store.absolute(path))
        except MissingInputError:
            # Its content has gone, or was made by the release before: the database still names the dead.
            summary = {"by_antenna": {}} | {
                name: numbers.get(name, []) for name in ("dead_antennas", "bad_spans", "jumps")
            }
        names = station.records.group(key).antennas
        for each in in_summary(names, summary):
            seen.setdefault(each.antenna, {})[key] = each
    return AntennaMatrix([key for key, _, _ in rows], seen)


def _history(antenna: str, of_group: Mapping[str, AntennaInGroup]) -> AntennaHistory:
    entries = list(of_group.items())
    dead_now = entries[-1][1].dead
    turns = [key for (_, before), (key, after) in pairwise(entries) if before.dead != after.dead]
    known = [each.flagged_fraction for each in of_group.values() if each.flagged_fraction is not None]
    faults = [each.faults for each in of_group.values() if not each.dead]
    return AntennaHistory(
        antenna,
        len(entries),
        sum(each.dead for each in of_group.values()),
        sum(known) / len(known) if known else None,
        turns[-1] if turns else None,
        dead_now,
        sum(bool(own) for own in faults),
        tuple(sorted({kind for own in faults for kind in own})),
    )


@dataclass(frozen=True)
class InSet:
    """An antenna in the solutions of a calibration set."""

    set_id: str
    mjd: float
    status: str
    snr: float | None
    """Of a channel's solution, the lower of the two feeds."""
    phase_wander_deg: float | None
    delay_ns: tuple[float | None, ...]
    """Of each feed."""
    reference: bool
    east_deg: float | None = None
    """Where it points, east of the meridian point."""
    east_error_deg: float | None = None
    width: float | None = None
    """Of its beam along hour angle, over the pattern's."""
    width_error: float | None = None


def antenna_in_sets(station: Installation, antenna: str, n_sets: int) -> list[InSet]:
    """An antenna in the newest calibration sets that have it, newest first."""
    sets = [each for each in station.registry.list()[::-1] if antenna in each.antennas][:n_sets]
    found: list[InSet] = []
    for each in sets:
        told = solver_sidecar(each, station.store.home)
        quality = told.get("antenna_quality", {}).get(antenna, {})
        beam = (told.get("beam") or {}).get("dishes", {}).get(antenna, {})
        found.append(
            InSet(
                each.id,
                each.mid_mjd,
                each.status,
                _of_feeds(min, quality.get("snr")),
                _of_feeds(max, quality.get("phase_wander_deg")),
                tuple(quality.get("delay_ns") or ()),
                each.refant == antenna,
                *(beam.get(name) for name in ("east_deg", "east_error_deg", "width", "width_error")),
            )
        )
    return found


def station_map() -> dict[str, tuple[float, float]]:
    """Where the stations are: east and north of the array's reference point, m, by name."""
    import numpy as np

    from contimg_assets.radio.telescope import SITE_LATITUDE_RAD, SITE_LONGITUDE_RAD, stations

    table = stations()
    x, y, z = table.positions.T
    away = np.cos(SITE_LONGITUDE_RAD) * x + np.sin(SITE_LONGITUDE_RAD) * y
    east = -np.sin(SITE_LONGITUDE_RAD) * x + np.cos(SITE_LONGITUDE_RAD) * y
    north = np.cos(SITE_LATITUDE_RAD) * z - np.sin(SITE_LATITUDE_RAD) * away
    return {name: (float(e), float(n)) for name, e, n in zip(table.names, east, north, strict=True)}


def _of_feeds(which: Any, values: Sequence[float | None] | None) -> float | None:
    known = [value for value in values or () if value is not None]
    return which(known) if known else None


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value else value
