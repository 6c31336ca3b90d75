"""The calibration registry: solution sets, their files, their status.

A set's files are a folder of their own, ``calibration/<set id>``, which is
never edited or replaced, so that what calibrated an image can be held against
its hashes for as long as the folder is kept.  Registering publishes the folder
and enters the row together; the row can be made again from the folder.

Belongs here: registering, judging, retiring, rebuilding and verifying sets;
every write is one transaction.  Does not belong here: which set a group gets
(``calibration_selection.py``), or solving and applying (``radio/calibration``).
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.errors import CalibrationError, MissingInputError, StateError
from contimg_assets.radio.files import clone_tree, scratch_folder, tree_sha256
from contimg_assets.radio.group_key import slug
from contimg_assets.radio.limits import load_limits
from contimg_assets.station.calibration_folders import (
    STATE,
    put_sidecars_right,
    row_of,
    withdraw_set,
    write_state,
)
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import get_group
from contimg_assets.station.group_summary import summarise_group
from contimg_assets.station.models import SET_STATES, CalibrationSet, GroupCalibration, now
from contimg_assets.station.numbers import finite
from contimg_assets.station.store import PLACED, STAGING, set_aside_unless_done
from contimg_assets.station.verdicts import describe_error, standing_verdicts

HOURS_PER_DAY = 24.0


@dataclass(frozen=True)
class Verification:
    """Outcome of holding a set's files against their recorded hashes."""

    set_id: str
    status: Literal["ok", "changed", "missing", "gone", "unregistered"]
    """``gone``: missing, but of a set that is retired; ``unregistered``: files without a row."""
    detail: str


def table_entries(found: CalibrationSet) -> tuple[dict[str, Any], ...]:
    """``type``, ``order``, ``file`` and ``sha256`` of each table, in order of application."""
    return tuple({"type": t.type, "order": t.order, "file": t.file, "sha256": t.sha256} for t in found.tables)


def verify_set(found: CalibrationSet, home: Path) -> Verification:
    """Hold one set's files, below a home, against their recorded hashes."""
    for table in found.tables:
        folder = home / found.path / table.file
        if not folder.is_dir():
            status = "gone" if found.status == "retired" else "missing"
            return Verification(found.id, status, f"{folder} is not there")
        digest = tree_sha256(folder)
        if digest != table.sha256:
            return Verification(
                found.id, "changed", f"{folder} has SHA-256 {digest}, the registry says {table.sha256}"
            )
    return Verification(found.id, "ok", f"{len(found.tables)} tables")


