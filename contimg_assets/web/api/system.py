"""The whole installation: status, health, antennas, pointings, alerts, room, limits, who did what.

Belongs here: routes.  Does not belong here: gathering (``station/status_views.py``, …).
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from contimg_assets.radio.errors import ContimgError
from contimg_assets.radio.limits import load_limits
from contimg_assets.station import status_views
from contimg_assets.station.antenna_views import histories
from contimg_assets.station.dish_beams import dish_beams
from contimg_assets.station.group_listing import GroupFilter, completed_by_verdict, list_groups
from contimg_assets.station.group_states import kind_of
from contimg_assets.web.api.groups import Since, group_row
from contimg_assets.web.api.parts import API, Model, Parts, principal_of, require
from contimg_assets.web.api.system_models import (
    ActionEntry,
    ActionPage,
    Alert,
    AlertList,
    AntennaHistory,
    AntennaList,
    Daemon,
    DishBeam,
    DishBeamList,
    Disk,
    FailedGroups,
    Health,
    Ingest,
    Latency,
    LimitEntry,
    LimitList,
    Me,
    Queue,
    RecentGroup,
    Sensor,
    SetBrief,
    Spell,
    SpellList,
    Status,
    Waiting,
)
from contimg_assets.web.cache import Lately
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role

T = TypeVar("T")
M = TypeVar("M", bound=Model)
#: Several pages that ask at once cost one look, s.
CACHED_S = 1.0
RECENT_GROUPS = 20


def system_router(parts: Parts) -> APIRouter:
    """Routes about the whole installation."""
    router = APIRouter(prefix=API, tags=["system"])
    _add_state(router, parts)
    _add_antennas(router, parts)
    _add_history(router, parts)
    return router


def _add_state(router: APIRouter, parts: Parts) -> None:
    """How the installation is now."""
    cache = Lately[Status](CACHED_S)

    @router.get("/status", response_model=Status)
    def status(request: Request) -> Status:
        """What arrives, waits, runs and is done; what cannot be told is null, and ``problems`` says why."""
        return cache.get(lambda: gather_status(parts, request))

    def health(request: Request) -> JSONResponse:
        found = check_health(parts)
        told = found if principal_of(request) is not None else Health(ok=found.ok)
        content = told.model_dump(exclude_none=principal_of(request) is None)
        return JSONResponse(content, 200 if found.ok else 503, headers={"Cache-Control": "no-store"})

    answers: dict[int | str, dict[str, Any]] = {
        503: {"model": Health, "description": "Something does not work."}
    }
    for path, tag in (("/health", "system"), ("/jobs/healthz", "reference")):
        router.add_api_route(
            path,
            health,
            response_model=Health,
            responses=answers,
            tags=[tag],
            operation_id=path.strip("/").replace("/", "_"),
            description="Whether the server works: asked by anybody, details only for those who are known.",
        )

    @router.get("/me", response_model=Me)
    def me(request: Request) -> Me:
        """Who asks, and what they may do."""
        return Me.model_validate(require(request, Role.VIEWER))


def _add_antennas(router: APIRouter, parts: Parts) -> None:
    """Antennas, and their beams."""
    station = parts.station

    @router.get("/antennas", response_model=AntennaList)
    def antennas(
        groups: Annotated[int, Query(ge=1, le=300, description="Newest groups that are looked at.")] = 50,
    ) -> AntennaList:
        """Antennas in the newest groups: how often dead, how much is flagged, and since when that is so."""
        keys, found = histories(station, groups)
        return AntennaList(groups=keys, items=[AntennaHistory.model_validate(each) for each in found])

    @router.get("/antennas/beams", response_model=DishBeamList)
    def beams() -> DishBeamList:
        """Where each dish points and how wide its beam is, from the newest calibration sets and images."""
        return DishBeamList(items=[DishBeam.model_validate(each) for each in dish_beams(station)])


def _add_history(router: APIRouter, parts: Parts) -> None:
    """What it has seen, and who did what."""
    station = parts.station

    @router.get("/pointing", response_model=SpellList)
    def pointing(since: Since = "") -> SpellList:
        """Where the telescope looked: one entry for each spell without gap or change of declination."""
        return SpellList(items=[Spell.model_validate(each) for each in station.pointing.spells(since)])

    @router.get("/alerts", response_model=AlertList)
    def alerts(limit: Annotated[int, Query(ge=1, le=500)] = 50) -> AlertList:
        """The newest alerts."""
        return AlertList(items=[Alert(**each) for each in reversed(station.notifier.recent(limit))])

    @router.get("/failures", response_model=FailedGroups)
    def failures(limit: Annotated[int, Query(ge=1, le=500)] = 50) -> FailedGroups:
        """Groups that failed last, and how many for which cause."""
        rows = status_views.last_failures(station.engine, limit)
        causes: dict[str, int] = {}
        for row in rows:
            causes[kind_of(row.reason)] = causes.get(kind_of(row.reason), 0) + 1
        return FailedGroups(items=[group_row(parts, row) for row in rows], by_cause=causes)

    @router.get("/storage", response_model=Disk)
    def storage() -> Disk:
        """Room where products lie."""
        return Disk.model_validate(status_views.room(station.engine, station.settings))

    @router.get("/limits", response_model=LimitList)
    def limits() -> LimitList:
        """The limits on quality numbers, and why they are what they are."""
        known = load_limits()
        items = [
            LimitEntry(product=product, name=name, **vars(limit))
            for product, of_product in known.limits.items()
            for name, limit in of_product.items()
        ]
        return LimitList(version=known.version, items=items)

    @router.get("/operator-actions", response_model=ActionPage)
    def operator_actions(
        request: Request,
        user: Annotated[str | None, Query(max_length=128, description="Only of this user.")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Of the page before.")] = None,
    ) -> ActionPage:
        """Every write that somebody asked for; for admins."""
        require(request, Role.ADMIN)
        rows, total = parts.actions.recent(limit, user=user, before=cursor)
        items = [ActionEntry.model_validate(row) for row in rows]
        return ActionPage(items=items, total=total, cursor=items[-1].id if len(items) == limit else None)


def gather_status(parts: Parts, request: Request) -> Status:
    """The state of the installation, as far as it can be told."""
    station, problems = parts.station, list[str]()

    def told(what: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except (ContimgError, SQLAlchemyError, OSError) as error:
            problems.append(f"{what}: {type(error).__name__}: {str(error).splitlines()[0]}")
            return None

    pace = told("latency", lambda: status_views.pace(station.engine))
    daemon = told("daemon", lambda: parts.dagster.daemon())
    return Status(
        queue=told("queue", lambda: _queue(parts)),
        completed_by_verdict=told("verdicts", lambda: completed_by_verdict(station.records.engine)),
        recent_groups=told("recent groups", lambda: _recent(parts)),
        calibration_sets=told(
            "calibration sets",
            lambda: _briefly(SetBrief, station.registry.list("active")[::-1][:RECENT_GROUPS]),
        ),
        ingest=told("ingest", lambda: Ingest.model_validate(status_views.ingest(station.engine))),
        latency_s=None
        if pace is None
        else Latency(median=pace.median_latency_s, worst=pace.worst_latency_s, n_images=pace.n_images),
        real_time_factor=None if pace is None else pace.real_time_factor,
        waiting=told("waiting", lambda: _briefly(Waiting, status_views.waiting(station.engine))),
        daemon=None if daemon is None else Daemon(alive=daemon[0], age_s=daemon[1]),
        sensors=told("sensors", lambda: [Sensor(**each) for each in parts.dagster.sensors(request)]),
        disk=told("disk", lambda: Disk.model_validate(status_views.room(station.engine, station.settings))),
        problems=problems,
    )


def _queue(parts: Parts) -> Queue:
    counts = parts.station.records.counts()
    return Queue(total=sum(counts.values()), **counts)


def _recent(parts: Parts) -> list[RecentGroup]:
    page = list_groups(parts.station.engine, GroupFilter(), limit=RECENT_GROUPS)
    return [
        RecentGroup(
            group=row.key,
            state=row.state,
            verdict=row.verdict,
            reason=row.reason,
            calibrator=row.calibrator_name,
            updated=row.updated,
        )
        for row in page.rows
    ]


def _briefly(model: type[M], found: Iterable[object]) -> list[M]:
    """What the station knows, as far as the model has it."""
    return [model.model_validate(each) for each in found]


def check_health(parts: Parts) -> Health:
    """Whether database, Dagster and its daemon answer."""
    problems: list[str] = []
    try:
        with parts.station.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        database = True
    except SQLAlchemyError as error:
        database = False
        problems.append(f"database: {type(error).__name__}")
    daemon: bool | None = None
    try:
        daemon, age = parts.dagster.daemon()
        orchestrator = True
        if not daemon:
            problems.append("Dagster's daemon gives no sign of life" + (f" for {age:.0f} s" if age else ""))
    except (ProblemError, SQLAlchemyError, OSError) as error:
        orchestrator = False
        problems.append(f"Dagster: {error}")
    return Health(
        ok=database and orchestrator,
        database=database,
        orchestrator=orchestrator,
        daemon=daemon,
        problems=problems,
    )
