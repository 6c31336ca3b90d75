"""What the station database and the store know of a group, as plain values.

Belongs here: gathering for people and programs to read.  Does not belong here:
printing (``operations.py``).
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from contimg_assets.radio.quality.causes import likely_causes
from contimg_assets.station.arrivals import Arrivals
from contimg_assets.station.calibration_registry import CalibrationRegistry, table_entries
from contimg_assets.station.database import reading
from contimg_assets.station.models import (
    ArrivedFile,
    CalibrationSet,
    CalibrationWait,
    GroupSummary,
    GroupTransition,
    ObservationGroup,
    Performance,
)
from contimg_assets.station.numbers import numbers
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets.station.verdicts import describe_error

#: Products that checks judge.
QA_PRODUCTS = ("measurement_set_qa", "calibration_qa", "image_qa", "photometry")


@dataclass(frozen=True)
class Standing:
    """How a group stands: its state never goes without its verdict."""

    state: str
    verdict: str
    """Worst of the newest verdict of each check: PASS, WARN, ERROR; empty if nothing was judged."""
    n_warn: int = 0
    """Checks that say WARN."""
    n_error: int = 0
    """Checks that say ERROR."""
    worst_check: str = ""
    """The first of the worst checks, ``product.check``; empty if all pass."""

    @property
    def text(self) -> str:
        """State and verdict in a few words."""
        return standing_text(self.state, self.verdict)


def standings(records: StationRecords, keys: Collection[str] | None = None) -> dict[str, Standing]:
    """State and verdict of groups.

    Parameters
    ----------
    records : StationRecords
        Has both.
    keys : collection of str, optional
        Which groups; default: all.

    Returns
    -------
    dict
        Standing of each group that there is, by its key.
    """
    columns = (
        GroupSummary.key,
        GroupSummary.state,
        GroupSummary.verdict,
        GroupSummary.n_warn,
        GroupSummary.n_error,
        GroupSummary.worst_check,
    )
    statement = select(*columns)
    if keys is not None:
        statement = statement.where(GroupSummary.key.in_(keys))
    with reading(records.engine) as session:
        return {key: Standing(*rest) for key, *rest in session.execute(statement)}


def standing_text(state: str, verdict: str) -> str:
    """State and verdict in a few words."""
    return f"{state}, verdict {verdict}" if verdict else state


def standing(records: StationRecords, key: str) -> Standing:
    """State and verdict of one group.

    Raises
    ------
    MissingInputError
        If it is not registered.
    """
    records.group(key)
    return standings(records, [key])[key]


def errors_of(records: StationRecords, key: str) -> list[dict[str, Any]]:
    """The checks of a group that say ERROR, each with its value and the limit that it is past."""
    return [
        {"product": name, "check": check, "value": v.value, "hard": v.hard, "text": describe_error(v)}
        for name in QA_PRODUCTS
        for check, v in records.verdicts(key, name).items()
        if v.status == "ERROR"
    ]


def describe_group(group: ObservationGroup, stands: Standing) -> dict[str, Any]:
    """A group's row, with what its checks say."""
    return {
        "group": group.key,
        "state": group.state,
        "verdict": stands.verdict,
        "reason": group.reason,
        "n_subbands": group.n_subbands,
        "missing_subbands": group.missing_subbands,
        "declination_deg": group.declination_deg,
        "mid_mjd": group.mid_mjd,
        "calibrator": group.calibrator_name,
        "calibrator_apparent_jy": group.calibrator_apparent_jy,
        "retries": group.retries,
        "updated": group.updated.isoformat(timespec="seconds"),
    }


def describe_wait(wait: CalibrationWait | None) -> dict[str, Any] | None:
    """What a group waits for, since when, and until when at most."""
    if wait is None:
        return None
    times = {name: getattr(wait, name).isoformat(timespec="seconds") for name in ("since", "deadline")}
    return {"reason": wait.reason, **times}


def describe_set(found: CalibrationSet, home: Path) -> dict[str, Any]:
    """A calibration set and its tables, with its path on this machine."""
    columns = {column.name: getattr(found, column.name) for column in CalibrationSet.__table__.columns}
    columns["path"] = str(home / found.path)
    columns["created_at"] = found.created_at.isoformat(timespec="seconds")
    return {**columns, "tables": list(table_entries(found))}


