"""Campaigns: many groups made again on one request, fed to the engine a few at a time.

A campaign is rows, so that it survives whatever stops, and costs nothing while it
waits.  A group changes nothing of itself before its run begins: until then a
campaign can be paused or cancelled without a trace.

Belongs here: making campaigns, their states, which groups are next and what became
of those before.  Does not belong here: which groups a campaign has
(``campaign_selection.py``), what is shown of it (``campaign_views.py``), or how runs
are asked for (``sensors/campaigns.py``).
"""

import getpass
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

from sqlalchemy import CursorResult, Engine, case, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import CampaignError
from contimg_assets.settings import Settings
from contimg_assets.station.campaign_estimate import Estimate, estimate
from contimg_assets.station.campaign_items import ATTEMPTS, judge_item, version_of_item
from contimg_assets.station.campaign_models import (
    CANCELLED,
    DONE,
    PAUSED,
    REMAKE,
    RUNNING,
    Campaign,
    CampaignGroup,
)
from contimg_assets.station.campaign_selection import Selection, reasons
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import kind_of
from contimg_assets.station.made_with import present
from contimg_assets.station.models import GroupSummary, ObservationGroup, ProductVersion, now
from contimg_assets.station.store import Store


@dataclass(frozen=True)
class Plan:
    """What a campaign would do."""

    selection: Selection
    taken: dict[str, int]
    """Groups that would be made again, by reason."""
    left_out: dict[str, int]
    """Selected groups that would not, by reason."""
    estimate: Estimate

    @property
    def n_groups(self) -> int:
        """Groups that would be made again."""
        return sum(self.taken.values())


@dataclass(frozen=True)
class Fed:
    """A group whose turn it is."""

    campaign: str
    key: str
    attempt: int
    kind: str = REMAKE
    """What is made of it: everything, or what a job of this kind makes."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Of that job."""