class CalibrationRegistry:
    """Calibration sets of one database.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    settings : CalibrationOptions
        Validity of the sets that are registered.
    folder : Path
        Where the sets' files are kept: a folder of the home, to which their paths are relative.
    """

    def __init__(self, engine: Engine, settings: CalibrationOptions, folder: Path) -> None:
        self.engine = engine
        self.settings = settings
        self.folder = folder
        self.home = folder.parent

    def statuses(self) -> dict[str, int]:
        """Number of sets of each status: what it was as long as no set has come, been judged or retired."""
        statement = select(CalibrationSet.status, func.count()).group_by(CalibrationSet.status)
        with reading(self.engine) as session:
            return {status: int(number) for status, number in session.execute(statement)}

    # -- entering ---------------------------------------------------------------------------

    def register(self, solutions: Mapping[str, Any], built: Path) -> str:
        """Publish a solved set's files and enter it, both or neither; it is pending until it is judged.

        Parameters
        ----------
        solutions : Mapping
            Content of the solver's ``solutions.json``.
        built : Path
            Folder with its tables, which is copied.

        Returns
        -------
        str
            Identity of the new set.

        Raises
        ------
        CalibrationError
            If the tables are not those that the solver named.
        """
        set_id = f"{slug(str(solutions['group']))}-{uuid.uuid4().hex[:8]}"
        half = self.settings.validity_hours / HOURS_PER_DAY
        mid = float(solutions["mid_mjd"])
        state = {
            "id": set_id,
            "status": "pending",
            "reason": "",
            "replaced_by": None,
            "valid_from_mjd": mid - half,
            "valid_to_mjd": mid + half,
            "created_at": now().isoformat(),
        }
        final = self.folder / set_id
        row = row_of(solutions, state, final.relative_to(self.home))
        staging = self.folder / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        with scratch_folder(staging, set_id) as folder:
            staged = folder / "built"
            clone_tree(built, staged)
            (staged / SIDECAR).write_text(json.dumps(finite(solutions), indent=1), encoding="utf-8")
            for table in row.tables:
                digest = tree_sha256(staged / table.file)
                if digest != table.sha256:
                    raise CalibrationError(
                        f"{built / table.file} has SHA-256 {digest}, its solver said {table.sha256}"
                    )
            (folder / PLACED).symlink_to(set_id)
            try:
                with transaction(self.engine) as session:
                    for earlier in _of_group(session, row.group_key, "pending"):
                        self._change(session, earlier, "retired", "solved again before it was judged")
                    session.add(row)
                    session.flush()
                    write_state(row, staged)
                    staged.rename(final)
            except BaseException:
                with set_aside_unless_done(folder):
                    withdraw_set(self.engine, self.folder, set_id)
                raise
        return set_id

    def rebuild(self) -> list[str]:
        """Enter the sets whose files are there and whose rows are not, as they stood.

        Returns
        -------
        list of str
            Their identities.
        """
        with transaction(self.engine) as session:
            known = set(session.scalars(select(CalibrationSet.id)))
            states = {
                folder.name: json.loads((folder / STATE).read_text(encoding="utf-8"))
                for folder in self._folders()
                if folder.name not in known
            }
            for set_id, state in states.items():
                folder = self.folder / set_id
                solutions = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
                row = row_of(solutions, {**state, "replaced_by": None}, folder.relative_to(self.home))
                session.add(row)
            session.flush()
            for set_id, state in states.items():
                if state["replaced_by"] in known | states.keys():
                    session.get_one(CalibrationSet, set_id).replaced_by = state["replaced_by"]
        return sorted(states)

    def find_same(self, solutions: Mapping[str, Any]) -> CalibrationSet | None:
        """The registered set with the very same tables, if there is one."""
        hashes = {str(table["sha256"]) for table in solutions["tables"]}
        with reading(self.engine) as session:
            mid = float(solutions["mid_mjd"])
            candidates = session.scalars(select(CalibrationSet).where(CalibrationSet.mid_mjd == mid))
            return next((c for c in candidates if {t.sha256 for t in c.tables} == hashes), None)

    # -- status -----------------------------------------------------------------------------

    def settle(self, key: str) -> str | None:
        """Let the verdicts on a group's newest set decide its status.

        Any ERROR: failed.  All checks there and none ERROR: active.  Otherwise it stays.

        Returns
        -------
        str or None
            The set's status; None if the group has no set.
        """
        with transaction(self.engine) as session:
            found = _of_group(session, key, "pending", "active", "failed")
            if not found:
                return None
            newest = found[-1]
            verdicts = {
                name: verdict
                for name, verdict in standing_verdicts(session, key, "calibration_qa").items()
                if verdict.at >= newest.created_at
            }
            errors = [describe_error(v) for v in verdicts.values() if v.status == "ERROR"]
            if errors or verdicts.keys() == load_limits().limits["calibration_qa"].keys():
                self._conclude(session, newest, errors)
            return newest.status

    def conclude(self, set_id: str, errors: Sequence[str]) -> str:
        """Make a set active, or failed if there are errors; returns the status."""
        with transaction(self.engine) as session:
            found = _get(session, set_id)
            self._conclude(session, found, errors)
            return found.status

    def _conclude(self, session: Session, found: CalibrationSet, errors: Sequence[str]) -> None:
        if errors:
            self._change(session, found, "failed", "; ".join(errors))
        elif found.status != "active":
            # One active set a group: the earlier one goes first.
            for earlier in _of_group(session, found.group_key, "active"):
                self._change(session, earlier, "retired", "solved again", found.id)
            self._change(session, found, "active", "")

    def retire(self, set_id: str, reason: str, replaced_by: str | None = None) -> None:
        """Take a set out of use; its files stay.

        Raises
        ------
        StateError
            If it is retired already.
        MissingInputError
            If it, or its successor, is not registered.
        """
        with transaction(self.engine) as session:
            found = _get(session, set_id)
            if found.status == "retired":
                raise StateError(f"calibration set {set_id} is retired already: {found.reason}")
            if replaced_by is not None:
                _get(session, replaced_by)
            self._change(session, found, "retired", reason, replaced_by)

    def _change(
        self,
        session: Session,
        found: CalibrationSet,
        status: str,
        reason: str,
        replaced_by: str | None = None,
    ) -> None:
        found.status, found.reason, found.replaced_by = status, reason, replaced_by
        session.flush()
        # A set that was entered by version 0.1.0 has its files elsewhere; one whose files are gone has none.
        if (self.folder / found.id).is_dir():
            write_state(found, self.folder / found.id)

    def put_sidecars_right(self) -> "list[str]":
        """Let sidecars say what the rows do: a change that did not come through has told them already.

        Returns
        -------
        list of str
            Sets whose sidecar was wrong.
        """
        with transaction(self.engine) as session:
            # A change that is on its way is waited for.
            return put_sidecars_right(session.scalars(select(CalibrationSet).with_for_update()), self.folder)

    # -- reading ----------------------------------------------------------------------------

    def get(self, set_id: str) -> CalibrationSet:
        """One set with its tables.

        Raises
        ------
        MissingInputError
            If there is none of that identity.
        """
        with reading(self.engine) as session:
            return _get(session, set_id)

    def list(self, *statuses: str) -> list[CalibrationSet]:
        """Sets with their tables (of any of ``statuses``, if given), oldest observation first."""
        statement = select(CalibrationSet).order_by(CalibrationSet.mid_mjd, CalibrationSet.created_at)
        if statuses:
            statement = statement.where(CalibrationSet.status.in_(statuses))
        with reading(self.engine) as session:
            return [*session.scalars(statement)]

    def newest_of(self, key: str) -> CalibrationSet | None:
        """The set that was solved last on a group; None if none was."""
        with reading(self.engine) as session:
            found = _of_group(session, key, *SET_STATES)
            return found[-1] if found else None

    def active(self, mid_mjd: float, declination_deg: float) -> "list[CalibrationSet]":
        """Active sets that are valid at a time and declination, nearest in time first."""
        found = [
            item
            for item in self.list("active")
            if item.valid_from_mjd <= mid_mjd <= item.valid_to_mjd
            and abs(item.declination_deg - declination_deg) <= self.settings.strip_deg
        ]
        return sorted(found, key=lambda item: abs(item.mid_mjd - mid_mjd))

    def verify(self) -> "list[Verification]":
        """Hold the files of every set against their recorded hashes, and look for files without a row."""
        found = self.list()
        outcomes = [verify_set(item, self.home) for item in found]
        return outcomes + [
            Verification(set_id, "unregistered", f"{self.folder / set_id} is not in the registry: import it")
            for set_id in self.unregistered()
        ]

    def unregistered(self) -> "list[str]":
        """Sets whose files are there and whose rows are not."""
        with reading(self.engine) as session:
            known = set(session.scalars(select(CalibrationSet.id)))
        return [folder.name for folder in self._folders() if folder.name not in known]

    def _folders(self) -> "list[Path]":
        return sorted(path.parent for path in self.folder.glob(f"*/{STATE}"))

    def record_use(self, key: str, set_id: str, hours: float, fallback: str, warning: str) -> None:
        """Note that a set calibrated a group."""
        with transaction(self.engine) as session:
            get_group(session, key, lock=True)
            session.add(
                GroupCalibration(key=key, set_id=set_id, hours=hours, fallback=fallback, warning=warning)
            )
            summarise_group(session, key)

    def used_by(self, key: str) -> GroupCalibration | None:
        """What calibrated a group last; None if nothing has."""
        statement = (
            select(GroupCalibration)
            .where(GroupCalibration.key == key)
            .order_by(GroupCalibration.id.desc())
            .limit(1)
        )
        with reading(self.engine) as session:
            return session.scalars(statement).first()


def _get(session: Session, set_id: str) -> CalibrationSet:
    found = session.get(CalibrationSet, set_id)
    if found is None:
        raise MissingInputError(f"the calibration registry holds no set {set_id}")
    return found


def _of_group(session: Session, key: str, *statuses: str) -> list[CalibrationSet]:
    """Sets of a group, oldest first."""
    statement = (
        select(CalibrationSet)
        .where(CalibrationSet.group_key == key, CalibrationSet.status.in_(statuses))
        .order_by(CalibrationSet.created_at)
    )
    return [*session.scalars(statement)]
