"""``/groups/{key}``: is this image good, and why.

Belongs here: the page and its tabs.  Does not belong here: what there is to tell (``station/``), or what
its forms do (``group_forms.py``).
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from dagster import RunsFilter
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.antenna_views import antennas_of
from contimg_assets.station.calibration_views import sets_for
from contimg_assets.station.flag_views import flag_summary, flag_versions, waterfall
from contimg_assets.station.group_details import quality_of
from contimg_assets.station.group_listing import GroupFilter
from contimg_assets.station.job_requests import KINDS
from contimg_assets.station.reviews import progress_of, reviews_of
from contimg_assets.station.version_views import lineage_of, versions_of
from contimg_assets.station.views import describe_history
from contimg_assets.web.api.group_models import GroupDetail
from contimg_assets.web.api.groups import group_detail
from contimg_assets.web.api.identify import KeyPath
from contimg_assets.web.api.jobs import described_jobs
from contimg_assets.web.api.parts import Parts
from contimg_assets.web.pages import bars, trends, words
from contimg_assets.web.pages.rendering import page

Tab = Literal["verdict", "image", "flags", "calibration", "files", "history", "jobs"]
TABS: tuple[tuple[Tab, str], ...] = (
    ("verdict", "Verdict"),
    ("image", "Image"),
    ("flags", "Flags"),
    ("calibration", "Calibration"),
    ("files", "Files & provenance"),
    ("history", "History"),
    ("jobs", "Jobs"),
)
#: The number whose last nights are shown beside a group's own.
HEADLINE = "rms_ratio"
#: Sets that a group is held against, days.
DAYS = 7.0
#: Planes of an image that can be looked at, as the API's cut-outs have them.
PLANES = ("image", "pbcor", "residual", "noise", "pb", "model", "mask", "psf")


def group_router(parts: Parts) -> APIRouter:
    """The page."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.api_route("/groups/{key}", methods=["GET", "HEAD"])
    def group(
        key: KeyPath,
        request: Request,
        tab: Tab = "verdict",
        flags: Annotated[str | None, Query(pattern="^[0-9a-f]{4,64}$")] = None,
        plane: Literal[PLANES] = "image",  # type: ignore[valid-type]
        arcmin: Annotated[float, Query(gt=0, le=600)] = 240.0,
        ra_deg: Annotated[float | None, Query(ge=0, lt=360)] = None,
        dec_deg: Annotated[float | None, Query(ge=-90, le=90)] = None,
    ) -> HTMLResponse:
        detail = group_detail(parts, key)
        reviews = reviews_of(parts.station.engine, key)
        asked = {"flags": flags, "plane": plane, "arcmin": arcmin, "ra_deg": ra_deg, "dec_deg": dec_deg}
        return page(
            request,
            f"group_{tab}.html",
            detail=detail,
            face=words.of_group(detail.state, detail.verdict),
            tabs=TABS,
            tab=tab,
            reviews=reviews,
            progress=progress_of(parts.station.engine, key[:10], key),
            checks=_by_product(detail),
            kinds=KINDS,
            **_TABS[tab](parts, detail, asked),
        )

    return router


def _by_product(detail: GroupDetail) -> dict[str, tuple[words.Face, list[Any]]]:
    """Checks by the product that they judge, the worst first, each product with its word."""
    order = {"ERROR": 0, "WARN": 1, "PASS": 2}
    found: dict[str, list[Any]] = {}
    # What was made last says most.
    for check in reversed(detail.checks):
        found.setdefault(check.product, []).append(check)
    return {
        product: (words.of_quality(quality_of(checks)), sorted(checks, key=lambda check: order[check.status]))
        for product, checks in found.items()
    }


def _verdict(parts: Parts, detail: GroupDetail, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    strip = (detail.declination_deg - 1.0, detail.declination_deg + 1.0)
    wanted = GroupFilter(until=detail.group, declination_deg=strip, is_imaged=True)
    return {"trend": trends.trend(parts.station.engine, wanted, words.NUMBERS[HEADLINE])}


def _image(parts: Parts, detail: GroupDetail, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    place = {name: asked[name] for name in ("plane", "arcmin", "ra_deg", "dec_deg")}
    return {"place": place, "planes": PLANES, "made": "image" in detail.products}


def _flags(parts: Parts, detail: GroupDetail, asked: dict[str, Any]) -> dict[str, Any]:
    station = parts.station
    try:
        summary = flag_summary(station.records, station.store, detail.group, asked["flags"])
        versions = flag_versions(station.records, station.store, detail.group)
    except MissingInputError as error:
        return {"lack": str(error), "summary": None}
    try:
        drawn = bars.waterfall(waterfall(summary))
    except MissingInputError:
        drawn = None
    return {
        "lack": "",
        "summary": summary,
        "versions": versions[::-1],
        "antennas": sorted(summary["by_antenna"].items(), key=lambda item: -item[1]),
        "channels": bars.profile(summary["by_channel"], summary["frequencies_mhz"]),
        "waterfall": drawn,
    }


def _calibration(parts: Parts, detail: GroupDetail, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    station = parts.station
    try:
        held, refusal = sets_for(station.selection, station.records, detail.group, DAYS)
    except MissingInputError as error:
        held, refusal = [], str(error)
    try:
        standings = antennas_of(station, detail.group)
    except MissingInputError:
        standings = []
    return {"held": held, "refusal": refusal, "standings": standings}


def _files(parts: Parts, detail: GroupDetail, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    engine = parts.station.engine
    last = "image" if "image" in detail.products else next(reversed(detail.products), None)
    return {
        "versions": versions_of(engine, detail.group)[::-1],
        "lineage": lineage_of(engine, detail.group, last) if last else [],
        "last": last,
    }


def _history(parts: Parts, detail: GroupDetail, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    station = parts.station
    return {"history": describe_history(station.records, station.arrivals, detail.group)}


def _jobs(parts: Parts, detail: GroupDetail, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    if parts.orchestrator is None:
        return {"jobs": [], "away": "Dagster is not served by this process."}
    records, _ = parts.dagster.runs(RunsFilter(tags={PARTITION_TAG: detail.group}), 50)
    return {"jobs": described_jobs(parts, records), "away": ""}


_TABS: dict[Tab, Callable[[Parts, GroupDetail, dict[str, Any]], dict[str, Any]]] = {
    "verdict": _verdict,
    "image": _image,
    "flags": _flags,
    "calibration": _calibration,
    "files": _files,
    "history": _history,
    "jobs": _jobs,
}
