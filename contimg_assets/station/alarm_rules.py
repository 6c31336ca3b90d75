"""What lasts and is an alarm: told by the station database and the disks.

Belongs here: the questions, each a few indexed rows, asked every half a minute.  Does not
belong here: what Dagster knows (``resources/dagster_alarms.py``), what happens once and is told
by whoever meets it (``alerts.py``), or what is done about an alarm (``alarms.py``).
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import BackupError
from contimg_assets.radio.group_key import key_time
from contimg_assets.settings import Settings
from contimg_assets.station.alarms import Condition, open_alarms
from contimg_assets.station.alerts import PAGE, TELL
from contimg_assets.station.backup import last_backup
from contimg_assets.station.calibration_outlook import HOURS_AHEAD, outlook
from contimg_assets.station.database import reading
from contimg_assets.station.models import (
    GROUP,
    CalibrationWait,
    GroupSummary,
    GroupTransition,
    ObservationGroup,
    ProductVersion,
    Verdict,
)
from contimg_assets.station.status_views import room

#: Data are live whose group was entered within this time of its observation.
LIVE = timedelta(days=1)
#: A dish has changed that is dead in so many newest groups, and was not in all of so many before.
_NEWEST, _BEFORE = 3, 9
#: A disk is full within two and a half times ``disk_days``: people are told.
_TELL_DAYS = 2.5
#: Free part of a disk below which it is about to be full, whatever its growth.
NEARLY_FULL = 0.03
#: Antennas or groups that a message names.
_NAMED = 5
Look = Callable[[Engine, Settings, datetime], Iterator[Condition]]


def conditions(engine: Engine, settings: Settings, at: datetime) -> tuple[list[Condition], set[str]]:
    """All that lasts now, and the kinds that were looked at."""
    found = [each for look in LOOKS.values() for each in look(engine, settings, at)]
    return found, set(LOOKS)


def _no_data(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:
    """The telescope's data came live, and come no more."""
    limit = settings.alarms.no_data_minutes
    with reading(engine) as session:
        newest = _newest_live(session)
    if limit is None or newest is None:
        return
    minutes = (at - newest.created).total_seconds() / 60
    if minutes > limit:
        message = f"the newest group, {newest.key}, was entered {_duration(minutes)} ago; none has come since"
        yield Condition("no_data", "", newest.key, message, PAGE)


