"""Calibration sets: the list, one whole, what it has calibrated, which fit a group; taking one out of use.

Belongs here: routes and their models.  Does not belong here: the registry
(``station/calibration_registry.py``).
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from pydantic import ConfigDict, Field, WithJsonSchema

from contimg_assets.station.antenna_views import antennas_of
from contimg_assets.station.calibration_views import ever_calibrated, groups_of_sets, sets_for, solver_sidecar
from contimg_assets.station.group_listing import GroupFilter, list_groups, matching_keys
from contimg_assets.station.models import SET_STATES, CalibrationSet
from contimg_assets.station.views import standing
from contimg_assets.web.api.group_models import GroupRow, State, Verdict
from contimg_assets.web.api.groups import Limit, Offset, group_row
from contimg_assets.web.api.identify import KeyPath
from contimg_assets.web.api.parts import API, Links, Model, Parts, group_url, links, set_url

AskedStatus = Literal["pending", "active", "retired", "failed"]
SetState = Annotated[str, WithJsonSchema({"type": "string", "enum": list(SET_STATES)})]
SetId = Annotated[
    str,
    PathParameter(
        description="Identity of the set.",
        pattern="^[A-Za-z0-9_.-]{1,64}$",
        examples=["20250601T140627-b48ed40a"],
    ),
]


class CalibrationSetRow(Model):
    """A calibration set in a list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "20250601T140627-b48ed40a",
                    "group": "2025-06-01T14:06:27",
                    "status": "active",
                    "reason": "",
                    "replaced_by": None,
                    "calibrator": "3C454.3",
                    "calibrator_apparent_jy": 11.7,
                    "refant": "24",
                    "mid_mjd": 60827.588,
                    "valid_from_mjd": 60827.088,
                    "valid_to_mjd": 60828.088,
                    "declination_deg": 16.27,
                    "band_mhz": [1312.7, 1497.3],
                    "n_antennas": 23,
                    "quality": {"median_snr": 128.0},
                    "n_groups": 2,
                    "created_at": "2025-06-01T14:30:00Z",
                    "links": {"self": "/api/calibration/sets/20250601T140627-b48ed40a"},
                }
            ]
        }
    )

    id: str
    group: str
    """Calibrator scan that it was solved on."""
    status: SetState
    reason: str
    """Why it failed or was retired."""
    replaced_by: str | None
    calibrator: str
    calibrator_apparent_jy: float | None
    """Flux density through the drifting beam, Jy."""
    refant: str
    """Name of the reference antenna."""
    mid_mjd: float
    """Middle of the scan, MJD UTC."""
    valid_from_mjd: float
    valid_to_mjd: float
    declination_deg: float
    """Pointing, apparent."""
    band_mhz: tuple[float, float]
    n_antennas: int
    """Antennas with solutions."""
    quality: dict[str, Any]
    """Numbers of the solver."""
    n_groups: int
    """Groups that it calibrated last."""
    created_at: datetime
    links: Links


class CalibrationSetList(Model):
    """Calibration sets, oldest observation first."""

    items: list[CalibrationSetRow]
    total: int


class Table(Model):
    """A table of a set, in its order of application."""

    type: str
    order: int
    file: str
    sha256: str


class CalibrationSetDetail(CalibrationSetRow):
    """A calibration set whole."""

    path: str
    """Of its folder, on this machine."""
    antennas: list[str]
    flux_model: dict[str, Any]
    flux_source: str
    parameters: dict[str, Any]
    software: dict[str, Any]
    input_sha256: str
    """Of the flags with which the scan was solved."""
    tables: list[Table]
    antenna_quality: dict[str, dict[str, list[float | None]]]
    """By antenna: each number for XX and YY; the unit is in the name."""


class TouchedGroups(Model):
    """What a set has touched: the groups whose images hang on it."""

    calibration_set: str
    items: list[GroupRow]
    """Groups that it calibrated last."""
    total: int
    formerly: list[str]
    """Keys of groups that it calibrated once, and another set since."""


class RetireRequest(Model):
    """Why a set is taken out of use."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "antenna 24 was moved"}]})

    reason: Annotated[str, Field(min_length=1, max_length=500)]
    replaced_by: Annotated[str | None, Field(max_length=64)] = None
    """Set that takes its place."""


class Finding(Model):
    """A property of a set, held against the group."""

    property: str
    fits: bool
    detail: str


class HeldSet(Model):
    """A set held against a group."""

    calibration_set: str
    status: SetState
    calibrator: str
    hours: float
    """Mid-time of the set minus that of the group, h."""
    fits: bool
    choice: int | None
    """Place among the sets that the group may be calibrated with: 1 is the one that it gets."""
    fallback: str | None
    """How it would be come by."""
    warning: str
    findings: list[Finding]
    links: Links


class SetsForGroup(Model):
    """Sets near a group in time, each with what fits and what does not."""

    group: str
    state: State
    verdict: Verdict
    items: list[HeldSet]
    refusal: str
    """Why the group gets none of them; empty if it gets one."""


class AntennaStanding(Model):
    """An antenna of a group, with what tells whether it can be the reference."""

    antenna: str
    flagged_fraction: float | None
    coherence: float | None
    """Relative to the array's median."""
    dead: bool
    snr: float | None
    """Of a channel's solution in the nearest set, the lower of the two feeds."""
    phase_wander_deg: float | None
    """In the course of that calibrator's scan, the larger of the two feeds."""
    reference_of: list[str]
    """The newest sets that were solved with it as their reference."""


