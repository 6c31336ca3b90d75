"""Lets what is no longer needed go from disk and Dagster's event log: every hour, and when room is short.

Belongs here: when that happens, and its job.  Does not belong here: what goes
(``station/retention.py``, ``resources/dagster_prune.py``).
"""

from dagster import (
    DefaultScheduleStatus,
    DefaultSensorStatus,
    OpExecutionContext,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    SensorEvaluationContext,
    SkipReason,
    in_process_executor,
    job,
    op,
    sensor,
)

from contimg_assets.resources.dagster_prune import prune
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.dagster_runs import UNFINISHED
from contimg_assets.sensors.requests import taken_keys, usable
from contimg_assets.settings import get_settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.retention import by_class, carry_out, everything, put_links_right
from contimg_assets.station.space import Guard

#: Minute of the hour: not the full hour, when everything else of a machine happens.
_CRON = "17 * * * *"
#: Runs whose rows go in one hour: more than a station makes, and few enough to end soon after an upgrade.
_RUNS_AN_HOUR = 2000


@op(description="Lets content go that is not needed any more, or compresses it (contimg retention lists it).")
def remove_superseded(
    context: OpExecutionContext, database: DatabaseResource, storage: StoreResource
) -> None:
    records, store = database.records(), storage.store()
    for link in put_links_right(records, store):
        context.log.warning("%s led to content that was never published: put right", link)
    for set_id in database.registry().put_sidecars_right():
        context.log.warning("the sidecar of calibration set %s disagreed with its row: put right", set_id)
    guard = Guard(records.engine, get_settings())
    removals = everything(records.engine, get_settings(), wanted_bytes=guard.look().wanted_bytes)
    for removal in removals:
        context.log.info("%s: %s: %s", removal.action, removal.path, removal.reason)
    freed = carry_out(records.engine, store, removals)
    sizes = {f"{what.replace(' ', '_')}_gb": size / 1e9 for what, size in by_class(removals).items()}
    context.add_output_metadata({"n_removed": len(removals), "freed_gb": freed / 1e9, **sizes})
    guard.judge(Notifier(get_settings().home))


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


@sensor(
    # By its name: Dagster would copy a sensor that has the job itself, with a warning of its own.
    job_name=retention_job.name,
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description="Measures the disk, holds new groups back before it is full, and has retention make room.",
)
def disk_guard(context: SensorEvaluationContext, database: DatabaseResource) -> RunRequest | SkipReason:
    if not usable():
        return SkipReason("storage or database cannot be used: see the alerts")
    taken = taken_keys(context.instance, database.leases())
    records, settings = database.records(), get_settings()
    space = Guard(records.engine, settings).judge(Notifier(settings.home), taken)
    unfinished = RunsFilter(job_name=retention_job.name, statuses=list(UNFINISHED))
    if not space.wanted_bytes or context.instance.get_runs_count(unfinished):
        return SkipReason(space.text)
    found = everything(records.engine, settings, wanted_bytes=space.wanted_bytes)
    if not found:
        return SkipReason(f"nothing more may go; {space.text}")
    return RunRequest()


hourly_retention = ScheduleDefinition(
    name="hourly_retention",
    job=retention_job,
    cron_schedule=_CRON,
    default_status=DefaultScheduleStatus.RUNNING,
    description="Lets superseded versions go once their grace is over.",
)
