"""Batches: one job for many groups, with a dry run; how far they are; ending one; those that failed again.

Belongs here: routes.  Does not belong here: which groups a batch takes (``station/batches.py``).
"""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from contimg_assets.radio.errors import CampaignError
from contimg_assets.station.batches import (
    MOST_GROUPS,
    BatchPlan,
    batch_items,
    batch_kind,
    campaign_request,
    failed_groups,
    plan_batch,
    start_batch,
)
from contimg_assets.station.campaign_estimate import Estimate
from contimg_assets.station.campaign_models import ITEM_STATES, REMAKE
from contimg_assets.station.campaign_selection import Selection
from contimg_assets.station.campaign_views import CampaignView, campaign_view, campaigns_of
from contimg_assets.station.group_listing import matching_keys
from contimg_assets.station.job_requests import PARAMETERS, Kind
from contimg_assets.web.api.batch_models import (
    ApplyBatch,
    BatchAccepted,
    BatchDetail,
    BatchEntry,
    BatchEstimate,
    BatchList,
    BatchRequest,
    CalibrateBatch,
    ImageBatch,
    Item,
    ItemState,
    RefusedGroup,
)
from contimg_assets.web.api.identify import group_of
from contimg_assets.web.api.parts import API, Parts, group_url, job_url, links, require
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role

_GB = 1e9
_DRY: dict[int | str, dict[str, Any]] = {
    200: {"model": BatchAccepted, "description": "What would be done: nothing was started."}
}
BatchName = Annotated[
    str,
    PathParameter(
        description="Name of the batch, or of a campaign.",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        examples=["campaign-4"],
    ),
]


def batches_router(parts: Parts) -> APIRouter:
    """Routes of batches."""
    router = APIRouter(prefix=f"{API}/batch", tags=["jobs"])
    _add_requests(router, parts)
    _add_batches(router, parts)
    return router


def _add_requests(router: APIRouter, parts: Parts) -> None:
    """Asking for one."""

    def start(kind: Kind, asked: BatchRequest[Any], request: Request, response: Response) -> BatchAccepted:
        user = require(request, Role.OPERATOR)
        plan = plan_batch(
            parts.station,
            kind,
            _keys(parts, asked),
            asked.params,
            busy=parts.dagster.busy_keys(),
            **parts.dagster.capacity(),
        )
        if asked.dry_run:
            response.status_code = 200
            return _accepted(plan, None)
        if not plan.accepted:
            # Told with reasons, in the form of every other refusal.
            told = [{"group": each.group, "reason": each.reason} for each in plan.refused[:20]]
            raise ProblemError(409, "no group can have this job", refused=told)
        name = start_batch(parts.station, plan, user.name, asked.name)
        response.headers["Location"] = batch_url(name)
        return _accepted(plan, name)

    @router.post("/calibrate", response_model=BatchAccepted, status_code=202, responses=_DRY)
    def calibrate(asked: CalibrateBatch, request: Request, response: Response) -> BatchAccepted:
        """Solve many calibrator scans; ``dry_run`` only tells what would be done."""
        return start("calibrate", asked, request, response)

    @router.post("/apply", response_model=BatchAccepted, status_code=202, responses=_DRY)
    def apply(asked: ApplyBatch, request: Request, response: Response) -> BatchAccepted:
        """Apply calibration to many groups; ``dry_run`` only tells what would be done."""
        return start("apply", asked, request, response)

    @router.post("/image", response_model=BatchAccepted, status_code=202, responses=_DRY)
    def image(asked: ImageBatch, request: Request, response: Response) -> BatchAccepted:
        """Image many groups; ``dry_run`` only tells what would be done."""
        return start("image", asked, request, response)


