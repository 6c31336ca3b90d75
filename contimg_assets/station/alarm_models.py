"""Tables of alarms, of the messages that tell of them, and of how far telling has come.

Belongs here: columns, keys and constraints, as in ``models.py``.  Does not belong
here: what is entered when (``alarms.py``, ``deliveries.py``).
"""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from contimg_assets.station.alerts import PAGE, TELL
from contimg_assets.station.columns import Base, now, one_of

#: Severities of alarms: what is only logged is none.
ALARM_SEVERITIES = (PAGE, TELL)
#: What a message is: of a new alarm, of many that were held back, of one that is over, the night's report,
#: or a test.
MESSAGE_KINDS = ALARM, SUMMARY, CLEARED, REPORT, TEST = ("alarm", "summary", "cleared", "report", "test")
LONGEST_CAUSE = 200


class Alarm(Base):
    """One cause that people are told of, from when it was first met until it is over."""

    __tablename__ = "alarm"
    __table_args__ = (
        CheckConstraint(one_of("severity", ALARM_SEVERITIES), name="severity"),
        Index(
            "uq_alarm_one_open",
            "kind",
            "cause",
            unique=True,
            sqlite_where=text("cleared_at IS NULL"),
            postgresql_where=text("cleared_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    cause: Mapped[str] = mapped_column(String(LONGEST_CAUSE))
    severity: Mapped[str] = mapped_column(String(8))
    lasting: Mapped[bool]
    """It is a condition that is looked at, and over when it holds no more; others are over when nothing of
    the kind has happened for some time."""
    subjects: Mapped[list[str]]
    """The newest groups, runs or files that it is about, newest first."""
    message: Mapped[str]
    """Of the newest."""
    n_times: Mapped[int]
    """How often it was met."""
    opened_at: Mapped[datetime] = mapped_column(default=now)
    last_at: Mapped[datetime] = mapped_column(default=now, index=True)
    told_at: Mapped[datetime | None]
    """When people were told last; None: held back so far."""
    n_told: Mapped[int] = mapped_column(default=0)
    """How often it had been met by then."""
    times_told: Mapped[int] = mapped_column(default=0)
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(128))
    note: Mapped[str] = mapped_column(default="")
    """Of who acknowledged it."""
    cleared_at: Mapped[datetime | None] = mapped_column(index=True)


class Delivery(Base):
    """One message to one address."""

    __tablename__ = "delivery"
    __table_args__ = (CheckConstraint(one_of("kind", MESSAGE_KINDS), name="kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(64))
    """Its name; the address itself is never kept."""
    kind: Mapped[str] = mapped_column(String(8))
    title: Mapped[str]
    body: Mapped[str]
    attachment: Mapped[str | None]
    """A file, relative to the home."""
    queued_at: Mapped[datetime] = mapped_column(default=now, index=True)
    due_at: Mapped[datetime | None] = mapped_column(default=now, index=True)
    """When it is tried next; None: it was sent, or given up."""
    attempts: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")
    """Why it could not be sent, without what is secret of the address."""


class ToldMark(Base):
    """How far something has been told: the identity of the last one."""

    __tablename__ = "told_mark"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
