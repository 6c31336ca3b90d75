"""The list of sources that are measured in every image.

Belongs here: routes and their models.  Does not belong here: the list (``station/watched_sources.py``), which
must be named by the settings.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import Field

from contimg_assets.station.watched_sources import add_watched, remove_watched, watched
from contimg_assets.web.api.parts import API, Model, Parts, example, require
from contimg_assets.web.roles import Role

#: As the list takes it; a line break would be another line's.
_NAME = r"^[^\x00-\x1f\x7f]{1,32}$"
Name = Annotated[str, Path(pattern=_NAME, description="Name of the source.")]


class WatchedSource(Model):
    """A source that is measured in every image that has its place."""

    model_config = example({"name": "J0318+1628", "ra_deg": 49.54, "dec_deg": 16.476})

    name: Annotated[str, Field(pattern=_NAME)]
    ra_deg: Annotated[float, Field(ge=0, lt=360)]
    """ICRS."""
    dec_deg: Annotated[float, Field(ge=-90, le=90)]


class WatchedList(Model):
    """The list, as it is now."""

    items: list[WatchedSource]


def watched_router(parts: Parts) -> APIRouter:
    """Routes of the list."""
    router = APIRouter(prefix=f"{API}/watched", tags=["survey"])
    settings = parts.station.settings

    def now() -> WatchedList:
        return WatchedList(items=[WatchedSource.model_validate(row) for row in watched(settings)])

    @router.get("")
    def listed() -> WatchedList:
        """Sources that are measured in every image."""
        return now()

    @router.post("", status_code=201)
    def add(asked: WatchedSource, request: Request) -> WatchedList:
        """Watch a source from the next image on; `contimg watch measure` measures it in those before."""
        require(request, Role.OPERATOR)
        add_watched(settings, asked.name.strip(), asked.ra_deg, asked.dec_deg)
        return now()

    @router.delete("/{name}")
    def remove(name: Name, request: Request) -> WatchedList:
        """Watch a source no more; its measurements stay."""
        require(request, Role.OPERATOR)
        remove_watched(settings, name)
        return now()

    return router