def _image_files(folder: Path) -> dict[str, str]:
    """The files of an image that people ask for."""
    wanted = {"beam_corrected_image": "*.pbcor.fits", "image": "*.image.fits", "primary_beam": "*.pb.fits"}
    # Those of an old image are compressed, and then called ….fits.fz.
    found = {name: sorted(folder.glob(f"{pattern}*")) for name, pattern in wanted.items()}
    return {name: str(paths[0]) for name, paths in found.items() if paths}


def describe_products(
    group: ObservationGroup, records: StationRecords, registry: CalibrationRegistry, store: Store
) -> dict[str, Any]:
    """A group with its products, numbers, verdicts and the set that calibrated it.

    Parameters
    ----------
    group : ObservationGroup
        The group.
    records, registry, store
        Where to look.

    Returns
    -------
    dict
        All paths absolute, and only those that exist; products whose content was removed stand apart.
    """
    described = describe_group(group, standing(records, group.key))
    products: dict[str, Any] = {}
    removed: dict[str, Any] = {}
    for name, product in records.products(group.key).items():
        path = store.path(group.key, name)
        if path.exists():
            products[name] = {
                "path": str(path.absolute()),
                "version": product.version,
                "numbers": numbers(product.numbers),
            }
        elif product.deleted_at is not None:
            removed[name] = {
                "version": product.version,
                "at": product.deleted_at.isoformat(timespec="seconds"),
                "why": product.removed_because,
                "again": f"contimg products --make {group.key} {name}",
                "numbers": numbers(product.numbers),
            }
    described["products"], described["removed"] = products, removed
    described["files"] = _image_files(store.path(group.key, "image"))
    for name, product in (("report", "image_qa"), ("picture", "image")):
        path = store.path(group.key, product) / {"report": "report.html", "picture": "thumbnail.png"}[name]
        if path.is_file():
            described["files"][name] = str(path.absolute())
    described["verdicts"] = {
        name: {
            check: {"status": v.status, "value": v.value, "soft": v.soft, "hard": v.hard}
            for check, v in records.verdicts(group.key, name).items()
        }
        for name in QA_PRODUCTS
        if name in products
    }
    described["likely_causes"] = [
        cause
        for name in QA_PRODUCTS
        if (judged := products.get(name, {}).get("numbers"))
        for cause in likely_causes(name, judged)
    ]
    used = registry.used_by(group.key)
    described["calibration"] = None
    if used is not None:
        chosen = registry.get(used.set_id)
        described["calibration"] = {
            "set_id": used.set_id,
            "calibrator": chosen.calibrator,
            "group": chosen.group_key,
            "hours": used.hours,
            "fallback": used.fallback,
            "warning": used.warning,
        }
    return described


def describe_history(records: StationRecords, arrivals: Arrivals, key: str) -> dict[str, Any]:
    """What happened to a group: states, what its products took to make, files.

    Raises
    ------
    MissingInputError
        If it is not registered.
    """
    group = records.group(key)
    return {
        "group": group.key,
        "state": group.state,
        "verdict": standing(records, key).verdict,
        "retries": group.retries,
        "transitions": [describe_transition(step) for step in records.transitions(key)],
        "performance": [describe_performance(row) for row in records.performance(key)],
        "files": [describe_file(file) for file in arrivals.of_group(key)],
    }


def describe_transition(step: GroupTransition) -> dict[str, Any]:
    """A change of a group's state."""
    return {
        "at": step.at.isoformat(timespec="milliseconds"),
        "from": step.from_state,
        "to": step.to_state,
        "reason": step.reason,
    }


def describe_performance(row: Performance) -> dict[str, Any]:
    """What a product took to make."""
    return {
        "at": row.at.isoformat(timespec="seconds"),
        "product": row.product,
        "retry": row.retry,
        "writer": row.writer,
        "seconds": row.seconds,
        "peak_memory_mb": row.peak_memory_mb,
        "host": row.host,
        "run": row.run,
    }


def describe_file(file: ArrivedFile) -> dict[str, Any]:
    """What became of a file."""
    return {
        "at": file.at.isoformat(timespec="seconds"),
        "file": f"{file.folder}/{file.name}",
        "group": file.group_key,
        "outcome": file.outcome,
        "reason": file.reason,
    }
