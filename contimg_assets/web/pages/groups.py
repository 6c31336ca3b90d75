"""``/groups``: all groups, searched, filtered, sorted and paged by the database.

Belongs here: the page, and what its address may ask for.  Does not belong here: the statements
(``station/group_listing.py``).
"""

from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, ValidationError
from starlette.responses import HTMLResponse

from contimg_assets.station.group_listing import list_groups
from contimg_assets.station.reviews import newest_reviews
from contimg_assets.web.api.groups import GroupQuery, calibrator_quality, read_cursor, write_cursor
from contimg_assets.web.api.parts import Parts
from contimg_assets.web.pages import trends, words
from contimg_assets.web.pages.rendering import page, query
from contimg_assets.web.problems import ProblemError, wrong_text, wrong_values

#: Values of one name that an address may have several of.
_LISTED = ("state", "verdict", "quality", "fallback")
#: As addresses say that nothing was judged.
NOT_JUDGED = "none"
ROWS = 50


class PageQuery(GroupQuery):
    """What the page may be asked for: as the API, and what people said."""

    limit: int = Field(default=ROWS, ge=1, le=200)
    trend: Literal[tuple(words.NUMBERS)] | None = None  # type: ignore[valid-type]
    """Number that is drawn over time."""


def asked_of(given: dict[str, Any]) -> PageQuery:
    """What an address or a form asks for; fields that were left empty say nothing."""
    return PageQuery.model_validate(given)


def addressed(items: list[tuple[str, str]]) -> dict[str, Any]:
    """Names and values as an address has them, without those that were left empty."""
    given: dict[str, Any] = {}
    for name, value in items:
        if value == "":
            continue
        if name in _LISTED:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    return given


def given_in(items: list[tuple[str, str]]) -> dict[str, Any]:
    """The same as the list takes them."""
    given = addressed(items)
    if "verdict" in given:
        given["verdict"] = ["" if value == NOT_JUDGED else value for value in given["verdict"]]
    return given


@dataclass(frozen=True)
class Facet:
    """A value that a list can be narrowed to."""

    name: str
    word: str
    number: int
    chosen: bool
    address: str
    face: words.Face


def groups_router(parts: Parts) -> APIRouter:
    """The page."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    station = parts.station

    @router.api_route("/groups", methods=["GET", "HEAD"])
    def groups(request: Request) -> HTMLResponse:
        items = list(request.query_params.multi_items())
        given = given_in(items)
        try:
            asked = asked_of(given)
            after = None if asked.cursor is None else read_cursor(asked.cursor, asked.sort)
        except ValidationError as error:
            raise ProblemError(422, wrong_text(wrong_values(error.errors()))) from error
        found = list_groups(
            station.engine, asked.filter, sort=asked.sort, limit=asked.limit, offset=asked.offset, after=after
        )
        kept = {name: value for name, value in addressed(items).items() if name not in ("cursor", "offset")}
        last = found.rows[-1] if len(found.rows) == asked.limit else None
        return page(
            request,
            "groups.html",
            rows=found.rows,
            found=found,
            asked=asked,
            kept=kept,
            narrowed_fields={
                f"filter.{name}": value
                for name, value in kept.items()
                if name not in ("sort", "limit", "trend")
            },
            facets=_facets(found.facets, kept),
            following=None if last is None else query(kept, cursor=write_cursor(last, asked.sort)),
            first=asked.cursor is None and asked.offset == 0,
            calibrator_of=lambda row: calibrator_quality(parts, row),
            reviews=newest_reviews(station.engine, [row.key for row in found.rows]),
            trend=_trend(parts, asked),
            sorting=_sorting(asked.sort, kept),
        )

    return router


def _facets(counts: dict[str, dict[str, int]], kept: dict[str, Any]) -> dict[str, list[Facet]]:
    """States, verdicts and words for the image, each with how many groups have it and where they are."""
    faces = {
        "state": ("state", lambda value: words.of_group(value, "") if value != "completed" else _DONE),
        "verdict": ("verdict", words.of_verdict),
        "quality": ("image_quality", words.of_quality),
    }
    made: dict[str, list[Facet]] = {}
    for name, (column, face_of) in faces.items():
        chosen = kept.get(name, [])
        entries = []
        for value, number in sorted(counts[column].items(), key=lambda item: -item[1]):
            spelled = value or NOT_JUDGED
            others = [each for each in chosen if each != spelled] if spelled in chosen else [*chosen, spelled]
            face = face_of(value)
            entries.append(
                Facet(name, face.word, number, spelled in chosen, query(kept, **{name: others}), face)
            )
        made[name] = entries
    return made


_DONE = words.Face("none", "■", "completed")


def _sorting(sort: str, kept: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Address and direction of each heading: another click turns the order."""
    names = ("group", "verdict", "image_quality", "calibrator_apparent_jy", "calibration_hours")
    made = {}
    for name in (*names, *words.NUMBERS):
        now = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
        made[name] = (query(kept, sort=name if sort == f"-{name}" else f"-{name}"), now)
    return made


def _trend(parts: Parts, asked: PageQuery) -> trends.Trend | None:
    """The number that is sorted by, or asked for, over time."""
    name = asked.trend or asked.sort.removeprefix("-")
    if name not in words.NUMBERS:
        return None
    return trends.trend(parts.station.engine, asked.filter, words.NUMBERS[name])
