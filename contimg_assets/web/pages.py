"""The pages that people look at, made by the server.

Belongs here: one handler a page, a few lines each.  Does not belong here: what the pages say (``station/``).
"""

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from contimg_assets.station.products import StationRecords
from contimg_assets.web.guard import PRINCIPAL

_TEMPLATES = Environment(
    loader=PackageLoader("contimg_assets.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def pages_router(records: StationRecords) -> APIRouter:
    """The pages of an installation."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.api_route("/", methods=["GET", "HEAD"])
    def start(request: Request) -> HTMLResponse:
        template = _TEMPLATES.get_template("start.html")
        page = template.render(counts=records.counts(), principal=request.scope[PRINCIPAL])
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    return router
