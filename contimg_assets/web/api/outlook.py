"""What is to come, and what would be: for how long calibration holds, and groups under another limit.

Belongs here: routes and their models.  Does not belong here: looking ahead
(``station/calibration_outlook.py``), or judging (``station/limit_views.py``).
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict

from contimg_assets.station.calibration_outlook import outlook
from contimg_assets.station.limit_views import Judged, what_if
from contimg_assets.web.api.parts import API, Links, Model, Parts, group_url, links, set_url

Name = Annotated[str, Path(pattern="^[a-z][a-z0-9_]{0,63}$")]
#: Infinite and undefined ones cannot be a limit.
Value = Annotated[float | None, Query(allow_inf_nan=False)]
Status = Literal["PASS", "WARN", "ERROR"]


class HoldingSet(Model):
    """A calibration set in force."""

    id: str
    calibrator: str
    valid_from_mjd: float
    valid_to_mjd: float
    links: Links


class Transit(Model):
    """A calibrator that is to cross the beam."""

    calibrator: str
    mjd: float
    """Of the transit, UTC."""
    apparent_jy: float
    """Flux density through the drifting beam, Jy."""
    role: Literal["calibrator", "back-up"]


class CalibrationOutlook(Model):
    """Calibration after a group, at its declination."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "mjd": 60827.6,
                    "declination_deg": 16.27,
                    "holds": "20250601T140627-b48ed40a",
                    "hours_left": 11.7,
                    "sets": [],
                    "transits": [
                        {"calibrator": "3C138", "mjd": 60827.85, "apparent_jy": 7.55, "role": "calibrator"}
                    ],
                }
            ]
        }
    )

    mjd: float | None
    """Middle of the last group, UTC; null: there is no group."""
    declination_deg: float | None
    holds: str | None
    """The set that holds longest; null: none does."""
    hours_left: float | None
    """For so long after the group it is within its validity."""
    sets: list[HoldingSet]
    """Active ones of this declination within a day, oldest first."""
    transits: list[Transit]
    """Within a day after the group, the next one first."""


class Flip(Model):
    """A group that would be judged otherwise."""

    group: str
    value: float
    now: Status
    then: Status
    links: Links


class OtherLimit(Model):
    """The newest groups under a limit that is not in force; nothing is changed."""

    product: str
    check: str
    direction: str
    soft: float
    hard: float
    n_groups: int
    """So many have the number."""
    now: dict[Status, int]
    """Groups by status under the limit in force …"""
    then: dict[Status, int]
    """… and under the other one."""
    flipped: list[Flip]
    """Newest first."""


def outlook_router(parts: Parts) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=API)
    station = parts.station

    @router.get("/calibration/outlook", response_model=CalibrationOutlook, tags=["calibration"])
    def coming(
        day: Annotated[
            str | None,
            Query(pattern=r"^\d{4}-\d{2}-\d{2}$", description="After the last group of this day, UTC."),
        ] = None,
    ) -> CalibrationOutlook:
        """For how long calibration holds after the newest group, and the transits to come."""
        found = outlook(station.engine, station.settings.calibration, day)
        if found is None:
            return CalibrationOutlook(
                mjd=None, declination_deg=None, holds=None, hours_left=None, sets=[], transits=[]
            )
        return CalibrationOutlook(
            mjd=found.mjd,
            declination_deg=found.declination_deg,
            holds=found.holds.id if found.holds else None,
            hours_left=found.hours_left,
            sets=[
                HoldingSet(
                    id=each.id,
                    calibrator=each.calibrator,
                    valid_from_mjd=each.valid_from_mjd,
                    valid_to_mjd=each.valid_to_mjd,
                    links=links(self=set_url(each.id), group=group_url(each.group_key)),
                )
                for each in found.sets
            ],
            transits=[Transit.model_validate(vars(each)) for each in found.transits],
        )

    @router.get("/limits/{product}/{check}", response_model=OtherLimit, tags=["system"])
    def another_limit(
        product: Name,
        check: Name,
        soft: Value = None,
        hard: Value = None,
        groups: Annotated[int, Query(ge=1, le=2000, description="So many of the newest.")] = 300,
    ) -> OtherLimit:
        """What if a limit were another: which of the newest groups would be judged otherwise."""
        found = what_if(station.engine, product, check, soft, hard, groups)
        return OtherLimit(
            product=product,
            check=check,
            direction=found.other.direction,
            soft=found.other.soft,
            hard=found.other.hard,
            n_groups=len(found.judged),
            now={status: found.count(status, then=False) for status in ("PASS", "WARN", "ERROR")},
            then={status: found.count(status, then=True) for status in ("PASS", "WARN", "ERROR")},
            flipped=[_flip(each) for each in found.flipped],
        )

    return router


def _flip(judged: Judged) -> Flip:
    return Flip(
        group=judged.group,
        value=judged.value,
        now=judged.now,  # type: ignore[arg-type]
        then=judged.then,  # type: ignore[arg-type]
        links=links(group=group_url(judged.group)),
    )