class AntennaStandings(Model):
    """Antennas of a group, the dead ones last."""

    group: str
    state: State
    verdict: Verdict
    items: list[AntennaStanding]


def calibration_router(parts: Parts) -> APIRouter:
    """Routes of calibration sets."""
    router = APIRouter(prefix=API, tags=["calibration"])
    _add_sets(router, parts)
    _add_groups(router, parts)
    return router


def _add_sets(router: APIRouter, parts: Parts) -> None:
    """Sets by themselves."""
    station = parts.station

    @router.get("/calibration/sets", response_model=CalibrationSetList)
    def list_sets(
        status: Annotated[AskedStatus | None, Query(description="Only of this status.")] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> CalibrationSetList:
        """The registry, newest observation first."""
        found = station.registry.list(*([status] if status else []))[::-1]
        used = groups_of_sets(station.engine)
        page = found[offset : offset + limit]
        return CalibrationSetList(
            items=[CalibrationSetRow(**_row(item, used)) for item in page], total=len(found)
        )

    @router.get("/calibration/sets/{set_id}", response_model=CalibrationSetDetail)
    def show_set(set_id: SetId) -> CalibrationSetDetail:
        """One set whole: tables and their hashes, flux model, quality of each antenna."""
        return set_detail(parts, set_id)

    @router.get("/calibration/sets/{set_id}/groups", response_model=TouchedGroups)
    def touched(set_id: SetId, limit: Limit = 100, offset: Offset = 0) -> TouchedGroups:
        """What a set has touched: the groups to make again if it was bad."""
        station.registry.get(set_id)
        page = list_groups(station.engine, GroupFilter(set_id=set_id), limit=limit, offset=offset)
        now = set(matching_keys(station.engine, GroupFilter(set_id=set_id)))
        former = [key for key in ever_calibrated(station.engine, set_id) if key not in now]
        items = [group_row(parts, row) for row in page.rows]
        return TouchedGroups(calibration_set=set_id, items=items, total=page.filtered, formerly=former)

    @router.post("/calibration/sets/{set_id}/retire", response_model=CalibrationSetDetail)
    def retire(set_id: SetId, asked: RetireRequest) -> CalibrationSetDetail:
        """Take a set out of use; its files stay, so that images made with it can be traced."""
        station.registry.retire(set_id, asked.reason, asked.replaced_by)
        return set_detail(parts, set_id)


def _add_groups(router: APIRouter, parts: Parts) -> None:
    """Sets and antennas held against a group."""
    station = parts.station

    @router.get("/groups/{key}/calibration", response_model=SetsForGroup)
    def sets_of_group(
        key: KeyPath,
        days: Annotated[float, Query(gt=0, le=60, description="How far from the group in time, days.")] = 7.0,
    ) -> SetsForGroup:
        """Which sets fit a group, and in what the others do not; the one that it gets first."""
        stands = standing(station.records, key)
        held, refusal = sets_for(station.selection, station.records, key, days)
        items = [
            HeldSet(
                calibration_set=each.found.id,
                status=each.found.status,
                calibrator=each.found.calibrator,
                hours=each.hours,
                fits=each.fits,
                choice=each.choice,
                fallback=each.fallback,
                warning=each.warning,
                findings=[Finding.model_validate(finding) for finding in each.findings],
                links=links(self=set_url(each.found.id), group=group_url(each.found.group_key)),
            )
            for each in held
        ]
        return SetsForGroup(
            group=key, state=stands.state, verdict=stands.verdict, items=items, refusal=refusal
        )

    @router.get("/groups/{key}/antennas", response_model=AntennaStandings)
    def antennas_of_group(key: KeyPath) -> AntennaStandings:
        """Its antennas with what tells whether one can be the reference."""
        stands = standing(station.records, key)
        items = [AntennaStanding.model_validate(each) for each in antennas_of(station, key)]
        return AntennaStandings(group=key, state=stands.state, verdict=stands.verdict, items=items)


def _row(found: CalibrationSet, used: dict[str, int]) -> dict[str, Any]:
    same = CalibrationSetRow.model_fields.keys() & CalibrationSet.__table__.columns.keys()
    return {
        **{name: getattr(found, name) for name in same},
        "group": found.group_key,
        "band_mhz": (found.channel_low_hz / 1e6, found.channel_high_hz / 1e6),
        "n_antennas": len(found.antennas),
        "n_groups": used.get(found.id, 0),
        "links": links(self=set_url(found.id), group=group_url(found.group_key)),
    }


def set_detail(parts: Parts, set_id: str) -> CalibrationSetDetail:
    """One set whole."""
    station = parts.station
    found = station.registry.get(set_id)
    more = ("antennas", "flux_model", "flux_source", "parameters", "software", "input_sha256")
    return CalibrationSetDetail(
        **_row(found, groups_of_sets(station.engine)),
        **{name: getattr(found, name) for name in more},
        path=str(station.store.absolute(found.path)),
        tables=[Table.model_validate(table) for table in found.tables],
        antenna_quality=solver_sidecar(found, station.store.home).get("antenna_quality") or {},
    )
