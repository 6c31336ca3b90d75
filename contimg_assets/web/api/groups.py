"""Groups by their keys: the list, one with all that is known of it, its versions, checks, history, flags.

Belongs here: routes.  Does not belong here: the reference API's addresses of the same (``reference.py``).
"""

import base64
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, WithJsonSchema

from contimg_assets.assets.publishing import THUMBNAIL
from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_resources import PRODUCTS_URL
from contimg_assets.station.flag_views import flag_summary, flag_versions, waterfall
from contimg_assets.station.group_details import (
    check_history,
    checks_of,
    data_columns,
    quality_of,
    warnings_of,
)
from contimg_assets.station.group_listing import (
    NEWEST_FIRST,
    SORTS,
    GroupFilter,
    ReviewFilter,
    list_groups,
    neighbours,
    sort_value,
)
from contimg_assets.station.models import GroupSummary
from contimg_assets.station.version_views import lineage_of, versions_of
from contimg_assets.station.views import (
    QA_PRODUCTS,
    describe_history,
    describe_products,
    describe_wait,
    standing,
)
from contimg_assets.web.api.group_models import (
    AskedQuality,
    AskedState,
    AskedVerdict,
    CalibratorQuality,
    CheckList,
    FlagSummary,
    FlagVersionList,
    FlagVersionModel,
    GroupDetail,
    GroupPage,
    GroupRow,
    History,
    Lineage,
    LineageEntry,
    Product,
    RemovedProduct,
    UsedCalibration,
    Version,
    VersionList,
    Wait,
    Waterfall,
)
from contimg_assets.web.api.identify import KeyPath
from contimg_assets.web.api.parts import API, Model, Parts, group_url, links, set_url
from contimg_assets.web.problems import ProblemError


def _known_sort(sort: str) -> str:
    if sort.removeprefix("-") not in SORTS:
        raise ValueError(f"one of {', '.join(SORTS)}, with - before it from high to low")
    return sort


#: Offsets beyond are dear to the database: a cursor is not.
MAX_OFFSET = 50_000
Limit = Annotated[int, Query(ge=1, le=500, description="Rows at most.")]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Rows to leave out; a cursor is cheaper.")]
#: A key, or the beginning of one.
TIME_PATTERN = r"^(\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2})?)?)?)?)?)?$"
Since = Annotated[
    str,
    Query(
        description="First time, as keys have it or the beginning of one.",
        pattern=TIME_PATTERN,
        examples=["2025-06-01"],
    ),
]
Sort = Annotated[
    str,
    AfterValidator(_known_sort),
    WithJsonSchema({"type": "string", "enum": [f"{sign}{name}" for name in SORTS for sign in ("", "-")]}),
]
ProductName = Annotated[
    str | None, Query(description="Only of this product.", max_length=64, examples=["image"])
]
FlagVersionQuery = Annotated[
    str | None,
    Query(description="Version of the flags; the current one if none.", pattern="^[0-9a-f]{4,64}$"),
]
Fallback = Literal["same_day", "backup_calibrator", "bandpass_selfcal", "earlier_day", "named"]


class GroupQuery(Model):
    """What a list of groups may be asked for; a parameter that does not exist is an error."""

    q: str = Field(default="", max_length=100)
    """Part of key, calibrator, set, worst check or reason."""
    state: list[AskedState] = Field(default=[])
    verdict: list[AskedVerdict] = Field(default=[])
    """Empty: not judged."""
    quality: list[AskedQuality] = Field(default=[])
    """Words for the image."""
    fallback: list[Fallback] = Field(default=[])
    """Ways to the calibration."""
    since: str = Field(default="", pattern=TIME_PATTERN, examples=["2025-06-01"])
    """First time, as keys have it or the beginning of one."""
    until: str = Field(default="", pattern=TIME_PATTERN, examples=["2025-06-01"])
    """Last time; the day or hour that it begins is within."""
    min_declination_deg: float = Field(default=-90.0, ge=-90, le=90)
    max_declination_deg: float = Field(default=90.0, ge=-90, le=90)
    calibrator: str = Field(default="", max_length=64)
    """Name of the calibrator in the beam."""
    has_calibrator: bool | None = None
    is_calibrated: bool | None = None
    is_imaged: bool | None = None
    calibration_set: str = Field(default="", max_length=64)
    review: ReviewFilter | None = None
    """``none``: nobody has looked; ``any``: somebody has; ``differs``: and disagrees with the checks."""
    sort: Sort = NEWEST_FIRST
    """What by; with - before it from high to low."""
    limit: int = Field(default=50, ge=1, le=500)
    """Rows at most."""
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET)
    """Rows to leave out; a cursor is cheaper."""
    cursor: str | None = Field(default=None, max_length=400)
    """Of the page before."""

    @property
    def filter(self) -> GroupFilter:
        """Which groups."""
        strip = (self.min_declination_deg, self.max_declination_deg)
        return GroupFilter(
            search=self.q,
            states=tuple(self.state),
            verdicts=tuple(self.verdict),
            image_qualities=tuple(self.quality),
            fallbacks=tuple(self.fallback),
            since=self.since,
            until=self.until,
            declination_deg=None if strip == (-90.0, 90.0) else strip,
            calibrator=self.calibrator,
            has_calibrator=self.has_calibrator,
            is_calibrated=self.is_calibrated,
            is_imaged=self.is_imaged,
            set_id=self.calibration_set,
            review=self.review,
        )