class Campaigns:
    """Campaigns of one station.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    store : Store
        Of the same installation.
    settings : Settings
        Of this process.
    """

    def __init__(self, engine: Engine, store: Store, settings: Settings) -> None:
        self.engine = engine
        self.store = store
        self.settings = settings

    # -- making -----------------------------------------------------------------------------

    def plan(self, selection: Selection, *, slots: int, pool_limit: int | None = None) -> Plan:
        """What a campaign would do, and what that takes; nothing is written.

        Parameters
        ----------
        selection : Selection
        slots : int
            Runs at once.
        pool_limit : int, optional
            Stages of one class of memory at once.

        Raises
        ------
        SelectionError
            If nothing can be selected so.
        """
        with reading(self.engine) as session:
            selection.check(session)
            found = reasons(session, selection, self.settings).subquery()
            columns = (found.c.taken, found.c.reason)
            of_calibrators = func.sum(case((found.c.place == 0, 1), else_=0))
            rows = session.execute(select(*columns, func.count(), of_calibrators).group_by(*columns)).all()
            counts: tuple[dict[str, int], dict[str, int]] = ({}, {})
            for taken, reason, number, _ in sorted(rows, key=lambda row: (-row[2], row[1])):
                counts[taken][reason] = number
            left_out, chosen = counts
            calibrators = sum(row[3] for row in rows if row[0])
            grace = self.settings.retention.grace_hours
            expected = estimate(
                session,
                self.store,
                sum(chosen.values()),
                calibrators,
                slots=slots,
                pool_limit=pool_limit,
                grace_hours=grace,
            )
        return Plan(selection, chosen, left_out, expected)

    def create(self, plan: Plan, name: str | None = None, made_by: str | None = None) -> str:
        """Make a campaign of what a plan selects, as it is now; its name.

        Parameters
        ----------
        plan : Plan
        name : str, optional
            Default: ``campaign-`` and its number.
        made_by : str, optional
            Who asked for it; default: the user of this process.

        Raises
        ------
        CampaignError
            If there is nothing to do, the name is taken, or another campaign has just taken some groups.
        """

        def enter(session: Session, identity: int) -> None:
            if self._enter(session, identity, plan.selection) == 0:
                raise CampaignError("no selected group needs to be made again")

        made = Campaign(selection=plan.selection.described(), estimate=asdict(plan.estimate))
        return self.add(made, enter, name, made_by)

    def add(
        self,
        campaign: Campaign,
        enter: Callable[[Session, int], None],
        name: str | None = None,
        made_by: str | None = None,
    ) -> str:
        """Enter a campaign and, by ``enter``, its groups; its name.

        Raises
        ------
        CampaignError
            As for :meth:`create`.
        """
        made_by = made_by or f"{getpass.getuser()}@{socket.gethostname()}"
        # Until its number is known.
        campaign.name, campaign.made_by = name or f"new of {made_by}"[:64], made_by
        campaign.settings, campaign.state = present(self.settings), RUNNING
        try:
            with transaction(self.engine) as session:
                session.add(campaign)
                session.flush()
                campaign.name = name or f"campaign-{campaign.id}"
                session.flush()
                enter(session, campaign.id)
                return campaign.name
        except IntegrityError as error:
            told = f"there is a campaign {name!r}, or another has just taken the same groups: try again"
            raise CampaignError(told) from error

    def _enter(self, session: Session, identity: int, selection: Selection) -> int:
        found = reasons(session, selection, self.settings).subquery()
        columns = ["campaign_id", "key", "place", "image_version_id", "reason"]
        columns += ["state", "attempts", "verdict", "failure", "failure_kind"]
        rows = select(
            literal(identity),
            found.c.key,
            found.c.place,
            found.c.image_version_id,
            found.c.reason,
            *(literal(value) for value in ("waiting", 0, "", "", "")),
        ).where(found.c.taken == 1)
        statement = insert(CampaignGroup).from_select(columns, rows, include_defaults=False)
        return cast(CursorResult[Any], session.execute(statement)).rowcount

    # -- states -----------------------------------------------------------------------------

    def pause(self, name: str) -> None:
        """Let a campaign ask for no more groups; those that were asked for go on."""
        self._change(name, (RUNNING,), PAUSED)

    def resume(self, name: str) -> None:
        """Let a paused campaign go on."""
        self._change(name, (PAUSED,), RUNNING)

    def cancel(self, name: str) -> None:
        """End a campaign; groups that were asked for go on, the others stay as they are."""
        self._change(name, (RUNNING, PAUSED), CANCELLED)

    def _change(self, name: str, states: Collection[str], target: str) -> None:
        with transaction(self.engine) as session:
            campaign = campaign_of(session, name, lock=True)
            if campaign.state not in states:
                raise CampaignError(f"campaign {name} is {campaign.state}, expected {' or '.join(states)}")
            campaign.state = target
            if target == CANCELLED:
                campaign.ended_at = now()
                session.execute(
                    update(CampaignGroup)
                    .where(CampaignGroup.state == "waiting", CampaignGroup.campaign_id == campaign.id)
                    .values(state="cancelled")
                    .execution_options(synchronize_session=False)
                )

    # -- feeding ----------------------------------------------------------------------------

    def running(self) -> set[str]:
        """Groups that campaigns have asked for, and that are not done yet."""
        with reading(self.engine) as session:
            return set(session.scalars(select(CampaignGroup.key).where(CampaignGroup.state == "running")))

    def settle(
        self, busy: Collection[str], said: Callable[[str, str], str | None] = lambda _campaign, _key: None
    ) -> list[str]:
        """Write down what became of the groups that were asked for.

        Parameters
        ----------
        busy : collection of str
            Groups that have an unfinished run or that somebody holds.
        said : callable, optional
            What the last run of a campaign (by its name) for a group said when it did not make what it
            should; None: there was none, or it did not begin.

        Returns
        -------
        list of str
            The groups whose campaigns are done with them.
        """
        statement = (
            select(CampaignGroup, ObservationGroup, GroupSummary.verdict, ProductVersion.run)
            .join(ObservationGroup, ObservationGroup.key == CampaignGroup.key)
            .join(GroupSummary, GroupSummary.key == CampaignGroup.key)
            .outerjoin(ProductVersion, ProductVersion.id == GroupSummary.image_version_id)
            .where(CampaignGroup.state == "running")
        )
        theirs = select(CampaignGroup.campaign_id).where(CampaignGroup.state == "running")
        ended: list[str] = []
        with transaction(self.engine) as session:
            # Locked, so that one that is being cancelled gets no group back.
            locked = select(Campaign).where(Campaign.id.in_(theirs)).with_for_update()
            campaigns = {campaign.id: campaign for campaign in session.scalars(locked)}
            for item, group, verdict, run in session.execute(statement).all():
                if item.key in busy:
                    continue
                campaign = campaigns[item.campaign_id]
                if campaign.kind == REMAKE:
                    _judge(item, group, verdict, run)
                else:
                    told = partial(said, campaign.name, item.key)
                    told = partial(said, campaign.name, item.key)
                    judge_item(session, item, campaign.kind, verdict, told)
                if item.state == "waiting" and campaign.state == CANCELLED:
                    item.state = "cancelled"
                if item.state != "running":
                    ended.append(item.key)
        return ended

    def refuse(self, fed: Fed, reason: str) -> None:
        """A group that was just fed cannot be made, for a reason that came up since it was planned."""
        with transaction(self.engine) as session:
            campaign = campaign_of(session, fed.campaign)
            item = session.get_one(CampaignGroup, (campaign.id, fed.key))
            item.state, item.failure, item.ended_at = "failed", reason, now()
            item.failure_kind = kind_of(reason)

    def feed(self, room: int, busy: Collection[str]) -> list[Fed]:
        """The groups whose turn it is, which from now on count as asked for.

        Calibrators go first, and the others once those have ended, since their images are made with the
        solutions; the newest first.  A group that has been made again meanwhile, or is being made, is
        skipped.

        Parameters
        ----------
        room : int
            So many at most.
        busy : collection of str
            Groups that have an unfinished run or that somebody holds.
        """
        fed: list[Fed] = []
        with transaction(self.engine) as session:
            open_ones = (
                select(Campaign).where(Campaign.state == RUNNING).order_by(Campaign.id).with_for_update()
            )
            for campaign in session.scalars(open_ones).all():
                place = _open_place(session, campaign.id)
                if place is None:
                    campaign.state, campaign.ended_at = DONE, now()
                elif len(fed) < room:
                    fed += _next(session, campaign, place, room - len(fed), busy)
        return fed


