"""Making pages from templates, and reading what their forms send.

Belongs here: what every page needs.  Does not belong here: pages.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from contimg_assets import __version__
from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_resources import PRODUCTS_URL
from contimg_assets.web.api.parts import principal_of
from contimg_assets.web.pages import words
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role

#: The pages in the order of their menu: address, name, key after ``g``.
MENU = (
    ("/", "Tonight", "t"),
    ("/groups", "Groups", "g"),
    ("/calibration", "Calibration", "c"),
    ("/antennas", "Antennas", "a"),
    ("/sources", "Sources", "o"),
    ("/jobs", "Jobs", "j"),
    ("/system", "System", "s"),
)
STATIC = "/static"
_MEDIA_TYPES = {"panel.css": "text/css; charset=utf-8", "panel.js": "text/javascript; charset=utf-8"}
#: Fields that one form may have: a batch's groups and a few more.
_MOST_FIELDS = 2100
_NO_STORE = {"Cache-Control": "no-store"}


@lru_cache(maxsize=8)
def _static(name: str) -> tuple[bytes, str]:
    content = (resources.files("contimg_assets.web") / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def static_url(name: str) -> str:
    """Address of a file of ours: another one for other content, so that browsers keep it."""
    return f"{STATIC}/{_static(name)[1]}/{name}"


def static_router() -> APIRouter:
    """The route of the style sheet and the module."""
    router = APIRouter(include_in_schema=False)

    @router.api_route(f"{STATIC}/{{digest}}/{{name}}", methods=["GET", "HEAD"])
    def static(digest: str, name: str) -> Response:
        if name not in _MEDIA_TYPES or _static(name)[1] != digest:
            raise ProblemError(404, "no such file of our pages")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(_static(name)[0], media_type=_MEDIA_TYPES[name], headers=headers)

    return router


def group_page(key: str, tab: str = "") -> str:
    """Address of a group's page."""
    return f"/groups/{key}" + (f"?tab={tab}" if tab else "")


def set_page(set_id: str) -> str:
    """Address of a calibration set's page."""
    return f"/calibration/{quote(set_id)}"


def product_url(key: str, product: str, name: str) -> str:
    """Address of a file of a group's product."""
    return f"{PRODUCTS_URL}/{slug(key)}/{product}/{quote(name)}"


def query(given: Mapping[str, Any], **changes: Any) -> str:
    """The query of an address with some values others; None and nothing leave a name out."""
    merged = {**given, **changes}
    listed = {
        name: value for name, value in merged.items() if value is not None and value != "" and value != []
    }
    return f"?{urlencode(listed, doseq=True)}" if listed else "?"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("contimg_assets.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": words.number,
        "percent": words.percent,
        "size": words.size,
        "duration": words.duration,
        "lst": words.lst,
        "at": words.at,
        "ago": words.ago,
        "of_mjd": words.of_mjd,
        "quote": quote,
    }
    made.globals |= {
        "words": words,
        "menu": MENU,
        "static_url": static_url,
        "group_page": group_page,
        "set_page": set_page,
        "product_url": product_url,
        "query": query,
        "version": __version__,
    }
    return made


TEMPLATES = _environment()


def page(request: Request, template: str, code: int = 200, **context: Any) -> HTMLResponse:
    """A page for whoever asks.

    Parameters
    ----------
    request : Request
    template : str
        Name of the template's file.
    code : int
        HTTP status.
    **context
        What the template shows.
    """
    principal = principal_of(request)
    rendered = TEMPLATES.get_template(template).render(
        principal=principal,
        may_write=principal is not None and principal.role.includes(Role.OPERATOR),
        is_admin=principal is not None and principal.role.includes(Role.ADMIN),
        path=request.url.path,
        now=datetime.now(UTC),
        **context,
    )
    return HTMLResponse(rendered, code, headers=_NO_STORE)


def go_to(address: str) -> RedirectResponse:
    """Show another page after a write: loading it again writes nothing again."""
    return RedirectResponse(address, 303, headers=_NO_STORE)


@dataclass(frozen=True)
class Form:
    """What a form sent."""

    fields: Mapping[str, Sequence[str]]

    def one(self, name: str, default: str = "") -> str:
        """The only value of a field, without space around it.

        Raises
        ------
        ProblemError
            422 if there are several.
        """
        values = self.fields.get(name, [default])
        if len(values) > 1:
            raise ProblemError(422, f"{name}: found {len(values)} values, expected one")
        return values[0].strip()

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return list(self.fields.get(name, []))


async def form_of(request: Request) -> Form:
    """What a form sent; to be used as a dependency.

    Raises
    ------
    ProblemError
        400 if it cannot be read.
    """
    body = await request.body()
    try:
        fields = parse_qs(
            body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise ProblemError(400, f"the form cannot be read: {error}") from error
    return Form(fields)


def wants_page(request: Request) -> bool:
    """Whether a person looks, so that a problem is told on a page."""
    below = request.url.path.startswith(("/api/", f"{PRODUCTS_URL}/", f"{STATIC}/"))
    return not below and "text/html" in request.headers.get("accept", "")


def told_on_page(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> HTMLResponse:
    """A problem as a person reads it; ``job`` among its members is a link."""
    response = page(
        request,
        "problem.html",
        status,
        heading=HTTPStatus(status).phrase,
        detail=detail,
        job=members.get("job"),
    )
    response.headers.update(headers or {})
    return response
