"""The calibration registry: solution sets, their validity, and which group used which.

Belongs here: registering, choosing and verifying sets; every write is one
transaction.  Does not belong here: solving or applying (``radio/calibration``),
or the files' publication (``store.py``).
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from contimg_assets.radio.calibration.hashing import tree_sha256
from contimg_assets.radio.errors import CalibrationError, MissingInputError, NoCalibratorError, VerdictError
from contimg_assets.resources.database import reading, transaction
from contimg_assets.resources.models import CalibrationSet, CalibrationTable, GroupCalibration
from contimg_assets.resources.product_catalog import describe_error, finite, standing_verdicts
from contimg_assets.settings import CalibrationSettings
from contimg_assets.store import slug

#: Part of a group's antennas that a set must hold; an antenna without solutions is flagged.
MINIMUM_ANTENNA_OVERLAP = 0.5
#: Edges of bands that differ by less than this are the same edge, Hz.
BAND_TOLERANCE_HZ = 1e3
HOURS_PER_DAY = 24.0


@dataclass(frozen=True)
class ChosenSet:
    """The set that calibrates a group."""

    set_id: str
    """Identity in the registry."""
    group_key: str
    """Calibrator scan from which it was made."""
    calibrator: str
    """Name of the calibrator."""
    path: Path
    """Folder with the tables."""
    hours: float
    """Mid-time of the set minus that of the group, h."""
    warning: str
    """What the user should know about the choice; empty if nothing."""
    tables: tuple[dict[str, Any], ...]
    """``type``, ``order``, ``file`` and ``sha256`` of each table, in order of application."""

    def provenance(self) -> dict[str, Any]:
        """What the image's header and the product's ``provenance.json`` say."""
        return {
            "set_id": self.set_id,
            "calibrator": self.calibrator,
            "group": self.group_key,
            "tables": [dict(table) for table in self.tables],
            "hours": self.hours,
            "warning": self.warning,
        }


@dataclass(frozen=True)
class Verification:
    """Outcome of holding a set's files against their recorded hashes."""

    set_id: str
    status: str
    """``ok``, ``changed``, ``missing``; ``replaced`` for a retired set, whose files a newer one replaced."""
    detail: str


def _tables(found: CalibrationSet) -> tuple[dict[str, Any], ...]:
    return tuple({"type": t.type, "order": t.order, "file": t.file, "sha256": t.sha256} for t in found.tables)


