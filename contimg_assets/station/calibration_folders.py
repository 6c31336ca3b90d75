"""The folder of a calibration set: its sidecars, which say what its row says, and taking it back.

Belongs here: a set's row from its sidecars and the other way round, and a set whose
registration was cut short.  Does not belong here: what may become of a set
(``calibration_registry.py``).
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from sqlalchemy import Engine, Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.files import write_atomically
from contimg_assets.station.database import transaction
from contimg_assets.station.models import CalibrationSet, CalibrationTable
from contimg_assets.station.numbers import finite
from contimg_assets.station.store import STAGING, TRASH, remove_tree

#: The registry's own sidecar in a set's folder, beside the solver's.
STATE = "registry.json"
#: What the registry's own sidecar keeps of the row; the rest is the solver's.
_STATE_COLUMNS = ("id", "status", "reason", "replaced_by", "valid_from_mjd", "valid_to_mjd")


def withdraw_set(engine: Engine, folder: Path, set_id: str) -> None:
    """Take back a set's files whose row was not entered; if the commit came through after all, they stay.

    Parameters
    ----------
    engine : Engine
        Of the station database.
    folder : Path
        Of the registry.
    set_id : str
        The set that was being registered.
    """
    final = folder / set_id
    with transaction(engine) as session:
        unknown = final.is_dir() and not _is_entered(session, final)
        # Those that it would have retired were told so.
        put_sidecars_right(session.scalars(_sets_like(set_id)), folder)
    if unknown:
        trash = folder / STAGING / f"{TRASH}{set_id}"
        final.rename(trash)
        remove_tree(trash)


def put_sidecars_right(sets: Iterable[CalibrationSet], folder: Path) -> list[str]:
    """Write what rows say where sidecars say something else; identities of those sets."""
    wrong = [
        found
        for found in sets
        if (folder / found.id / STATE).is_file()
        and json.loads((folder / found.id / STATE).read_text(encoding="utf-8")) != _state(found)
    ]
    for found in wrong:
        write_state(found, folder / found.id)
    return [found.id for found in wrong]


def _is_entered(session: Session, final: Path) -> bool:
    """Whether a set's row is there, or is being entered by another's transaction, which is waited for."""
    attempt = session.begin_nested()
    solutions, state = (json.loads((final / name).read_text(encoding="utf-8")) for name in (SIDECAR, STATE))
    session.add(row_of(solutions, {**state, "replaced_by": None}, final.relative_to(final.parent.parent)))
    try:
        session.flush()
    except IntegrityError:
        return True
    finally:
        attempt.rollback()
        session.expunge_all()
    return False


def _sets_like(set_id: str) -> Select[tuple[CalibrationSet]]:
    """Sets of the group of which an identity is."""
    of_group = CalibrationSet.id.startswith(f"{set_id.partition('-')[0]}-")
    return select(CalibrationSet).where(of_group).with_for_update()


def row_of(solutions: Mapping[str, Any], state: Mapping[str, Any], path: PurePath) -> CalibrationSet:
    """A set's row from its two sidecars."""
    apparent = solutions.get("calibrator_apparent_jy")
    return CalibrationSet(
        **{name: state[name] for name in _STATE_COLUMNS},
        created_at=datetime.fromisoformat(state["created_at"]),
        group_key=str(solutions["group"]),
        mid_mjd=float(solutions["mid_mjd"]),
        declination_deg=float(solutions["declination_deg"]),
        centre_ra=float(solutions["centre_ra_deg"]),
        centre_dec=float(solutions["centre_dec_deg"]),
        antennas=[str(name) for name in solutions["antennas"]],
        refant=str(solutions["refant"]),
        calibrator=str(solutions["calibrator"]),
        calibrator_apparent_jy=None if apparent is None else float(apparent),
        flux_model=finite(solutions["flux_model"]),
        flux_source=str(solutions["flux_source"]),
        channel_low_hz=float(solutions["channel_low_hz"]),
        channel_high_hz=float(solutions["channel_high_hz"]),
        parameters=finite(solutions["parameters"]),
        software=finite(solutions["software"]),
        input_sha256=str(solutions["input_sha256"]),
        quality=finite(solutions["quality"]),
        path=path.as_posix(),
        tables=[
            CalibrationTable(
                order=int(table["order"]),
                type=str(table["type"]),
                file=str(table["file"]),
                sha256=str(table["sha256"]),
            )
            for table in solutions["tables"]
        ],
    )


def write_state(found: CalibrationSet, folder: Path) -> None:
    """Write the registry's own sidecar, whole or not at all."""
    write_atomically(folder / STATE, json.dumps(_state(found), indent=1))


def _state(found: CalibrationSet) -> dict[str, Any]:
    """What the registry's own sidecar says of a set."""
    state = {name: getattr(found, name) for name in _STATE_COLUMNS}
    return {"format": 1, **state, "created_at": found.created_at.isoformat()}
