"""Finds workers that have died, and hands their groups back."""

from dagster import DagsterInstance, DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.resources.dagster_resources import CatalogResource, NotifierResource
from contimg_assets.settings import get_settings


def _bury(instance: DagsterInstance, run_id: str, message: str) -> None:
    """End a run whose process is gone: until then it holds its slots, and its group's other runs wait."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, message)
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Puts groups whose worker gives no sign of life back to pending, and ends its run.",
)
def dead_workers(
    context: SensorEvaluationContext, database: CatalogResource, alerts: NotifierResource
) -> SkipReason:
    workers, limit_s = database.workers(), get_settings().ingest.dead_after_s
    found = workers.dead()
    for group in found:
        owner = str(group.owner)
        message = f"run {owner} gave no sign of life for {limit_s:g} s"
        _bury(context.instance, owner, message)
        state = workers.died(group.key, owner, message)
        alerts.notifier().send("worker_died", group.key, f"{message}; the group is {state}")
    return SkipReason(f"{len(found)} workers had died")


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="At a station: ends runs that no worker will ever begin, so that their groups go on.",
)
def lost_runs(
    context: SensorEvaluationContext, database: CatalogResource, alerts: NotifierResource
) -> SkipReason:
    if type(context.instance.run_launcher).__module__ != "dagster_celery.launcher":
        return SkipReason("runs are not handed to workers here")
    # Celery takes half a second to import, which every run of a laptop would pay.
    from contimg_assets.resources.workers import StationWorkers, control_app
    from contimg_assets.resources.workers import lost_runs as find

    limit_s = get_settings().ingest.dead_after_s
    owners = {str(group.owner) for group in database.catalog().groups("in_progress")}
    found = find(context.instance, StationWorkers(control_app()), owners, limit_s)
    for run in found:
        message = f"run {run.run_id} was handed over {limit_s:g} s ago, and neither Redis nor a worker has it"
        _bury(context.instance, run.run_id, message)
        key = run.tags.get(PARTITION_TAG)
        group = database.catalog().find(key) if key else None
        if group is not None:
            database.workers().could_not_begin(group.key, run.run_id, message)
        alerts.notifier().send("run_lost", key or run.run_id, message)
    return SkipReason(f"{len(found)} runs were lost")
