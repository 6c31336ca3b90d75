"""All routes of the API in one place, and what its description says of every route.

Belongs here: the list of routers, and what is the same for all: errors, roles, tokens.  Does not belong
here: routes.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from contimg_assets import __version__
from contimg_assets.web.api.alarms import alarms_router
from contimg_assets.web.api.antenna_marks import antenna_marks_router
from contimg_assets.web.api.batches import batches_router
from contimg_assets.web.api.calibration import calibration_router
from contimg_assets.web.api.groups import groups_router
from contimg_assets.web.api.images import images_router
from contimg_assets.web.api.jobs import group_jobs_router, jobs_router
from contimg_assets.web.api.logs import logs_router
from contimg_assets.web.api.nights import api_nights_router
from contimg_assets.web.api.outlook import outlook_router
from contimg_assets.web.api.parts import Model, Parts
from contimg_assets.web.api.quality import quality_router
from contimg_assets.web.api.reference import reference_router
from contimg_assets.web.api.remake import remake_router
from contimg_assets.web.api.reviews import reviews_router
from contimg_assets.web.api.sources import sources_router
from contimg_assets.web.api.switches import switches_router
from contimg_assets.web.api.system import system_router
from contimg_assets.web.api.watched import watched_router
from contimg_assets.web.guard import OPEN_PATHS
from contimg_assets.web.problems import MEDIA_TYPE

DESCRIPTION = """What a contimg installation knows and does.

Groups are named by their keys; the routes tagged *reference* are those of the reference API, by its paths
and fields. Times are UTC, units stand in names or descriptions, a state never comes without its verdict.
Errors are problem details (RFC 9457) which say what was found and what was expected."""
_READING = {
    401: "Nothing tells who asks, or the token is not valid.",
    403: "The role does not include it, or the request comes from a page of another origin.",
    404: "There is none of that name.",
    405: "Not by this method.",
    409: "The group, or what it has, is not in a state for it.",
    421: "The host name is not one of the server's.",
    422: "A parameter is wrong; `errors` says which.",
    429: "Too many; see Retry-After.",
    502: "Dagster gave an answer that it should not.",
    503: "The database, Dagster or the record of writes is away.",
}
_WRITING = {
    400: "The body cannot be read.",
    413: "The body is larger than 64 kB.",
    415: "The body is not application/json.",
}


class WrongValue(Model):
    """A value of a request that is wrong."""

    where: str
    found: str
    expected: str


class Problem(Model):
    """Why a request is not carried out (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    """What was found and what was expected."""
    errors: list[WrongValue] | None = None
    """Of 422: each value that is wrong."""
    job: str | None = None
    """Of 409: the job that the group has already."""
    refused: list[dict[str, str]] | None = None
    """Of 409 on a batch: why some of its groups cannot have it."""


def include_api(app: FastAPI, parts: Parts) -> None:
    """Add all routes, and the API's description."""
    for made in (
        system_router,
        groups_router,
        group_jobs_router,
        images_router,
        calibration_router,
        reference_router,
        quality_router,
        jobs_router,
        logs_router,
        batches_router,
        remake_router,
        reviews_router,
        alarms_router,
        antenna_marks_router,
        switches_router,
        api_nights_router,
        outlook_router,
        sources_router,
        watched_router,
    ):
        app.include_router(made(parts))
    app.openapi = lambda: described(app)  # type: ignore[method-assign]


def described(app: FastAPI) -> dict[str, Any]:
    """The API's description, with the errors and roles of every route."""
    if app.openapi_schema is None:
        schema = get_openapi(title="contimg", version=__version__, description=DESCRIPTION, routes=app.routes)
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                _complete(path, method, operation)
        known = schema["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            known.pop(unused, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        known |= {**problem.pop("$defs", {}), "Problem": problem}
        schema["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "Of `contimg token add`."}
        }
        schema["security"] = [{"token": []}, {}]
        app.openapi_schema = schema
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"].pop("422", None)
    for status, told in (_READING if method == "get" else _READING | _WRITING).items():
        operation["responses"].setdefault(str(status), {"description": told, "content": content})
    asks = method == "get" or path.endswith("/validate-caltable")
    role = "anybody" if path in OPEN_PATHS else "viewer" if asks else "operator"
    operation["x-role"] = "admin" if path.endswith("/operator-actions") else role
