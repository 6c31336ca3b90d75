"""Which calibration set a group gets: the nearest that fits, then the stated fallbacks, or a wait.

Belongs here: ranking registered sets for a group, and when a group waits for a
better one.  Does not belong here: whether solutions fit (``radio/calibration/
compatibility.py``), what is registered (``calibration_registry.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from contimg_assets.radio.calibration.compatibility import Coverage, Finding, findings, misfits
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import CalibrationError, NoCalibratorError
from contimg_assets.station.calibration_registry import (
    HOURS_PER_DAY,
    CalibrationRegistry,
    table_entries,
    verify_set,
)
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.models import FALLBACKS, NAMED, CalibrationSet, CalibrationWait, ObservationGroup
from contimg_assets.station.products import StationRecords

#: The nearer of two sets leads; one of better quality may be a little farther.
_LARGEST_WEIGHT = 0.5
SAME_DAY, BACKUP, BANDPASS, EARLIER = FALLBACKS


@dataclass(frozen=True)
class ChosenSet:
    """A set that can calibrate a group."""

    found: CalibrationSet
    hours: float
    """Mid-time of the set minus that of the group, h."""
    fallback: str
    """How it was come by: one of ``FALLBACKS``."""
    warning: str
    """What the user should know about the choice; empty if nothing."""
    home: Path
    """Folder to which the sets' paths are relative."""
    other: CalibrationSet | None = None
    """A set on the other side in time, towards which gains are interpolated."""
    weight: float = 0.0
    """Part of the time between the two that has passed since the nearer."""

    @property
    def set_id(self) -> str:
        """Identity in the registry."""
        return self.found.id

    @property
    def set_ids(self) -> tuple[str, ...]:
        """Identities of the one or two sets that are applied."""
        return (self.found.id,) if self.other is None else (self.found.id, self.other.id)

    @property
    def path(self) -> Path:
        """Folder with the tables."""
        return self.home / self.found.path

    @property
    def other_path(self) -> Path | None:
        """Folder with the tables of the other set, if there is one."""
        return None if self.other is None else self.home / self.other.path

    def provenance(self) -> dict[str, Any]:
        """What the image's header and the product's ``provenance.json`` say of the set."""
        found = self.found
        return {
            "set_id": found.id,
            "path": str(self.path),
            "calibrator": found.calibrator,
            "group": found.group_key,
            "flux_model": found.flux_model,
            "refant": found.refant,
            "tables": [dict(table) for table in table_entries(found)],
            "solved_with": found.software,
            "hours": self.hours,
            "fallback": self.fallback,
            "warning": self.warning,
            "interpolated": self._interpolated(),
        }

    def _interpolated(self) -> dict[str, Any] | None:
        if self.other is None:
            return None
        return {
            "set_id": self.other.id,
            "path": str(self.other_path),
            "calibrator": self.other.calibrator,
            "weight": self.weight,
            "tables": [dict(table) for table in table_entries(self.other)],
        }

    def check_intact(self) -> None:
        """Hold the set's files against their hashes, before they are used.

        Raises
        ------
        CalibrationError
            If a table is missing or is not the one that was registered.
        """
        for used in [self.found, *([self.other] if self.other else [])]:
            outcome = verify_set(used, self.home)
            if outcome.status != "ok":
                raise CalibrationError(f"calibration set {used.id} is {outcome.status}: {outcome.detail}")


@dataclass(frozen=True)
class Wait:
    """Why a group is not calibrated yet, and until when that can last."""

    reason: str
    deadline: datetime


def need_of(group: ObservationGroup, records: StationRecords) -> Coverage:
    """What a converted group needs of a calibration."""
    numbers = records.product(group.key, "measurement_set").numbers
    return Coverage(
        group.mid_mjd,
        group.declination_deg,
        numbers["channel_low_hz"],
        numbers["channel_high_hz"],
        frozenset(group.antennas),
    )


