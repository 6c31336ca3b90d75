"""Batches: one job for many groups.  A batch is a campaign of which one product is made.

Belongs here: which groups a batch takes, refuses and why, starting one, and what became of each of its
groups.  Does not belong here: whether a group can have a job (``job_requests.py``), or what becomes of
campaigns (``campaigns.py``).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import CampaignError, ContimgError, SelectionError
from contimg_assets.station.campaign_estimate import Estimate, estimate
from contimg_assets.station.campaign_models import Campaign, CampaignGroup
from contimg_assets.station.campaign_selection import IN_CAMPAIGN
from contimg_assets.station.campaigns import campaign_of
from contimg_assets.station.database import reading
from contimg_assets.station.installation import Installation
from contimg_assets.station.job_requests import JobParameters, Kind, plan_job

#: Kinds of jobs that a batch can be of, and what each makes.
PRODUCTS: dict[Kind, tuple[str, ...]] = {
    "calibrate": ("calibration_tables", "calibration_qa"),
    "apply": ("calibrated_ms",),
    "image": ("image", "image_qa"),
}
#: Groups of one batch.
MOST_GROUPS = 2000
BUSY = "has an unfinished job"


@dataclass(frozen=True)
class Refused:
    """A group that a batch does not take."""

    group: str
    reason: str


@dataclass(frozen=True)
class BatchPlan:
    """What a batch would do."""

    kind: Kind
    parameters: JobParameters
    accepted: list[str]
    """Groups, newest first."""
    refused: list[Refused]
    warnings: dict[str, int]
    """What to know of those accepted, and of how many."""
    estimate: Estimate


@dataclass(frozen=True)
class BatchItem:
    """A group of a campaign."""

    group: str
    state: str
    reason: str
    """Why it is in it."""
    run: str | None
    """That made it."""
    verdict: str
    failure: str
    ended_at: datetime | None


def batch_kind(text: str) -> Kind | None:
    """The kind of job of that name, if a batch can be of it."""
    return next((kind for kind in PRODUCTS if kind == text), None)


def plan_batch(
    station: Installation,
    kind: Kind,
    keys: Sequence[str],
    parameters: JobParameters,
    *,
    busy: Collection[str],
    slots: int,
    pool_limit: int | None,
) -> BatchPlan:
    """What a batch would do; nothing is changed.

    Parameters
    ----------
    station : Installation
    kind : str
        One of ``PRODUCTS``.
    keys : sequence of str
        Groups.
    parameters : JobParameters
        Of ``job_requests.PARAMETERS[kind]``.
    busy : collection of str
        Groups that have an unfinished run.
    slots, pool_limit
        Runs at once, and stages of one class of memory at once.

    Raises
    ------
    SelectionError
        If these are too many groups, or none.
    """
    wanted = sorted(set(keys), reverse=True)
    if not 0 < len(wanted) <= MOST_GROUPS:
        raise SelectionError(f"found {len(wanted)} groups; expected 1 to {MOST_GROUPS} of one batch")
    accepted: list[str] = []
    refused: list[Refused] = []
    warnings: dict[str, int] = {}
    scans = 0
    with reading(station.engine) as session:
        elsewhere = _in_campaigns(session, wanted)
    for key in wanted:
        try:
            if key in busy or key in elsewhere:
                raise CampaignError(BUSY if key in busy else f"{IN_CAMPAIGN}{elsewhere[key]}")
            plan = plan_job(station, kind, key, parameters)
        except ContimgError as error:
            refused.append(Refused(key, str(error)))
            continue
        accepted.append(key)
        scans += plan.calibrator
        for warning in plan.warnings:
            warnings[warning] = warnings.get(warning, 0) + 1
    with reading(station.engine) as session:
        expected = estimate(
            session,
            station.store,
            len(accepted),
            scans,
            slots=slots,
            pool_limit=pool_limit,
            grace_hours=station.settings.retention.grace_hours,
            products=PRODUCTS[kind],
            of_calibrators=(),
        )
    return BatchPlan(kind, parameters, accepted, refused, warnings, expected)


def start_batch(
    station: Installation, plan: BatchPlan, made_by: str | None = None, name: str | None = None
) -> str:
    """Make a campaign of what a plan accepts; its name.

    Raises
    ------
    CampaignError
        If nothing is accepted, the name is taken, or another campaign has just taken some groups.
    """
    if not plan.accepted:
        told = "; ".join(f"{each.group}: {each.reason}" for each in plan.refused[:3])
        raise CampaignError(f"no group can have this job: {told}")

    def enter(session: Session, identity: int) -> None:
        rows = [
            {
                "campaign_id": identity,
                "key": key,
                "reason": "asked for",
                "place": 1,
                "state": "waiting",
                "attempts": 0,
                "verdict": "",
                "failure": "",
                "failure_kind": "",
            }
            for key in plan.accepted
        ]
        session.execute(insert(CampaignGroup), rows)

    campaign = Campaign(
        kind=plan.kind,
        parameters=plan.parameters.model_dump(mode="json", exclude_defaults=True),
        selection={"kind": plan.kind, "groups": len(plan.accepted)},
        estimate=asdict(plan.estimate),
    )
    return station.campaigns.add(campaign, enter, name, made_by)


def batch_items(
    station: Installation, name: str, *, state: str | None = None, limit: int = MOST_GROUPS, offset: int = 0
) -> tuple[list[BatchItem], int]:
    """Groups of a campaign, those that failed first, then by time; and how many there are.

    Raises
    ------
    CampaignError
        If there is none of that name.
    """
    with reading(station.engine) as session:
        campaign = campaign_of(session, name)
        conditions = [CampaignGroup.campaign_id == campaign.id]
        if state is not None:
            conditions.append(CampaignGroup.state == state)
        total = session.scalar(select(func.count()).select_from(CampaignGroup).where(*conditions)) or 0
        statement = select(CampaignGroup).where(*conditions)
        order = [CampaignGroup.state != "failed", CampaignGroup.key.desc()]
        rows = session.scalars(statement.order_by(*order).limit(limit).offset(offset))
        items = [
            BatchItem(row.key, row.state, row.reason, row.run, row.verdict, row.failure, row.ended_at)
            for row in rows
        ]
    return items, total


def failed_groups(station: Installation, name: str) -> list[str]:
    """Groups of a campaign that failed in it."""
    items, _ = batch_items(station, name, state="failed", limit=100_000)
    return [item.group for item in items]


def campaign_request(station: Installation, name: str) -> tuple[str, Mapping[str, Any]]:
    """Kind and parameters of a campaign.

    Raises
    ------
    CampaignError
        If there is none of that name.
    """
    with reading(station.engine) as session:
        campaign = campaign_of(session, name)
        return campaign.kind, campaign.parameters


def _in_campaigns(session: Session, keys: Sequence[str]) -> dict[str, str]:
    """Names of the campaigns in which groups are still to be made."""
    statement = (
        select(CampaignGroup.key, Campaign.name)
        .join(Campaign, Campaign.id == CampaignGroup.campaign_id)
        .where(CampaignGroup.key.in_(keys), CampaignGroup.state.in_(("waiting", "running")))
    )
    return {key: name for key, name in session.execute(statement)}