def groups_router(parts: Parts) -> APIRouter:
    """Routes of groups."""
    router = APIRouter(prefix=f"{API}/groups", tags=["groups"])
    _add_list(router, parts)
    _add_group(router, parts)
    _add_flags(router, parts)
    return router


def _add_list(router: APIRouter, parts: Parts) -> None:
    """The list."""
    station = parts.station

    @router.get("", response_model=GroupPage)
    def list_all(asked: Annotated[GroupQuery, Query()]) -> GroupPage:
        """Groups, searched, filtered and sorted by the database: totals are of all, not of the page."""
        sort, cursor = asked.sort, asked.cursor
        after = None if cursor is None else read_cursor(cursor, sort)
        page = list_groups(
            station.engine, asked.filter, sort=sort, limit=asked.limit, offset=asked.offset, after=after
        )
        last = page.rows[-1] if len(page.rows) == asked.limit else None
        return GroupPage(
            items=[group_row(parts, row) for row in page.rows],
            total=page.total,
            filtered=page.filtered,
            facets=page.facets,
            cursor=None if last is None else write_cursor(last, sort),
        )


def _add_group(router: APIRouter, parts: Parts) -> None:
    """One group."""
    station = parts.station

    @router.get("/{key}", response_model=GroupDetail)
    def show(key: KeyPath) -> GroupDetail:
        """One group with its products, numbers, checks, files and what calibrated it."""
        return group_detail(parts, key)

    @router.get("/{key}/versions", response_model=VersionList)
    def versions(key: KeyPath, product: ProductName = None) -> VersionList:
        """All versions of its products that there ever were, oldest first."""
        stands = standing(station.records, key)
        items = [Version.model_validate(view) for view in versions_of(station.engine, key, product)]
        return VersionList(group=key, state=stands.state, verdict=stands.verdict, items=items)

    @router.get("/{key}/lineage", response_model=Lineage)
    def lineage(
        key: KeyPath, product: Annotated[str, Query(description="The product.", max_length=64)] = "image"
    ) -> Lineage:
        """The current version of a product, and all that went into it."""
        station.records.group(key)
        views = lineage_of(station.engine, key, product)
        items = [
            LineageEntry(steps=view.steps, version=Version.model_validate(view.version)) for view in views
        ]
        return Lineage(group=key, product=product, items=items)

    @router.get("/{key}/verdicts", response_model=CheckList)
    def verdicts(
        key: KeyPath,
        all: Annotated[bool, Query(description="All that was ever said, not what counts now.")] = False,
    ) -> CheckList:
        """Its checks: number, limits, why they are what they are, and what they said."""
        stands = standing(station.records, key)
        found = (
            check_history(station.engine, key)
            if all
            else [check for name in QA_PRODUCTS for check in checks_of(station.records, key, name)]
        )
        return CheckList(group=key, state=stands.state, verdict=stands.verdict, items=found)

    @router.get("/{key}/history", response_model=History)
    def history(key: KeyPath) -> History:
        """Its states, files and what its products took to make."""
        return History(**describe_history(station.records, station.arrivals, key))


def _add_flags(router: APIRouter, parts: Parts) -> None:
    """A group's flags."""
    station = parts.station

    @router.get("/{key}/flags", response_model=FlagVersionList)
    def flags(key: KeyPath) -> FlagVersionList:
        """Versions of its flags."""
        station.records.group(key)
        found = flag_versions(station.records, station.store, key)
        return FlagVersionList(group=key, items=[FlagVersionModel.model_validate(each) for each in found])

    @router.get("/{key}/flags/summary", response_model=FlagSummary)
    def summary(key: KeyPath, version: FlagVersionQuery = None) -> FlagSummary:
        """Where its flags flag: by antenna, subband, integration and channel."""
        station.records.group(key)
        found = flag_summary(station.records, station.store, key, version)
        return FlagSummary(group=key, **{n: found[n] for n in FlagSummary.model_fields if n != "group"})

    @router.get("/{key}/flags/waterfall", response_model=Waterfall)
    def in_time_and_frequency(key: KeyPath, version: FlagVersionQuery = None) -> Waterfall:
        """Flagged part of the cross-correlations by integration and channel."""
        station.records.group(key)
        return Waterfall(group=key, **waterfall(flag_summary(station.records, station.store, key, version)))


