"""``/candidates``: extreme scattering events of a day, each with what a person says of it.

Belongs here: the page, and its form.  Does not belong here: the search and keeping
verdicts (``station/scattering_events.py``).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.station.injected_truth import truth_of
from contimg_assets.station.scattering_events import candidates, days_listed, review_candidate
from contimg_assets.station.survey_models import CANDIDATE_VERDICTS
from contimg_assets.web.api.parts import Parts, require
from contimg_assets.web.pages.rendering import Form, form_of, go_to, page
from contimg_assets.web.pages.sources import source_page
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role

Day = Annotated[str | None, Query(pattern=r"^\d{4}-\d{2}-\d{2}b?$")]


def candidates_router(parts: Parts) -> APIRouter:
    """The page and what its form does."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    station = parts.station

    @router.api_route("/candidates", methods=["GET", "HEAD"])
    def listed(request: Request, day: Day = None) -> HTMLResponse:
        days = days_listed(station.engine)
        try:
            of_day, found = candidates(station.engine, station.store, day)
        except MissingInputError as error:
            if day is not None:
                raise ProblemError(404, str(error)) from error
            of_day, found = None, []
        return page(
            request,
            "candidates.html",
            day=of_day,
            days=days,
            rows=[one.as_dict() for one in found],
            truth=None if of_day is None else truth_of(station.engine, of_day),
            verdicts=CANDIDATE_VERDICTS,
            address=source_page,
        )

    @router.post("/candidates/review")
    def review(request: Request, form: Annotated[Form, Depends(form_of)]) -> RedirectResponse:
        user = require(request, Role.OPERATOR).name
        try:
            begin, end = float(form.one("begin_mjd")), float(form.one("end_mjd"))
            told = (form.one("verdict"), form.one("note"), user)
            review_candidate(station.engine, form.one("source"), begin, end, *told)
        except MissingInputError as error:
            raise ProblemError(404, str(error)) from error
        except (SettingsError, ValueError) as error:
            raise ProblemError(422, str(error)) from error
        return go_to("/candidates")

    return router
