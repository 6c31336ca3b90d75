"""The state of the station in numbers: what arrives, what waits, how late images are, room on the disk.

Belongs here: gathering, by statements that count where the rows are.  Does not belong
here: what Dagster knows (``web/orchestrator.py``), or single groups (``views.py``).
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from sqlalchemy import Engine, func, select

from contimg_assets.settings import Settings
from contimg_assets.station.database import reading
from contimg_assets.station.models import (
    ArrivedFile,
    CalibrationWait,
    GroupSummary,
    GroupTransition,
    ObservationGroup,
    Pointing,
    now,
)

#: Images that latency and rate are told of: those of so long.
RECENT = timedelta(hours=24)
#: Time over which growth of the disk is taken.
GROWTH = timedelta(days=7)
MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)


@dataclass(frozen=True)
class Ingest:
    """What arrives."""

    last_file_age_s: float | None
    """Since a file was last settled, s; None if none ever was."""
    last_group: str | None
    """The newest observation."""
    last_group_age_s: float | None
    """Since its middle, s."""


@dataclass(frozen=True)
class Pace:
    """How images keep up with the sky, of those made in the last day of groups observed in it."""

    n_images: int
    median_latency_s: float | None
    """From mid-group to image, s."""
    worst_latency_s: float | None
    real_time_factor: float | None
    """Time observed in the images of the last hour over an hour; above 1 a backlog shrinks."""


@dataclass(frozen=True)
class Forecast:
    """When what waits will have been made, at the pace of the last hour."""

    backlog: int
    """Groups that wait, or are being made."""
    images_per_hour: int
    """Images made in the last hour."""
    arrived_per_hour: int
    """Groups that came in it."""
    level_at: datetime | None
    """When nothing waits any more; None if more comes than is made, or nothing waits."""


@dataclass(frozen=True)
class Room:
    """Room on a disk."""

    path: str
    total_bytes: int
    free_bytes: int
    days_left: float | None
    """At the growth of the last week; None if nothing was made, or sizes are not known."""


@dataclass(frozen=True)
class Waiting:
    """A group that waits for its calibration."""

    key: str
    state: str
    verdict: str
    reason: str
    since: datetime
    deadline: datetime


def ingest(engine: Engine) -> Ingest:
    """What arrives."""
    with reading(engine) as session:
        last_file = session.scalar(select(func.max(ArrivedFile.at)))
        newest = select(GroupSummary.key, GroupSummary.mid_mjd).order_by(GroupSummary.key.desc()).limit(1)
        group = session.execute(newest).first()
    age = (now() - last_file).total_seconds() if last_file else None
    seen = None if group is None else (now() - _at(group.mid_mjd)).total_seconds()
    return Ingest(age, group.key if group else None, seen)


def pace(engine: Engine) -> Pace:
    """How images keep up with the sky."""
    since = now() - RECENT
    of_late = select(GroupSummary.mid_mjd, GroupSummary.image_made_at, Pointing.end_mjd - Pointing.start_mjd)
    of_late = of_late.outerjoin(Pointing, Pointing.key == GroupSummary.key).where(
        GroupSummary.image_made_at > since, GroupSummary.mid_mjd > (since - MJD_0) / timedelta(days=1)
    )
    with reading(engine) as session:
        rows = session.execute(of_late).all()
    late = [(made - _at(mid)).total_seconds() for mid, made, _ in rows]
    hour = timedelta(hours=1)
    last = [days for _, made, days in rows if made > now() - hour and days is not None]
    return Pace(
        len(rows),
        median(late) if late else None,
        max(late, default=None),
        sum(last) * timedelta(days=1) / hour if last else None,
    )


def forecast(engine: Engine) -> Forecast:
    """When what waits will have been made."""
    at = now()
    hour = timedelta(hours=1)
    waits = select(func.count(ObservationGroup.key)).where(
        ObservationGroup.state.in_(("pending", "in_progress"))
    )
    came = select(func.count(ObservationGroup.key)).where(ObservationGroup.created > at - hour)
    made = select(func.count(GroupSummary.key)).where(GroupSummary.image_made_at > at - hour)
    with reading(engine) as session:
        backlog, arrived, images = (session.scalar(each) or 0 for each in (waits, came, made))
    gained = images - arrived
    level = at + hour * (backlog / gained) if backlog and gained > 0 else None
    return Forecast(backlog, images, arrived, level)


def waiting(engine: Engine) -> list[Waiting]:
    """Groups that wait for their calibration, the first to reach its deadline first."""
    statement = (
        select(CalibrationWait, GroupSummary.state, GroupSummary.verdict)
        .join(GroupSummary, GroupSummary.key == CalibrationWait.key)
        .order_by(CalibrationWait.deadline)
    )
    with reading(engine) as session:
        return [
            Waiting(wait.key, state, verdict, wait.reason, wait.since, wait.deadline)
            for wait, state, verdict in session.execute(statement)
        ]


def room(engine: Engine, settings: Settings) -> Room:
    """Room where products lie, and for how long it will do."""
    usage = shutil.disk_usage(settings.home)
    made = select(func.sum(GroupSummary.measurement_set_bytes)).where(
        GroupSummary.image_made_at > now() - GROWTH
    )
    with reading(engine) as session:
        # A group's Measurement Set lies there twice: as converted, and calibrated. The rest is small.
        # PostgreSQL's sum is a Decimal.
        written = 2.0 * float(session.scalar(made) or 0)
    per_day = written / (GROWTH / timedelta(days=1))
    return Room(str(settings.home), usage.total, usage.free, usage.free / per_day if per_day else None)


def last_failures(engine: Engine, limit: int) -> list[GroupSummary]:
    """Groups that failed, by the time of that, newest first."""
    failed = (
        select(GroupTransition.key, func.max(GroupTransition.id).label("last"))
        .where(GroupTransition.to_state == "failed")
        .group_by(GroupTransition.key)
        .subquery()
    )
    statement = (
        select(GroupSummary)
        .join(failed, failed.c.key == GroupSummary.key)
        .where(GroupSummary.state == "failed")
        .order_by(failed.c.last.desc())
        .limit(limit)
    )
    with reading(engine) as session:
        return list(session.scalars(statement))


def _at(mjd: float) -> datetime:
    return MJD_0 + timedelta(days=mjd)
