"""``/nights``: the reports of nights.

Belongs here: the list, and handing a report over.  Does not belong here: the report
(``station/night_products.py``).
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from contimg_assets.station.night_products import report_of, reports
from contimg_assets.web.api.parts import Parts
from contimg_assets.web.pages.rendering import page
from contimg_assets.web.products import CACHE, CSP

Day = Annotated[str, Path(pattern=r"^\d{4}-\d{2}-\d{2}$")]


def nights_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    station = parts.station

    @router.api_route("/nights", methods=["GET", "HEAD"])
    def nights(request: Request) -> HTMLResponse:
        return page(request, "nights.html", reports=reports(station))

    @router.api_route("/nights/{day}", methods=["GET", "HEAD"])
    def report(day: Day) -> Response:
        # It has its styles in itself, as a product may.
        headers = {"Cache-Control": CACHE, "Content-Security-Policy": CSP}
        return FileResponse(report_of(station, day), media_type="text/html; charset=utf-8", headers=headers)

    return router
