"""What the routes of jobs take and give.

Belongs here: models.  Does not belong here: routes (``jobs.py``), or what a job's parameters mean
(``station/job_requests.py``).
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from contimg_assets.station.job_requests import (
    ApplyParameters,
    CalibrateParameters,
    ImageParameters,
    JobParameters,
    Kind,
    WorkflowParameters,
)
from contimg_assets.web.api.parts import Links, Model

AskedJobStatus = Literal[
    "queued", "running", "cancelling", "done", "failed", "cancelled", "managed", "suspended"
]
JobStatus = Annotated[str, WithJsonSchema({"type": "string", "enum": list(get_args(AskedJobStatus))})]
P = TypeVar("P", bound=JobParameters)


class JobRequest(Model, Generic[P]):
    """A job of one group: named by its key, or as the reference API does by a path."""

    # Of a generic model, docstrings are looked for in the source of all that is loaded: seconds.
    model_config = ConfigDict(use_attribute_docstrings=False)
    group: str | None = Field(default=None, max_length=64, description="Key of the group.")
    ms_path: str | None = Field(
        default=None, max_length=1024, description="Path whose last part names the group."
    )
    params: P

    @model_validator(mode="after")
    def _one_name(self) -> "JobRequest[P]":
        if (self.group is None) == (self.ms_path is None):
            raise ValueError("either group or ms_path")
        return self


_GROUP = "2025-06-01T14:06:27"


class ConvertRequest(JobRequest[JobParameters]):
    """Convert a group's files again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"group": _GROUP}]})
    params: JobParameters = JobParameters()


class CalibrateRequest(JobRequest[CalibrateParameters]):
    """Solve a calibrator scan."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"group": _GROUP, "params": {"refant": "24"}}]})
    params: CalibrateParameters = CalibrateParameters()


class ApplyRequest(JobRequest[ApplyParameters]):
    """Apply a calibration to a group."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"group": _GROUP, "params": {"calibration_set": "20250601T140627-b48ed40a"}}]
        }
    )
    params: ApplyParameters = ApplyParameters()


class ImageRequest(JobRequest[ImageParameters]):
    """Image a group."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"group": _GROUP, "params": {"quick": True, "options": {"robust": 0.5}}}]
        }
    )
    params: ImageParameters = ImageParameters()


class WorkflowRequest(JobRequest[WorkflowParameters]):
    """Make a group from its files to its image."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"group": _GROUP}]})
    params: WorkflowParameters = WorkflowParameters()


class Progress(Model):
    """How far a job is."""

    step: str | None
    """Step that works now, or worked last."""
    n: int
    """Steps that have ended."""
    of: int
    """Steps that have begun or ended."""


class Step(Model):
    """A step of a job."""

    step: str
    """Name of its asset, or of its checks."""
    status: str
    started: datetime | None
    finished: datetime | None
    attempts: int
    seconds: float | None = None
    """Wall time of its stage, s."""
    peak_memory_mb: float | None = None
    """Largest resident size of its stage, MiB."""


class Artifact(Model):
    """A version of a product that a job has published."""

    product: str
    version: str
    made: str
    path: str
    """Relative to the home."""
    current: bool
    """No other version has taken its place."""


class Job(Model):
    """A run of a group."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "4d2b1f0e-8f3c-4c52-9a57-0f6f4f5a1c11",
                    "type": "image",
                    "job": "image_group",
                    "status": "running",
                    "group": _GROUP,
                    "ms_path": "/data/products/20250601T140627/measurement_set/20250601T140627.ms",
                    "user": "local",
                    "state": "in_progress",
                    "verdict": "PASS",
                    "created": "2025-06-02T01:00:00Z",
                    "started": "2025-06-02T01:00:05Z",
                    "finished": None,
                    "links": {"self": "/api/jobs/id/4d2b1f0e-8f3c-4c52-9a57-0f6f4f5a1c11"},
                }
            ]
        }
    )

    id: str
    """Identity of its run."""
    type: Kind | None
    """None: a run that is none of these, such as retention's."""
    job: str
    """Name of Dagster's job."""
    status: JobStatus
    group: str | None
    ms_path: str | None
    """Where the group's Measurement Set is, or will be."""
    state: str | None
    """Of its group, which never goes without …"""
    verdict: str | None
    """… the worst of its checks; empty if nothing was judged."""
    user: str | None
    """Who asked for it; None: a sensor, or a command."""
    created: datetime
    started: datetime | None
    finished: datetime | None
    batch: str | None = None
    progress: Progress | None = None
    """Of jobs that are shown one by one."""
    links: Links


class JobDetail(Job):
    """A job with its steps and what it has made."""

    params: dict[str, dict[str, Any]]
    """What was asked of it, by asset."""
    steps: list[Step]
    artifacts: list[Artifact]
    reason: str
    """Why it failed."""
    tags: dict[str, str]


class JobPage(Model):
    """Jobs, newest first."""

    items: list[Job]
    total: int
    """Jobs for which the filter holds."""
    cursor: str | None
    """To ask for those that follow."""


class JobAccepted(Job):
    """A job that will be carried out."""

    warnings: list[str]
    """What to know of it."""
