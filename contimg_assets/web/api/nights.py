"""The reports of nights, as programs read them.

Belongs here: routes and their models.  Does not belong here: what a report says
(``station/night_report.py``), or its page (``web/pages/nights.py``).
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict
from starlette.responses import FileResponse

from contimg_assets.station.models import ProductVersion
from contimg_assets.station.night_products import NUMBERS, report_of, reports
from contimg_assets.web.api.parts import API, Links, Model, Parts

#: A day, UTC.
Day = Annotated[str, Path(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class NightRow(Model):
    """The report of a night, in a list."""

    date: str
    """Day, UTC."""
    made_at: datetime
    version: str
    numbers: dict[str, float | None]
    """Groups, images, medians of quality numbers, latency (s), real-time factor, antennas, free bytes."""
    links: Links


class NightList(Model):
    """Nights that have a report, newest first."""

    items: list[NightRow]


class NightDocument(Model):
    """All that the report of a night says, as the version of contimg that made it wrote it."""

    model_config = ConfigDict(extra="allow")

    date: str
    made_at: str
    contimg: str
    """Version that made it."""
    numbers: dict[str, float | None]
    groups: list[dict[str, Any]]
    """Oldest first: key, state, verdict, right ascension and declination (deg), numbers, latency (s)."""
    states: dict[str, int]
    verdicts: dict[str, int]
    compared: list[dict[str, Any]]
    """Of each number: medians of the night and of the thirty nights before, with their 16–84 %."""
    strips: list[dict[str, Any]]
    calibrators: list[dict[str, Any]]
    antennas: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    """Antennas that are dead, or well, otherwise than in the night before."""
    causes: list[dict[str, Any]]
    alarms: list[dict[str, Any]]
    latency: dict[str, float | None]
    disk: dict[str, float | None]


def api_nights_router(parts: Parts) -> APIRouter:
    """Routes of the nights' reports."""
    router = APIRouter(prefix=f"{API}/nights", tags=["system"])
    station = parts.station

    def row(version: ProductVersion) -> NightRow:
        return NightRow(
            date=version.key,
            made_at=version.made_at,
            version=version.version,
            numbers=version.numbers,
            links={"self": f"{API}/nights/{version.key}", "page": f"/nights/{version.key}"},
        )

    @router.get("", response_model=NightList)
    def nights(limit: Annotated[int, Query(ge=1, le=400)] = 100) -> NightList:
        """Nights that have a report, with their numbers."""
        return NightList(items=[row(version) for version in reports(station, limit)])

    @router.get("/{day}", response_model=NightDocument)
    def night(day: Day) -> FileResponse:
        """The report of a night, with everything that its page shows."""
        return FileResponse(report_of(station, day, NUMBERS), media_type="application/json")

    return router
