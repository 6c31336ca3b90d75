"""Antennas that people have marked as bad.

Belongs here: routes and their models.  Does not belong here: what a mark does (``station/antenna_marks.py``).
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, Field

from contimg_assets.station.antenna_marks import LONGEST_REASON, AntennaMarks
from contimg_assets.web.api.parts import API, Model, Parts, example, require
from contimg_assets.web.roles import Role

AntennaName = Annotated[str, Path(description="Its name.", max_length=16, examples=["103"])]
MarkId = Annotated[str, Path(pattern="^[0-9a-f]{12}$", examples=["4f0c2a91d3be"])]
#: The telescope's life, and more.
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_Time = Annotated[AwareDatetime, Field(ge=_FIRST, le=_LAST)]


class MarkRequest(Model):
    """Why an antenna is not to be used, and when."""

    model_config = example({"reason": "feed B was exchanged", "since": "2025-06-01T12:00:00Z"})

    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]
    since: _Time | None = None
    """Groups that begin then or later are flagged without it; null: from now on."""
    until: _Time | None = None
    """Groups that begin then or later are not any more; null: all that come."""


class Mark(Model):
    """An antenna that is not to be used."""

    id: str
    antenna: str
    reason: str
    since: datetime
    until: datetime | None
    user: str
    at: datetime
    """When it was made."""


class MarkList(Model):
    """Marks, newest first; those that are over as well."""

    items: list[Mark]


def antenna_marks_router(parts: Parts) -> APIRouter:
    """Routes of marks."""
    router = APIRouter(prefix=f"{API}/antennas", tags=["system"])
    marks = AntennaMarks(parts.station.settings.home)

    @router.get("/marks", response_model=MarkList)
    def known(
        antenna: Annotated[str | None, Query(max_length=16, description="Only of this antenna.")] = None,
    ) -> MarkList:
        """Antennas that people have marked as bad, from when until when, and why."""
        return MarkList(items=[Mark.model_validate(each) for each in reversed(marks.known(antenna))])

    @router.post("/{name}/marks", response_model=Mark, status_code=201)
    def mark(name: AntennaName, asked: MarkRequest, request: Request) -> Mark:
        """Mark an antenna as bad: groups within are flagged without it, from the next flagging on."""
        user = require(request, Role.OPERATOR).name
        since = (asked.since or datetime.now(UTC)).replace(microsecond=0)
        return Mark.model_validate(marks.add(name, asked.reason, since, asked.until, user))

    @router.post("/marks/{identity}/end", response_model=Mark)
    def end(identity: MarkId, request: Request) -> Mark:
        """End a mark now; it is never removed."""
        require(request, Role.OPERATOR)
        return Mark.model_validate(marks.end(identity, datetime.now(UTC).replace(microsecond=0)))

    return router
