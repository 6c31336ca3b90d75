"""What the report of a night says: its groups and numbers, held against the thirty nights before it.

A night is a day UTC of observations, by the keys of its groups (``night_views.py``).

Belongs here: gathering, into values that JSON can hold.  Does not belong here: how it looks
(``night_report_page.py``), or when it is made, kept and sent (``night_products.py``).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any

from sqlalchemy import func, select

from contimg_assets import __version__
from contimg_assets.radio.errors import MissingInputError, SelectionError
from contimg_assets.radio.group_key import key_time
from contimg_assets.radio.telescope import GROUP_S
from contimg_assets.station.alarm_messages import heading
from contimg_assets.station.alarm_models import Alarm
from contimg_assets.station.antenna_views import in_summary
from contimg_assets.station.columns import now
from contimg_assets.station.database import reading
from contimg_assets.station.flag_views import FLAGS, read_summary
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import (
    GROUP,
    STATES,
    CalibrationSet,
    GroupSummary,
    Performance,
    ProductVersion,
)
from contimg_assets.station.night_views import Night, night
from contimg_assets.station.space import bytes_of
from contimg_assets.station.status_views import MJD_0, room

#: Nights that a night is held against.
NIGHTS = 30
#: Numbers of images that are shown over the night: name, words, unit.
SHOWN = (
    ("rms_mjy_beam", "noise", "mJy/beam"),
    ("rms_ratio", "noise over expected", ""),
    ("flux_ratio", "flux density over the catalogue's", ""),
    ("astrometric_offset_arcsec", "offset from the catalogue", "arcsec"),
)
#: Groups whose flags are read antenna by antenna: evenly spread over the night.
_GROUPS_READ = 40
#: Antennas that are listed, those with the most flags first.
ANTENNAS_LISTED = 20
#: An antenna is dead in a night if it is so in more than this part of its groups.
_MOSTLY = 0.5
_MJD_JD = 2400000.5
Json = dict[str, Any]


@dataclass(frozen=True)
class NightReport:
    """A report; everything in it can be written as JSON."""

    date: str
    made_at: str
    contimg: str
    numbers: Json
    """What the version is known by, and what later nights are held against."""
    groups: list[Json]
    """Oldest first: key, hour, state, verdict, right ascension, declination, numbers, latency."""
    states: dict[str, int]
    verdicts: dict[str, int]
    """Of groups with an image; empty: not judged."""
    compared: list[Json]
    """Of each number: medians of tonight, of the nights before (with their 16–84 %), and of each of them."""
    strips: list[Json]
    """Sky that was covered: declination, groups, and the first and last right ascension."""
    calibrators: list[Json]
    """Sets that were used, by how many groups and how far away in time."""
    fallbacks: dict[str, int]
    antennas: list[Json]
    """Those with the most flags first."""
    changes: list[Json]
    """Antennas that are dead, or well, otherwise than in the last night before."""
    dead: list[str]
    causes: list[Json]
    alarms: list[Json]
    latency: Json
    disk: Json
    before: str | None
    after: str | None


def gather(station: Installation, date: str) -> NightReport:
    """Gather what there is to tell of a night.

    Parameters
    ----------
    station : Installation
    date : str
        Day, UTC, ``YYYY-MM-DD``.

    Raises
    ------
    SelectionError
        If it is no day.
    """
    try:
        day = Date.fromisoformat(date)
    except ValueError:
        raise SelectionError(f"found {date!r}; expected a day, UTC, such as 2025-06-01") from None
    found = night(station.engine, day.isoformat())
    assert found is not None
    compared = _compared(station, found)
    antennas, dead, changes = _antennas(station, found)
    latency = _latency(station, found)
    groups = [_group(row) for row in found.groups]
    strips = _strips(groups)
    usage = room(station.engine, station.settings)
    written, kept = bytes_of(station.engine, [row.key for row in found.groups])
    disk = {
        "free_bytes": usage.free_bytes,
        "total_bytes": usage.total_bytes,
        "days_left": usage.days_left,
        "written_bytes": written,
        "kept_bytes": kept,
    }
    report = NightReport(
        date=day.isoformat(),
        made_at=now().isoformat(timespec="seconds"),
        contimg=__version__,
        numbers={},
        groups=groups,
        states={state: found.count(state) for state in STATES},
        verdicts=dict(found.verdicts),
        compared=compared,
        strips=strips,
        calibrators=_calibrators(station, found.groups),
        fallbacks=dict(found.fallbacks),
        antennas=antennas,
        changes=changes,
        dead=dead,
        causes=[vars(cause) | {"keys": list(cause.keys)} for cause in found.causes],
        alarms=_alarms(station, day),
        latency=latency,
        disk=disk,
        before=found.before,
        after=found.after,
    )
    report.numbers.update(_numbers(report, found))
    return report


def _numbers(report: NightReport, found: Night) -> Json:
    medians = {f"{each['name']}_median": each["tonight"] for each in report.compared}
    return {
        "n_groups": len(found.groups),
        "n_imaged": len(found.imaged),
        "n_failed": report.states["failed"],
        "n_warn": report.verdicts.get("WARN", 0),
        "n_error": report.verdicts.get("ERROR", 0),
        **medians,
        "covered_hours": sum(strip["hours"] for strip in report.strips),
        "n_dead_antennas": len(report.dead),
        "n_changed_antennas": len(report.changes),
        "latency_median_s": report.latency["median_s"],
        "real_time_factor": report.latency["real_time_factor"],
        "disk_free_bytes": report.disk["free_bytes"],
    }


def _group(row: GroupSummary) -> Json:
    made = row.image_made_at
    return {
        "key": row.key,
        "hour": _hour(row.key),
        "state": row.state,
        "verdict": row.verdict if row.state == "completed" else "",
        "calibrator": row.calibrator_name,
        "ra_deg": _right_ascension(row.mid_mjd),
        "dec_deg": row.declination_deg,
        **{name: getattr(row, name) for name, _, _ in SHOWN},
        "latency_s": (made - _time(row.mid_mjd)).total_seconds() if made is not None else None,
    }


def _compared(station: Installation, found: Night) -> list[Json]:
    """Each number's medians, tonight and in the nights before."""
    first = (Date.fromisoformat(found.date) - timedelta(days=NIGHTS)).isoformat()
    columns = [getattr(GroupSummary, name) for name, _, _ in SHOWN]
    earlier = select(GroupSummary.key, *columns).where(
        GroupSummary.key >= first,
        GroupSummary.key < found.date,
        GroupSummary.image_version_id.is_not(None),
    )
    with reading(station.engine) as session:
        rows = session.execute(earlier.order_by(GroupSummary.key)).all()
    compared = []
    for place, (name, words, unit) in enumerate(SHOWN, 1):
        tonight = _known(getattr(row, name) for row in found.imaged)
        before = _known(row[place] for row in rows)
        nights: dict[str, list[float]] = {}
        for row in rows:
            if row[place] is not None:
                nights.setdefault(row.key[:10], []).append(row[place])
        cuts = quantiles(before, n=25, method="inclusive") if len(before) > 1 else None
        compared.append(
            {
                "name": name,
                "words": words,
                "unit": unit,
                "tonight": median(tonight) if tonight else None,
                "before": median(before) if before else None,
                "low": cuts[3] if cuts else None,
                "high": cuts[20] if cuts else None,
                "n_nights": len(nights),
                "nights": [[day, median(values)] for day, values in nights.items()],
            }
        )
    return compared


