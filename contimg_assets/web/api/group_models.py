"""What the routes of groups give.

Belongs here: models.  Does not belong here: routes (``groups.py``, ``reference.py``).
"""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, WithJsonSchema

from contimg_assets.station.group_details import Check
from contimg_assets.web.api.parts import Links, Model

AskedState = Literal["collecting", "pending", "in_progress", "completed", "failed"]
AskedVerdict = Literal["PASS", "WARN", "ERROR", ""]
AskedQuality = Literal["excellent", "good", "marginal", "poor", "unknown"]
#: The same as they go out: the database has them as text.
State = Annotated[str, WithJsonSchema({"type": "string", "enum": list(get_args(AskedState))})]
Verdict = Annotated[str, WithJsonSchema({"type": "string", "enum": list(get_args(AskedVerdict))})]
Quality = Annotated[str, WithJsonSchema({"type": "string", "enum": list(get_args(AskedQuality))})]
CalibratorQuality = Literal["good", "backup", "faint", "none"]
_GROUP = "2025-06-01T14:36:27"


class GroupRow(Model):
    """A group in a list: its state never without its verdict."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "group": _GROUP,
                    "state": "completed",
                    "verdict": "WARN",
                    "worst_check": "image_qa.rms_ratio",
                    "n_warn": 1,
                    "n_error": 0,
                    "reason": "all subbands are there",
                    "n_subbands": 16,
                    "declination_deg": 16.27,
                    "mid_mjd": 60827.6091,
                    "calibrator": None,
                    "calibrator_apparent_jy": None,
                    "calibrator_quality": "none",
                    "calibration_quality": "unknown",
                    "image_quality": "marginal",
                    "calibration_set": "20250601T140627-b48ed40a",
                    "calibration_hours": -0.5,
                    "fallback": "same_day",
                    "measurement_set_bytes": 1048576,
                    "flag_fraction": 0.12,
                    "rms_mjy_beam": 0.82,
                    "rms_ratio": 1.6,
                    "dynamic_range": 310.0,
                    "n_sources": 41,
                    "flux_ratio": 0.99,
                    "astrometric_offset_arcsec": 0.4,
                    "image_made_at": "2025-06-01T14:52:00Z",
                    "updated": "2025-06-01T14:52:03Z",
                    "links": {"self": f"/api/groups/{_GROUP}"},
                }
            ]
        }
    )

    group: str
    """Key: start of the first integration, UTC."""
    state: State
    verdict: Verdict
    """The worst standing verdict of its checks; empty if nothing was judged."""
    worst_check: str
    """``product.check`` of the worst verdict; empty if all pass."""
    n_warn: int
    n_error: int
    reason: str
    """Why it is in this state."""
    n_subbands: int
    declination_deg: float
    """Pointing, apparent."""
    mid_mjd: float
    """Middle, MJD UTC."""
    calibrator: str | None
    """Calibrator in the beam."""
    calibrator_apparent_jy: float | None
    """Its flux density through the drifting beam, Jy."""
    calibrator_quality: CalibratorQuality
    """``good``: strong enough to be taken as a matter of course; ``backup``: only if no other set fits."""
    calibration_quality: Quality
    """Word for the checks of the group's own solutions."""
    image_quality: Quality
    """Word for the checks of its image."""
    calibration_set: str | None
    """Set that calibrated it last."""
    calibration_hours: float | None
    """Time of that set minus time of the group, h."""
    fallback: str | None
    """How the set was come by."""
    measurement_set_bytes: int | None
    """Size of the converted Measurement Set; null where it was made before that was recorded."""
    flag_fraction: float | None
    """Flagged part of the cross-correlations."""
    rms_mjy_beam: float | None
    """Noise of the image, mJy/beam."""
    rms_ratio: float | None
    """Noise over what is expected."""
    dynamic_range: float | None
    n_sources: int | None
    flux_ratio: float | None
    """Flux densities over the catalogue's."""
    astrometric_offset_arcsec: float | None
    image_made_at: datetime | None
    updated: datetime
    links: Links


class GroupPage(Model):
    """Groups of a list."""

    items: list[GroupRow]
    total: int
    """Groups that there are."""
    filtered: int
    """Groups for which the filter holds."""
    facets: dict[str, dict[str, int]]
    """How many of these have which state, verdict and quality."""
    cursor: str | None
    """To ask for those that follow."""


class Wait(Model):
    """What a group waits for."""

    reason: str
    since: str
    deadline: str
    """From then on it takes what there is, or is refused."""


