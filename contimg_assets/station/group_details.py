"""One group with all that is known of it, as the web shows it: typed, with what to beware of.

Belongs here: gathering.  Does not belong here: the parts (``views.py``,
``version_views.py``), lists of groups (``group_listing.py``).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.group_key import ms_path
from contimg_assets.radio.limits import load_limits, quality
from contimg_assets.station.database import reading
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import GROUP, Verdict
from contimg_assets.station.products import StationRecords
from contimg_assets.station.verdicts import standing_verdicts
from contimg_assets.station.versions import current, inputs_of


@dataclass(frozen=True)
class Check:
    """One number of a product, held against its limits."""

    product: str
    name: str
    value: float | None
    """None: missing, not finite, or not measured."""
    soft: float
    """WARN beyond it."""
    hard: float
    """ERROR beyond it."""
    direction: str
    """Which side is bad: ``above`` or ``below``; empty if the limits do not know the check any more."""
    status: str
    reason: str
    """Why the limits are what they are."""
    limits_version: str
    at: datetime


def checks_of(records: StationRecords, key: str, product: str) -> list[Check]:
    """What the checks of a product say that count now."""
    with reading(records.engine) as session:
        return [_check(verdict) for verdict in standing_verdicts(session, key, product).values()]


def check_history(engine: Engine, key: str) -> list[Check]:
    """Everything that checks have ever said of a group, oldest first."""
    statement = select(Verdict).where(Verdict.kind == GROUP, Verdict.key == key).order_by(Verdict.id)
    with reading(engine) as session:
        return [_check(verdict) for verdict in session.scalars(statement)]


def _check(verdict: Verdict) -> Check:
    limit = load_limits().limits.get(verdict.product, {}).get(verdict.check)
    return Check(
        verdict.product,
        verdict.check,
        verdict.value,
        verdict.soft,
        verdict.hard,
        limit.direction if limit else "",
        verdict.status,
        limit.reason if limit else "",
        verdict.limits_version,
        verdict.at,
    )


def quality_of(checks: list[Check]) -> str:
    """The word for what checks of one product say."""
    product = checks[0].product if checks else ""
    return quality(product, {check.name: (check.status, check.value) for check in checks})


def numbers_of(records: StationRecords, key: str, product: str) -> dict[str, Any]:
    """All that a stage said of a product; empty if it has not been made."""
    try:
        return records.product(key, product).numbers
    except MissingInputError:
        return {}


def measurement_set_path(station: Installation, key: str) -> str:
    """Where a group's Measurement Set is, or will be."""
    return str(ms_path(station.store.path(key, "measurement_set"), key))


def data_columns(station: Installation, key: str) -> dict[str, str]:
    """The data columns of a group's Measurement Sets, each with where it is and what it holds."""
    products = station.records.present(key)
    found: dict[str, str] = {}
    if "measurement_set" in products:
        path = ms_path(station.store.path(key, "measurement_set"), key)
        found["DATA"] = f"{path}: as converted, filled and validated then"
    if "calibrated_ms" in products:
        path = ms_path(station.store.path(key, "calibrated_ms"), key)
        used = station.registry.used_by(key)
        by = f"calibrated with set {used.set_id} ({used.fallback})" if used else "calibrated"
        make = f"contimg products --make {key} calibrated_ms"
        written = str(path) if path.is_dir() else f"applied while imaging; `{make}` writes it"
        found["CORRECTED_DATA"] = f"{written}: {by}"
    return found


def warnings_of(station: Installation, key: str) -> list[str]:
    """What to beware of in a group's products: made from versions that are not the current ones any more,
    with a set that has been retired since, or with its content gone."""
    told: list[str] = []
    with reading(station.engine) as session:
        versions = list(session.scalars(current(key)))
        inputs = inputs_of(session, [version.id for version in versions])
        for version in versions:
            for used in inputs[version.id]:
                # What retention removed and was made again is no other.
                gone, replaced = used.deleted_at, used.superseded_at
                again = gone is not None and replaced is not None and gone <= replaced
                if used.superseded_at is not None and used.key == key and not again:
                    told.append(
                        f"{version.product} is older than its data: made from {used.product} {used.version}, "
                        f"which was replaced at {used.superseded_at.isoformat(timespec='seconds')}"
                    )
    told += [
        f"{version.product} is not on disk: expected {station.store.absolute(version.path)}"
        for version in versions
        if version.version and not version.removed and not station.store.absolute(version.path).exists()
    ]
    used = station.registry.used_by(key)
    if used is not None:
        chosen = station.registry.get(used.set_id)
        if chosen.status in ("retired", "failed"):
            told.append(f"calibrated with set {chosen.id}, which is {chosen.status}: {chosen.reason}")
        if used.warning:
            told.append(f"calibration: {used.warning}")
    return told
