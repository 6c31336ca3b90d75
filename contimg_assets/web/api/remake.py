"""Making groups again as a whole: those that are named, or all that a calibration set has touched.

Belongs here: the route and its models.  Does not belong here: batches of one job (``batches.py``), or which
groups are taken (``station/campaign_selection.py``).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from contimg_assets.station.batches import MOST_GROUPS
from contimg_assets.station.campaign_selection import Selection
from contimg_assets.web.api.batch_models import BatchEstimate
from contimg_assets.web.api.batches import batch_url, estimate_of
from contimg_assets.web.api.parts import API, Links, Model, Parts, example, links, require
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role


class RemakeRequest(Model):
    """Groups to make again from their files on: named by keys, or by the set that calibrated them last."""

    model_config = example({"calibration_set": "20250601T140627-b48ed40a", "dry_run": True})

    groups: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=MOST_GROUPS)
    """Keys."""
    calibration_set: Annotated[str, Field(max_length=64)] | None = None
    dry_run: bool = False
    """Only tell what would be done."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    """Of the batch; without it: ``campaign-`` and a number."""

    @model_validator(mode="after")
    def _one_way(self) -> "RemakeRequest":
        if bool(self.groups) + (self.calibration_set is not None) != 1:
            raise ValueError("one of groups and calibration_set")
        return self


class RemakeAccepted(Model):
    """A batch that makes groups again as a whole, or what it would be."""

    id: str | None
    """Null: a dry run."""
    dry_run: bool
    n_groups: int
    taken: dict[str, int]
    """Why groups are taken, and how many."""
    left_out: dict[str, int]
    """Why others are not, and how many."""
    estimate: BatchEstimate
    links: Links


_DRY: dict[int | str, dict[str, Any]] = {
    200: {"model": RemakeAccepted, "description": "What would be done: nothing was started."}
}


def remake_router(parts: Parts) -> APIRouter:
    """The route."""
    router = APIRouter(prefix=f"{API}/batch", tags=["jobs"])
    campaigns = parts.station.campaigns

    @router.post("/remake", response_model=RemakeAccepted, status_code=202, responses=_DRY)
    def remake(asked: RemakeRequest, request: Request, response: Response) -> RemakeAccepted:
        """Make groups again as a whole; ``dry_run`` only tells what would be done."""
        user = require(request, Role.OPERATOR)
        wanted = Selection(
            keys=tuple(sorted(set(asked.groups))), calibration_set=asked.calibration_set, everything=True
        )
        plan = campaigns.plan(wanted, **parts.dagster.capacity())
        name: str | None = None
        if asked.dry_run:
            response.status_code = 200
        elif not plan.n_groups:
            told = "; ".join(f"{number} groups: {reason}" for reason, number in plan.left_out.items())
            raise ProblemError(409, f"no group can be made again{f' ({told})' if told else ''}")
        else:
            name = campaigns.create(plan, asked.name, user.name)
            response.headers["Location"] = batch_url(name)
        return RemakeAccepted(
            id=name,
            dry_run=name is None,
            n_groups=plan.n_groups,
            taken=plan.taken,
            left_out=plan.left_out,
            estimate=estimate_of(plan.estimate, plan.n_groups),
            links=links(self=None if name is None else batch_url(name)),
        )

    return router
