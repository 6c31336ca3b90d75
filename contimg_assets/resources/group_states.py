"""Groups in the catalogue: what registers one, and the state transitions that exist.

Belongs here: the state machine, each step a compare-and-set in the caller's
transaction.  Does not belong here: when a step is taken (``product_catalog.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.resources.models import GroupTransition, ObservationGroup, now

#: The transitions that exist; a group that is done goes back to ``pending`` on request only.
TRANSITIONS: dict[str, tuple[str, ...]] = {
    "collecting": ("pending",),
    "pending": ("in_progress",),
    "in_progress": ("completed", "failed"),
    "completed": ("pending",),
    "failed": ("pending",),
}


@dataclass(frozen=True)
class Registration:
    """What is known of a group from its files alone."""

    key: str
    """Start of the first integration, UTC."""
    files: Mapping[int, Path]
    """The file of each subband that is there."""
    missing_subbands: Sequence[int]
    """Subbands without a file."""
    declination_deg: float
    """Pointing declination, apparent, deg."""
    mid_mjd: float
    """Middle of the group, UTC."""
    antennas: Sequence[str]
    """Names of the antennas in the data."""
    calibrator_name: str | None = None
    """Calibrator in the beam, if any is strong enough."""
    calibrator_apparent_jy: float | None = None
    """Its flux density through the drifting beam, Jy."""
    reason: str = ""
    """What the group waits for, or what is odd about it."""

    def values(self) -> dict[str, Any]:
        """Column values of the group's row."""
        return {
            "n_subbands": len(self.files),
            "missing_subbands": sorted(self.missing_subbands),
            "declination_deg": float(self.declination_deg),
            "mid_mjd": float(self.mid_mjd),
            "files": {str(subband): str(path.absolute()) for subband, path in sorted(self.files.items())},
            "antennas": list(self.antennas),
            "calibrator_name": self.calibrator_name,
            "calibrator_apparent_jy": self.calibrator_apparent_jy,
            "reason": self.reason,
        }


def get_group(session: Session, key: str) -> ObservationGroup:
    group = session.get(ObservationGroup, key)
    if group is None:
        raise MissingInputError(f"group {key} is not in the catalogue: register its files first")
    return group


def move(session: Session, key: str, source: str, target: str, reason: str, **values: Any) -> None:
    """Change a group's state, if it still is the one that was seen."""
    if target not in TRANSITIONS[source]:
        raise StateError(f"group {key} is {source}: it cannot become {target}")
    statement = (
        update(ObservationGroup)
        .where(ObservationGroup.key == key, ObservationGroup.state == source)
        .values(state=target, reason=reason, updated=now(), **values)
        .execution_options(synchronize_session=False)
    )
    if cast(CursorResult[Any], session.execute(statement)).rowcount != 1:
        raise StateError(f"group {key} was {source} a moment ago and is not any more: another process has it")
    session.add(GroupTransition(key=key, from_state=source, to_state=target, reason=reason))


def walk(session: Session, key: str, target: str, reason: str, **values: Any) -> None:
    """Take a group to ``target`` by the transitions that exist, recording each."""
    group = get_group(session, key)
    state, retries = group.state, group.retries
    session.expunge(group)
    while state != target:
        step = target if target in TRANSITIONS[state] else TRANSITIONS[state][0]
        extra = dict(values) if step == target else {}
        if state in ("completed", "failed"):
            retries += 1
            extra["retries"] = retries
        move(session, key, state, step, reason, **extra)
        state = step
