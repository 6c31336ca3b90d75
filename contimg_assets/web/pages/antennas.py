"""``/antennas`` and ``/antennas/{name}``: how the array stands, what has changed, marking one as bad.

Belongs here: the pages.  Does not belong here: what flags and solutions say (``station/antenna_views.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import HTMLResponse, RedirectResponse

from contimg_assets.station.antenna_marks import AntennaMarks
from contimg_assets.station.antenna_views import AntennaMatrix, antenna_in_sets, antenna_matrix, station_map
from contimg_assets.station.dish_beams import DishBeam, dish_beams
from contimg_assets.web.api.parts import Parts, require
from contimg_assets.web.cache import Lately
from contimg_assets.web.pages.rendering import Form, form_of, go_to, page
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role

#: Groups of the matrix, and sets of an antenna's page.
GROUPS, SETS = 36, 20
#: What several who look at once share, s.
SHARED_S = 30.0
#: Class of a flagged fraction, by its lower bound.
STEPS = (0.0, 0.1, 0.25, 0.5, 0.75)

Name = Annotated[str, PathParameter(max_length=16)]
Identity = Annotated[str, PathParameter(pattern="^[0-9a-f]{12}$")]
Sent = Annotated[Form, Depends(form_of)]


def antennas_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    newest = Lately[AntennaMatrix](SHARED_S)
    beams = Lately[list[DishBeam]](SHARED_S)

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
            beams=beams.get(lambda: dish_beams(parts.station)),
        )

    @router.api_route("/antennas/{name}", methods=["GET", "HEAD"])
    def antenna(name: Name, request: Request) -> HTMLResponse:
        found = matrix("")
        of_group = found.antennas.get(name, {})
        sets = antenna_in_sets(parts.station, name, SETS)
        if not of_group and not sets:
            raise ProblemError(
                404, f"no antenna {name[:16]!r} is in the newest groups or in a calibration set"
            )
        history = next((each for each in found.histories if each.antenna == name), None)
        known = marks().known(name)[::-1]
        return page(
            request, "antenna.html", name=name, of_group=of_group, sets=sets, history=history, marks=known
        )

    def marks() -> AntennaMarks:
        return AntennaMarks(parts.station.settings.home)

    @router.post("/antennas/{name}/marks")
    def mark(name: Name, request: Request, form: Sent) -> RedirectResponse:
        user = require(request, Role.OPERATOR).name
        since, until = time_of(form, "since") or datetime.now(UTC), time_of(form, "until")
        marks().add(name, form.one("reason"), since.replace(microsecond=0), until, user)
        return go_to(f"/antennas/{quote(name)}")

    @router.post("/antennas/{name}/marks/{identity}/end")
    def end(name: Name, identity: Identity, request: Request) -> RedirectResponse:
        require(request, Role.OPERATOR)
        marks().end(identity, datetime.now(UTC).replace(microsecond=0))
        return go_to(f"/antennas/{quote(name)}")

    return router


def time_of(form: Form, name: str) -> datetime | None:
    """A time of a form, UTC; None if it was left empty.

    Raises
    ------
    ProblemError
        422 if it is none.
    """
    told = form.one(name).removesuffix("Z")
    if not told:
        return None
    try:
        return datetime.fromisoformat(told).replace(tzinfo=UTC)
    except ValueError as error:
        expected = "expected a time UTC such as 2025-06-01T12:00"
        raise ProblemError(422, f"{name}: found {told[:40]!r}; {expected}") from error


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
