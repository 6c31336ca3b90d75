"""``/groups.csv``: the rows of the list of groups, all that a query finds and not only a page of them.

Belongs here: rows as text.  Does not belong here: the query (``groups.py``), or the statements.
"""

import csv
from collections.abc import Iterator
from datetime import date
from io import StringIO
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import StreamingResponse

from contimg_assets.station.group_listing import list_groups, sort_value
from contimg_assets.station.models import GroupSummary
from contimg_assets.web.api.parts import Parts
from contimg_assets.web.pages.groups import PageQuery, asked_of, given_in
from contimg_assets.web.problems import ProblemError, wrong_text, wrong_values

#: Rows that are read at once.
_AT_ONCE = 500
COLUMNS = [column.name for column in GroupSummary.__table__.columns]
#: A cell that begins so is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows_router(parts: Parts) -> APIRouter:
    """The route."""
    router = APIRouter(include_in_schema=False)

    @router.get("/groups.csv")
    def rows(request: Request) -> StreamingResponse:
        try:
            asked = asked_of(given_in(list(request.query_params.multi_items())))
        except ValidationError as error:
            raise ProblemError(422, wrong_text(wrong_values(error.errors()))) from error
        headers = {"Content-Disposition": "attachment; filename=groups.csv", "Cache-Control": "no-store"}
        return StreamingResponse(lines(parts, asked), media_type="text/csv; charset=utf-8", headers=headers)

    return router


def lines(parts: Parts, asked: PageQuery) -> Iterator[str]:
    """The rows that a query finds, as CSV, in its order; the names of the columns first."""
    yield _line(COLUMNS)
    after: tuple[Any, str] | None = None
    while True:
        found = list_groups(parts.station.engine, asked.filter, sort=asked.sort, limit=_AT_ONCE, after=after)
        yield "".join(_line([cell(getattr(row, name)) for name in COLUMNS]) for row in found.rows)
        if len(found.rows) < _AT_ONCE:
            return
        last = found.rows[-1]
        after = (sort_value(last, asked.sort), last.key)


def cell(value: object) -> str:
    """A value as a cell: never a formula."""
    if value is None:
        return ""
    told = value.isoformat() if isinstance(value, date) else str(value)
    return f"'{told}" if isinstance(value, str) and told.startswith(_FORMULA) else told


def _line(cells: list[str]) -> str:
    content = StringIO()
    csv.writer(content).writerow(cells)
    return content.getvalue()
