"""The report of each night: a page, and a mail.

Belongs here: the asset, and when it is made by itself.  Does not belong here: what the
report says, or how it is kept and sent (``station/night_products.py``).
"""

from datetime import UTC, datetime, timedelta

from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    DailyPartitionsDefinition,
    DefaultScheduleStatus,
    MaterializeResult,
    MetadataValue,
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    asset,
    define_asset_job,
    in_process_executor,
    schedule,
)

from contimg_assets.assets.publishing import OWNERS, RETRY
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.settings import get_settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.night_products import (
    NIGHT_REPORT,
    PAGE,
    is_first,
    make_report,
    send_report,
)
from contimg_assets.station.night_views import night
from contimg_assets.station.numbers import numbers

#: Days UTC; the telescope's data begin after the first.
nights = DailyPartitionsDefinition(start_date="2024-01-01", timezone="UTC")
#: Hours after the end of a night when its report is made: images of its last groups are there by then.
_AFTER_H = 4


@asset(
    description=(
        "The report of a night (a day UTC): groups, sky, noise, flux densities and positions against the "
        "thirty nights before, calibrators, antennas, failures, latency and disk on one page."
    ),
    partitions_def=nights,
    deps=[AssetDep("image_qa", partition_mapping=AllPartitionMapping())],
    group_name="quality",
    kinds={"python", "html"},
    owners=OWNERS,
    retry_policy=RETRY,
)
def night_report(context: AssetExecutionContext, storage: StoreResource) -> MaterializeResult:
    station = Installation(get_settings())
    report, version = make_report(station, context.partition_key, context.run.run_id)
    sent = send_report(station, report) if is_first(station, report.date) else []
    path = storage.store().path(report.date, NIGHT_REPORT)
    return MaterializeResult(
        metadata={
            "report": MetadataValue.url(storage.url(path / PAGE)),
            "path": MetadataValue.path(path),
            "version": version.version,
            "n_addresses": len(sent),
            **numbers(report.numbers),
        }
    )


night_report_job = define_asset_job(
    "report_night",
    selection=[night_report],
    description="The report of a night, and its mail.",
    executor_def=in_process_executor,
)


@schedule(
    job=night_report_job,
    cron_schedule=f"0 {_AFTER_H} * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="The report of the night that ended, where there was data in the nights before it.",
)
def nightly_report(context: ScheduleEvaluationContext, database: DatabaseResource) -> RunRequest | SkipReason:
    at = context.scheduled_execution_time or datetime.now(UTC)
    date = (at - timedelta(days=1)).date().isoformat()
    found = night(database.records().engine, date)
    known = found is not None and (found.groups or found.before)
    # An archive that is looked at now and then has no nights.
    if not known or (found is not None and not found.groups and _long_ago(found.before, at)):
        return SkipReason(f"no data of {date}, nor of the month before")
    return RunRequest(run_key=f"night {date}", partition_key=date)


def _long_ago(date: str | None, at: datetime) -> bool:
    return date is None or datetime.fromisoformat(f"{date}T00:00:00+00:00") < at - timedelta(days=31)
