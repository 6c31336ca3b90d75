"""``/jobs`` and ``/jobs/{id}``: what runs and ran, its log while it is written, and ending it.

Belongs here: the pages and their one write.  Does not belong here: batches (``batches.py``), or the stream
of a log (``web/api/logs.py``).
"""

from typing import Annotated

from dagster import RunsFilter
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from contimg_assets.station.campaign_views import campaigns_of
from contimg_assets.web.api.job_models import AskedJobStatus
from contimg_assets.web.api.jobs import RunId, cancel, described_jobs, job_detail, statuses_of
from contimg_assets.web.api.logs import last_of_log
from contimg_assets.web.api.parts import Parts, require
from contimg_assets.web.pages.rendering import go_to, page, query
from contimg_assets.web.roles import Role

ROWS = 50
#: Campaigns that are listed above the jobs.
BATCHES = 10
#: What the list can be narrowed to: Dagster's other two are of its hosted service.
STATUSES: tuple[AskedJobStatus, ...] = ("queued", "running", "cancelling", "done", "failed", "cancelled")


def jobs_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.api_route("/jobs", methods=["GET", "HEAD"])
    def jobs(
        request: Request,
        status: Annotated[AskedJobStatus | None, Query()] = None,
        cursor: Annotated[str | None, Query(pattern="^[0-9a-f-]{36}$")] = None,
    ) -> HTMLResponse:
        wanted = RunsFilter(statuses=statuses_of(status) if status else None)
        records, total = parts.dagster.runs(wanted, ROWS, cursor)
        found = described_jobs(parts, records)
        following = query({"status": status}, cursor=found[-1]["id"]) if len(found) == ROWS else None
        return page(
            request,
            "jobs.html",
            jobs=found,
            total=total,
            status=status,
            statuses=STATUSES,
            following=following,
            batches=campaigns_of(parts.station.engine)[:BATCHES],
        )

    @router.api_route("/jobs/{run_id}", methods=["GET", "HEAD"])
    def job(run_id: RunId, request: Request) -> HTMLResponse:
        return page(
            request,
            "job.html",
            job=job_detail(parts, run_id),
            log=last_of_log(parts, run_id),
            stream=f"/api/jobs/id/{run_id}/logs?start=tail",
        )

    @router.post("/jobs/{run_id}/cancel")
    def end(run_id: RunId, request: Request) -> RedirectResponse:
        require(request, Role.OPERATOR)
        cancel(parts, run_id, request)
        return go_to(f"/jobs/{run_id}")

    return router