def _verify(found: CalibrationSet) -> Verification:
    if found.status == "retired":
        return Verification(found.id, "replaced", f"its files gave way to {found.replaced_by}")
    for table in found.tables:
        folder = Path(found.path) / table.file
        if not folder.is_dir():
            return Verification(found.id, "missing", f"{folder} is not there")
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
        From :func:`contimg_assets.resources.database.engine_for`.
    settings : CalibrationSettings
        Validity of the sets that are registered.
    """

    def __init__(self, engine: Engine, settings: CalibrationSettings) -> None:
        self.engine = engine
        self.settings = settings

    def register(self, solutions: Mapping[str, Any], path: Path) -> str:
        """Enter a solved set; an earlier active set of the same group retires with it.

        Parameters
        ----------
        solutions : Mapping
            Content of the solver's ``solutions.json``.
        path : Path
            Where its tables are published.

        Returns
        -------
        str
            Identity of the new set.
        """
        key, mid = str(solutions["group"]), float(solutions["mid_mjd"])
        set_id = f"{slug(key)}-{uuid.uuid4().hex[:8]}"
        half = self.settings.validity_hours / HOURS_PER_DAY
        row = CalibrationSet(
            id=set_id,
            group_key=key,
            mid_mjd=mid,
            valid_from_mjd=mid - half,
            valid_to_mjd=mid + half,
            declination_deg=float(solutions["declination_deg"]),
            centre_ra=float(solutions["centre_ra_deg"]),
            antennas=[str(name) for name in solutions["antennas"]],
            refant=str(solutions["refant"]),
            calibrator=str(solutions["calibrator"]),
            flux_model=finite(solutions["flux_model"]),
            flux_source=str(solutions["flux_source"]),
            channel_low_hz=float(solutions["channel_low_hz"]),
            channel_high_hz=float(solutions["channel_high_hz"]),
            parameters=finite(solutions["parameters"]),
            software=finite(solutions["software"]),
            input_sha256=str(solutions["input_sha256"]),
            quality=finite(solutions["quality"]),
            status="active",
            path=str(path),
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
        with transaction(self.engine) as session:
            earlier = list(
                session.scalars(
                    select(CalibrationSet.id).where(
                        CalibrationSet.group_key == key, CalibrationSet.status == "active"
                    )
                )
            )
            # Retire first (one active set a group), then point to the successor once it exists.
            session.execute(
                update(CalibrationSet).where(CalibrationSet.id.in_(earlier)).values(status="retired")
            )
            session.add(row)
            session.flush()
            session.execute(
                update(CalibrationSet).where(CalibrationSet.id.in_(earlier)).values(replaced_by=set_id)
            )
        return set_id

    def choose(
        self,
        mid_mjd: float,
        declination_deg: float,
        antennas: Collection[str],
        channel_low_hz: float,
        channel_high_hz: float,
        settings: CalibrationSettings,
    ) -> ChosenSet:
        """Find the set that shall calibrate a group: the nearest in time that fits.

        Parameters
        ----------
        mid_mjd : float
            Middle of the group, UTC.
        declination_deg : float
            Its pointing declination, deg.
        antennas : Collection of str
            Names of its antennas.
        channel_low_hz, channel_high_hz : float
            Its lowest and highest channel, Hz.
        settings : CalibrationSettings
            Validity, width of a declination strip, and when to warn.

        Returns
        -------
        ChosenSet
            On either side in time.

        Raises
        ------
        NoCalibratorError
            If no set fits; the message says why each did not.
        VerdictError
            If a set would fit but its last quality verdict is ERROR.
        """
        wanted = frozenset(antennas)
        fitting: list[tuple[float, CalibrationSet]] = []
        unfit: list[str] = []
        refused: list[str] = []
        with reading(self.engine) as session:
            candidates = session.scalars(
                select(CalibrationSet)
                .where(CalibrationSet.status == "active")
                .order_by(CalibrationSet.mid_mjd, CalibrationSet.id)
            )
            for candidate in candidates:
                hours = (candidate.mid_mjd - mid_mjd) * HOURS_PER_DAY
                reasons = _misfits(
                    candidate,
                    hours,
                    mid_mjd,
                    declination_deg,
                    wanted,
                    channel_low_hz,
                    channel_high_hz,
                    settings,
                )
                if reasons:
                    unfit.append(f"{candidate.id}: {', '.join(reasons)}")
                    continue
                errors = _errors(session, candidate)
                if errors:
                    refused.append(f"{candidate.id}: last verdict is ERROR ({errors})")
                    continue
                fitting.append((hours, candidate))
        if not fitting:
            target = f"group at MJD {mid_mjd:.5f}, declination {declination_deg:+.2f} deg"
            listed = "; ".join(refused + unfit) or "the registry holds no active set"
            if refused:
                raise VerdictError(f"calibration of the {target} is refused: {listed}")
            raise NoCalibratorError(f"no valid calibration for the {target}: {listed}")
        hours, best = min(fitting, key=lambda item: abs(item[0]))
        return ChosenSet(
            set_id=best.id,
            group_key=best.group_key,
            calibrator=best.calibrator,
            path=Path(best.path),
            hours=hours,
            warning=_warning(best, hours, wanted, settings),
            tables=_tables(best),
        )

    def check_intact(self, chosen: ChosenSet) -> None:
        """Hold a chosen set's files against their hashes, before they are used.

        Raises
        ------
        CalibrationError
            If a table is missing or is not the one that was registered.
        """
        outcome = _verify(self.get(chosen.set_id))
        if outcome.status != "ok":
            raise CalibrationError(f"calibration set {chosen.set_id} is {outcome.status}: {outcome.detail}")

    def get(self, set_id: str) -> CalibrationSet:
        """One set with its tables.

        Raises
        ------
        MissingInputError
            If there is none of that identity.
        """
        with reading(self.engine) as session:
            found = session.get(CalibrationSet, set_id)
        if found is None:
            raise MissingInputError(f"the calibration registry holds no set {set_id}")
        return found

    def list(self, *, active_only: bool = False) -> list[CalibrationSet]:
        """All sets with their tables, oldest observation first."""
        statement = select(CalibrationSet).order_by(CalibrationSet.mid_mjd, CalibrationSet.created_at)
        if active_only:
            statement = statement.where(CalibrationSet.status == "active")
        with reading(self.engine) as session:
            return [*session.scalars(statement)]

    def verify(self) -> "list[Verification]":
        """Hold the files of every set against their recorded hashes."""
        return [_verify(found) for found in self.list()]

    def record_use(self, key: str, chosen: ChosenSet) -> None:
        """Note that a set calibrated a group."""
        with transaction(self.engine) as session:
            session.add(
                GroupCalibration(key=key, set_id=chosen.set_id, hours=chosen.hours, warning=chosen.warning)
            )

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


def _misfits(
    candidate: CalibrationSet,
    hours: float,
    mid_mjd: float,
    declination_deg: float,
    antennas: frozenset[str],
    channel_low_hz: float,
    channel_high_hz: float,
    settings: CalibrationSettings,
) -> list[str]:
    """Why a set cannot calibrate a group; empty if it can."""
    reasons = []
    in_range = candidate.valid_from_mjd <= mid_mjd <= candidate.valid_to_mjd
    if abs(hours) > settings.validity_hours or not in_range:
        reasons.append(f"{hours:+.1f} h away, valid within {settings.validity_hours:g} h")
    if abs(candidate.declination_deg - declination_deg) > settings.strip_deg:
        reasons.append(
            f"declination {candidate.declination_deg:+.2f} deg, more than {settings.strip_deg:g} deg away"
        )
    if (
        candidate.channel_low_hz > channel_low_hz + BAND_TOLERANCE_HZ
        or candidate.channel_high_hz < channel_high_hz - BAND_TOLERANCE_HZ
    ):
        reasons.append(
            f"band {candidate.channel_low_hz / 1e6:.3f}-{candidate.channel_high_hz / 1e6:.3f} MHz "
            f"does not cover {channel_low_hz / 1e6:.3f}-{channel_high_hz / 1e6:.3f} MHz"
        )
    held = len(antennas & frozenset(candidate.antennas))
    if held < max(1.0, MINIMUM_ANTENNA_OVERLAP * len(antennas)):
        reasons.append(f"holds {held} of {len(antennas)} antennas")
    return reasons


def _errors(session: Session, candidate: CalibrationSet) -> str:
    """What the last verdicts on a set's solutions have against it."""
    verdicts = standing_verdicts(session, candidate.group_key, "calibration_qa")
    return "; ".join(describe_error(v) for v in verdicts.values() if v.status == "ERROR")


def _warning(
    best: CalibrationSet, hours: float, antennas: frozenset[str], settings: CalibrationSettings
) -> str:
    """What the user should know about a choice."""
    warnings = []
    if abs(hours) > settings.warn_hours:
        warnings.append(f"calibration is {abs(hours):.1f} h away, more than {settings.warn_hours:g} h")
    without = sorted(antennas - frozenset(best.antennas))
    if without:
        warnings.append(f"no solutions for antennas {', '.join(without)}")
    return "; ".join(warnings)
