"""What people and programs are shown of campaigns: counts, rate, estimated end, failures by reason.

Belongs here: gathering, by statements that count where the rows are.  Does not
belong here: printing (``cli/campaigns.py``), or what a campaign does (``campaigns.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from contimg_assets.settings import Settings
from contimg_assets.station.campaign_estimate import Estimate
from contimg_assets.station.campaign_models import ITEM_STATES, RUNNING, Campaign, CampaignGroup
from contimg_assets.station.campaigns import campaign_of
from contimg_assets.station.database import reading
from contimg_assets.station.made_with import PRODUCTS, difference, present
from contimg_assets.station.models import VERDICTS, now

#: The rate is that of so many groups that ended last, within so long.
_LAST, _WITHIN = 100, timedelta(hours=6)


@dataclass(frozen=True)
class Failures:
    """Groups that failed in the same way."""

    kind: str
    number: int
    key: str
    """The newest of them."""
    reason: str
    """What that one said."""


@dataclass(frozen=True)
class CampaignView:
    """A campaign as it stands."""

    name: str
    state: str
    made_by: str
    made_at: str
    ended_at: str | None
    kind: str
    """What is made of its groups: everything (``remake``), or what a job of this kind makes."""
    selection: dict[str, Any]
    groups: dict[str, int]
    """Number of groups in each state."""
    completed: dict[str, int]
    """Completed groups by verdict; ``not judged`` if there is none."""
    per_hour: float | None
    """Groups that end in an hour, of late; None if too few have."""
    estimated_end: str | None
    """When it will be done; None if it is not running, or nothing is known."""

    @property
    def n_groups(self) -> int:
        """All its groups."""
        return sum(self.groups.values())

    @property
    def left(self) -> int:
        """Groups that are not done yet."""
        return self.groups["waiting"] + self.groups["running"]


@dataclass(frozen=True)
class CampaignDetails:
    """What is shown of one campaign only."""

    failures: list[Failures]
    reasons: dict[str, int]
    """Its groups by the reason for which they are made again."""
    changed_settings: list[str]
    """In what this process would make groups otherwise than when the campaign was made."""


def campaigns_of(engine: Engine) -> list[CampaignView]:
    """All campaigns, newest first."""
    with reading(engine) as session:
        found = session.scalars(select(Campaign).order_by(Campaign.id.desc())).all()
        counts = _counts(session, [campaign.id for campaign in found])
        return [_view(session, campaign, counts[campaign.id]) for campaign in found]


def campaign_view(engine: Engine, name: str) -> CampaignView:
    """One campaign.

    Raises
    ------
    CampaignError
        If there is none of that name.
    """
    with reading(engine) as session:
        campaign = campaign_of(session, name)
        return _view(session, campaign, _counts(session, [campaign.id])[campaign.id])


def campaign_details(engine: Engine, name: str, settings: Settings) -> CampaignDetails:
    """What is shown of one campaign besides: failures by reason, why its groups are in it, other settings."""
    with reading(engine) as session:
        campaign = campaign_of(session, name)
        of_campaign = CampaignGroup.campaign_id == campaign.id
        by_reason = (
            select(CampaignGroup.reason, func.count()).where(of_campaign).group_by(CampaignGroup.reason)
        )
        reasons = {reason: number for reason, number in session.execute(by_reason)}
        failures = _failures(session, campaign.id)
    today = present(settings)
    changed = [difference(product, campaign.settings[product], today[product]) for product in PRODUCTS]
    return CampaignDetails(
        failures,
        dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        [text for text in changed if text],
    )


def _counts(session: Session, identities: list[int]) -> dict[int, dict[tuple[str, str], int]]:
    """Groups by state and verdict, of each campaign."""
    found: dict[int, dict[tuple[str, str], int]] = {identity: {} for identity in identities}
    columns = (CampaignGroup.campaign_id, CampaignGroup.state, CampaignGroup.verdict)
    statement = (
        select(*columns, func.count()).where(CampaignGroup.campaign_id.in_(identities)).group_by(*columns)
    )
    for identity, state, verdict, number in session.execute(statement):
        found[identity][state, verdict] = number
    return found


def _view(session: Session, campaign: Campaign, counts: Mapping[tuple[str, str], int]) -> CampaignView:
    groups = {
        state: sum(number for (of, _), number in counts.items() if of == state) for state in ITEM_STATES
    }
    completed = {verdict: counts.get(("completed", verdict), 0) for verdict in VERDICTS}
    completed["not judged"] = counts.get(("completed", ""), 0)
    per_hour = _per_hour(session, campaign.id)
    left = groups["waiting"] + groups["running"]
    return CampaignView(
        campaign.name,
        campaign.state,
        campaign.made_by,
        _time(campaign.made_at),
        _time(campaign.ended_at) if campaign.ended_at else None,
        campaign.kind,
        campaign.selection,
        groups,
        completed,
        per_hour,
        _end(campaign, left, per_hour),
    )


def _per_hour(session: Session, identity: int) -> float | None:
    last = (
        select(CampaignGroup.ended_at)
        .where(CampaignGroup.campaign_id == identity, CampaignGroup.ended_at > now() - _WITHIN)
        .order_by(CampaignGroup.ended_at.desc())
        .limit(_LAST)
        .subquery()
    )
    number, first, newest = session.execute(
        select(func.count(), func.min(last.c.ended_at), func.max(last.c.ended_at))
    ).one()
    if number < 2 or newest <= first:
        return None
    return (number - 1) / ((newest - first).total_seconds() / 3600)


def _end(campaign: Campaign, left: int, per_hour: float | None) -> str | None:
    """When a campaign that runs will be done: by its rate, or by what was expected before there is one."""
    if campaign.state != RUNNING or left == 0:
        return None
    expected = campaign.estimate
    if per_hour is None:
        expected_hours = Estimate(**expected).hours
        per_hour = expected["n_groups"] / expected_hours if expected_hours else None
    return _time(now() + timedelta(hours=left / per_hour)) if per_hour else None


def _failures(session: Session, identity: int) -> list[Failures]:
    of_kind = (
        select(
            CampaignGroup.failure_kind, func.count().label("number"), func.max(CampaignGroup.key).label("key")
        )
        .where(CampaignGroup.state == "failed", CampaignGroup.campaign_id == identity)
        .group_by(CampaignGroup.failure_kind)
        .subquery()
    )
    statement = (
        select(of_kind, CampaignGroup.failure)
        .join(CampaignGroup, (CampaignGroup.key == of_kind.c.key) & (CampaignGroup.campaign_id == identity))
        .order_by(of_kind.c.number.desc(), of_kind.c.failure_kind)
    )
    return [Failures(*row) for row in session.execute(statement)]


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
