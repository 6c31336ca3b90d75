"""What the routes about the whole installation give.

Belongs here: models.  Does not belong here: routes (``system.py``).
"""

from datetime import datetime

from pydantic import AliasChoices, ConfigDict, Field

from contimg_assets.web.api.group_models import GroupRow, State, Verdict
from contimg_assets.web.api.parts import Model


class Health(Model):
    """Whether the server works; the parts are told to those who are known."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ok": True, "database": True, "orchestrator": True, "daemon": True, "problems": []}]
        }
    )

    ok: bool
    """Database and Dagster answer."""
    database: bool | None = None
    orchestrator: bool | None = None
    daemon: bool | None = None
    """Dagster's daemon gives signs of life: without it nothing is started."""
    problems: list[str] | None = None


class Queue(Model):
    """Groups by state."""

    total: int
    collecting: int
    pending: int
    in_progress: int
    completed: int
    failed: int


class RecentGroup(Model):
    """A group in brief."""

    group: str
    state: State
    verdict: Verdict
    reason: str
    calibrator: str | None
    updated: datetime


class SetBrief(Model):
    """A calibration set in brief."""

    id: str
    group: str = Field(validation_alias=AliasChoices("group", "group_key"))
    status: str
    calibrator: str
    refant: str
    valid_from_mjd: float
    valid_to_mjd: float
    declination_deg: float


class Ingest(Model):
    """What arrives."""

    last_file_age_s: float | None
    """Since a file was last settled, s."""
    last_group: str | None
    """The newest observation."""
    last_group_age_s: float | None
    """Since its middle, s."""


class Latency(Model):
    """From the middle of a group to its image, s: of images of the last day."""

    median: float | None
    worst: float | None
    n_images: int


class Waiting(Model):
    """A group that waits for its calibration."""

    group: str = Field(validation_alias=AliasChoices("group", "key"))
    state: State
    verdict: Verdict
    reason: str
    since: datetime
    deadline: datetime
    """From then on it takes what there is, or is refused."""


class Daemon(Model):
    """Dagster's daemon."""

    alive: bool
    age_s: float | None
    """Since its oldest heartbeat, s."""


class Sensor(Model):
    """A sensor."""

    name: str
    running: bool
    """Switched on."""
    last_tick: datetime | None
    last_tick_status: str | None


class Disk(Model):
    """Room where products lie."""

    path: str
    total_bytes: int
    free_bytes: int
    reserve_bytes: int
    """Room that groups may not use."""
    group_bytes: int
    """What a group takes; 0 if that is not known."""
    n_measured: int
    """Groups by which that was measured; 0: expected from the size of a group's files."""
    n_in_work: int
    """Groups that are being made."""
    promised_bytes: int
    """What those have still to write."""
    n_more: int | None
    """Groups that fit besides; null if that is not known."""
    stopped: bool
    """New groups are held back."""
    since: datetime | None
    """When that changed last."""
    wanted_bytes: int
    """Room that retention should make."""
    days_left: float | None
    """Until the disk is full, at the pace of the last week; null if it does not fill up, or is not known."""
    text: str
    """The same in a line."""


