"""Everything that is served, put together: guard, pages, products, Dagster's own web app.

Belongs here: which part gets which path.  Does not belong here: the parts.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contimg_assets import __version__
from contimg_assets.radio.errors import ContimgError
from contimg_assets.station.installation import Installation
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.api.parts import Parts as ApiParts
from contimg_assets.web.api.routers import include_api
from contimg_assets.web.guard import DAGSTER, Guard, below_dagster
from contimg_assets.web.headers import SecurityHeaders
from contimg_assets.web.orchestrator import Orchestrator
from contimg_assets.web.pages.rendering import told_on_page, wants_page
from contimg_assets.web.pages.routers import include_pages
from contimg_assets.web.principals import Access
from contimg_assets.web.problems import ProblemError, problem_response, status_of, wrong_text, wrong_values
from contimg_assets.web.products import products_router

log = logging.getLogger("contimg.web")


def own_app(installation: Installation, orchestrator: Orchestrator | None = None) -> FastAPI:
    """What is ours of what is served.

    Parameters
    ----------
    installation : Installation
    orchestrator : Orchestrator or None
        Dagster of the same installation; None: there are no jobs.
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
    app.include_router(products_router(installation.store.products))
    parts = ApiParts.of(installation, orchestrator)
    include_api(app, parts)
    include_pages(app, parts)

    _tell_problems(app)
    return app


def _tell_problems(app: FastAPI) -> None:
    """Tell people of a problem on a page, and programs in problem details."""

    def tell(
        request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> Response:
        if wants_page(request):
            return told_on_page(request, status, detail, headers, **members)
        return problem_response(status, detail, headers, **members)

    @app.exception_handler(ContimgError)
    def told(request: Request, error: ContimgError) -> Response:
        if isinstance(error, ProblemError):
            return tell(request, error.status, error.detail, error.headers, **error.members)
        return tell(request, status_of(error), f"{type(error).__name__}: {error}")

    @app.exception_handler(RequestValidationError)
    def told_of_values(request: Request, error: RequestValidationError) -> Response:
        wrong = wrong_values(error.errors())
        return tell(request, 422, wrong_text(wrong), errors=wrong)

    @app.exception_handler(HTTPException)
    def told_by_framework(request: Request, error: HTTPException) -> Response:
        return tell(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(OperationalError)
    def away(request: Request, error: OperationalError) -> Response:
        log.error("%s", error)
        told = "the database does not answer; the server's log says why"
        return tell(request, 503, told, {"Retry-After": "5"})

    @app.exception_handler(Exception)
    def failed(request: Request, _error: Exception) -> Response:
        return tell(request, 500, "the server failed at this; its log says where")


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
    own: ASGIApp, dagster: ASGIApp, access: Access, actions: OperatorActions, hosts: Iterable[str]
) -> ASGIApp:
    """Both parts behind the one guard."""
    return SecurityHeaders(Guard(Parts(own, dagster), access, actions, hosts))
