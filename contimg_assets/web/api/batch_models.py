"""What the routes of batches take and give.

Belongs here: models.  Does not belong here: routes (``batches.py``).
"""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from contimg_assets.station.batches import MOST_GROUPS
from contimg_assets.station.campaign_models import CAMPAIGN_STATES, ITEM_STATES
from contimg_assets.station.job_requests import (
    ApplyParameters,
    CalibrateParameters,
    ImageParameters,
    JobParameters,
    Kind,
)
from contimg_assets.web.api.groups import GroupQuery
from contimg_assets.web.api.parts import Links, Model, example

P = TypeVar("P", bound=JobParameters)
BatchState = Annotated[str, WithJsonSchema({"type": "string", "enum": list(CAMPAIGN_STATES)})]
ItemState = Annotated[str, WithJsonSchema({"type": "string", "enum": list(ITEM_STATES)})]
BatchKind = Annotated[str, WithJsonSchema({"type": "string", "enum": [*get_args(Kind), "remake"]})]
_GROUP = "2025-06-01T14:36:27"


class BatchRequest(Model, Generic[P]):
    """One job for many groups: named by keys, by paths as the reference API has them, or by a filter."""

    # Of a generic model, docstrings are looked for in the source of all that is loaded: seconds.
    model_config = ConfigDict(use_attribute_docstrings=False)
    groups: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=MOST_GROUPS, description="Keys of groups."
    )
    ms_paths: list[Annotated[str, Field(max_length=1024)]] = Field(
        default=[], max_length=MOST_GROUPS, description="Paths whose last parts name groups."
    )
    filter: GroupQuery | None = Field(
        default=None, description="All groups for which it holds, as for the list of groups."
    )
    params: P
    dry_run: bool = Field(default=False, description="Only tell what would be done.")
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Of the batch; without it: ``campaign-`` and a number.  "
        "Asked for again, one that exists is a 409.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "BatchRequest[P]":
        if bool(self.groups) + bool(self.ms_paths) + (self.filter is not None) != 1:
            raise ValueError("one of groups, ms_paths and filter")
        return self


class CalibrateBatch(BatchRequest[CalibrateParameters]):
    """Solve many calibrator scans."""

    model_config = example({"groups": ["2025-06-01T14:06:27"], "dry_run": True})
    params: CalibrateParameters = CalibrateParameters()


class ApplyBatch(BatchRequest[ApplyParameters]):
    """Apply calibration to many groups."""

    model_config = example({"groups": [_GROUP], "dry_run": True})
    params: ApplyParameters = ApplyParameters()


class ImageBatch(BatchRequest[ImageParameters]):
    """Image many groups."""

    model_config = example({"filter": {"verdict": ["ERROR"], "since": "2025-06-01"}, "dry_run": True})
    params: ImageParameters = ImageParameters()


class RefusedGroup(Model):
    """A group that a batch does not take."""

    group: str
    reason: str


class BatchEstimate(Model):
    """What a batch is expected to take."""

    runs: int
    """One a group."""
    hours: float | None
    """If nothing else runs; null if no group has been made here yet."""
    disk_gb: float | None
    """More while replaced versions stay, GB."""
    free_gb: float


class BatchAccepted(Model):
    """A batch, or what it would be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "campaign-4",
                    "dry_run": False,
                    "accepted": [_GROUP],
                    "refused": [{"group": "2025-06-01T14:41:36", "reason": "is pending: convert it first"}],
                    "warnings": {},
                    "estimate": {"runs": 1, "hours": 0.2, "disk_gb": 0.4, "free_gb": 900.0},
                    "links": {"self": "/api/batch/campaign-4"},
                }
            ]
        }
    )

    id: str | None
    """Null: a dry run."""
    dry_run: bool
    accepted: list[str]
    refused: list[RefusedGroup]
    warnings: dict[str, int]
    """What to know of those accepted, and of how many."""
    estimate: BatchEstimate
    links: Links


class BatchEntry(Model):
    """A batch in a list: campaigns of the command line are such, too."""

    id: str
    kind: BatchKind
    """``remake``: everything is made again, as by ``contimg reprocess``."""
    status: BatchState
    created: datetime
    finished: datetime | None
    user: str
    total: int
    counts: dict[str, int]
    """Groups by state."""
    completed_by_verdict: dict[str, int]
    per_hour: float | None
    estimated_end: datetime | None
    links: Links


class BatchList(Model):
    """Batches, newest first."""

    items: list[BatchEntry]
    total: int


class Item(Model):
    """A group of a batch."""

    group: str
    status: ItemState
    verdict: str
    """The worst of its checks when it ended; empty if nothing was judged."""
    job_id: str | None
    """Job that made it."""
    error: str | None
    """Why it failed or was skipped."""
    links: Links


class BatchDetail(BatchEntry):
    """A batch with its groups, those that failed first."""

    params: dict[str, Any]
    items: list[Item]
    items_total: int
