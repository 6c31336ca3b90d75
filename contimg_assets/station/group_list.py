"""Groups as lists show them: one line each, from one query however many there are.

Belongs here: the lines, which of them are asked for, and counts.  Does not belong
here: all that is known of one group (``views.py``), or how it looks.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, Select, and_, func, select
from sqlalchemy.orm import aliased

from contimg_assets.station.database import reading
from contimg_assets.station.models import GROUP, GroupSummary, ProductVersion

_COMPLETED = "completed"
#: What is said of completed groups, by their verdict.
_VERDICTS = {"PASS": "PASS", "WARN": "WARN", "ERROR": "ERROR", "": "not judged"}


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


def group_lines(
    engine: Engine,
    *,
    keys: Collection[str] | None = None,
    since: str = "",
    until: str = "",
    states: Collection[str] = (),
    verdicts: Collection[str] = (),
    limit: int | None = None,
) -> list[GroupLine]:
    """Groups, newest observation first.

    Parameters
    ----------
    engine : Engine
    keys : collection of str, optional
        Only these.
    since, until : str
        Keys, or the first part of them, from which and before which; empty: no bound.
    states, verdicts : collection of str
        Only groups with one of these; empty: all.
    limit : int, optional
        At most so many.
    """
    statement = _lines().order_by(GroupSummary.key.desc()).limit(limit)
    if keys is not None:
        statement = statement.where(GroupSummary.key.in_(keys))
    if since:
        statement = statement.where(GroupSummary.key >= since)
    if until:
        statement = statement.where(GroupSummary.key < until)
    if states:
        statement = statement.where(GroupSummary.state.in_(states))
    if verdicts:
        statement = statement.where(GroupSummary.verdict.in_(verdicts))
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
