"""``/``: one night in ten seconds.

Belongs here: the page and its sentence.  Does not belong here: what there is to tell (``station/``).
"""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from contimg_assets.station.alarm_messages import heading
from contimg_assets.station.alarms import Alarms
from contimg_assets.station.antenna_views import AntennaHistory, antenna_matrix
from contimg_assets.station.calibration_outlook import Outlook, outlook
from contimg_assets.station.models import GroupSummary
from contimg_assets.station.night_views import Night, night
from contimg_assets.station.reviews import progress_of
from contimg_assets.station.status_views import forecast
from contimg_assets.web.api.parts import Parts
from contimg_assets.web.api.system import gather_status
from contimg_assets.web.api.system_models import Status
from contimg_assets.web.cache import Lately
from contimg_assets.web.pages import words
from contimg_assets.web.pages.rendering import page
from contimg_assets.web.problems import ProblemError

#: Groups whose antennas are looked at: some hours.
GROUPS_OF_ANTENNAS = 36
#: Open alarms that are named.
ALARMS = 8
#: Newest pictures.
PICTURES = 6
#: What several who look at once share, s.
SHARED_S, ANTENNAS_S = 2.0, 60.0
NightQuery = Annotated[str | None, Query(alias="night", pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


def tonight_router(parts: Parts) -> APIRouter:
    """The page."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    station = parts.station
    statuses = Lately[Status](SHARED_S)
    antennas = Lately[list[AntennaHistory]](ANTENNAS_S)

    @router.api_route("/", methods=["GET", "HEAD"])
    def tonight(request: Request, night_of: NightQuery = None) -> HTMLResponse:
        _check_day(night_of)
        found = night(station.engine, night_of or None)
        status = statuses.get(lambda: gather_status(parts, request))
        if found is None:
            return page(request, "empty.html", state=status, incoming=station.settings.incoming_folder)
        holds = outlook(station.engine, station.settings.calibration, found.date)

        def stood(until: str | None = None) -> list[AntennaHistory]:
            return antenna_matrix(station, GROUPS_OF_ANTENNAS, until).histories

        changed = stood(found.date) if night_of else antennas.get(stood)
        return page(
            request,
            "tonight.html",
            night=found,
            hours=by_hour(found),
            sentence=sentence(found, holds),
            state=status,
            alarms=[] if night_of else Alarms(station.engine).list(limit=ALARMS),
            alarm_heading=heading,
            outlook=holds,
            antennas=[each for each in changed if each.changed is not None],
            dead=[each.antenna for each in changed if each.dead_now],
            forecast=forecast(station.engine),
            progress=progress_of(station.engine, found.date),
            pictures=found.imaged[-PICTURES:][::-1],
        )

    @router.get("/keys")
    def keys(request: Request) -> HTMLResponse:
        return page(request, "keys.html")

    return router


def _check_day(day: str | None) -> None:
    try:
        date.fromisoformat(day or "2000-01-01")
    except ValueError as error:
        raise ProblemError(422, f"night: found {day}; expected a day such as 2025-06-01") from error


def by_hour(found: Night) -> dict[str, list[GroupSummary]]:
    """The groups of a night by the hour in which they began."""
    hours: dict[str, list[GroupSummary]] = {}
    for row in found.groups:
        hours.setdefault(row.key[11:13], []).append(row)
    return hours


def sentence(found: Night, holds: Outlook | None) -> str:
    """A night in one sentence, or two."""
    if not found.groups:
        return f"No group was observed on {found.date}."
    judged = found.verdicts
    told = [f"{judged[v]} {words.of_verdict(v).word}" for v in ("PASS", "WARN", "ERROR", "") if judged.get(v)]
    parts = [f"{_several(len(found.groups), 'group')} observed, {len(found.imaged)} imaged"]
    if told:
        parts[0] += f" ({', '.join(told)})"
    failed, busy = found.count("failed"), found.count("pending") + found.count("in_progress")
    if failed:
        parts.append(f"{failed} failed")
    if busy:
        parts.append(f"{busy} still to be made")
    if found.count("collecting"):
        parts.append(f"{found.count('collecting')} still arriving")
    text = f"{', '.join(parts)}."
    if holds is not None:
        if holds.hours_left is None:
            text += " No calibration set holds after its last group."
        else:
            text += f" Calibration holds for {holds.hours_left:.1f} h after its last group."
    return text


def _several(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
