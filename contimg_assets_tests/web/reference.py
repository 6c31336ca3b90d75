"""The reference API's endpoints, by its paths, methods and names of fields: what existing clients ask for.

``{ms}`` stands for a path as clients have them, ``{set}`` for a calibration set, ``{job}`` for a job.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Endpoint:
    """One of them."""

    method: str
    path: str
    fields: tuple[str, ...] = ()
    """What the answer has at least."""
    of_items: tuple[str, ...] = ()
    """What each of its items has at least."""
    body: dict[str, Any] = field(default_factory=dict)
    media_type: str = "application/json"
    statuses: tuple[int, ...] = (200,)


#: A job that is there already, or cannot be, is a conflict: of several that are asked for one is accepted.
_JOB = (202, 409)
_OF_JOB = ("id", "type", "status", "ms_path", "created", "started", "finished")
_OF_BATCH = ("id", "accepted", "refused", "estimate")
READING = (
    Endpoint("GET", "/api/status", ("queue", "recent_groups", "calibration_sets")),
    Endpoint(
        "GET",
        "/api/ms",
        ("items", "total", "filtered"),
        (
            *("path", "mid_mjd", "status", "size_gb", "start_time", "has_calibrator", "calibrator_name"),
            *("calibrator_quality", "is_calibrated", "is_imaged", "calibration_quality", "image_quality"),
        ),
    ),
    Endpoint(
        "GET",
        "/api/ms/{ms}/metadata",
        (
            *("path", "start_time", "end_time", "duration_sec", "num_fields", "fields", "freq_min_ghz"),
            *("freq_max_ghz", "num_channels", "num_antennas", "antennas", "data_columns", "size_gb"),
            *("calibrated", "flagging_stats"),
        ),
    ),
    Endpoint("GET", "/api/jobs", ("items",), ("id", "type", "status", "created")),
    Endpoint("GET", "/api/jobs/id/{job}", (*_OF_JOB, "params", "artifacts")),
    Endpoint("GET", "/api/jobs/id/{job}/logs", media_type="text/event-stream; charset=utf-8"),
    Endpoint("GET", "/api/jobs/healthz", ("ok",)),
    Endpoint(
        "GET",
        "/api/qa/calibration/{calibrator}",
        ("ms_path", "k_metrics", "bp_metrics", "g_metrics", "overall_quality"),
    ),
    Endpoint(
        "GET",
        "/api/qa/image/{ms}",
        (
            *("ms_path", "rms_noise", "peak_flux", "dynamic_range", "beam_major_arcsec", "beam_minor_arcsec"),
            *("beam_pa_deg", "num_sources", "overall_quality"),
        ),
    ),
    Endpoint("GET", "/api/plots/caltable/{set}/B.cal?plot_type=amp_vs_freq", media_type="image/png"),
    Endpoint(
        "POST",
        "/api/ms/{ms}/validate-caltable",
        ("is_compatible", "issues", "warnings", "antennas_ms", "antennas_caltable"),
        body={"caltable": "{set}"},
    ),
)
WRITING = (
    Endpoint("POST", "/api/jobs/calibrate", _OF_JOB, body={"ms_path": "{calibrator}"}, statuses=_JOB),
    Endpoint("POST", "/api/jobs/apply", _OF_JOB, body={"ms_path": "{ms}"}, statuses=_JOB),
    Endpoint("POST", "/api/jobs/image", _OF_JOB, body={"ms_path": "{ms}"}, statuses=_JOB),
    Endpoint("POST", "/api/jobs/workflow", _OF_JOB, body={"ms_path": "{ms}"}, statuses=_JOB),
)
BATCHES = (
    Endpoint("POST", "/api/batch/calibrate", _OF_BATCH, body={"ms_paths": ["{calibrator}"]}, statuses=(202,)),
    Endpoint("POST", "/api/batch/apply", _OF_BATCH, body={"ms_paths": ["{ms}"]}, statuses=(202,)),
    Endpoint("POST", "/api/batch/image", _OF_BATCH, body={"ms_paths": ["{ms}"]}, statuses=(202,)),
    Endpoint("GET", "/api/batch/{batch}", ("id", "status", "items"), ("group", "status", "job_id", "error")),
)
ENDPOINTS = READING + WRITING + BATCHES


def filled(value: Any, names: dict[str, str]) -> Any:
    """A path or body with what its placeholders stand for."""
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    if not isinstance(value, str):
        return value
    for name, told in names.items():
        value = value.replace(f"{{{name}}}", told)
    return value