def group_row(parts: Parts, row: GroupSummary) -> GroupRow:
    """A group as lists have it."""
    return GroupRow(**_row(parts, row))


def _row(parts: Parts, row: GroupSummary) -> dict[str, Any]:
    same = GroupRow.model_fields.keys() & GroupSummary.__table__.columns.keys()
    url, files = group_url(row.key), f"{PRODUCTS_URL}/{slug(row.key)}"
    return {
        **{name: getattr(row, name) for name in same},
        "group": row.key,
        "calibrator": row.calibrator_name,
        "calibrator_quality": calibrator_quality(parts, row),
        "calibration_set": row.set_id,
        "links": links(
            self=url,
            picture=f"{files}/image/{THUMBNAIL}" if row.image_version_id is not None else None,
            report=f"{files}/image_qa/report.html" if row.image_quality != "unknown" else None,
            calibration_set=None if row.set_id is None else set_url(row.set_id),
        ),
    }


def calibrator_quality(parts: Parts, row: GroupSummary) -> CalibratorQuality:
    """Word for the calibrator in a group's beam."""
    options, apparent = parts.station.settings.calibration, row.calibrator_apparent_jy
    if row.calibrator_name is None or apparent is None:
        return "none"
    if apparent >= options.minimum_calibrator_jy:
        return "good"
    return "backup" if apparent >= options.backup_calibrator_jy else "faint"


def summary_row(parts: Parts, key: str) -> GroupSummary:
    """What lists have of one group.

    Raises
    ------
    MissingInputError
        If it is not registered.
    """
    parts.station.records.group(key)
    return list_groups(parts.station.engine, GroupFilter(keys=(key,)), limit=1).rows[0]


def group_detail(parts: Parts, key: str) -> GroupDetail:
    """One group with all that is known of it."""
    station = parts.station
    group = station.records.group(key)
    described = describe_products(group, station.records, station.registry, station.store)
    checks = {name: checks_of(station.records, key, name) for name in QA_PRODUCTS}
    wait = describe_wait(station.selection.wait_of(key))
    held = station.leases.of(key)
    used = described["calibration"]
    before, after = neighbours(station.engine, key)
    return GroupDetail(
        **_row(parts, summary_row(parts, key)),
        missing_subbands=group.missing_subbands,
        antennas=group.antennas,
        retries=group.retries,
        waits=None if wait is None else Wait(**wait),
        held=None if held is None else str(held),
        products={
            name: Product(**product, quality=quality_of(checks.get(name, [])))
            for name, product in described["products"].items()
        },
        removed={name: RemovedProduct(**gone) for name, gone in described["removed"].items()},
        files=described["files"],
        checks=[check for found in checks.values() for check in found],
        calibration=None
        if used is None
        else UsedCalibration(**used, status=station.registry.get(used["set_id"]).status),
        data_columns=data_columns(station, key),
        warnings=warnings_of(station, key),
        likely_causes=described["likely_causes"],
        previous=before,
        next=after,
    )


def write_cursor(row: GroupSummary, sort: str) -> str:
    """Where a page ends, to be given back."""
    value = sort_value(row, sort)
    told = value.isoformat() if hasattr(value, "isoformat") else value
    return base64.urlsafe_b64encode(json.dumps([sort, told, row.key]).encode()).decode().rstrip("=")


def read_cursor(cursor: str, sort: str) -> tuple[Any, str]:
    """Where the page before ended.

    Raises
    ------
    ProblemError
        422 if it is none, or one of a list that was sorted otherwise.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        of, value, key = found
        value = _typed(SORTS[sort.removeprefix("-")].type.python_type, value)
        if of != sort or not isinstance(key, str):
            raise ValueError(f"of a list sorted by {of!r}")
    except (ValueError, TypeError, RecursionError) as error:
        raise ProblemError(
            422, f"cursor: found {cursor[:40]!r}; expected the one of a page that is sorted by {sort}"
        ) from error
    return value, key


def _typed(kind: type, value: Any) -> Any:
    if value is None:
        return None
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("no number")
        return kind(value)
    if kind is str:
        if not isinstance(value, str):
            raise ValueError("no text")
        return value
    return kind.fromisoformat(value)  # type: ignore[attr-defined]
