"""The list of groups: searched, filtered, sorted and counted by the database, over one row a group.

Belongs here: the statements over ``group_summary``, whoever shows what they find: pages, API, commands,
notebooks.  Does not belong here: what the rows say (``group_summary.py``), or one group (``views.py``).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Engine, Select, and_, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from contimg_assets.station.database import reading
from contimg_assets.station.models import GROUP, GroupSummary, ProductVersion
from contimg_assets.station.review_models import GroupReview
from contimg_assets.station.reviews import newest_ids

ReviewFilter = Literal["any", "none", "differs"]
#: What a list can be sorted by; groups of one value, and without one at the end, by their key.
SORTS: dict[str, InstrumentedAttribute[Any]] = {
    "group": GroupSummary.key,
    "state": GroupSummary.state,
    "verdict": GroupSummary.verdict,
    "declination_deg": GroupSummary.declination_deg,
    "n_subbands": GroupSummary.n_subbands,
    "calibrator": GroupSummary.calibrator_name,
    "calibrator_apparent_jy": GroupSummary.calibrator_apparent_jy,
    "calibration_hours": GroupSummary.calibration_hours,
    "image_quality": GroupSummary.image_quality,
    "image_made_at": GroupSummary.image_made_at,
    "measurement_set_bytes": GroupSummary.measurement_set_bytes,
    "flag_fraction": GroupSummary.flag_fraction,
    "rms_mjy_beam": GroupSummary.rms_mjy_beam,
    "rms_ratio": GroupSummary.rms_ratio,
    "dynamic_range": GroupSummary.dynamic_range,
    "n_sources": GroupSummary.n_sources,
    "flux_ratio": GroupSummary.flux_ratio,
    "astrometric_offset_arcsec": GroupSummary.astrometric_offset_arcsec,
    "updated": GroupSummary.updated,
}
NEWEST_FIRST = "-group"
#: Of what a list tells how many groups have which value.
FACETS = ("state", "verdict", "image_quality")
_COMPLETED = "completed"
#: What is said of completed groups, by their verdict.
_VERDICTS = {"PASS": "PASS", "WARN": "WARN", "ERROR": "ERROR", "": "not judged"}


@dataclass(frozen=True)
class GroupFilter:
    """Which groups a list has: those for which all that is given holds."""

    search: str = ""
    """Part of the key, the calibrator's name, the set's identity, the worst check or the reason."""
    states: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    """An empty one: not judged."""
    image_qualities: tuple[str, ...] = ()
    since: str = ""
    """First key, or the beginning of one."""
    until: str = ""
    """Keys up to the day or time that this begins."""
    before: str = ""
    """Key, or the beginning of one, from which on groups are left out."""
    declination_deg: tuple[float, float] | None = None
    """Lowest and highest."""
    calibrator: str = ""
    """Name of the calibrator in the beam."""
    has_calibrator: bool | None = None
    apparent_jy: tuple[float, float] | None = None
    """Flux density of the calibrator through the beam: from, and below."""
    is_calibrated: bool | None = None
    is_imaged: bool | None = None
    set_id: str = ""
    """Calibration set that calibrated it last."""
    fallbacks: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """Only these."""
    review: ReviewFilter | None = None
    """``none``: nobody has looked; ``any``: somebody has; ``differs``: and disagrees with the checks."""


#: All groups.
EVERY = GroupFilter()


@dataclass(frozen=True)
class GroupLine:
    """One group; numbers are None where nothing has them."""

    key: str
    state: str
    verdict: str
    """Worst standing verdict: PASS, WARN, ERROR; empty if nothing was judged."""
    n_warn: int
    n_error: int
    worst_check: str
    reason: str
    n_subbands: int
    declination_deg: float
    mid_mjd: float
    calibrator_name: str | None
    calibrator_apparent_jy: float | None
    rms_mjy_beam: float | None
    rms_ratio: float | None
    """Noise over what is expected."""
    n_sources: int | None
    flux_ratio: float | None
    astrometric_offset_arcsec: float | None
    set_id: str | None
    calibration_hours: float | None
    fallback: str | None
    image_made_at: datetime | None
    updated: datetime
    flag_fraction: float | None
    """Flagged part of the cross-correlations."""
    image_path: str | None
    """Of the image's current content, as the database has it."""
    has_report: bool