def _strips(groups: Sequence[Json]) -> list[Json]:
    """Groups by declination, to a tenth of a degree."""
    strips: dict[float, list[Json]] = {}
    for each in groups:
        strips.setdefault(round(each["dec_deg"], 1) + 0.0, []).append(each)
    return [
        {
            "dec_deg": declination,
            "n_groups": len(its),
            "n_imaged": sum(each["latency_s"] is not None for each in its),
            "first_ra_deg": its[0]["ra_deg"],
            "last_ra_deg": its[-1]["ra_deg"],
            "hours": len(its) * GROUP_S / 3600,
        }
        for declination, its in sorted(strips.items())
    ]


def _calibrators(station: Installation, rows: Sequence[GroupSummary]) -> list[Json]:
    used: dict[str, list[GroupSummary]] = {}
    for row in rows:
        if row.set_id is not None:
            used.setdefault(row.set_id, []).append(row)
    with reading(station.engine) as session:
        sets = {
            each.id: each
            for each in session.scalars(select(CalibrationSet).where(CalibrationSet.id.in_(used)))
        }
    listed = []
    for set_id, its in used.items():
        hours = _known(row.calibration_hours for row in its)
        known = sets.get(set_id)
        listed.append(
            {
                "set_id": set_id,
                "calibrator": known.calibrator if known else "",
                "jy": known.calibrator_apparent_jy if known else None,
                "refant": known.refant if known else "",
                "status": known.status if known else "",
                "n_groups": len(its),
                "first_hours": min(hours, default=None),
                "last_hours": max(hours, default=None),
            }
        )
    return sorted(listed, key=lambda each: -each["n_groups"])