class Status(Model):
    """The state of the installation: a part that cannot be told is null, and ``problems`` says why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "queue": {
                        "total": 2,
                        "collecting": 0,
                        "pending": 0,
                        "in_progress": 0,
                        "completed": 2,
                        "failed": 0,
                    },
                    "completed_by_verdict": {"PASS": 1, "WARN": 1, "ERROR": 0, "not judged": 0},
                    "recent_groups": [],
                    "calibration_sets": [],
                    "ingest": {
                        "last_file_age_s": 12.0,
                        "last_group": "2025-06-01T14:36:27",
                        "last_group_age_s": 170.0,
                    },
                    "latency_s": {"median": 610.0, "worst": 905.0, "n_images": 120},
                    "real_time_factor": 1.2,
                    "waiting": [],
                    "daemon": {"alive": True, "age_s": 11.0},
                    "sensors": [],
                    "disk": {
                        "path": "/home/obs/contimg",
                        "total_bytes": 4000000000000,
                        "free_bytes": 1000000000000,
                        "reserve_bytes": 5_000_000_000,
                        "group_bytes": 5_000_000_000,
                        "n_measured": 20,
                        "n_in_work": 2,
                        "promised_bytes": 10_000_000_000,
                        "n_more": 76,
                        "stopped": False,
                        "since": None,
                        "wanted_bytes": 0,
                        "days_left": 21.0,
                        "text": "disk: 400.0 GB free, room for 76 more groups",
                    },
                    "problems": [],
                }
            ]
        }
    )

    queue: Queue | None
    completed_by_verdict: dict[str, int] | None
    """How many completed groups have which verdict."""
    recent_groups: list[RecentGroup] | None
    calibration_sets: list[SetBrief] | None
    """Those that are active."""
    ingest: Ingest | None
    latency_s: Latency | None
    real_time_factor: float | None
    """Time observed in the images of the last hour over an hour; null if there are none."""
    waiting: list[Waiting] | None
    daemon: Daemon | None
    sensors: list[Sensor] | None
    disk: Disk | None
    problems: list[str]
    """What could not be told, and why."""


class Alert(Model):
    """An alert."""

    at: str
    kind: str
    subject: str
    """Group, run or file that it is about."""
    message: str
    cause: str
    """What it has in common with others: these are one alarm (`/api/alarms`)."""
    severity: str
    """page, tell or log; empty in lines of version 0.1.0."""


class AlertList(Model):
    """Alerts, newest first."""

    items: list[Alert]


class FailedGroups(Model):
    """Groups that failed last, newest first, and how many did for which kind of reason."""

    items: list[GroupRow]
    by_cause: dict[str, int]
    """Number by the product and the error that a reason begins with."""


class AntennaHistory(Model):
    """An antenna in the newest groups."""

    antenna: str
    n_groups: int
    """Groups that it is in, of those looked at."""
    n_dead: int
    mean_flagged_fraction: float | None
    changed: str | None
    """First group since which it is dead, or well again."""
    dead_now: bool


class AntennaList(Model):
    """Antennas in the newest groups with flags, those that were dead most often first."""

    groups: list[str]
    """Groups that were looked at, oldest first."""
    items: list[AntennaHistory]


class Measured(Model):
    """The mean of several measurements."""

    value: float
    error: float
    n: int
    """Calibration sets, or images."""


class DishBeam(Model):
    """The beam of an antenna."""

    antenna: str
    east_deg: Measured | None
    """Where it points, east of the meridian point: from transits of calibrators."""
    width: Measured | None
    """Of its beam along hour angle, over the pattern's: likewise."""
    north_deg: Measured | None
    """North of the array's mean: from the sources of images."""
    valid_from_mjd: float | None
    """When the calibration sets hold that tell it."""
    valid_to_mjd: float | None


class DishBeamList(Model):
    """The beams of antennas."""

    items: list[DishBeam]


class Spell(Model):
    """Groups in succession, without a gap, at one declination."""

    first: str
    last: str
    n_groups: int
    declination_deg: float
    gap_s: float | None
    """Time without data before it, s."""
    step_deg: float | None
    """Change of declination before it, deg."""
    event: str
    """Why it begins, in words."""


class SpellList(Model):
    """Where the telescope looked, oldest first."""

    items: list[Spell]


class ActionEntry(Model):
    """A write that somebody asked for."""

    id: int
    request: str
    """Also in that response's ``X-Request-Id``, and in the tag ``contimg/request`` of a run."""
    at: datetime
    user: str
    role: str
    by: str
    peer: str
    method: str
    target: str
    mutations: list[str]
    content: str


class ActionPage(Model):
    """Writes, newest first."""

    items: list[ActionEntry]
    total: int
    cursor: int | None
    """To ask for those before."""


class Me(Model):
    """Who asks."""

    name: str
    role: str
    by: str
    """How that is known: loopback, token or proxy."""


class LimitEntry(Model):
    """The limit on one number."""

    product: str
    name: str
    soft: float
    hard: float
    direction: str
    optional: bool
    """A product may lack the number."""
    ideal: float | None
    reason: str


class LimitList(Model):
    """All limits."""

    version: str
    items: list[LimitEntry]