@dataclass(frozen=True)
class GroupPage:
    """Some rows of a list, and how many there are."""

    rows: list[GroupSummary]
    total: int
    """Groups that there are."""
    filtered: int
    """Groups for which the filter holds."""
    facets: dict[str, dict[str, int]] = field(default_factory=dict)
    """How many of these have which value."""


def list_groups(
    engine: Engine,
    wanted: GroupFilter,
    *,
    sort: str = NEWEST_FIRST,
    limit: int = 50,
    offset: int = 0,
    after: tuple[Any, str] | None = None,
) -> GroupPage:
    """One page of a list.

    Parameters
    ----------
    engine : Engine
    wanted : GroupFilter
    sort : str
        One of ``SORTS``; with ``-`` before it from high to low.
    limit : int
        Rows at most.
    offset : int
        Rows to leave out; each costs the database as much as one that is shown.
    after : tuple, optional
        Value that is sorted by, and key, of the last row of the page before.
    """
    column, falling = SORTS[sort.removeprefix("-")], sort.startswith("-")
    conditions = conditions_of(wanted)
    by_key = GroupSummary.key.desc() if falling else GroupSummary.key
    order = [by_key] if column is GroupSummary.key else [_ordered(column, falling), by_key]
    page = select(GroupSummary).where(*conditions).order_by(*order).limit(limit).offset(offset)
    if after is not None:
        page = page.where(_beyond(column, falling, *after))
    named = [getattr(GroupSummary, name) for name in FACETS]
    counted = select(*named, func.count()).where(*conditions).group_by(*named)
    with reading(engine) as session:
        rows = list(session.scalars(page))
        total = session.scalar(select(func.count()).select_from(GroupSummary)) or 0
        counts = session.execute(counted).all()
    facets: dict[str, dict[str, int]] = {name: {} for name in FACETS}
    for *values, number in counts:
        for name, value in zip(FACETS, values, strict=True):
            facets[name][value] = facets[name].get(value, 0) + number
    return GroupPage(rows, total, sum(number for *_, number in counts), facets)


def group_lines(engine: Engine, wanted: GroupFilter = EVERY, *, limit: int | None = None) -> list[GroupLine]:
    """Groups with what stands in a line of each, newest observation first, ``limit`` at most."""
    statement = _lines().where(*conditions_of(wanted)).order_by(GroupSummary.key.desc()).limit(limit)
    with reading(engine) as session:
        return [GroupLine(*row[:-1], has_report=row[-1] is not None) for row in session.execute(statement)]


def _lines() -> Select[tuple[object, ...]]:
    image, quality = aliased(ProductVersion), aliased(ProductVersion)
    of_summary = [name for name in GroupLine.__dataclass_fields__ if hasattr(GroupSummary, name)]
    return (
        select(
            *(getattr(GroupSummary, name) for name in of_summary),
            image.path,
            quality.id,
        )
        .outerjoin(image, image.id == GroupSummary.image_version_id)
        .outerjoin(
            quality,
            and_(
                quality.kind == GROUP,
                quality.key == GroupSummary.key,
                quality.product == "image_qa",
                quality.superseded_at.is_(None),
            ),
        )
    )


def matching_keys(engine: Engine, wanted: GroupFilter, limit: int | None = None) -> list[str]:
    """Keys of the groups for which a filter holds, oldest first, ``limit`` at most."""
    statement = select(GroupSummary.key).where(*conditions_of(wanted)).order_by(GroupSummary.key).limit(limit)
    with reading(engine) as session:
        return list(session.scalars(statement))


def completed_by_verdict(engine: Engine) -> dict[str, int]:
    """How many groups are completed, by what their checks say; ``not judged`` if nothing yet."""
    statement = (
        select(GroupSummary.verdict, func.count())
        .where(GroupSummary.state == _COMPLETED)
        .group_by(GroupSummary.verdict)
    )
    with reading(engine) as session:
        found = {verdict: int(number) for verdict, number in session.execute(statement)}
    return {name: found.get(verdict, 0) for verdict, name in _VERDICTS.items()}


