"""The guard of the disk: new groups are held back before it is full, and let go on when there is room again.

How many more groups fit is judged from what groups took that were made here (the largest of the last ones),
from what those in work have still to write, and from a reserve for all else.  Where none was made yet, a
group is expected to take a multiple of its files.  New groups are held back when not one more fits, and
let go on when several do: in between all stays as it is, so that it does not change with every group.

Belongs here: measuring, that decision, and telling of it; and when the disk will be full at the pace of the
last week.  Does not belong here: what may be removed (``retention_rules.py``), or a disk that is full
already (``storage.py``).
"""

import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import linear_regression
from typing import Any

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from contimg_assets.settings import Settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.models import GROUP, GroupSummary, ObservationGroup, ProductVersion, now
from contimg_assets.station.space_models import SpaceGuard, SpaceSample

#: Groups whose sizes are looked at: those that were made last.
_MEASURED = 20
#: What a group takes of its files' size where none was made yet: a full-size one takes 1.91 GB of 2.31.
_PER_FILES = 1.2
#: … and of its Measurement Set's, where the others were made by earlier releases: 1.91 GB of 1.41.
_PER_MEASUREMENT_SET = 1.6
#: Time between two samples of the disk, over which its pace is taken, and for how long they are kept; a pace
#: needs samples over this long.
_SAMPLE, _SPAN = timedelta(minutes=10), timedelta(hours=6)
_PACE, _KEPT = timedelta(days=7), timedelta(days=30)
_ONLY = 1
#: Kind of the alarms.
ALARM = "disk"


@dataclass(frozen=True)
class Space:
    """Room for groups, as it was measured."""

    path: str
    """The disk that has the least room for groups: that of the home, or scratch."""
    total_bytes: int
    free_bytes: int
    reserve_bytes: int
    """Room that groups may not use."""
    group_bytes: int
    """What a group takes; 0 if that is not known."""
    n_measured: int
    """Groups by which that was measured; 0: expected from the size of a group's files."""
    n_in_work: int
    """Groups that are being made, or have been asked for."""
    promised_bytes: int
    """What those have still to write."""
    n_more: int | None
    """Groups that fit besides; None if that is not known."""
    stopped: bool
    """New groups are held back."""
    since: datetime | None
    """When that changed last."""
    wanted_bytes: int
    """Room that retention should make."""
    days_left: float | None
    """Until the disk is full, at the pace of the last week; None if it does not fill up, or is not known."""

    @property
    def text(self) -> str:
        """The same in a line."""
        free = f"{self.free_bytes / 1e9:.1f} GB free of {self.total_bytes / 1e9:.1f} GB at {self.path}"
        if self.n_more is None:
            told = "what a group takes is not known yet"
        else:
            by = "as measured" if self.n_measured else "as expected from its files"
            told = f"room for {self.n_more} more groups of {self.group_bytes / 1e9:.2f} GB ({by})"
            told += f" besides {self.n_in_work} in work" if self.n_in_work else ""
        left = f"; full in {self.days_left:.1f} days" if self.days_left is not None else ""
        held = f"; NEW GROUPS ARE HELD BACK since {self.since:%Y-%m-%d %H:%M} UTC" if self.stopped else ""
        return f"disk: {free}, {told}{left}{held}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        since = None if self.since is None else self.since.isoformat(timespec="seconds")
        return {**asdict(self), "since": since}


class Guard:
    """The guard of one installation's disk; its decision is a row, so that all processes do the same.

    Parameters
    ----------
    engine : Engine
        Of the station database.
    settings : Settings
        Of the same installation.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings

    def look(self, asked: Collection[str] = ()) -> Space:
        """Measure; nothing is written.

        Parameters
        ----------
        asked : collection of str
            Groups that have been asked for, beside those in work.
        """
        with reading(self.engine) as session:
            row = session.get(SpaceGuard, _ONLY)
            stopped, since = (row.stopped, row.since) if row else (False, None)
            return self._measure(session, asked, stopped=stopped, since=since)

    def judge(self, notifier: Notifier, asked: Collection[str] = ()) -> Space:
        """Measure, and hold new groups back or let them go on; a change is told as an alarm."""
        found = self.look(asked)
        stopped = self._decide(found)
        if stopped != found.stopped:
            at = now()
            with transaction(self.engine) as session:
                session.merge(SpaceGuard(id=_ONLY, stopped=stopped, reason=found.text, since=at))
            found = self.look(asked)
            verb = "new groups are held back" if stopped else "new groups go on"
            notifier.send_once(ALARM, found.path, f"{verb}: {found.text}")
        self._sample(found)
        if found.days_left is not None and found.days_left < self.settings.space.warn_days:
            told = f"the disk will be full in {found.days_left:.1f} days"
            notifier.send_once(ALARM, found.path, f"{told}: {found.text}", same="the disk will be full")
        return found

    def _decide(self, found: Space) -> bool:
        if found.n_more is None:
            return found.free_bytes < found.reserve_bytes
        if not found.stopped:
            return found.n_more < 1
        # Nothing will become free by itself where nothing is in work: one that fits may go.
        enough = self.settings.space.resume_groups if found.n_in_work else 1
        return found.n_more < enough

    def _measure(
        self, session: Session, asked: Collection[str], *, stopped: bool, since: datetime | None
    ) -> Space:
        reserve = int(self.settings.space.reserve_gb * 1e9)
        size, n_measured = _group_bytes(session)
        in_work, promised = _promised(session, asked, size)
        place, usage = self._tightest()
        room = usage.free - reserve - promised
        n_more = max(0, room // size) if size else None
        wanted = size * self.settings.space.resume_groups - room if size else reserve - usage.free
        return Space(
            str(place),
            usage.total,
            usage.free,
            reserve,
            size,
            n_measured,
            in_work,
            promised,
            n_more,
            stopped,
            since,
            max(0, wanted),
            _days_left(session, usage.free - reserve),
        )

    def _tightest(self) -> tuple[Path, Any]:
        """The home's disk, or that of scratch if it is another one below the reserve."""
        home, scratch = self.settings.home, self.settings.scratch
        usage = shutil.disk_usage(home)
        if scratch is None or not scratch.is_dir() or scratch.stat().st_dev == home.stat().st_dev:
            return home, usage
        other = shutil.disk_usage(scratch)
        # What stages need there is not known group by group: the reserve is for it.
        return (scratch, other) if other.free < self.settings.space.reserve_gb * 1e9 else (home, usage)

    def _sample(self, found: Space) -> None:
        at = now()
        with transaction(self.engine) as session:
            newest = session.scalar(select(func.max(SpaceSample.at)))
            if newest is None or at - newest >= _SAMPLE:
                free, total = found.free_bytes, found.total_bytes
                session.add(SpaceSample(at=at, free_bytes=free, total_bytes=total))
                session.execute(delete(SpaceSample).where(SpaceSample.at < at - _KEPT))


