"""The words of messages about alarms, and how many there are.

A new alarm is a message, as long as the hour has not had its number of them.  What is
held back, and what goes on happening, is in a summary.

Belongs here: which message is due, and what it says.  Does not belong here: what is an alarm
(``alarms.py``), or getting it to people (``deliveries.py``).
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from contimg_assets.radio.group_key import key_time
from contimg_assets.settings import Settings
from contimg_assets.station.addresses import Address
from contimg_assets.station.alarm_models import ALARM, CLEARED, SUMMARY, Alarm, Delivery
from contimg_assets.station.alerts import PAGE

#: Kinds in words; others are told as they are called.
WORDS = {
    "no_image": "data come and no image is made",
    "no_data": "no data come",
    "no_calibrator": "no calibrator ahead",
    "dish_changed": "a dish changed",
    "warn_streak": "a check says WARN again and again",
    "run_failed": "a run failed",
    "check_failed": "a check says ERROR",
    "stuck": "groups are stuck",
    "disk": "the disk fills up",
    "daemon_silent": "Dagster's daemon is silent",
    "sensor_silent": "a sensor is silent",
    "backup_old": "the backup is too old",
    "database_lost": "the station database is lost",
    "storage": "storage cannot be used",
    "worker_died": "a worker died",
    "run_lost": "a run was lost",
    "rejected_group": "a group was refused",
    "bad_file": "a file was refused",
    "addresses": "alarms have no address",
}
#: What goes on happening is told again after the time of a summary, and then after so many times as long
#: each time, …
_LONGER = 6
#: … and at least so often.
_AT_LEAST = timedelta(days=1)
#: Alarms that one summary or note of what is over lists.
LISTED = 20
_REASON, _SHORT_REASON = 1000, 160
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def queue_due(session: Session, settings: Settings, addresses: Sequence[Address], at: datetime) -> None:
    """Queue the messages that are due, and note what has been told.

    Where there are no addresses, everything counts as told: who adds one hears of what is new.
    """
    _queue_new(session, settings, addresses, at)
    _queue_summary(session, settings, addresses, at)


def queue_cleared(
    session: Session, settings: Settings, addresses: Sequence[Address], cleared: Iterable[Alarm], at: datetime
) -> None:
    """Queue one message about alarms that are over, of those that were told."""
    told = [alarm for alarm in cleared if alarm.times_told]
    for address in addresses:
        its = [alarm for alarm in told if address.takes(alarm.severity)]
        if its:
            lines = [f"- {heading(alarm)} ({_since(alarm)}, over at {_clock(at)})" for alarm in its[:LISTED]]
            lines += _rest(its, settings)
            what = heading(its[0]) if len(its) == 1 else f"{len(its)} alarms"
            _queue(session, [address], CLEARED, f"contimg: over: {what}", "\n".join(lines), at)


def heading(alarm: Alarm) -> str:
    """An alarm in a line."""
    words = WORDS.get(alarm.kind, alarm.kind.replace("_", " "))
    return plain(f"{words}: {alarm.cause}" if alarm.cause else words)


def body(alarm: Alarm, settings: Settings) -> str:
    """What a message says of an alarm."""
    lines = [f"{heading(alarm)} ({_since(alarm)}).", f"About: {_subjects(alarm)}"]
    lines += [f"Reason: {plain(alarm.message)[:_REASON]}"]
    link = link_of(alarm, settings)
    lines += [f"Look: {link}" if link else "Look: contimg status"]
    lines += [f"Seen to it? contimg notify acknowledge {alarm.id}"]
    if settings.web.base_url:
        lines[-1] += f", or {_base(settings)}/system#alarms"
    return "\n".join(lines)


def link_of(alarm: Alarm, settings: Settings) -> str | None:
    """Address of the page that shows what an alarm is about; None if it is not known how people reach it."""
    if settings.web.base_url is None:
        return None
    subject = alarm.subjects[0] if alarm.subjects else ""
    page = f"/groups/{subject}" if _is_group(subject) else "/system#alarms"
    if alarm.kind == "dish_changed":
        page = f"/antennas/{quote(alarm.cause)}"
    return f"{_base(settings)}{page}"


def plain(text: str) -> str:
    """A text without what would change how it is shown; reasons hold what files say."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r", " ").replace("\n", " "))


