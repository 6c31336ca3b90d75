"""One row a group with what lists show of it, written in the transaction that changes any of it.

Belongs here: what the row says, from the other tables.  Does not belong here:
those tables, or how lists look (``views.py``, ``cli/``).
"""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from contimg_assets.radio.limits import quality, worst
from contimg_assets.radio.sidereal_day import day_of_group
from contimg_assets.station.models import (
    GROUP,
    GroupCalibration,
    GroupSummary,
    ObservationGroup,
    ProductInput,
    ProductVersion,
    Verdict,
    now,
)
from contimg_assets.station.verdicts import standing, standing_verdicts

#: Columns that are the group's own.
_OF_GROUP = (
    "state",
    "reason",
    "n_subbands",
    "declination_deg",
    "mid_mjd",
    "calibrator_name",
    "calibrator_apparent_jy",
)
#: Numbers, each with the product that has it and its name there.
NUMBER_SOURCES = {
    "measurement_set_bytes": ("measurement_set", "size_bytes"),
    "flag_fraction": ("flags", "flag_fraction"),
    "rms_mjy_beam": ("image", "rms_mjy_beam"),
    "rms_ratio": ("image_qa", "rms_ratio"),
    "dynamic_range": ("image_qa", "dynamic_range"),
    "n_sources": ("image", "n_sources"),
    "flux_ratio": ("image_qa", "flux_ratio"),
    "astrometric_offset_arcsec": ("image_qa", "astrometric_offset_arcsec"),
}
#: Those that count.
_WHOLE = frozenset({"measurement_set_bytes", "n_sources"})
#: The product with a group's measurements, and products whose ERROR takes them out.
MEASUREMENTS = "photometry"
_JUDGED = ("image_qa", MEASUREMENTS)
#: Words for what checks say, each with the product that they are of.
_QUALITIES = {"calibration_quality": "calibration_qa", "image_quality": "image_qa"}


def summarise_group(session: Session, key: str) -> None:
    """Bring a group's summary up to date, in the transaction that has changed something of it.

    The group's row is locked first, so that of two transactions the later one sees what the earlier did.
    """
    session.flush()
    session.execute(select(ObservationGroup.key).where(ObservationGroup.key == key).with_for_update())
    values = summary_of(session, key)
    found = session.get(GroupSummary, key, populate_existing=True)
    if found is None:
        found = GroupSummary(key=key, **values, updated=now())
        session.add(found)
    elif any(getattr(found, name) != value for name, value in values.items()):
        for name, value in values.items():
            setattr(found, name, value)
        found.updated = now()
    note_merge_due(found)
    session.flush()


def note_merge_due(summary: GroupSummary) -> None:
    """Say whether the group's measurements that count are other than those in the files of tiles."""
    differ = summary.measured_version_id != summary.merged_version_id
    summary.merge_due = day_of_group(summary.key) if differ else None


def summary_of(session: Session, key: str) -> dict[str, Any]:
    """All columns of a group's summary but ``key`` and ``updated``, computed from the other tables."""
    columns = [getattr(ObservationGroup, name) for name in _OF_GROUP]
    group = session.execute(select(*columns).where(ObservationGroup.key == key)).mappings().one()
    current = {
        product: (identity, made_at)
        for product, identity, made_at in session.execute(
            select(ProductVersion.product, ProductVersion.id, ProductVersion.made_at).where(
                ProductVersion.kind == GROUP,
                ProductVersion.key == key,
                ProductVersion.superseded_at.is_(None),
            )
        )
    }
    image, made_at = current.get("image", (None, None))
    return {
        **group,
        **_verdict(session, key, {product: identity for product, (identity, _) in current.items()}),
        "n_products": len(current),
        "image_version_id": image,
        "measured_version_id": _measured(session, key),
        "image_made_at": made_at,
        **_numbers(
            session, {name: current[name][0] for name, _ in NUMBER_SOURCES.values() if name in current}
        ),
        **_calibration(session, key),
    }


def fill_summaries(session: Session) -> None:
    """Make the summaries that are not there: of groups that were registered before there were any."""
    statement = (
        select(ObservationGroup.key)
        .outerjoin(GroupSummary, GroupSummary.key == ObservationGroup.key)
        .where(GroupSummary.key.is_(None))
    )
    for key in session.scalars(statement).all():
        summarise_group(session, key)


def _verdict(session: Session, key: str, current: Mapping[str, int]) -> dict[str, Any]:
    rows: dict[str, list[Any]] = {}
    columns = (Verdict.product, Verdict.check, Verdict.status, Verdict.value, Verdict.version_id)
    of_group = select(*columns).where(Verdict.kind == GROUP, Verdict.key == key).order_by(Verdict.id)
    for row in session.execute(of_group):
        rows.setdefault(row.product, []).append(row)
    stands = {
        product: standing(of_product, product, current.get(product)) for product, of_product in rows.items()
    }
    found = {
        f"{product}.{check}": row.status
        for product, checks in stands.items()
        for check, row in checks.items()
    }
    statuses = list(found.values())
    verdict = worst(statuses)
    checks = sorted(name for name, status in found.items() if status == verdict)
    return {
        "verdict": verdict,
        "n_warn": statuses.count("WARN"),
        "n_error": statuses.count("ERROR"),
        "worst_check": checks[0] if verdict in ("ERROR", "WARN") else "",
        **{
            name: quality(product, {c: (r.status, r.value) for c, r in stands.get(product, {}).items()})
            for name, product in _QUALITIES.items()
        },
    }


def _measured(session: Session, key: str) -> int | None:
    """The measurements that count: current, of the current image, and neither condemned by a check."""
    image = aliased(ProductVersion)
    stale = (
        select(ProductInput.version_id)
        .join(image, image.id == ProductInput.input_id)
        .where(
            ProductInput.version_id == ProductVersion.id,
            image.product == "image",
            image.superseded_at.is_not(None),
        )
    )
    found = session.scalar(
        select(ProductVersion.id).where(
            ProductVersion.kind == GROUP,
            ProductVersion.key == key,
            ProductVersion.product == MEASUREMENTS,
            ProductVersion.superseded_at.is_(None),
            ProductVersion.deleted_at.is_(None),
            ~stale.exists(),
        )
    )
    if found is None:
        return None
    said = [v.status for name in _JUDGED for v in standing_verdicts(session, key, name).values()]
    return None if "ERROR" in said else found


def _numbers(session: Session, versions: Mapping[str, int]) -> dict[str, Any]:
    columns = (ProductVersion.product, ProductVersion.numbers)
    rows = session.execute(select(*columns).where(ProductVersion.id.in_(versions.values())))
    numbers: dict[str, dict[str, Any]] = {product: found for product, found in rows}
    return {
        column: _number(numbers.get(product, {}).get(name), whole=column in _WHOLE)
        for column, (product, name) in NUMBER_SOURCES.items()
    }


def _number(value: object, *, whole: bool) -> int | float | None:
    """One number of a product; None if it is none."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return int(value) if whole else float(value)


def _calibration(session: Session, key: str) -> dict[str, Any]:
    last = session.execute(
        select(GroupCalibration.set_id, GroupCalibration.hours, GroupCalibration.fallback)
        .where(GroupCalibration.key == key)
        .order_by(GroupCalibration.id.desc())
        .limit(1)
    ).first()
    set_id, hours, fallback = last or (None, None, None)
    return {"set_id": set_id, "calibration_hours": hours, "fallback": fallback}
