"""Lets what is no longer needed go from the disk and from Dagster's event log, every hour.

Belongs here: when that happens, and its job.  Does not belong here: what goes
(``station/retention.py``, ``resources/dagster_prune.py``).
"""

from dagster import (
    DefaultScheduleStatus,
    OpExecutionContext,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from contimg_assets.resources.dagster_prune import prune
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.settings import get_settings
from contimg_assets.station.retention import carry_out, plan, put_links_right

#: Minute of the hour: not the full hour, when everything else of a machine happens.
_CRON = "17 * * * *"
#: Runs whose rows go in one hour: more than a station makes, and few enough to end soon after an upgrade.
_RUNS_AN_HOUR = 2000


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


@op(description="Removes rows of Dagster's event log that tell neither product nor verdict, of old runs.")
def prune_event_rows(context: OpExecutionContext) -> None:
    pruned = prune(context.instance, get_settings().retention.event_days, _RUNS_AN_HOUR)
    context.add_output_metadata({"n_runs": pruned.n_runs, "n_rows": pruned.n_rows})


@job(
    executor_def=in_process_executor,
    description="Superseded versions, left-overs and idle event rows go (contimg retention --apply).",
)
def retention_job() -> None:
    remove_superseded()
    prune_event_rows()


hourly_retention = ScheduleDefinition(
    name="hourly_retention",
    job=retention_job,
    cron_schedule=_CRON,
    default_status=DefaultScheduleStatus.RUNNING,
    description="Lets superseded versions go once their grace is over.",
)
