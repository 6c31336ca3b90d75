"""``/batch/plan`` and ``/batch/{name}``: one job for many groups, the dry run first.

Belongs here: the pages and what their forms do.  Does not belong here: which groups a batch takes
(``station/batches.py``, ``station/campaign_selection.py``).
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import HTMLResponse, RedirectResponse

from contimg_assets.station.batches import (
    MOST_GROUPS,
    PRODUCTS,
    batch_items,
    batch_kind,
    plan_batch,
    start_batch,
)
from contimg_assets.station.campaign_models import ITEM_STATES, REMAKE
from contimg_assets.station.campaign_selection import Selection
from contimg_assets.station.campaign_views import campaign_details
from contimg_assets.station.group_listing import matching_keys
from contimg_assets.station.job_requests import Kind
from contimg_assets.web.api.batches import retry_failed, view_of
from contimg_assets.web.api.parts import Parts, require
from contimg_assets.web.pages.group_forms import parameters_of_form
from contimg_assets.web.pages.groups import asked_of, given_in
from contimg_assets.web.pages.rendering import Form, form_of, go_to, page
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role

Sent = Annotated[Form, Depends(form_of)]
Name = Annotated[str, PathParameter(max_length=64)]
#: Before the names of an address's filter, in a form.
_FILTER = "filter."
#: Groups of a batch that one page lists.
ROWS = 200
#: Refused groups that a dry run lists.
REFUSED_SHOWN = 200


def batches_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _add_plan(router, parts)
    _add_batch(router, parts)
    return router


def _add_plan(router: APIRouter, parts: Parts) -> None:
    """The dry run, and starting what it showed."""
    station = parts.station

    @router.post("/batch/plan")
    def plan(request: Request, form: Sent) -> HTMLResponse:
        require(request, Role.OPERATOR)
        kind, wanted = _kind(form), _selection(parts, form)
        shown = _remake(parts, wanted) if kind == REMAKE else _jobs(parts, kind, wanted, form)
        return page(
            request,
            "batch_plan.html",
            kind=kind,
            refused_shown=REFUSED_SHOWN,
            asked={
                name: values
                for name, values in form.fields.items()
                if name in ("kind", "group", "set", "which", "options", "quick", "calibration_set", "fast")
                or name.startswith(_FILTER)
            },
            **shown,
        )

    @router.post("/batch")
    def start(request: Request, form: Sent) -> RedirectResponse:
        user = require(request, Role.OPERATOR)
        kind, wanted = _kind(form), _selection(parts, form)
        if kind == REMAKE:
            plan = station.campaigns.plan(wanted, **parts.dagster.capacity())
            name = station.campaigns.create(plan, None, user.name)
        else:
            name = start_batch(station, _planned(parts, kind, wanted.keys, form), user.name)
        return go_to(f"/batch/{name}?begun=true")


def _add_batch(router: APIRouter, parts: Parts) -> None:
    """One batch, and what may be done with it."""
    station = parts.station

    @router.api_route("/batch/{name}", methods=["GET", "HEAD"])
    def show(
        name: Name,
        request: Request,
        state: Annotated[Literal[ITEM_STATES] | None, Query()] = None,  # type: ignore[valid-type]
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        begun: bool = False,
    ) -> HTMLResponse:
        view = view_of(parts, name)
        items, total = batch_items(station, name, state=state, limit=ROWS, offset=offset)
        return page(
            request,
            "batch.html",
            view=view,
            details=campaign_details(station.engine, name, station.settings),
            items=items,
            total=total,
            state=state,
            states=ITEM_STATES,
            offset=offset,
            rows=ROWS,
            begun=begun,
        )

    @router.post("/batch/{name}/{change}")
    def change(
        name: Name, change: Literal["pause", "resume", "cancel", "retry"], request: Request
    ) -> RedirectResponse:
        user = require(request, Role.OPERATOR)
        if change == "retry":
            return go_to(f"/batch/{retry_failed(parts, name, user.name)}?begun=true")
        view_of(parts, name)
        getattr(station.campaigns, change)(name)
        return go_to(f"/batch/{name}")


def _kind(form: Form) -> Kind | Literal["remake"]:
    asked = form.one("kind")
    kind = batch_kind(asked)
    if kind is not None:
        return kind
    if asked == REMAKE:
        return "remake"
    raise ProblemError(422, f"kind: found {asked!r}; expected one of {', '.join([*PRODUCTS, REMAKE])}")


def _selection(parts: Parts, form: Form) -> Selection:
    """The groups that a form names: one by one, by a list's filter, or by the set that calibrated them."""
    if form.one("set"):
        return Selection(calibration_set=form.one("set"), everything=True)
    if form.one("which") != "all":
        keys = sorted(set(form.all("group")))
        if not keys:
            raise ProblemError(422, "no group was selected; expected at least one")
        return Selection(keys=tuple(keys), everything=True)
    fields = [
        (name.removeprefix(_FILTER), value)
        for name, values in form.fields.items()
        for value in values
        if name.startswith(_FILTER)
    ]
    wanted = asked_of(given_in(fields)).filter
    keys = matching_keys(parts.station.engine, wanted, MOST_GROUPS + 1)
    if not 0 < len(keys) <= MOST_GROUPS:
        told = f"more than {MOST_GROUPS}" if keys else "0"
        raise ProblemError(422, f"found {told} groups that match; expected 1 to {MOST_GROUPS} of one batch")
    return Selection(keys=tuple(keys), everything=True)


def _planned(parts: Parts, kind: Kind, keys: tuple[str, ...], form: Form) -> Any:
    return plan_batch(
        parts.station,
        kind,
        keys,
        parameters_of_form(kind, form),
        busy=parts.dagster.busy_keys(),
        **parts.dagster.capacity(),
    )


def _jobs(parts: Parts, kind: Kind, wanted: Selection, form: Form) -> dict[str, Any]:
    """What a batch of one job would do."""
    keys = wanted.keys
    if wanted.calibration_set is not None:
        asked = asked_of({"calibration_set": wanted.calibration_set}).filter
        keys = tuple(matching_keys(parts.station.engine, asked, MOST_GROUPS + 1))
    found = _planned(parts, kind, keys, form)
    reasons: dict[str, int] = {}
    for each in found.refused:
        reason = each.reason.replace(each.group, "…")
        reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "n_accepted": len(found.accepted),
        "taken": found.warnings,
        "left_out": reasons,
        "refused": found.refused[:REFUSED_SHOWN],
        "estimate": found.estimate,
    }


def _remake(parts: Parts, wanted: Selection) -> dict[str, Any]:
    """What a campaign would do that makes groups again as a whole."""
    found = parts.station.campaigns.plan(wanted, **parts.dagster.capacity())
    return {
        "n_accepted": found.n_groups,
        "taken": found.taken,
        "left_out": found.left_out,
        "refused": [],
        "estimate": found.estimate,
    }
