"""What a report tells beside its image's numbers: the group's other products, earlier groups, where to go.

Belongs here: finding them in the database and on disk.  Does not belong here: what is read or drawn of them
(``radio/quality``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Select, select
from sqlalchemy.orm import Session

from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.group_key import ms_path, slug
from contimg_assets.radio.quality.surroundings import Earlier, Surroundings
from contimg_assets.station.applied_calibration import calibration_of
from contimg_assets.station.database import reading
from contimg_assets.station.models import CalibrationSet, GroupCalibration, GroupSummary, ProductVersion
from contimg_assets.station.night_views import COMPARED, NIGHTS_BEFORE
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets.station.versions import current_version, lineage

#: Points of a chart at most: the newest.
_MOST_POINTS = 300
REPORT, PICTURE = "report.html", "thumbnail.png"
#: From a report (``products/<slug>/image_qa``) to the products' folder, and to the panel's root.
_PRODUCTS, _PANEL = "../..", "../../.."


def surroundings_of(records: StationRecords, store: Store, key: str, image: ProductVersion) -> Surroundings:
    """Gather what the report of a group's image needs.

    Parameters
    ----------
    records, store
        Where to look.
    key : str
        The group.
    image : ProductVersion
        The version of the image that is looked over: what is shown of data, flags and calibration is what
        went into it.
    """
    group = records.group(key)
    with reading(records.engine) as session:
        inputs = {each.product: each for _, each in reversed(lineage(session, image)) if each.key == key}
        quality = current_version(session, key, "measurement_set_qa")
        used = _calibration(session, key, inputs.get("calibrated_ms"))
        earlier = _earlier(session, key, group.mid_mjd)
        neighbours = {
            words: session.scalar(statement)
            for words, statement in (
                ("previous group", _with_report(GroupSummary.key < key, GroupSummary.key.desc())),
                ("next group", _with_report(GroupSummary.key > key, GroupSummary.key.asc())),
            )
        }
    links = {
        f"{words}, {key_of}": _report(key_of) for words, key_of in neighbours.items() if key_of is not None
    }
    links |= {"flags, large": f"../flags/{PICTURE}"} if "flags" in inputs else {}
    links |= {"raw data": f"../measurement_set_qa/{PICTURE}"} if quality else {}
    panel = {"this group": f"{_PANEL}/groups/{key}"}
    if used is not None:
        links["calibration, large"] = f"{_PRODUCTS}/{slug(used.group_key)}/calibration_qa/{PICTURE}"
        panel |= {f"calibration set {used.id}": f"{_PANEL}/calibration/{used.id}"}
    content = {
        name: _there(store, inputs.get(name)) for name in ("measurement_set", "calibrated_ms", "flags")
    }
    measurement_set, calibration = _imaged(records.engine, store, key, content)
    return Surroundings(
        group=key,
        measurement_set=measurement_set,
        calibration=calibration,
        flags=content["flags"],
        measurement_set_qa=_there(store, quality),
        calibration_set=store.absolute(used.path) if used else None,
        files="../image",
        links=links,
        panel=panel,
        mjd=group.mid_mjd,
        earlier=earlier,
    )


def _imaged(
    engine: Engine, store: Store, key: str, content: Mapping[str, Path | None]
) -> tuple[Path | None, Calibration | None]:
    """The Measurement Set that was imaged, if it is there still, and what calibrates it on the way."""
    converted, calibrated, flags = (content[name] for name in ("measurement_set", "calibrated_ms", "flags"))
    if calibrated is None:
        return None, None
    written = ms_path(calibrated, key)
    if written.is_dir():
        return written, None
    if converted is None or flags is None:
        return None, None
    return ms_path(converted, key), calibration_of(engine, store, calibrated, flags)


def _calibration(session: Session, key: str, calibrated: ProductVersion | None) -> CalibrationSet | None:
    """The set that was applied; None if the data were calibrated again since, maybe with another."""
    if calibrated is None or calibrated.superseded_at is not None:
        return None
    statement = select(GroupCalibration.set_id).where(GroupCalibration.key == key)
    set_id = session.scalar(statement.order_by(GroupCalibration.id.desc()).limit(1))
    return session.get(CalibrationSet, set_id) if set_id else None


def _there(store: Store, version: ProductVersion | None) -> Path | None:
    """Content of a version, unless retention has removed it."""
    path = store.absolute(version.path) if version is not None else None
    return path if path is not None and path.exists() else None


def _with_report(beside: Any, order: Any) -> Select[tuple[str]]:
    """The nearest group on one side whose image has been looked over."""
    return (
        select(GroupSummary.key).where(beside, GroupSummary.rms_ratio.is_not(None)).order_by(order).limit(1)
    )


def _report(key: str) -> str:
    return f"{_PRODUCTS}/{slug(key)}/image_qa/{REPORT}"


def _earlier(session: Session, key: str, mid_mjd: float) -> dict[str, tuple[Earlier, ...]]:
    """Numbers of the groups of the last nights that have an image, oldest first."""
    columns = [getattr(GroupSummary, name) for name in COMPARED]
    rows = session.execute(
        select(GroupSummary.key, GroupSummary.mid_mjd, *columns)
        .where(
            GroupSummary.key < key,
            GroupSummary.mid_mjd >= mid_mjd - NIGHTS_BEFORE,
            GroupSummary.rms_ratio.is_not(None),
        )
        .order_by(GroupSummary.key.desc())
        .limit(_MOST_POINTS)
    ).all()[::-1]
    return {
        name: tuple(
            Earlier(group=row[0], mjd=row[1], value=row[2 + place], link=_report(row[0]))
            for row in rows
            if row[2 + place] is not None
        )
        for place, name in enumerate(COMPARED)
    }
