"""Lets what is no longer needed go from the disk, every hour.

Belongs here: when that happens, and its job.  Does not belong here: what goes
(``station/retention.py``).
"""

from dagster import (
    DefaultScheduleStatus,
    OpExecutionContext,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.settings import get_settings
from contimg_assets.station.retention import carry_out, plan, put_links_right

#: Minute of the hour: not the full hour, when everything else of a machine happens.
_CRON = "17 * * * *"


@op(description="Removes content that was superseded longer than the grace ago, and what killed runs left.")
def remove_superseded(
    context: OpExecutionContext, database: DatabaseResource, storage: StoreResource
) -> None:
    records, store = database.records(), storage.store()
    for link in put_links_right(records, store):
        context.log.warning("%s led to content that was never published: put right", link)
    for set_id in database.registry().put_sidecars_right():
        context.log.warning("the sidecar of calibration set %s disagreed with its row: put right", set_id)
    removals = plan(records.engine, store, get_settings().retention.grace_hours)
    for removal in removals:
        context.log.info("%s: %s", removal.path, removal.reason)
    freed = carry_out(records.engine, store, removals)
    context.add_output_metadata({"n_removed": len(removals), "freed_gb": freed / 1e9})


@job(
    executor_def=in_process_executor,
    description="Superseded versions and left-overs go from the disk (contimg retention --apply).",
)
def retention_job() -> None:
    remove_superseded()


hourly_retention = ScheduleDefinition(
    name="hourly_retention",
    job=retention_job,
    cron_schedule=_CRON,
    default_status=DefaultScheduleStatus.RUNNING,
    description="Lets superseded versions go once their grace is over.",
)
