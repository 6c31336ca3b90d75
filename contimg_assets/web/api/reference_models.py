"""What the routes that the reference API has give, by its names of fields.

Belongs here: models.  Does not belong here: routes (``reference.py``, ``quality.py``).
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from contimg_assets.station.group_details import Check
from contimg_assets.web.api.group_models import CalibratorQuality, Quality, State, Verdict
from contimg_assets.web.api.parts import Links, Model

_GROUP = "2025-06-01T14:36:27"
_PATH = "/home/obs/contimg/products/20250601T143627/measurement_set/20250601T143627.ms"


class MsRow(Model):
    """A group by the reference API's names."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "path": _PATH,
                    "group": _GROUP,
                    "mid_mjd": 60827.6091,
                    "start_time": f"{_GROUP}Z",
                    "status": "completed",
                    "verdict": "WARN",
                    "worst": "image_qa.rms_ratio",
                    "has_calibrator": False,
                    "calibrator_name": None,
                    "calibrator_quality": "none",
                    "is_calibrated": True,
                    "is_imaged": True,
                    "calibration_quality": "unknown",
                    "image_quality": "marginal",
                    "size_gb": 0.3,
                    "rms_mjy_beam": 0.82,
                    "rms_ratio": 1.6,
                    "links": {"self": f"/api/groups/{_GROUP}"},
                }
            ]
        }
    )

    path: str
    """Where its Measurement Set is, or will be."""
    group: str
    mid_mjd: float
    """Middle, MJD UTC."""
    start_time: str
    """Start of the first integration, UTC, ISO 8601."""
    status: State
    verdict: Verdict
    worst: str
    """``product.check`` of the worst verdict."""
    has_calibrator: bool
    calibrator_name: str | None
    calibrator_quality: CalibratorQuality
    is_calibrated: bool
    """A calibration has been applied, and is recorded: not merely that a column exists."""
    is_imaged: bool
    calibration_quality: Quality
    image_quality: Quality
    size_gb: float | None
    """Of the converted Measurement Set, 10⁹ bytes; null where it was made before that was recorded."""
    rms_mjy_beam: float | None
    """Noise of the image, mJy/beam."""
    rms_ratio: float | None
    links: Links


class MsPage(Model):
    """Groups of a list."""

    items: list[MsRow]
    total: int
    """Groups that there are."""
    filtered: int
    """Groups for which the filter holds, not those on this page."""
    facets: dict[str, dict[str, int]]


class AntennaEntry(Model):
    """An antenna in a group."""

    name: str
    coherence: float | None
    """Relative to the array's median."""
    dead: bool | None
    """Null before the group has been flagged."""


class FieldEntry(Model):
    """Where the group looks."""

    name: str
    ra_deg: float
    """Phase centre, ICRS."""
    dec_deg: float


class FlaggingStats(Model):
    """Fractions of the cross-correlations that are flagged."""

    version: str
    total_fraction: float
    per_antenna: dict[str, float]
    per_field: dict[str, float]
    """A group has one field."""
    per_subband: list[float]
    """In the telescope's order."""
    per_integration: list[float]
    per_channel: list[float]
    alarms: list[str]


