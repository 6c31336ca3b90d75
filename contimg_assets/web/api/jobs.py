"""Jobs: what runs and ran, asking for one, ending one.

Belongs here: routes.  Does not belong here: logs (``logs.py``), many groups at once (``batches.py``), or
whether a group can have a job (``station/job_requests.py``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from dagster import DagsterRunStatus, RunRecord, RunsFilter
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from contimg_assets.jobs import LIVE_PRIORITY
from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.resources.dagster_runs import CAMPAIGN_TAG, KIND_TAG, failures_of
from contimg_assets.sensors.requests import PRIORITY_TAG, QUEUE_TAG
from contimg_assets.station.group_details import measurement_set_path
from contimg_assets.station.job_requests import KIND_OF_JOB, JobPlan, Kind, plan_job
from contimg_assets.station.operations import CONVERT, IMAGE, PROCESS, SOLVE
from contimg_assets.station.version_views import versions_of
from contimg_assets.station.views import standings
from contimg_assets.web.api.identify import KeyPath, group_of
from contimg_assets.web.api.job_models import (
    ApplyRequest,
    Artifact,
    AskedJobStatus,
    CalibrateRequest,
    ConvertRequest,
    ImageRequest,
    Job,
    JobAccepted,
    JobDetail,
    JobPage,
    JobRequest,
    Progress,
    Step,
    WorkflowRequest,
)
from contimg_assets.web.api.parts import API, Parts, group_url, job_url, links, principal_of, request_of
from contimg_assets.web.orchestrator import Launch, status_word
from contimg_assets.web.problems import ProblemError

#: Tags of runs that the API asks for.
USER_TAG, REQUEST_TAG = "contimg/user", "contimg/request"
RunId = Annotated[
    str,
    PathParameter(
        description="Identity of the job's run.",
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        examples=["4d2b1f0e-8f3c-4c52-9a57-0f6f4f5a1c11"],
    ),
]
_JOBS = {"convert": CONVERT, "calibrate": SOLVE, "apply": IMAGE, "image": IMAGE, "workflow": PROCESS}


def jobs_router(parts: Parts) -> APIRouter:
    """Routes of jobs."""
    router = APIRouter(prefix=f"{API}/jobs", tags=["jobs"])
    _add_listing(router, parts)
    _add_requests(router, parts)
    return router


def _add_listing(router: APIRouter, parts: Parts) -> None:
    """Jobs that there are."""

    @router.get("", response_model=JobPage)
    def list_jobs(
        status: Annotated[AskedJobStatus | None, Query(description="Only jobs of this status.")] = None,
        type: Annotated[Kind | None, Query(description="Only jobs of this type.")] = None,
        group: Annotated[str | None, Query(description="Only jobs of this group.", max_length=64)] = None,
        user: Annotated[
            str | None, Query(description="Only what this user asked for.", max_length=64)
        ] = None,
        batch: Annotated[str | None, Query(description="Only jobs of this batch.", max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Jobs at most.")] = 50,
        cursor: Annotated[
            str | None, Query(description="Of the page before.", pattern="^[0-9a-f-]{36}$")
        ] = None,
    ) -> JobPage:
        """Jobs of the sensors, of commands and of people, newest first."""
        tags = {PARTITION_TAG: group, USER_TAG: user, CAMPAIGN_TAG: batch}
        wanted = RunsFilter(
            statuses=statuses_of(status) if status else None,
            job_name=_JOBS[type] if type else None,
            tags={**{k: v for k, v in tags.items() if v is not None}, **_tags_of_kind(type)},
        )
        if cursor is not None:
            parts.dagster.run(cursor)
        records, total = parts.dagster.runs(wanted, limit, cursor)
        items = [Job(**fields) for fields in described_jobs(parts, records)]
        return JobPage(items=items, total=total, cursor=items[-1].id if len(items) == limit else None)

    @router.get("/id/{run_id}", response_model=JobDetail)
    def show_job(run_id: RunId) -> JobDetail:
        """One job with its steps, its parameters and what it has made."""
        return job_detail(parts, run_id)

    @router.post("/id/{run_id}/cancel", response_model=Job, status_code=202)
    def cancel_job(run_id: RunId, request: Request) -> Job:
        """End a job: one that waits at once, one that works with its stage."""
        cancel(parts, run_id, request)
        return Job(**described_jobs(parts, [parts.dagster.run(run_id)])[0])


def _add_requests(router: APIRouter, parts: Parts) -> None:
    """Asking for one."""

    def start(kind: Kind, asked: JobRequest[Any], request: Request, response: Response) -> JobAccepted:
        key = asked.group if asked.group is not None else group_of(asked.ms_path or "")
        planned = plan_job(parts.station, kind, key, asked.params)
        refuse_busy(parts, key)
        run_id = launch(parts, planned, request)
        response.headers["Location"] = job_url(run_id)
        (fields,) = described_jobs(parts, [parts.dagster.run(run_id)])
        return JobAccepted(**fields, warnings=list(planned.warnings))

    @router.post("/convert", response_model=JobAccepted, status_code=202)
    def convert(asked: ConvertRequest, request: Request, response: Response) -> JobAccepted:
        """Convert and flag a group anew; one that is done is opened again."""
        return start("convert", asked, request, response)

    @router.post("/calibrate", response_model=JobAccepted, status_code=202)
    def calibrate(asked: CalibrateRequest, request: Request, response: Response) -> JobAccepted:
        """Solve a calibrator scan, with a reference antenna or a calibrator of one's own."""
        return start("calibrate", asked, request, response)

    @router.post("/apply", response_model=JobAccepted, status_code=202)
    def apply(asked: ApplyRequest, request: Request, response: Response) -> JobAccepted:
        """Apply the best calibration to a group, or the set that is named."""
        return start("apply", asked, request, response)

    @router.post("/image", response_model=JobAccepted, status_code=202)
    def image(asked: ImageRequest, request: Request, response: Response) -> JobAccepted:
        """Image a group, and judge the image; one that is not calibrated yet is calibrated first."""
        return start("image", asked, request, response)

    @router.post("/workflow", response_model=JobAccepted, status_code=202)
    def workflow(asked: WorkflowRequest, request: Request, response: Response) -> JobAccepted:
        """Make a group from its files to its image in one run."""
        return start("workflow", asked, request, response)


