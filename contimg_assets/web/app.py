"""Everything that is served, put together: guard, pages, products, Dagster's own web app.

Belongs here: which part gets which path.  Does not belong here: the parts.
"""

from collections.abc import Iterable
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contimg_assets import __version__
from contimg_assets.station.products import StationRecords
from contimg_assets.web.audit import Audit
from contimg_assets.web.guard import DAGSTER, Guard, below_dagster
from contimg_assets.web.headers import SecurityHeaders
from contimg_assets.web.pages import pages_router
from contimg_assets.web.principals import Access
from contimg_assets.web.problems import ProblemError, problem_response
from contimg_assets.web.products import products_router


def own_app(records: StationRecords, products: Path) -> FastAPI:
    """What is ours of what is served.

    Parameters
    ----------
    records : StationRecords
    products : Path
        ``home/products``.
    """
    # FastAPI's pages of documentation load their scripts from elsewhere.  Redirects to other spellings of an
    # address would name the scheme that the proxy uses, not the browser.
    app = FastAPI(
        title="contimg",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(products_router(products))
    app.include_router(pages_router(records))

    @app.exception_handler(ProblemError)
    def told(_request: Request, problem: ProblemError) -> Response:
        return problem_response(problem.status, problem.detail, problem.headers)

    @app.exception_handler(HTTPException)
    def told_by_framework(_request: Request, error: HTTPException) -> Response:
        return problem_response(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(Exception)
    def failed(_request: Request, _error: Exception) -> Response:
        return problem_response(500, "the server failed at this; its log says where")

    return app


class Parts:
    """Dagster's web app below its path, ours everywhere else.

    Parameters
    ----------
    own : ASGIApp
    dagster : ASGIApp
        Made for the prefix ``/dagster``.
    """

    def __init__(self, own: ASGIApp, dagster: ASGIApp) -> None:
        self.own = own
        self.dagster = dagster

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to its part."""
        if scope["type"] == "lifespan" or not below_dagster(scope["path"]):
            await self.own(scope, receive, send)
        elif scope["path"] == DAGSTER and scope["type"] == "http":
            await RedirectResponse(f"{DAGSTER}/")(scope, receive, send)
        else:
            await self.dagster(scope, receive, send)


def guarded_app(
    own: ASGIApp, dagster: ASGIApp, access: Access, audit: Audit, hosts: Iterable[str]
) -> ASGIApp:
    """Both parts behind the one guard."""
    return SecurityHeaders(Guard(Parts(own, dagster), access, audit, hosts))
