"""Alarms: what people are told of, one for each cause, from when it is met until it is over.

Belongs here: entering what happened and what lasts, clearing, acknowledging, listing.  Does
not belong here: what is an alarm (``alarm_rules.py`` and whoever calls the notifier), the
words and the rate of messages (``alarm_messages.py``), or sending (``deliveries.py``).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.station.alarm_models import LONGEST_CAUSE, Alarm, ToldMark
from contimg_assets.station.alerts import LOG, TELL, Alert
from contimg_assets.station.columns import now
from contimg_assets.station.database import reading, transaction

#: Subjects that an alarm names.
SUBJECTS = 5
LONGEST_NOTE = 500
#: Name of the mark of the newest line of the log that was taken in; its row is the lock of all telling.
LOG_MARK = "alert_log"
#: Kinds of alarms that are over when their storage can be used again, which is looked at; each hour that it
#: cannot is told once more.
STORAGE_KINDS = ("storage", "database_lost")


@dataclass(frozen=True)
class Condition:
    """Something that holds now, and will be over when it does not."""

    kind: str
    cause: str
    subject: str
    message: str
    severity: str = TELL


def locked_mark(session: Session, name: str) -> ToldMark:
    """A mark, for this transaction alone; 0 if it was never set."""
    statement = select(ToldMark).where(ToldMark.name == name).with_for_update()
    found = session.scalars(statement).first()
    if found is None:
        try:
            with session.begin_nested():
                session.add(ToldMark(name=name, value=0))
        except IntegrityError:
            pass  # another process was first
        found = session.scalars(statement).one()
    return found


def mark_of(engine: Engine, name: str) -> int | None:
    """How far something has been told; None if nobody has noted it yet."""
    with reading(engine) as session:
        return session.scalar(select(ToldMark.value).where(ToldMark.name == name))


def set_mark(engine: Engine, name: str, value: int) -> None:
    """Note how far something has been told; never back."""
    with transaction(engine) as session:
        mark = locked_mark(session, name)
        mark.value = max(mark.value, value)


def take_alerts(session: Session, alerts: Iterable[Alert], at: datetime) -> None:
    """Let alerts that nobody has heard of be alarms, or count for those that are open."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        if alert.severity != LOG:
            found.setdefault((alert.kind, _cause(alert)), []).append(alert)
    standing = {(alarm.kind, alarm.cause): alarm for alarm in open_alarms(session)}
    for (kind, cause), of_cause in found.items():
        newest = of_cause[-1]
        subjects = list(dict.fromkeys(alert.subject for alert in reversed(of_cause)))
        alarm = standing.get((kind, cause))
        if alarm is None:
            alarm = Alarm(
                kind=kind,
                cause=cause,
                severity=newest.severity,
                lasting=False,
                subjects=[],
                message="",
                n_times=0,
                opened_at=min(of_cause[0].at, at),
            )
            session.add(alarm)
        alarm.n_times += len(of_cause)
        alarm.subjects = list(dict.fromkeys([*subjects, *alarm.subjects]))[:SUBJECTS]
        alarm.message, alarm.last_at = newest.message, at
    session.flush()


def take_conditions(
    session: Session, conditions: Sequence[Condition], looked_at: Collection[str], at: datetime
) -> tuple[list[Alarm], list[Alarm]]:
    """Let what holds now be alarms, and those be over that hold no more.

    Parameters
    ----------
    session : Session
    conditions : sequence of Condition
        All that hold.
    looked_at : collection of str
        Kinds that were looked at: of others nothing is known.
    at : datetime

    Returns
    -------
    opened, cleared : list of Alarm
    """
    standing = {(alarm.kind, alarm.cause): alarm for alarm in open_alarms(session) if alarm.lasting}
    opened = []
    held = set()
    for each in conditions:
        cause = each.cause[:LONGEST_CAUSE]
        held.add((each.kind, cause))
        alarm = standing.get((each.kind, cause))
        if alarm is None:
            alarm = Alarm(
                kind=each.kind,
                cause=cause,
                severity=each.severity,
                lasting=True,
                subjects=[],
                message="",
                n_times=1,
                opened_at=at,
            )
            session.add(alarm)
            opened.append(alarm)
        elif alarm.severity != each.severity == "page":
            # It has become worse: that is news, also to who has acknowledged it.
            alarm.n_times, alarm.acknowledged_at, alarm.told_at = alarm.n_times + 1, None, None
        alarm.severity, alarm.message, alarm.last_at = each.severity, each.message, at
        alarm.subjects = list(dict.fromkeys([each.subject, *alarm.subjects]))[:SUBJECTS]
    cleared = [alarm for name, alarm in standing.items() if alarm.kind in looked_at and name not in held]
    for alarm in cleared:
        alarm.cleared_at = at
    session.flush()
    return opened, cleared


def clear_quiet(session: Session, over_after: timedelta, at: datetime) -> list[Alarm]:
    """Let those be over of which nothing has happened again for some time."""
    statement = select(Alarm).where(
        Alarm.cleared_at.is_(None),
        Alarm.lasting.is_(False),
        Alarm.kind.not_in(STORAGE_KINDS),
        Alarm.last_at < at - over_after,
    )
    found = list(session.scalars(statement))
    for alarm in found:
        alarm.cleared_at = at
    session.flush()
    return found


def open_alarms(session: Session) -> list[Alarm]:
    """Those that are not over, oldest first."""
    return list(session.scalars(select(Alarm).where(Alarm.cleared_at.is_(None)).order_by(Alarm.id)))


def _cause(alert: Alert) -> str:
    """What alerts have in common that are one alarm; those that do not say are one for each kind."""
    place = alert.subject if alert.kind in STORAGE_KINDS else ""
    return (alert.cause or place)[:LONGEST_CAUSE]


class Alarms:
    """The alarms of one database, as people see them.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def list(self, *, over: bool = False, limit: int = 100) -> list[Alarm]:
        """Those that are open, those that want somebody to look now first; or those that are over, too."""
        statement = select(Alarm).order_by(Alarm.cleared_at.is_not(None), Alarm.severity, Alarm.id.desc())
        if not over:
            statement = statement.where(Alarm.cleared_at.is_(None))
        with reading(self.engine) as session:
            return list(session.scalars(statement.limit(limit)))

    def acknowledge(self, identity: int, user: str, note: str = "") -> Alarm:
        """Somebody has seen to it: no more is told of it until it is over.

        Raises
        ------
        MissingInputError
            If there is no such alarm.
        StateError
            If it is over, or somebody else has acknowledged it, or the note is too long.
        """
        if len(note) > LONGEST_NOTE:
            raise StateError(f"the note has {len(note)} characters, expected {LONGEST_NOTE} at most")
        with transaction(self.engine) as session:
            alarm = session.scalars(select(Alarm).where(Alarm.id == identity).with_for_update()).first()
            if alarm is None:
                raise MissingInputError(f"there is no alarm {identity}: `contimg notify list` shows them")
            if alarm.cleared_at is not None:
                raise StateError(f"alarm {identity} is over since {alarm.cleared_at:%Y-%m-%d %H:%M} UTC")
            if alarm.acknowledged_at is not None:
                raise StateError(f"alarm {identity} was acknowledged by {alarm.acknowledged_by} already")
            alarm.acknowledged_at, alarm.acknowledged_by = now(), user
            alarm.note = note.replace("\0", "\N{REPLACEMENT CHARACTER}")
            return alarm
