"""``/calibration`` and ``/calibration/{set}``: which sets there are, for how long, and what they touched.

Belongs here: the pages, and retiring a set.  Does not belong here: the registry
(``station/calibration_registry.py``).
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.calibration_outlook import outlook
from contimg_assets.station.calibration_views import HeldSet, ever_calibrated, groups_of_sets, sets_for
from contimg_assets.station.group_listing import GroupFilter, list_groups, matching_keys
from contimg_assets.station.models import CalibrationSet
from contimg_assets.station.status_views import waiting
from contimg_assets.web.api.calibration import SetId, set_detail
from contimg_assets.web.api.parts import Parts, require
from contimg_assets.web.pages.rendering import Form, form_of, go_to, page, set_page
from contimg_assets.web.roles import Role

Sent = Annotated[Form, Depends(form_of)]
#: Sets of one page, and days of the time line.
ROWS, DAYS = 100, 8.0
#: Groups of the matrix: the newest that are converted.
MATRIX_GROUPS = 10
#: Sets of the matrix are no farther from a group than so many days.
MATRIX_DAYS = 1.0
#: Groups of a set that its page names.
TOUCHED = 50


@dataclass(frozen=True)
class Strip:
    """Sets of one declination on a time line."""

    declination_deg: float
    sets: list[CalibrationSet]


def calibration_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    station = parts.station

    @router.api_route("/calibration", methods=["GET", "HEAD"])
    def calibration(request: Request, offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0) -> HTMLResponse:
        sets = station.registry.list()[::-1]
        keys, matrix = _matrix(parts)
        end = max((each.valid_to_mjd for each in sets), default=0.0)
        shown = [each for each in sets if each.valid_to_mjd > end - DAYS]
        return page(
            request,
            "calibration.html",
            sets=sets[offset : offset + ROWS],
            total=len(sets),
            offset=offset,
            rows=ROWS,
            used=groups_of_sets(station.engine),
            strips=strips(shown, station.settings.calibration.strip_deg),
            begin=end - DAYS,
            days=DAYS,
            outlook=outlook(station.engine, station.settings.calibration),
            waiting=waiting(station.engine),
            matrix=matrix,
            matrix_groups=keys,
        )

    @router.api_route("/calibration/{set_id}", methods=["GET", "HEAD"])
    def one(
        set_id: SetId, request: Request, antenna: Annotated[str, Query(max_length=16)] = ""
    ) -> HTMLResponse:
        detail = set_detail(parts, set_id)
        now = set(matching_keys(station.engine, GroupFilter(set_id=set_id)))
        touched = list_groups(station.engine, GroupFilter(set_id=set_id), limit=TOUCHED)
        return page(
            request,
            "calibration_set.html",
            detail=detail,
            antenna=antenna,
            touched=touched,
            former=[key for key in ever_calibrated(station.engine, set_id) if key not in now],
            others=[each.id for each in station.registry.list("active") if each.id != set_id][::-1][:20],
        )

    @router.post("/calibration/{set_id}/retire")
    def retire(set_id: SetId, request: Request, form: Sent) -> RedirectResponse:
        user = require(request, Role.OPERATOR).name
        reason = form.one("reason") or f"retired by {user}"
        station.registry.retire(set_id, reason[:500], form.one("replaced_by") or None)
        return go_to(set_page(set_id))

    return router


def strips(sets: list[CalibrationSet], width_deg: float) -> list[Strip]:
    """Sets by declination, northern strips first: neighbours within the width are one strip."""
    made: list[Strip] = []
    for each in sorted(sets, key=lambda item: -item.declination_deg):
        if made and abs(made[-1].declination_deg - each.declination_deg) <= width_deg:
            made[-1].sets.append(each)
        else:
            made.append(Strip(each.declination_deg, [each]))
    return made


def _matrix(parts: Parts) -> tuple[list[str], dict[str, dict[str, HeldSet]]]:
    """The newest converted groups, and each set near them by its identity, held against each of them."""
    station = parts.station
    rows = list_groups(station.engine, GroupFilter(states=("completed", "in_progress")), limit=MATRIX_GROUPS)
    keys: list[str] = []
    found: dict[str, dict[str, HeldSet]] = {}
    for row in rows.rows:
        try:
            held, _ = sets_for(station.selection, station.records, row.key, MATRIX_DAYS)
        except MissingInputError:
            # Not converted yet.
            continue
        keys.append(row.key)
        for each in held:
            found.setdefault(each.found.id, {})[row.key] = each
    return keys, dict(sorted(found.items(), reverse=True))
