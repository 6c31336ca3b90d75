"""What the forms of a group's page do: a review, a job.

Belongs here: the writes.  Does not belong here: the page (``group.py``), or whether a group can have a job
(``station/job_requests.py``).
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from contimg_assets.station.job_requests import KINDS, PARAMETERS, JobParameters, Kind, plan_job
from contimg_assets.station.reviews import enter_review, progress_of
from contimg_assets.web.api.identify import KeyPath
from contimg_assets.web.api.jobs import launch, refuse_busy
from contimg_assets.web.api.parts import Parts, require
from contimg_assets.web.pages.rendering import Form, form_of, go_to, group_page
from contimg_assets.web.problems import ProblemError, wrong_text, wrong_values
from contimg_assets.web.roles import Role

Sent = Annotated[Form, Depends(form_of)]


def group_forms_router(parts: Parts) -> APIRouter:
    """What the forms do."""
    router = APIRouter(include_in_schema=False)
    engine = parts.station.engine

    @router.post("/groups/{key}/review")
    def review(key: KeyPath, request: Request, form: Sent) -> RedirectResponse:
        user = require(request, Role.OPERATOR).name
        enter_review(engine, key, form.one("verdict"), form.one("note"), user)
        following = progress_of(engine, key[:10], key).next if form.one("go_on") else None
        return go_to(group_page(following or key))

    @router.post("/groups/{key}/jobs")
    def job(key: KeyPath, request: Request, form: Sent) -> RedirectResponse:
        require(request, Role.OPERATOR)
        kind = kind_of_form(form)
        planned = plan_job(parts.station, kind, key, parameters_of_form(kind, form))
        refuse_busy(parts, key)
        return go_to(f"/jobs/{launch(parts, planned, request)}")

    return router


def kind_of_form(form: Form) -> Kind:
    """The kind of job that a form asks for."""
    for kind in KINDS:
        if form.one("kind") == kind:
            return kind
    raise ProblemError(422, f"kind: found {form.one('kind')!r}; expected one of {', '.join(KINDS)}")


def parameters_of_form(kind: Kind, form: Form) -> JobParameters:
    """Parameters of a job; fields that were left empty say nothing.

    Raises
    ------
    ProblemError
        422 if one is wrong.
    """
    known = PARAMETERS[kind].model_fields
    given: dict[str, Any] = {}
    for name in known:
        text = form.one(name)
        if not text:
            continue
        given[name] = _object(name, text) if name == "options" else text
    try:
        return PARAMETERS[kind].model_validate(given)
    except ValidationError as error:
        raise ProblemError(422, wrong_text(wrong_values(error.errors()))) from error


def _object(name: str, text: str) -> dict[str, Any]:
    expected = f'{name}: found {text[:80]!r}; expected JSON such as {{"robust": 0.5}}'
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ProblemError(422, expected) from error
    if not isinstance(found, dict):
        raise ProblemError(422, expected)
    return found