class UsedCalibration(Model):
    """What calibrated a group last."""

    set_id: str
    calibrator: str
    group: str
    """Calibrator scan."""
    hours: float
    """Time of the set minus time of the group, h."""
    fallback: str
    warning: str
    status: str
    """Of the set now: pending, active, retired or failed."""


class Product(Model):
    """A product's current version."""

    version: str
    path: str
    """On this machine."""
    numbers: dict[str, float]
    """As the stage reports them; the unit is in the name."""
    quality: Quality
    """Word for its checks; ``unknown`` for what is not judged itself."""


class RemovedProduct(Model):
    """A product's current version whose content was removed."""

    version: str
    at: datetime
    why: str
    again: str
    """Command that makes it again."""
    numbers: dict[str, float]
    """As the stage reported them; the unit is in the name."""


class GroupDetail(GroupRow):
    """One group with its products, numbers, checks and what calibrated it."""

    missing_subbands: list[int]
    antennas: list[str]
    retries: int
    waits: Wait | None
    held: str | None
    """Who works on it now, and since when."""
    products: dict[str, Product]
    removed: dict[str, RemovedProduct]
    """Products whose content was removed; what is known of them holds."""
    files: dict[str, str]
    """Files that people ask for, by what they are."""
    checks: list[Check]
    calibration: UsedCalibration | None
    data_columns: dict[str, str]
    """Data columns of its Measurement Sets: where, and with what in them."""
    warnings: list[str]
    """What to beware of: made from versions or sets that others have replaced, content that is gone."""
    likely_causes: list[str]
    """Of what the checks of the image say, the likeliest first; empty if all is well."""
    previous: str | None
    """Key of the group before."""
    next: str | None
    """Key of the group after."""


class Version(Model):
    """A version of a product."""

    id: int
    key: str
    product: str
    version: str
    made: str
    superseded: str | None
    """When another took its place; null for the current one."""
    deleted: str | None
    """When retention removed its content."""
    removed_because: str
    """Why it did; empty if it is there."""
    compressed: str | None
    """When the planes of an image were compressed."""
    made_bytes: int | None
    """Size of its content as it was published; null where it was made before that was recorded."""
    kept_bytes: int | None
    """What of that is on disk."""
    run: str | None
    seconds: float | None
    """Wall time of its stage, s."""
    path: str
    """Relative to the home."""
    inputs: list[str]
    """Versions that went into it."""


class VersionList(Model):
    """Versions of a group's products, oldest first."""

    group: str
    state: State
    verdict: Verdict
    items: list[Version]


class LineageEntry(Model):
    """A version among those that went into another."""

    steps: int
    """From that one: 0 is itself."""
    version: Version


class Lineage(Model):
    """The current version of a product and all that went into it."""

    group: str
    product: str
    items: list[LineageEntry]


class CheckList(Model):
    """What checks say."""

    group: str
    state: State
    verdict: Verdict
    items: list[Check]


class History(Model):
    """What happened to a group: as ``contimg history`` shows it."""

    group: str
    state: State
    verdict: Verdict
    retries: int
    transitions: list[dict[str, Any]]
    performance: list[dict[str, Any]]
    files: list[dict[str, Any]]


class FlagVersionModel(Model):
    """A version of a group's flags."""

    version: str
    current: bool
    made: str
    flag_fraction: float
    rfi_fraction: float
    dead_antennas: list[str]
    alarms: list[str]
    path: str


class FlagVersionList(Model):
    """Versions of a group's flags, oldest first."""

    group: str
    items: list[FlagVersionModel]


class FlagSummary(Model):
    """Where flags flag: fractions of the cross-correlations."""

    group: str
    version: str
    flag_fraction: float
    rfi_fraction: float
    zero_fraction: float
    dead_antennas: list[str]
    dead_antenna_subbands: list[str]
    alarms: list[str]
    alarm_line: float
    """Fraction above which an image is warned about."""
    by_antenna: dict[str, float]
    coherence_by_antenna: dict[str, float | None]
    """Relative to the array's median."""
    by_subband: list[float]
    """In the telescope's order."""
    by_integration: list[float]
    by_channel: list[float]
    frequencies_mhz: list[float]


class Waterfall(Model):
    """Flagged part of the cross-correlations in time and frequency."""

    group: str
    version: str
    frequencies_mhz: list[float]
    flagged_fraction: list[list[float]]
    """By integration, then channel."""