def _queue_new(session: Session, settings: Settings, addresses: Sequence[Address], at: datetime) -> None:
    hour = timedelta(hours=1)
    of_hour = (Delivery.kind == ALARM, Delivery.queued_at > at - hour)
    counted = select(func.count()).where(*of_hour).group_by(Delivery.address)
    spent = max(session.scalars(counted), default=0)
    never = select(Alarm).where(
        Alarm.told_at.is_(None), Alarm.cleared_at.is_(None), Alarm.acknowledged_at.is_(None)
    )
    room = max(0, settings.alarms.messages_an_hour - spent)
    for alarm in session.scalars(never.order_by(Alarm.severity, Alarm.id).limit(room if addresses else None)):
        title = f"contimg{' NOW' if alarm.severity == PAGE else ''}: {heading(alarm)}"
        _queue(session, _taking(addresses, alarm), ALARM, title, body(alarm, settings), at)
        _told(alarm, at)
    session.flush()


def _queue_summary(session: Session, settings: Settings, addresses: Sequence[Address], at: datetime) -> None:
    pause = timedelta(minutes=settings.alarms.summary_minutes)
    last = session.scalar(select(func.max(Delivery.queued_at)).where(Delivery.kind == SUMMARY))
    if last is not None and at < last + pause:
        return
    held_back = select(Alarm).where(
        Alarm.acknowledged_at.is_(None),
        or_(Alarm.cleared_at.is_(None), Alarm.n_times > Alarm.n_told),
    )
    rows = list(session.scalars(held_back.order_by(Alarm.severity, Alarm.id)))
    if not any(_due(alarm, pause, at) for alarm in rows):
        return
    # With one that is due all go that nobody has heard of yet.
    due = [alarm for alarm in rows if alarm.told_at is None or _due(alarm, pause, at)]
    for address in addresses:
        its = [alarm for alarm in due if address.takes(alarm.severity)]
        if its:
            _queue(session, [address], SUMMARY, _summary_title(its), _summary(its, settings), at)
    for alarm in due:
        _told(alarm, at)
    session.flush()


def _due(alarm: Alarm, pause: timedelta, at: datetime) -> bool:
    """Whether an alarm is to be in a summary now."""
    if alarm.told_at is None:
        return alarm.opened_at + pause <= at
    again = min(pause * _LONGER ** (alarm.times_told - 1), _AT_LEAST)
    if alarm.n_times > alarm.n_told:
        return alarm.told_at + again <= at
    return alarm.lasting and alarm.told_at + _AT_LEAST <= at


def _summary_title(alarms: Sequence[Alarm]) -> str:
    times = sum(alarm.n_times - alarm.n_told for alarm in alarms)
    what = f"{len(alarms)} alarms" if len(alarms) > 1 else heading(alarms[0])
    return f"contimg: held back: {what}, {times} times" if times else f"contimg: still: {what}"


def _summary(alarms: Sequence[Alarm], settings: Settings) -> str:
    lines = ["Not told one by one, because they were many or the same again:"]
    for alarm in alarms[:LISTED]:
        more = alarm.n_times - alarm.n_told
        times = f"{more} more" if alarm.told_at else f"{more}"
        state = ", over" if alarm.cleared_at else ""
        lines.append(
            f"- [{alarm.id}] {heading(alarm)}: {times} times ({_since(alarm)}{state}): {_subjects(alarm)}: "
            f"{plain(alarm.message)[:_SHORT_REASON]}"
        )
    return "\n".join([*lines, *_rest(alarms, settings)])


def _rest(alarms: Sequence[Alarm], settings: Settings) -> list[str]:
    more = [f"… and {len(alarms) - LISTED} more."] if len(alarms) > LISTED else []
    where = f"{_base(settings)}/system#alarms" if settings.web.base_url else "contimg notify list"
    return [*more, f"All of them: {where}"]


def _subjects(alarm: Alarm) -> str:
    named = ", ".join(plain(each)[:120] for each in alarm.subjects) or "–"
    more = alarm.n_times - len(alarm.subjects)
    return f"{named} and others" if more > 0 and not alarm.lasting and len(alarm.subjects) > 1 else named


def _since(alarm: Alarm) -> str:
    times = "" if alarm.lasting or alarm.n_times == 1 else f"{alarm.n_times} times "
    return f"{times}since {_clock(alarm.opened_at)}"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _is_group(subject: str) -> bool:
    try:
        key_time(subject)
    except ValueError:
        return False
    return True


def _base(settings: Settings) -> str:
    return (settings.web.base_url or "").rstrip("/")


def _taking(addresses: Sequence[Address], alarm: Alarm) -> list[Address]:
    return [address for address in addresses if address.takes(alarm.severity)]


def _told(alarm: Alarm, at: datetime) -> None:
    alarm.told_at, alarm.n_told, alarm.times_told = at, alarm.n_times, alarm.times_told + 1


def _queue(
    session: Session, addresses: Sequence[Address], kind: str, title: str, text: str, at: datetime
) -> None:
    session.add_all(
        Delivery(address=address.name, kind=kind, title=title[:200], body=text, queued_at=at, due_at=at)
        for address in addresses
    )
    session.flush()