def _antennas(station: Installation, found: Night) -> tuple[list[Json], list[str], list[Json]]:
    """Antennas by flags, those that are dead, and those whose standing has changed since the night before."""
    rows = _flags(station, found.date)
    names = Counter[str]()
    for _, _, numbers in rows:
        names.update(numbers.get("dead_antennas", ()))
    dead = sorted(name for name, times in names.items() if times > _MOSTLY * len(rows))
    flagged: dict[str, list[float]] = {}
    faults: dict[str, set[str]] = {}
    for key, path, _ in _spread(rows, _GROUPS_READ):
        try:
            summary = read_summary(station.store.absolute(path))
        except MissingInputError:
            continue  # its content has gone; the database still names the dead
        for each in in_summary(station.records.group(key).antennas, summary):
            faults.setdefault(each.antenna, set()).update(each.faults)
            if each.flagged_fraction is not None:
                flagged.setdefault(each.antenna, []).append(each.flagged_fraction)
    antennas = [
        {
            "antenna": name,
            "flagged": sum(values) / len(values),
            "dead_groups": names[name],
            "faults": sorted(faults[name]),
        }
        for name, values in flagged.items()
    ]
    antennas.sort(key=lambda each: (-each["flagged"], each["antenna"]))
    return antennas, dead, _changes(station, found, rows, dead)


def _changes(
    station: Installation, found: Night, rows: Sequence[tuple[str, str, Json]], dead: Sequence[str]
) -> list[Json]:
    """What is otherwise than in the last night before, and in which group of this one that began."""
    earlier = [] if found.before is None else _flags(station, found.before)
    if not earlier or not rows:
        return []
    count = Counter[str]()
    for _, _, numbers in earlier:
        count.update(numbers.get("dead_antennas", ()))
    were = {name for name, times in count.items() if times > _MOSTLY * len(earlier)}
    changes = []
    for name in sorted(were ^ set(dead)):
        is_dead = name in dead
        first = next(
            (key for key, _, its in rows if (name in its.get("dead_antennas", ())) == is_dead), rows[0][0]
        )
        changes.append({"antenna": name, "dead": is_dead, "since": first})
    return changes


def _flags(station: Installation, date: str) -> list[tuple[str, str, Json]]:
    """Flags of a night's groups, oldest first: key, path, numbers."""
    statement = select(ProductVersion.key, ProductVersion.path, ProductVersion.numbers).where(
        ProductVersion.kind == GROUP,
        ProductVersion.product == FLAGS,
        ProductVersion.superseded_at.is_(None),
        ProductVersion.key.between(date, f"{date}~"),
    )
    with reading(station.engine) as session:
        return [tuple(row) for row in session.execute(statement.order_by(ProductVersion.key))]


def _spread(rows: Sequence[Any], number: int) -> list[Any]:
    """So many of some rows, evenly."""
    if len(rows) <= number:
        return list(rows)
    return [rows[place * len(rows) // number] for place in range(number)]


def _alarms(station: Installation, day: Date) -> list[Json]:
    """Alarms that began on the day."""
    first = datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00")
    statement = select(Alarm).where(Alarm.opened_at >= first, Alarm.opened_at < first + timedelta(days=1))
    with reading(station.engine) as session:
        rows = list(session.scalars(statement.order_by(Alarm.id)))
    return [
        {
            "heading": heading(row),
            "n_times": row.n_times,
            "opened_at": row.opened_at.isoformat(timespec="seconds"),
            "cleared_at": row.cleared_at.isoformat(timespec="seconds") if row.cleared_at else None,
            "acknowledged_by": row.acknowledged_by,
        }
        for row in rows
    ]


def _latency(station: Installation, found: Night) -> Json:
    """From the sky to the image, and how the work keeps up with the sky."""
    times = sorted(
        (row.image_made_at - _time(row.mid_mjd)).total_seconds() for row in found.imaged if row.image_made_at
    )
    made = sorted(row.image_made_at for row in found.imaged if row.image_made_at)
    span = (made[-1] - made[0]).total_seconds() if len(made) > 1 else 0.0
    spent = select(func.sum(Performance.seconds)).where(
        Performance.kind == GROUP, Performance.key.between(found.date, f"{found.date}~")
    )
    with reading(station.engine) as session:
        seconds = session.scalar(spent)
    return {
        "n_images": len(times),
        "median_s": median(times) if times else None,
        "p95_s": times[min(len(times) - 1, round(0.95 * len(times)))] if times else None,
        "worst_s": times[-1] if times else None,
        # The first image ends the time that is not known of it.
        "real_time_factor": (len(made) - 1) * GROUP_S / span if span > 0 else None,
        "stage_seconds_per_group": seconds / len(found.imaged) if seconds and found.imaged else None,
    }


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _hour(key: str) -> float:
    at = key_time(key)
    return at.hour + at.minute / 60 + at.second / 3600


def _time(mjd: float) -> datetime:
    return MJD_0 + timedelta(days=mjd)


def _right_ascension(mjd: float) -> float:
    """Right ascension of the meridian, deg: the mean sidereal time of the site, good to a few arcsec."""
    from contimg_assets.radio.telescope import SITE_LONGITUDE_RAD

    degrees = 280.46061837 + 360.98564736629 * (mjd + _MJD_JD - 2451545.0)
    return (degrees + SITE_LONGITUDE_RAD * 57.29577951308232) % 360.0