def group_jobs_router(parts: Parts) -> APIRouter:
    """Jobs by the group that they are of."""
    router = APIRouter(prefix=f"{API}/groups", tags=["jobs"])

    @router.get("/{key}/jobs", response_model=JobPage)
    def jobs_of_group(key: KeyPath, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> JobPage:
        """Jobs of a group, newest first."""
        parts.station.records.group(key)
        records, total = parts.dagster.runs(RunsFilter(tags={PARTITION_TAG: key}), limit)
        items = [Job(**fields) for fields in described_jobs(parts, records)]
        return JobPage(items=items, total=total, cursor=None)

    return router


def cancel(parts: Parts, run_id: str, request: Request) -> None:
    """End a job.

    Raises
    ------
    ProblemError
        404 if there is none, 409 if it has ended.
    """
    record = parts.dagster.run(run_id)
    if record.dagster_run.is_finished:
        raise ProblemError(409, f"job {run_id} is {status_word(record.dagster_run.status)} already")
    parts.dagster.cancel(run_id, request)


def refuse_busy(parts: Parts, key: str) -> None:
    """Refuse a second job for a group that has one.

    Raises
    ------
    ProblemError
        409, naming it.
    """
    for record in parts.dagster.unfinished_of(key):
        run = record.dagster_run
        since = record.create_timestamp.isoformat(timespec="seconds")
        raise ProblemError(
            409,
            f"group {key} has job {run.run_id} ({run.job_name}), "
            f"which is {status_word(run.status)} since {since}",
            job=run.run_id,
        )


def launch(parts: Parts, planned: JobPlan, request: Request, **tags: str) -> str:
    """Have a run started as it is planned; its identity."""
    principal = principal_of(request)
    told = {
        KIND_TAG: planned.kind,
        USER_TAG: principal.name if principal else "",
        REQUEST_TAG: request_of(request),
        PRIORITY_TAG: str(LIVE_PRIORITY),
        QUEUE_TAG: "live",
    }
    return parts.dagster.launch(
        Launch(
            planned.job, planned.key, planned.calibrator, planned.assets, planned.config, {**told, **tags}
        ),
        request,
    )


def job_detail(parts: Parts, run_id: str) -> JobDetail:
    """One job with all that is known of it."""
    record = parts.dagster.run(run_id)
    run = record.dagster_run
    (fields,) = described_jobs(parts, [record])
    key = fields["group"]
    of_run = [v for v in versions_of(parts.station.engine, key) if v.run == run_id] if key else []
    took = (
        {row.product: row for row in parts.station.records.performance(key) if row.run == run_id}
        if key
        else {}
    )
    steps: list[Step] = []
    for step in parts.dagster.steps(run_id):
        row = took.get(step["step"])
        more: dict[str, Any] = {"seconds": row.seconds, "peak_memory_mb": row.peak_memory_mb} if row else {}
        steps.append(Step(**step, **more))
    ended = [step for step in steps if step.finished is not None]
    working = [step for step in steps if step.finished is None] or ended[-1:]
    failed = run.status is DagsterRunStatus.FAILURE
    config: Any = run.run_config
    asked: dict[str, Any] = config.get("ops", {}) if isinstance(config, dict) else {}
    return JobDetail(
        **{
            **fields,
            "progress": Progress(step=working[-1].step if working else None, n=len(ended), of=len(steps)),
        },
        params={name: dict(op.get("config", {})) for name, op in asked.items()},
        steps=steps,
        artifacts=[
            Artifact(
                product=v.product, version=v.version, made=v.made, path=v.path, current=v.superseded is None
            )
            for v in of_run
        ],
        reason="; ".join(failures_of(parts.dagster.instance, run_id)) if failed else "",
        tags=dict(run.tags),
    )


def described_jobs(parts: Parts, records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Runs as jobs, each with how its group stands."""
    keys = {record.dagster_run.tags.get(PARTITION_TAG) for record in records}
    stands = standings(parts.station.records, {key for key in keys if key is not None})
    return [_one(parts, record, stands) for record in records]


def _one(parts: Parts, record: RunRecord, stands: Any) -> dict[str, Any]:
    run = record.dagster_run
    key = run.tags.get(PARTITION_TAG)
    stand = stands.get(key)
    url = job_url(run.run_id)
    return {
        "id": run.run_id,
        "type": run.tags.get(KIND_TAG) or KIND_OF_JOB.get(run.job_name),
        "job": run.job_name,
        "status": status_word(run.status),
        "group": key if stand else None,
        "ms_path": measurement_set_path(parts.station, key) if stand and key else None,
        "state": stand.state if stand else None,
        "verdict": stand.verdict if stand else None,
        "user": run.tags.get(USER_TAG),
        "created": record.create_timestamp,
        "started": _time(record.start_time),
        "finished": _time(record.end_time),
        "batch": run.tags.get(CAMPAIGN_TAG),
        "links": links(self=url, group=group_url(key) if stand and key else None, logs=f"{url}/logs"),
    }


def _time(seconds: float | None) -> datetime | None:
    """A time of Dagster's records, which are seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def statuses_of(word: str) -> list[DagsterRunStatus]:
    """Dagster's statuses that are called by a word."""
    return [status for status in DagsterRunStatus if status_word(status) == word]


def _tags_of_kind(kind: Kind | None) -> dict[str, str]:
    """Applying and imaging are parts of one job: these are told apart by their tag."""
    return {KIND_TAG: kind} if kind == "apply" else {}