def campaign_of(session: Session, name: str, *, lock: bool = False) -> Campaign:
    """A campaign by its name.

    Raises
    ------
    CampaignError
        If there is none.
    """
    statement = select(Campaign).where(Campaign.name == name)
    found = session.scalars(statement.with_for_update() if lock else statement).first()
    if found is None:
        raise CampaignError(f"found no campaign {name!r}; `contimg campaign list` has all")
    return found


def _open_place(session: Session, identity: int) -> int | None:
    """The first place that has groups which are not done; None if all are."""
    places = [
        session.scalar(
            select(func.min(CampaignGroup.place)).where(
                CampaignGroup.state == state, CampaignGroup.campaign_id == identity
            )
        )
        for state in ("waiting", "running")
    ]
    return min((place for place in places if place is not None), default=None)


def _next(session: Session, campaign: Campaign, place: int, room: int, busy: Collection[str]) -> list[Fed]:
    statement = (
        select(CampaignGroup, ObservationGroup, GroupSummary.image_version_id)
        .join(ObservationGroup, ObservationGroup.key == CampaignGroup.key)
        .join(GroupSummary, GroupSummary.key == CampaignGroup.key)
        .where(
            CampaignGroup.state == "waiting",
            CampaignGroup.campaign_id == campaign.id,
            CampaignGroup.place == place,
        )
        .order_by(CampaignGroup.key.desc())
        # Those that are busy are passed over, and keep their turn.
        .limit(room + len(busy))
    )
    fed: list[Fed] = []
    for item, group, image in session.execute(statement).all():
        if item.key in busy or len(fed) == room:
            continue
        if campaign.kind != REMAKE:
            item.state, item.fed_at, item.attempts = "running", now(), item.attempts + 1
            item.image_version_id = version_of_item(session, item.key, campaign.kind)
            fed.append(Fed(campaign.name, item.key, item.attempts, campaign.kind, campaign.parameters))
        elif group.state not in ("completed", "failed"):
            item.state, item.failure = "skipped", f"is {group.state} when its turn comes"
        elif image != item.image_version_id:
            item.state, item.failure = "skipped", "has been made again since the campaign was"
        else:
            item.state, item.fed_at = "running", now()
            item.retries, item.attempts = group.retries, item.attempts + 1
            fed.append(Fed(campaign.name, item.key, item.attempts))
        item.failure_kind = item.failure
    return fed


def _judge(item: CampaignGroup, group: ObservationGroup, verdict: str, run: str | None) -> None:
    """Let a group that was asked for, and that nobody works on, have its end, if it has come to one."""
    if group.state in ("completed", "failed") and group.retries == item.retries:
        # No run began: it was cancelled, or died before its first step.
        if item.attempts < ATTEMPTS:
            item.state = "waiting"
            return
        item.state = "failed"
        item.failure = item.failure_kind = f"its run ended before it began, {item.attempts} times"
    elif group.state == "failed":
        item.state, item.failure = "failed", group.reason
        item.failure_kind = kind_of(group.reason)
    elif group.state == "completed":
        item.state, item.run = "completed", run
    else:
        # Between two of its runs.
        return
    item.verdict, item.ended_at = verdict, now()