def _group_bytes(session: Session) -> tuple[int, int]:
    """What a group takes while it is made, and by how many groups that was measured."""
    newest = (
        select(GroupSummary.key)
        .where(GroupSummary.image_version_id.is_not(None))
        .order_by(GroupSummary.image_version_id.desc())
        .limit(_MEASURED)
    )
    sizes = session.scalars(
        select(func.sum(ProductVersion.made_bytes))
        .where(
            ProductVersion.kind == GROUP,
            ProductVersion.key.in_(newest),
            ProductVersion.superseded_at.is_(None),
            ProductVersion.made_bytes.is_not(None),
        )
        .group_by(ProductVersion.key)
    ).all()
    measured = [int(each) for each in sizes if each]
    if measured:
        return max(measured), len(measured)
    # Groups of earlier releases: their Measurement Set is all that was weighed.
    converted = session.scalar(
        select(func.max(GroupSummary.measurement_set_bytes)).where(GroupSummary.key.in_(newest))
    )
    if converted:
        return int(_PER_MEASUREMENT_SET * converted), 0
    waits = select(ObservationGroup).where(ObservationGroup.state.in_(("pending", "in_progress"))).limit(1)
    first = session.scalars(waits).first()
    if first is None:
        return 0, 0
    files = [path for path in map(Path, first.files.values()) if path.is_file()]
    return int(_PER_FILES * sum(path.stat().st_size for path in files)), 0


def bytes_of(engine: Engine, keys: Collection[str]) -> tuple[int, int]:
    """Bytes of groups' products: of the current versions as they were made, and what is kept of them."""
    sums = select(func.sum(ProductVersion.made_bytes), func.sum(ProductVersion.kept_bytes)).where(
        ProductVersion.kind == GROUP, ProductVersion.key.in_(keys), ProductVersion.superseded_at.is_(None)
    )
    with reading(engine) as session:
        made, kept = session.execute(sums).one()
    return made or 0, kept or 0


def _promised(session: Session, asked: Collection[str], size: int) -> tuple[int, int]:
    """How many groups are in work or asked for, and what they have still to write."""
    working = select(ObservationGroup).where(ObservationGroup.state == "in_progress")
    groups = {group.key: group.updated for group in session.scalars(working)}
    written: dict[str, int] = dict.fromkeys(groups, 0)
    rows = select(ProductVersion.key, ProductVersion.made_at, ProductVersion.made_bytes).where(
        ProductVersion.kind == GROUP,
        ProductVersion.superseded_at.is_(None),
        ProductVersion.key.in_(select(ObservationGroup.key).where(ObservationGroup.state == "in_progress")),
    )
    for key, made_at, made_bytes in session.execute(rows):
        # What is older is of an earlier making, and will be written again.
        if key in groups and made_at >= groups[key]:
            written[key] += made_bytes or 0
    others = set(asked) - groups.keys()
    promised = sum(max(0, size - done) for done in written.values()) + size * len(others)
    return len(groups) + len(others), promised


def _days_left(session: Session, room: int) -> float | None:
    """Until the room is used up, by a straight line through what was free in the last week."""
    rows = session.execute(
        select(SpaceSample.at, SpaceSample.free_bytes).where(SpaceSample.at > now() - _PACE)
    ).all()
    if not rows or rows[-1].at - rows[0].at < _SPAN:
        return None
    # Not numpy's: a command that only reads starts at once.
    days = [(row.at - rows[0].at) / timedelta(days=1) for row in rows]
    per_day = -linear_regression(days, [float(row.free_bytes) for row in rows]).slope
    return max(0.0, room / per_day) if per_day > 0 else None