def _add_batches(router: APIRouter, parts: Parts) -> None:
    """Batches that there are."""
    station = parts.station

    @router.get("", response_model=BatchList)
    def list_batches(limit: Annotated[int, Query(ge=1, le=500)] = 50) -> BatchList:
        """Batches and campaigns, newest first."""
        found = campaigns_of(station.engine)
        return BatchList(items=[BatchEntry(**_entry(view)) for view in found[:limit]], total=len(found))

    @router.get("/{name}", response_model=BatchDetail)
    def show(
        name: BatchName,
        status: Annotated[ItemState | None, Query(description="Only groups in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_GROUPS)] = 500,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> BatchDetail:
        """A batch with its groups, those that failed first."""
        if status is not None and status not in ITEM_STATES:
            raise ProblemError(422, f"status: found {status!r}; expected one of {', '.join(ITEM_STATES)}")
        return _detail(parts, name, status, limit, offset)

    @router.post("/{name}/cancel", response_model=BatchEntry, status_code=202)
    def cancel(name: BatchName) -> BatchEntry:
        """End a batch: groups that were asked for go on, the others stay as they are."""
        view_of(parts, name)
        station.campaigns.cancel(name)
        return BatchEntry(**_entry(campaign_view(station.engine, name)))

    @router.post("/{name}/pause", response_model=BatchEntry)
    def pause(name: BatchName) -> BatchEntry:
        """Start no more of its groups until it is resumed; those that were started go on."""
        view_of(parts, name)
        station.campaigns.pause(name)
        return BatchEntry(**_entry(campaign_view(station.engine, name)))

    @router.post("/{name}/resume", response_model=BatchEntry)
    def resume(name: BatchName) -> BatchEntry:
        """Go on with one that was paused."""
        view_of(parts, name)
        station.campaigns.resume(name)
        return BatchEntry(**_entry(campaign_view(station.engine, name)))

    @router.post("/{name}/retry-failed", response_model=BatchEntry, status_code=202)
    def retry(name: BatchName, request: Request, response: Response) -> BatchEntry:
        """A new batch of the groups that failed in one."""
        user = require(request, Role.OPERATOR)
        again = retry_failed(parts, name, user.name)
        response.headers["Location"] = batch_url(again)
        return BatchEntry(**_entry(campaign_view(station.engine, again)))


def batch_url(name: str) -> str:
    """Address of a batch."""
    return f"{API}/batch/{quote(name)}"


def retry_failed(parts: Parts, name: str, user: str) -> str:
    """Make a new batch of the groups that failed in one, of the same kind and parameters; its name.

    Raises
    ------
    ProblemError
        404 if there is none of that name, 409 if none has failed.
    """
    station = parts.station
    view_of(parts, name)
    keys = failed_groups(station, name)
    if not keys:
        raise ProblemError(409, f"no group of {name} has failed")
    asked, parameters = campaign_request(station, name)
    kind = batch_kind(asked)
    if kind is None:
        assert asked == REMAKE, "kinds of campaigns"
        wanted = Selection(keys=tuple(keys), everything=True)
        plan = station.campaigns.plan(wanted, **parts.dagster.capacity())
        return station.campaigns.create(plan, None, user)
    planned = plan_batch(
        station,
        kind,
        keys[:MOST_GROUPS],
        PARAMETERS[kind].model_validate(parameters),
        busy=parts.dagster.busy_keys(),
        **parts.dagster.capacity(),
    )
    return start_batch(station, planned, user)


def _keys(parts: Parts, asked: BatchRequest[Any]) -> list[str]:
    if asked.filter is None:
        return asked.groups or [group_of(path) for path in asked.ms_paths]
    keys = matching_keys(parts.station.engine, asked.filter.filter, MOST_GROUPS + 1)
    if not keys:
        raise ProblemError(422, "filter: found no group for which it holds")
    return keys


def view_of(parts: Parts, name: str) -> CampaignView:
    """A batch.

    Raises
    ------
    ProblemError
        404 if there is none of that name.
    """
    try:
        return campaign_view(parts.station.engine, name)
    except CampaignError as error:
        raise ProblemError(404, f"there is no batch {name}") from error


def _accepted(plan: BatchPlan, name: str | None) -> BatchAccepted:
    return BatchAccepted(
        id=name,
        dry_run=name is None,
        accepted=plan.accepted,
        refused=[RefusedGroup(group=each.group, reason=each.reason) for each in plan.refused],
        warnings=plan.warnings,
        estimate=estimate_of(plan.estimate, len(plan.accepted)),
        links=links(self=None if name is None else batch_url(name)),
    )


def estimate_of(expected: Estimate, runs: int) -> BatchEstimate:
    """What so many runs are expected to take."""
    extra = expected.extra_bytes
    return BatchEstimate(
        runs=runs,
        hours=expected.hours,
        disk_gb=None if extra is None else extra / _GB,
        free_gb=expected.free_bytes / _GB,
    )


def _entry(view: CampaignView) -> dict[str, Any]:
    return {
        "id": view.name,
        "kind": view.kind,
        "status": view.state,
        "created": datetime.fromisoformat(view.made_at),
        "finished": datetime.fromisoformat(view.ended_at) if view.ended_at else None,
        "user": view.made_by,
        "total": view.n_groups,
        "counts": view.groups,
        "completed_by_verdict": view.completed,
        "per_hour": view.per_hour,
        "estimated_end": datetime.fromisoformat(view.estimated_end) if view.estimated_end else None,
        "links": links(self=batch_url(view.name)),
    }


def _detail(parts: Parts, name: str, status: str | None, limit: int, offset: int) -> BatchDetail:
    view = view_of(parts, name)
    found, total = batch_items(parts.station, name, state=status, limit=limit, offset=offset)
    _, parameters = campaign_request(parts.station, name)
    return BatchDetail(
        **_entry(view),
        params=dict(parameters),
        items=[
            Item(
                group=each.group,
                status=each.state,
                verdict=each.verdict,
                job_id=each.run,
                error=each.failure or None,
                links=links(group=group_url(each.group), job=job_url(each.run) if each.run else None),
            )
            for each in found
        ],
        items_total=total,
    )