def completed_with_error(engine: Engine, limit: int | None = None) -> list[str]:
    """Completed groups that nothing downstream may use, newest observation first."""
    statement = (
        select(GroupSummary.key)
        .where(GroupSummary.state == _COMPLETED, GroupSummary.verdict == "ERROR")
        .order_by(GroupSummary.key.desc())
        .limit(limit)
    )
    with reading(engine) as session:
        return list(session.scalars(statement))


def neighbours(engine: Engine, key: str) -> tuple[str | None, str | None]:
    """Keys of the groups before and after one in time; None if there is none."""
    before = select(func.max(GroupSummary.key)).where(GroupSummary.key < key)
    after = select(func.min(GroupSummary.key)).where(GroupSummary.key > key)
    with reading(engine) as session:
        return session.scalar(before), session.scalar(after)


def sort_value(row: GroupSummary, sort: str) -> Any:
    """What a row is sorted by."""
    return getattr(row, SORTS[sort.removeprefix("-")].key)


def _ordered(column: InstrumentedAttribute[Any], falling: bool) -> ColumnElement[Any]:
    return (column.desc() if falling else column.asc()).nulls_last()


def _beyond(column: InstrumentedAttribute[Any], falling: bool, value: Any, key: str) -> ColumnElement[bool]:
    """Rows that come after one of this value and key."""
    later = GroupSummary.key < key if falling else GroupSummary.key > key
    if column is GroupSummary.key:
        return later
    if value is None:
        return and_(column.is_(None), later)
    past = column < value if falling else column > value
    return or_(past, and_(column == value, later), column.is_(None))


def conditions_of(wanted: GroupFilter) -> list[ColumnElement[bool]]:
    """A filter as conditions on rows of ``group_summary``."""
    row = GroupSummary
    found: list[ColumnElement[bool]] = []
    if wanted.search:
        texts = (row.key, row.calibrator_name, row.set_id, row.worst_check, row.reason)
        found.append(or_(*(text.icontains(wanted.search, autoescape=True) for text in texts)))
    listed = (
        (row.state, wanted.states),
        (row.verdict, wanted.verdicts),
        (row.image_quality, wanted.image_qualities),
        (row.fallback, wanted.fallbacks),
        (row.key, wanted.keys),
    )
    found += [column.in_(values) for column, values in listed if values]
    if wanted.since:
        found.append(row.key >= wanted.since)
    if wanted.until:
        # What it begins is within: '~' is behind every character of a key.
        found.append(row.key <= f"{wanted.until}~")
    if wanted.before:
        found.append(row.key < wanted.before)
    if wanted.declination_deg is not None:
        found.append(row.declination_deg.between(*wanted.declination_deg))
    if wanted.calibrator:
        found.append(row.calibrator_name == wanted.calibrator)
    if wanted.set_id:
        found.append(row.set_id == wanted.set_id)
    if wanted.apparent_jy is not None:
        low, high = wanted.apparent_jy
        found += [row.calibrator_apparent_jy >= low, row.calibrator_apparent_jy < high]
    if wanted.review is not None:
        found.append(_reviewed(wanted.review))
    present = (
        (row.calibrator_name, wanted.has_calibrator),
        (row.set_id, wanted.is_calibrated),
        (row.image_version_id, wanted.is_imaged),
    )
    found += [
        column.is_not(None) if there else column.is_(None) for column, there in present if there is not None
    ]
    return found


def _reviewed(wanted: ReviewFilter) -> ColumnElement[bool]:
    if wanted == "differs":
        newest = exists().where(GroupReview.key == GroupSummary.key, GroupReview.id.in_(newest_ids()))
        return newest.where(GroupReview.verdict != GroupSummary.verdict)
    # Found once for all groups, and not once for each.
    reviewed = GroupSummary.key.in_(select(GroupReview.key))
    return reviewed if wanted == "any" else ~reviewed
