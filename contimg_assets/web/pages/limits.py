"""``/limits``: the limits in force, and what if one were another.

Belongs here: the pages.  Does not belong here: judging (``station/limit_views.py``).
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from contimg_assets.radio.limits import load_limits
from contimg_assets.station.limit_views import what_if
from contimg_assets.web.api.parts import Parts
from contimg_assets.web.pages.rendering import page
from contimg_assets.web.problems import ProblemError


def limits_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.api_route("/limits", methods=["GET", "HEAD"])
    def limits(request: Request) -> HTMLResponse:
        return page(request, "limits.html", limits=load_limits())

    @router.api_route("/limits/{product}/{check}", methods=["GET", "HEAD"])
    def another(
        product: str,
        check: str,
        request: Request,
        soft: Annotated[str, Query(max_length=32)] = "",
        hard: Annotated[str, Query(max_length=32)] = "",
        groups: Annotated[int, Query(ge=1, le=2000)] = 300,
    ) -> HTMLResponse:
        found = what_if(
            parts.station.engine, product, check, _number("soft", soft), _number("hard", hard), groups
        )
        return page(request, "limit.html", found=found, groups=groups)

    return router


def _number(name: str, text: str) -> float | None:
    """A number of a form; None where the field was left empty."""
    try:
        value = float(text) if text.strip() else None
    except ValueError as error:
        raise ProblemError(422, f"{name}: found {text!r}; expected a number") from error
    if value is not None and value != value:
        raise ProblemError(422, f"{name}: found {text!r}; expected a number")
    return value