class MsMetadata(Model):
    """What a group's Measurement Set holds: from the records of its making, it is not opened."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "path": _PATH,
                    "group": _GROUP,
                    "status": "completed",
                    "verdict": "PASS",
                    "start_time": f"{_GROUP}Z",
                    "end_time": "2025-06-01T14:41:36Z",
                    "duration_sec": 309.2,
                    "mid_mjd": 60827.6091,
                    "n_integrations": 24,
                    "num_fields": 1,
                    "fields": [{"name": "meridian", "ra_deg": 350.9, "dec_deg": 16.1}],
                    "freq_min_ghz": 1.3113,
                    "freq_max_ghz": 1.4986,
                    "num_channels": 768,
                    "num_antennas": 96,
                    "antennas": [{"name": "24", "coherence": 1.02, "dead": False}],
                    "data_columns": {"DATA": f"{_PATH}: as converted, filled and validated then"},
                    "calibrated": True,
                    "size_gb": 0.3,
                    "flagging_stats": None,
                    "warnings": [],
                }
            ]
        }
    )

    path: str
    group: str
    status: State
    verdict: Verdict
    start_time: str
    """UTC, ISO 8601; so is the next."""
    end_time: str
    duration_sec: float
    mid_mjd: float
    n_integrations: int
    num_fields: int
    fields: list[FieldEntry]
    freq_min_ghz: float
    """Lower edge of the band."""
    freq_max_ghz: float
    num_channels: int
    num_antennas: int
    antennas: list[AntennaEntry]
    data_columns: dict[str, str]
    """Data columns that are there: where, and with what in them."""
    calibrated: bool
    size_gb: float | None
    flagging_stats: FlaggingStats | None
    """Null before the group has been flagged."""
    warnings: list[str]
    """What to beware of in its data columns and products."""


class ImageQuality(Model):
    """How good a group's image is."""

    ms_path: str
    group: str
    status: State
    verdict: Verdict
    overall_quality: Quality
    rms_noise: float | None
    """Jy/beam, as the reference API has it."""
    rms_mjy_beam: float | None
    """The same, mJy/beam."""
    expected_rms_mjy_beam: float | None
    peak_flux: float | None
    """Jy/beam."""
    dynamic_range: float | None
    beam_major_arcsec: float | None
    beam_minor_arcsec: float | None
    beam_pa_deg: float | None
    """North through east."""
    num_sources: int | None
    thumbnail: str | None
    """Address of the picture."""
    report: str | None
    """Address of the report."""
    checks: list[Check]


class CalibrationQuality(Model):
    """How good a calibrator scan's solutions are."""

    ms_path: str
    group: str
    status: State
    verdict: Verdict
    overall_quality: Quality
    calibration_set: str | None
    """Set that the solutions became."""
    set_status: str | None
    k_metrics: dict[str, float]
    """Of delays; the unit is in the name."""
    bp_metrics: dict[str, float]
    """Of the bandpass."""
    g_metrics: dict[str, float]
    """Of the gains."""
    numbers: dict[str, float]
    """All of them."""
    thumbnail: str | None
    checks: list[Check]


class FindingEntry(Model):
    """A property of solutions, held against a group."""

    table: str
    property: str
    """time, declination, band, antennas, or readable."""
    fits: bool
    detail: str
    """What was found; where it does not fit, what was expected."""


class ValidateRequest(Model):
    """Which set is held against the group."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"caltable": "20250601T140627-b48ed40a"}]})

    caltable: Annotated[str, Field(max_length=1024)]
    """Identity of a calibration set, or a path that holds it; it is not opened."""
    deep: bool = False
    """Open the tables themselves, as ``contimg registry validate`` does, and not their sidecar."""


class Compatibility(Model):
    """Whether a calibration set fits a group, and in what it does not."""

    ms_path: str
    group: str
    calibration_set: str
    set_status: str
    is_compatible: bool
    findings: list[FindingEntry]
    issues: list[str]
    """What does not fit."""
    warnings: list[str]
    """What to know if it is used."""
    antennas_ms: list[str]
    """Names of the antennas in the data."""
    antennas_caltable: list[str]
    """Names of the antennas with solutions."""
    antennas_without_solutions: list[str]
    band_ms_mhz: tuple[float, float]
    band_caltable_mhz: tuple[float, float]


class CaltablePlot(Model):
    """Solutions of a calibration set as numbers, to be plotted."""

    calibration_set: str
    plot_type: str
    x: list[float | str]
    x_label: str
    y_label: str
    series: dict[str, list[list[float | None]]]
    """By antenna: one list for each feed, XX and YY; null where the solution is flagged."""
