"""What the catalogue, the registry and the store know of a group, as plain values.

Belongs here: gathering for people and programs to read.  Does not belong here:
printing (``operations.py``).
"""

from pathlib import Path
from typing import Any

from contimg_assets.station.calibration_registry import CalibrationRegistry, table_entries
from contimg_assets.station.models import CalibrationSet, CalibrationWait, ObservationGroup
from contimg_assets.station.numbers import numbers
from contimg_assets.station.products import ProductCatalog
from contimg_assets.station.store import Store

QA_PRODUCTS = ("measurement_set_qa", "calibration_qa", "image_qa")


def describe_group(group: ObservationGroup) -> dict[str, Any]:
    """A group's row."""
    return {
        "group": group.key,
        "state": group.state,
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
    found = {name: sorted(folder.glob(pattern)) for name, pattern in wanted.items()}
    return {name: str(paths[0]) for name, paths in found.items() if paths}


def describe_products(
    group: ObservationGroup, catalog: ProductCatalog, registry: CalibrationRegistry, store: Store
) -> dict[str, Any]:
    """A group with its products, numbers, verdicts and the set that calibrated it.

    Parameters
    ----------
    group : ObservationGroup
        The group.
    catalog, registry, store
        Where to look.

    Returns
    -------
    dict
        All paths absolute, and only those that exist.
    """
    described = describe_group(group)
    products: dict[str, Any] = {}
    for name, product in catalog.products(group.key).items():
        path = store.path(group.key, name)
        if path.exists():
            products[name] = {
                "path": str(path.absolute()),
                "version": product.version,
                "numbers": numbers(product.numbers),
            }
    described["products"] = products
    described["files"] = _image_files(store.path(group.key, "image"))
    for name, product in (("report", "image_qa"), ("picture", "image")):
        path = store.path(group.key, product) / {"report": "report.html", "picture": "thumbnail.png"}[name]
        if path.is_file():
            described["files"][name] = str(path.absolute())
    described["verdicts"] = {
        name: {
            check: {"status": v.status, "value": v.value, "soft": v.soft, "hard": v.hard}
            for check, v in catalog.verdicts(group.key, name).items()
        }
        for name in QA_PRODUCTS
        if name in products
    }
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


def worst(described: dict[str, Any]) -> str:
    """Worst verdict of a described group; empty if there is none."""
    found = {v["status"] for checks in described["verdicts"].values() for v in checks.values()}
    return next((status for status in ("ERROR", "WARN", "PASS") if status in found), "")