def _no_image(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:
    """Groups come, and none becomes an image."""
    limit = timedelta(minutes=settings.alarms.no_image_minutes)
    coming = select(func.max(ObservationGroup.created), func.max(ObservationGroup.key))
    waiting = select(func.count()).where(
        ObservationGroup.state.in_(("pending", "in_progress")), ObservationGroup.created < at - limit
    )
    with reading(engine) as session:
        newest, key = session.execute(coming).one()
        last = session.scalar(select(func.max(GroupSummary.image_made_at)))
        n_waiting = session.scalar(waiting) or 0
    if newest is None or newest < at - limit or not n_waiting or (last is not None and last > at - limit):
        return
    since = (
        "none was ever made" if last is None else f"the last was made {_duration(_minutes(at - last))} ago"
    )
    message = f"groups come (the newest is {key}), {n_waiting} have waited for long; of images, {since}"
    yield Condition("no_image", "", key, message, PAGE)


def _stuck(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:
    """Groups that nobody goes on with."""
    before = at - timedelta(hours=settings.alarms.stuck_hours)
    began = select(func.max(GroupTransition.at)).where(GroupTransition.to_state == "in_progress")
    states = {
        "in_progress": "in progress",
        "pending": "waiting, and no group has begun",
    }
    with reading(engine) as session:
        last_begin = session.scalar(began)
        for state, words in states.items():
            if state == "pending" and last_begin is not None and last_begin > before:
                continue
            rows = _old_groups(session, state, before, at)
            if rows:
                names = ", ".join(row.key for row in rows[:_NAMED])
                message = f"{len(rows)} groups are {words} for {settings.alarms.stuck_hours:g} h: {names}"
                message += f"; the first says: {rows[0].reason}" if rows[0].reason else ""
                yield Condition("stuck", state.replace("_", " "), rows[0].key, message)


def _old_groups(session: Session, state: str, before: datetime, at: datetime) -> list[ObservationGroup]:
    """Groups in a state since before a time that do not wait for a calibration which may still come."""
    waits = select(CalibrationWait.key).where(CalibrationWait.deadline > at)
    statement = select(ObservationGroup).where(
        ObservationGroup.state == state, ObservationGroup.updated < before, ObservationGroup.key.not_in(waits)
    )
    return list(session.scalars(statement.order_by(ObservationGroup.updated).limit(1000)))


def _no_calibrator(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:
    """No calibrator crosses the beam within a day, where the telescope looks."""
    with reading(engine) as session:
        newest = _newest_live(session)
    if newest is None or key_time(newest.key) < at - LIVE:
        return
    found = outlook(engine, settings.calibration)
    if found is None or found.transits:
        return
    left = (
        "no set holds" if found.hours_left is None else f"the set in force holds for {found.hours_left:.1f} h"
    )
    message = (
        f"at {found.declination_deg:+.2f}° no calibrator crosses the beam within {HOURS_AHEAD:g} h after "
        f"{newest.key}; {left}"
    )
    yield Condition("no_calibrator", f"{found.declination_deg:+.1f}°", newest.key, message)


def _dish_changed(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:  # noqa: ARG001
    """A dish that worked is dead in the newest groups."""
    statement = (
        select(ProductVersion.key, ProductVersion.numbers)
        .where(
            ProductVersion.kind == GROUP,
            ProductVersion.product == "flags",
            ProductVersion.superseded_at.is_(None),
        )
        .order_by(ProductVersion.key.desc())
        .limit(_NEWEST + _BEFORE)
    )
    with reading(engine) as session:
        rows = [(key, set(numbers.get("dead_antennas", ()))) for key, numbers in session.execute(statement)]
        known = {alarm.cause for alarm in open_alarms(session) if alarm.kind == "dish_changed"}
    newest, before = rows[:_NEWEST], rows[_NEWEST:]
    if len(newest) < _NEWEST:
        return
    dead = set.intersection(*(names for _, names in newest))
    some = set.union(*(names for _, names in newest))
    always = set.intersection(*(names for _, names in before)) if before else some
    # One that is well again in the newest group only may still go on and off.
    for antenna in sorted((dead - always) | (known & some)):
        first = next((key for key, names in reversed(rows) if antenna in names), newest[-1][0])
        message = f"antenna {antenna} is dead since {first}; it worked before"
        yield Condition("dish_changed", antenna, newest[0][0], message)


def _disk(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:  # noqa: ARG001
    """A disk that will be full before anybody has made room."""
    folders = dict.fromkeys([settings.home, settings.incoming_folder, settings.scratch or settings.home])
    page = settings.alarms.disk_days
    for folder in folders:
        # One that is away is told by who needs it.
        if not folder.is_dir():
            continue
        usage = shutil.disk_usage(folder)
        days = room(engine, settings).days_left if folder == settings.home else None
        text = f"{folder}: {usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB are free"
        text += f", {days:.1f} days at last week's growth" if days is not None else ""
        if usage.free < NEARLY_FULL * usage.total or (days is not None and days < page):
            yield Condition("disk", str(folder), str(folder), text, PAGE)
        elif days is not None and days < _TELL_DAYS * page:
            yield Condition("disk", str(folder), str(folder), text, TELL)


def _backup_old(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:
    """The newest backup is older than the setting says; or none was made of what has been there as long."""
    hours = timedelta(hours=settings.backup.hours)
    try:
        newest = last_backup(settings.home)
    except BackupError as error:
        yield Condition("backup_old", "", str(settings.home), str(error))
        return
    if newest is not None:
        if newest.at < at - hours:
            message = f"the newest is {_duration(_minutes(at - newest.at))} old, in {newest.folder}"
            yield Condition("backup_old", "", str(settings.home), message)
        return
    with reading(engine) as session:
        first = session.scalar(select(func.min(ObservationGroup.created)))
    if first is not None and first < at - hours:
        yield Condition("backup_old", "", str(settings.home), "none was ever made of this home")


def _warn_streak(engine: Engine, settings: Settings, at: datetime) -> Iterator[Condition]:  # noqa: ARG001
    """A check that has said WARN or worse of every one of the newest images."""
    length = settings.alarms.warn_streak
    images = (
        select(GroupSummary.key)
        .where(GroupSummary.image_version_id.is_not(None))
        .order_by(GroupSummary.key.desc())
        .limit(length)
    )
    with reading(engine) as session:
        keys = list(session.scalars(images))
        if len(keys) < length:
            return
        rows = session.execute(
            select(Verdict.key, Verdict.product, Verdict.check, Verdict.status, Verdict.value)
            .where(Verdict.kind == GROUP, Verdict.key.in_(keys))
            .order_by(Verdict.id)
        ).all()
    newest: dict[tuple[str, str], dict[str, tuple[str, float | None]]] = {}
    for key, product, check, status, value in rows:
        newest.setdefault((product, check), {})[key] = (status, value)
    for (product, check), of_groups in sorted(newest.items()):
        said = [status for status, _ in of_groups.values()]
        if len(said) == length and "PASS" not in said and "WARN" in said:
            value = of_groups[keys[0]][1]
            message = f"not PASS in the newest {length} images, from {keys[-1]} to {keys[0]}"
            message += f"; the newest has {value:.4g}" if value is not None else ""
            yield Condition("warn_streak", f"{product}.{check}", keys[0], message)


#: Every look, by the kind of its alarms.
LOOKS: dict[str, Look] = {
    "no_data": _no_data,
    "no_image": _no_image,
    "stuck": _stuck,
    "no_calibrator": _no_calibrator,
    "dish_changed": _dish_changed,
    "disk": _disk,
    "backup_old": _backup_old,
    "warn_streak": _warn_streak,
}


def _newest_live(session: Session) -> ObservationGroup | None:
    """The group that was entered last, if it had just been observed: an archive's are not live."""
    newest = select(ObservationGroup).order_by(ObservationGroup.created.desc()).limit(1)
    group = session.scalars(newest).first()
    return group if group is not None and group.created - key_time(group.key) < LIVE else None


def _minutes(time: timedelta) -> float:
    return time.total_seconds() / 60


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
