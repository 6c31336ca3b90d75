"""Tables of campaigns: groups that are to be made again, and what became of each.

Belongs here: columns, keys and constraints, as in ``models.py``.  Does not belong
here: what may be written when (``campaigns.py``).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from contimg_assets.station.models import Base, ObservationGroup, now, one_of

#: States of a campaign.
CAMPAIGN_STATES = RUNNING, PAUSED, CANCELLED, DONE = ("running", "paused", "cancelled", "done")
#: States of a group within a campaign: it waits, has been asked for, was made, failed, needed nothing any
#: more when its turn came, or was taken out.
ITEM_STATES = ("waiting", "running", "completed", "failed", "skipped", "cancelled")
#: Kind of campaigns that make groups again as a whole; others are kinds of jobs.
REMAKE = "remake"
#: In these a group is still to be made; it is so in one campaign at most.
OPEN = "state IN ('waiting', 'running')"


class Campaign(Base):
    """Groups that are made again on one request."""

    __tablename__ = "campaign"
    __table_args__ = (CheckConstraint(one_of("state", CAMPAIGN_STATES), name="state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    made_by: Mapped[str]
    """User and machine."""
    made_at: Mapped[datetime] = mapped_column(default=now)
    kind: Mapped[str] = mapped_column(String(16), default=REMAKE)
    """What is made of its groups: everything, or what a job of this kind makes."""
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Of those jobs."""
    selection: Mapped[dict[str, Any]]
    """What was asked for."""
    settings: Mapped[dict[str, Any]]
    """Options and software that held when it was made, by product."""
    estimate: Mapped[dict[str, Any]]
    """What was expected of it before it began."""
    state: Mapped[str] = mapped_column(String(16), default=RUNNING, index=True)
    ended_at: Mapped[datetime | None]
    """When it was done or cancelled."""


class CampaignGroup(Base):
    """One group of a campaign."""

    __tablename__ = "campaign_group"
    __table_args__ = (
        CheckConstraint(one_of("state", ITEM_STATES), name="state"),
        # What the feeder takes next, what is running, and how many there are of each state.
        Index("ix_campaign_group_state", "state", "campaign_id", "place", "key"),
        Index("ix_campaign_group_ended", "campaign_id", "ended_at"),
        Index(
            "uq_campaign_group_one_open",
            "key",
            unique=True,
            sqlite_where=text(OPEN),
            postgresql_where=text(OPEN),
        ),
    )

    campaign_id: Mapped[int] = mapped_column(ForeignKey(Campaign.id), primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), primary_key=True)
    reason: Mapped[str]
    """Why it is made again."""
    place: Mapped[int]
    """0 for calibrators, which are made first; 1 for all others."""
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    image_version_id: Mapped[int | None]
    """Its image when the campaign was made: with another one it has been made again meanwhile.  Where one
    product is made: its version when the group was asked for."""
    retries: Mapped[int | None]
    """The group's count of retries when it was asked for: it grows when a run begins."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often it was asked for."""
    fed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    run: Mapped[str | None]
    """The run that made its image."""
    verdict: Mapped[str] = mapped_column(String(8), default="")
    """The worst verdict on its products then."""
    failure: Mapped[str] = mapped_column(default="")
    """Why it failed or was skipped."""
    failure_kind: Mapped[str] = mapped_column(String(64), default="")
    """The same without what is the group's own, to count by."""
