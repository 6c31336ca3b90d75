"""Groups in the station database: what registers one, and the state transitions that exist.

Belongs here: the state machine, each step a compare-and-set in the caller's
transaction.  Does not belong here: when a step is taken (``products.py``), or
who may take it (``leases.py``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, select, update
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.station.group_summary import summarise_group
from contimg_assets.station.models import GroupTransition, ObservationGroup, now

#: The beginning of a reason that says what failed, and in which way: ``image: ImagingError``.
_KIND = re.compile(r"[\w ]+(: \w+(?=: ))?")
#: The transitions that exist, and no others::
#:
#:     collecting → pending        enough files
#:     collecting → failed         too few files at the timeout
#:     pending → in_progress       a worker starts it
#:     in_progress → completed     everything has been made
#:     in_progress → failed        a stage failed
#:     in_progress → pending       its work was broken off: its worker died or could not begin, somebody or
#:                                 the system asked for an end, or storage was away
#:     completed → pending         a person asked
#:     failed → pending            a person asked; or files that were lacking have come
TRANSITIONS: dict[str, tuple[str, ...]] = {
    "collecting": ("pending", "failed"),
    "pending": ("in_progress",),
    "in_progress": ("completed", "failed", "pending"),
    "completed": ("pending",),
    "failed": ("pending",),
}
#: Longest reason that is kept: the first lines of a message say what went wrong.
REASON_LENGTH = 2000


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
    duration_s: float
    """From the start of the first integration to the end of the last, s."""
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


def get_group(session: Session, key: str, *, lock: bool = False) -> ObservationGroup:
    """A group's row; locked, no other transaction changes it before this one ends."""
    group = session.get(ObservationGroup, key, with_for_update=lock)
    if group is None:
        raise MissingInputError(f"group {key} is not registered: register its files first")
    return group


def begin_for(session: Session, group: ObservationGroup, run: str) -> bool:
    """Let a pending group count as one that a run was made for, which ended before it began.

    Returns
    -------
    bool
        Whether it was moved to ``in_progress``: once for each run, since several look for such runs.
    """
    reason = f"run {run} was made for it"
    if _was_said(session, group.key, GroupTransition.reason == reason) or _has_ended(session, group.key, run):
        return False
    move(session, group, "in_progress", reason)
    return True


def ended_early(session: Session, key: str, run: str, reason: str) -> str | None:
    """What to say of a run that ended before a step of it took a group in progress; None: it was said."""
    return None if _has_ended(session, key, run) else f"{_ended(run)}: {reason}"


def _has_ended(session: Session, key: str, run: str) -> bool:
    return _was_said(session, key, GroupTransition.reason.startswith(_ended(run), autoescape=True))


def _ended(run: str) -> str:
    return f"run {run} ended before it took the group"


def _was_said(session: Session, key: str, condition: ColumnElement[bool]) -> bool:
    found = select(GroupTransition.id).where(GroupTransition.key == key, condition)
    return session.scalars(found.limit(1)).first() is not None


def move(
    session: Session,
    group: ObservationGroup,
    target: str,
    reason: str,
    *,
    cause: str | None = None,
    not_before: datetime | None = None,
) -> None:
    """Change a group's state, if it still is the one that was seen, and note when and why.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    group : ObservationGroup
        As it was seen.
    target, reason : str
        State, and why.
    cause : str, optional
        What broke off its work (one of ``CAUSES``).
    not_before : datetime, optional
        When it may be started again.

    Raises
    ------
    StateError
        If no such transition exists, or another process has moved the group meanwhile.
    """
    key, source = group.key, group.state
    if target not in TRANSITIONS[source]:
        raise StateError(f"group {key} is {source}: it cannot become {target}")
    reason = reason[:REASON_LENGTH]
    values: dict[str, Any] = {"not_before": not_before}
    if target == "pending" and source != "collecting":
        values["retries"] = ObservationGroup.retries + 1
    statement = (
        update(ObservationGroup)
        .where(ObservationGroup.key == key, ObservationGroup.state == source)
        .values(state=target, reason=reason, updated=now(), **values)
        .execution_options(synchronize_session=False)
    )
    if cast(CursorResult[Any], session.execute(statement)).rowcount != 1:
        raise StateError(f"group {key} was {source} a moment ago and is not any more: another process has it")
    session.add(GroupTransition(key=key, from_state=source, to_state=target, reason=reason, cause=cause))
    session.flush()
    session.refresh(group)
    summarise_group(session, key)


def kind_of(reason: str) -> str:
    """A reason without what is the group's own, to count by: the product and the error's name."""
    found = _KIND.match(reason)
    return (found.group() if found else reason)[:64]