def expected_need(group: ObservationGroup) -> Coverage:
    """What a group that is not converted yet will need: its band is that of the subbands that it has."""
    # Brings numpy, which whoever only reads the station database need not load.
    from contimg_assets.radio.telescope import subband_frequencies

    subbands = sorted(map(int, group.files))
    low, high = (float(subband_frequencies(k, 1)[0]) for k in (subbands[-1], subbands[0]))
    return Coverage(group.mid_mjd, group.declination_deg, low, high, frozenset(group.antennas))


class CalibrationSelection:
    """Chooses among the sets of a registry.

    Parameters
    ----------
    registry : CalibrationRegistry
    """

    def __init__(self, registry: CalibrationRegistry) -> None:
        self.registry = registry
        self.settings: CalibrationOptions = registry.settings

    # -- which ------------------------------------------------------------------------------

    def options(self, need: Coverage) -> list[ChosenSet]:
        """The sets that a group may be calibrated with, best first: one of each fallback at most.

        Parameters
        ----------
        need : Coverage
            What the group needs.

        Returns
        -------
        list of ChosenSet
            In the order ``FALLBACKS``.

        Raises
        ------
        NoCalibratorError
            If there is none; the message says why each set did not fit.
        """
        choices = self.settings
        longest = max(choices.validity_hours, choices.bandpass_hours, HOURS_PER_DAY * choices.earlier_days)
        by_fallback: dict[str, list[tuple[float, CalibrationSet]]] = {name: [] for name in FALLBACKS}
        unfit: list[str] = []
        for candidate in self._within(need.mid_mjd, longest / HOURS_PER_DAY):
            hours = (candidate.mid_mjd - need.mid_mjd) * HOURS_PER_DAY
            held = self.held_against(candidate, need)
            reasons = misfits(held)
            if candidate.status == "failed":
                reasons = [f"failed: {candidate.reason}", *reasons]
            elif not misfits(held, ignore=("time",)):
                for name in self._fallbacks(candidate, hours, valid=not reasons):
                    by_fallback[name].append((hours, candidate))
            if reasons:
                unfit.append(f"{candidate.id}: {', '.join(reasons)}")
        found = [self._best(name, candidates, need) for name, candidates in by_fallback.items() if candidates]
        if not found:
            listed = "; ".join(unfit) or f"the registry holds no set within {choices.earlier_days:g} days"
            raise NoCalibratorError(
                f"no valid calibration for the group at MJD {need.mid_mjd:.5f}, "
                f"declination {need.declination_deg:+.2f} deg: {listed}"
            )
        return found

    def candidates(self, need: Coverage, named: str | None) -> list[ChosenSet]:
        """The set that a person named, or, if none is, the options that there are."""
        return self.options(need) if named is None else [self.named(named, need)]

    def named(self, set_id: str, need: Coverage) -> ChosenSet:
        """A set that a person names for a group, whatever others there are; its age is no hindrance.

        Raises
        ------
        MissingInputError
            If the registry holds none of that identity.
        CalibrationError
            If it does not fit the group, or is not active; the message says in what.
        """
        found = self.registry.get(set_id)
        reasons = misfits(self.held_against(found, need), ignore=("time",))
        if found.status != "active":
            why = f": {found.reason}" if found.reason else ""
            reasons = [f"{found.status}{why}", *reasons]
        if reasons:
            raise CalibrationError(f"calibration set {set_id} does not fit the group: {'; '.join(reasons)}")
        hours = (found.mid_mjd - need.mid_mjd) * HOURS_PER_DAY
        warning = self._warning(found, hours, NAMED, need)
        return ChosenSet(found, hours, NAMED, warning, self.registry.home)

    def held_against(self, found: CalibrationSet, need: Coverage) -> list[Finding]:
        """What of a set fits a group and what does not, by its sidecar: no table is opened."""
        have = Coverage(
            found.mid_mjd,
            found.declination_deg,
            found.channel_low_hz,
            found.channel_high_hz,
            frozenset(found.antennas),
        )
        return findings(have, need, self.settings)

    def near(self, mid_mjd: float, days: float) -> list[CalibrationSet]:
        """Sets of any status within some days of a time, nearest first."""
        statement = select(CalibrationSet).where(
            CalibrationSet.mid_mjd.between(mid_mjd - days, mid_mjd + days)
        )
        with reading(self.registry.engine) as session:
            found = list(session.scalars(statement))
        return sorted(found, key=lambda item: (abs(item.mid_mjd - mid_mjd), item.id))

    def _within(self, mid_mjd: float, days: float) -> list[CalibrationSet]:
        statement = (
            select(CalibrationSet)
            .where(
                CalibrationSet.status.in_(("active", "failed")),
                CalibrationSet.mid_mjd.between(mid_mjd - days, mid_mjd + days),
            )
            .order_by(CalibrationSet.mid_mjd, CalibrationSet.id)
        )
        with reading(self.registry.engine) as session:
            return list(session.scalars(statement))

    def _fallbacks(self, candidate: CalibrationSet, hours: float, *, valid: bool) -> list[str]:
        """The fallbacks that a set serves, which fits but perhaps in time."""
        apparent, choices = candidate.calibrator_apparent_jy, self.settings
        if valid:
            faint = apparent is not None and apparent < choices.minimum_calibrator_jy
            return [BACKUP if faint else SAME_DAY]
        serves = [BANDPASS] if abs(hours) <= choices.bandpass_hours else []
        return serves + ([EARLIER] if -HOURS_PER_DAY * choices.earlier_days <= hours < 0 else [])

    def _best(
        self, fallback: str, candidates: Sequence[tuple[float, CalibrationSet]], need: Coverage
    ) -> ChosenSet:
        """The nearest; of sets that are as near within ``overlap_hours``, the one of best quality."""
        nearest = min(abs(hours) for hours, _ in candidates)
        near = [item for item in candidates if abs(item[0]) <= nearest + self.settings.overlap_hours]

        def quality(item: tuple[float, CalibrationSet]) -> tuple[float, float, float]:
            hours, found = item
            held = len(need.antennas & frozenset(found.antennas))
            return held, float(found.quality.get("median_snr") or 0.0), -abs(hours)

        hours, best = max(near, key=quality)
        chosen = ChosenSet(
            best, hours, fallback, self._warning(best, hours, fallback, need), self.registry.home
        )
        # Across the group in time, so that it lies between the two.
        across = [item for item in candidates if item[0] * hours < 0]
        if fallback != SAME_DAY or not (self.settings.interpolate and across):
            return chosen
        other_hours, other = min(across, key=lambda item: abs(item[0]))
        weight = abs(hours) / (abs(hours) + abs(other_hours))
        # Beside a set of the same half hour the other one has nothing to add but its noise.
        if abs(hours) <= self.settings.overlap_hours or weight > _LARGEST_WEIGHT:
            return chosen
        return replace(chosen, other=other, weight=weight)

    def _warning(self, best: CalibrationSet, hours: float, fallback: str, need: Coverage) -> str:
        """What the user should know about a choice."""
        told = []
        if fallback == BACKUP:
            told.append(
                f"back-up calibrator {best.calibrator} ({best.calibrator_apparent_jy:.1f} Jy apparent)"
            )
        if fallback == BANDPASS:
            told.append("bandpass only: gains are from self-calibration on the field")
        if fallback == EARLIER:
            told.append("no set of the same day: the nearest earlier one")
        if abs(hours) > self.settings.warn_hours:
            told.append(f"calibration is {abs(hours):.1f} h away, more than {self.settings.warn_hours:g} h")
        without = sorted(need.antennas - frozenset(best.antennas))
        if without:
            told.append(f"no solutions for antennas {', '.join(without)}")
        return "; ".join(told)

    # -- when -------------------------------------------------------------------------------

    def waiting(
        self, group: ObservationGroup, records: StationRecords, at: datetime | None = None
    ) -> Wait | None:
        """Whether a group should wait for its calibration; None if it should start (or be refused) now.

        It waits while a scan that would serve it better is in the station database and
        not solved yet, and while no set of its day is there at all, but never
        past its deadline.
        """
        moment = at or datetime.now(UTC)
        seen = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=group.mid_mjd)
        deadline = max(seen, group.created) + timedelta(hours=self.settings.deadline_hours)
        if moment >= deadline:
            return None
        try:
            best = self.options(need_of(group, records))[0]
        except NoCalibratorError as error:
            best, lack = None, str(error)
        else:
            lack = f"only a set of fallback {best.fallback}: {best.warning}"
        if best is not None and best.fallback in (SAME_DAY, BACKUP):
            coming = self._coming(group, best)
            return Wait(coming, deadline) if coming else None
        return Wait(lack, deadline)

    def covers(self, group: ObservationGroup) -> bool:
        """Whether a group that is not converted yet can be imaged at once: it will not wait for calibration.

        A calibrator scan is none such, since it is to be solved first.
        """
        if (group.calibrator_apparent_jy or 0.0) >= self.settings.minimum_calibrator_jy or not group.files:
            return False
        try:
            best = self.options(expected_need(group))[0]
        except NoCalibratorError:
            return False
        return best.fallback in (SAME_DAY, BACKUP) and not self._coming(group, best)

    def _coming(self, group: ObservationGroup, best: ChosenSet) -> str:
        """The scan that would serve a group better than ``best`` and is on its way; empty if none is."""
        choices = self.settings
        reach = choices.validity_hours if best.fallback == BACKUP else abs(best.hours) - choices.overlap_hours
        reach /= HOURS_PER_DAY
        statement = (
            select(ObservationGroup)
            .outerjoin(CalibrationSet, CalibrationSet.group_key == ObservationGroup.key)
            .where(
                ObservationGroup.calibrator_apparent_jy >= choices.minimum_calibrator_jy,
                ObservationGroup.state.in_(("pending", "in_progress")),
                ObservationGroup.mid_mjd.between(group.mid_mjd - reach, group.mid_mjd + reach),
                ObservationGroup.declination_deg.between(
                    group.declination_deg - choices.strip_deg, group.declination_deg + choices.strip_deg
                ),
                CalibrationSet.id.is_(None) | (CalibrationSet.status == "pending"),
            )
            .limit(1)
        )
        with reading(self.registry.engine) as session:
            scan = session.scalars(statement).first()
        if scan is None:
            return ""
        return (
            f"scan {scan.key} of {scan.calibrator_name} is not solved yet; "
            f"{best.set_id} would do ({best.fallback})"
        )

    def record_wait(self, key: str, wait: Wait | None) -> None:
        """Keep what a group waits for, or that it waits no more."""
        with transaction(self.registry.engine) as session:
            earlier = session.get(CalibrationWait, key)
            if wait is None:
                session.execute(delete(CalibrationWait).where(CalibrationWait.key == key))
            elif earlier is None:
                session.add(CalibrationWait(key=key, reason=wait.reason, deadline=wait.deadline))
            elif (earlier.reason, earlier.deadline) != (wait.reason, wait.deadline):
                earlier.reason, earlier.deadline = wait.reason, wait.deadline

    def wait_of(self, key: str) -> CalibrationWait | None:
        """What a group waits for; None if it does not."""
        with reading(self.registry.engine) as session:
            return session.get(CalibrationWait, key)

    def waits(self) -> dict[str, CalibrationWait]:
        """Groups that wait for their calibration."""
        with reading(self.registry.engine) as session:
            return {row.key: row for row in session.scalars(select(CalibrationWait))}
