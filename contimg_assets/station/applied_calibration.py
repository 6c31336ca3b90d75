"""What was chosen to calibrate a group, as its product says it, and where that is now.

Belongs here: from the product's note to places on disk.  Does not belong here: choosing
(``calibration_selection.py``), or applying (``radio/corrections``).
"""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.radio.files import tree_sha256
from contimg_assets.station.database import reading
from contimg_assets.station.models import CalibrationSet
from contimg_assets.station.store import Store

#: What calibrates a group, in the folder of the product.
PROVENANCE = "provenance.json"


def read_provenance(calibrated: Path) -> dict[str, Any]:
    """What calibrates a group.

    Parameters
    ----------
    calibrated : Path
        Content of the group's ``calibrated_ms``.

    Raises
    ------
    MissingInputError
        If nothing says so there.
    """
    try:
        return dict(json.loads((calibrated / PROVENANCE).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"{calibrated}: found no {PROVENANCE}; expected what calibrates the group"
        ) from error


def calibration_of(engine: Engine, store: Store, calibrated: Path, flags: Path) -> Calibration:
    """Flags and tables to apply to a group's data.

    Parameters
    ----------
    engine : Engine
        Of the station's database, which knows where the sets are.
    store : Store
    calibrated, flags : Path
        Content of the group's products.

    Raises
    ------
    MissingInputError
        If a set is not known any more, or nothing says which it is.
    StateError
        If the flags are others than those that the calibration was chosen with.
    """
    told = read_provenance(calibrated)
    if told["flags"]["sha256"] != tree_sha256(flags):
        raise StateError(
            f"{calibrated}: made with other flags than those of {flags}, which are newer: "
            "expected calibrated_ms to be made again first"
        )
    beside = told.get("interpolated") or {}
    names = [told["set_id"], *([beside["set_id"]] if beside else [])]
    folders: list[Path] = []
    with reading(engine) as session:
        for name in names:
            found = session.get(CalibrationSet, name)
            if found is None:
                raise MissingInputError(f"{calibrated}: names calibration set {name}, which is unknown")
            folders.append(store.home / found.path)
    return Calibration(
        flags=flags,
        tables=folders[0],
        other=folders[1] if beside else None,
        weight=beside.get("weight", 0.0),
    )
