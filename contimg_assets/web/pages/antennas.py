"""``/antennas`` and ``/antennas/{name}``: how the array stands, and what has changed.

Belongs here: the pages.  Does not belong here: what flags and solutions say (``station/antenna_views.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import HTMLResponse

from contimg_assets.station.antenna_views import AntennaMatrix, antenna_in_sets, antenna_matrix, station_map
from contimg_assets.web.api.parts import Parts
from contimg_assets.web.cache import Lately
from contimg_assets.web.pages.rendering import page
from contimg_assets.web.problems import ProblemError

#: Groups of the matrix, and sets of an antenna's page.
GROUPS, SETS = 36, 20
#: What several who look at once share, s.
SHARED_S = 30.0
#: Class of a flagged fraction, by its lower bound.
STEPS = (0.0, 0.1, 0.25, 0.5, 0.75)


def antennas_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    newest = Lately[AntennaMatrix](SHARED_S)

    def matrix(until: str) -> AntennaMatrix:
        if until:
            return antenna_matrix(parts.station, GROUPS, until)
        return newest.get(lambda: antenna_matrix(parts.station, GROUPS))

    @router.api_route("/antennas", methods=["GET", "HEAD"])
    def antennas(
        request: Request, until: Annotated[str, Query(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""
    ) -> HTMLResponse:
        found, places = matrix(until), station_map()
        return page(
            request,
            "antennas.html",
            matrix=found,
            until=until,
            histories={each.antenna: each for each in found.histories},
            places=places,
            view=map_view(places),
            step_of=step_of,
        )

    @router.api_route("/antennas/{name}", methods=["GET", "HEAD"])
    def antenna(name: Annotated[str, PathParameter(max_length=16)], request: Request) -> HTMLResponse:
        found = matrix("")
        of_group = found.antennas.get(name, {})
        sets = antenna_in_sets(parts.station, name, SETS)
        if not of_group and not sets:
            raise ProblemError(
                404, f"no antenna {name[:16]!r} is in the newest groups or in a calibration set"
            )
        history = next((each for each in found.histories if each.antenna == name), None)
        return page(request, "antenna.html", name=name, of_group=of_group, sets=sets, history=history)

    return router


@dataclass(frozen=True)
class MapView:
    """What a map shows, m; north is up, so that y is south."""

    left: int
    top: int
    width: int
    height: int

    @property
    def dot(self) -> int:
        """Radius of an antenna."""
        return max(1, self.width // 130)

    @property
    def letters(self) -> int:
        """Height of a name."""
        return max(1, self.width // 36)

    @property
    def across_m(self) -> int:
        """From west to east."""
        return self.width


def map_view(places: Mapping[str, tuple[float, float]]) -> MapView:
    """A map that holds all places, with room around them."""
    easts, norths = zip(*places.values(), strict=True)
    room = 0.06 * max(max(easts) - min(easts), max(norths) - min(norths))
    return MapView(
        round(min(easts) - room),
        round(-max(norths) - room),
        round(max(easts) - min(easts) + 2 * room),
        round(max(norths) - min(norths) + 2 * room),
    )


def step_of(fraction: float | None) -> str:
    """Class of the style sheet for a flagged fraction."""
    if fraction is None:
        return ""
    return f"f{max(k for k, bound in enumerate(STEPS) if fraction >= bound)}"
