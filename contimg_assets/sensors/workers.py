"""Finds workers that have died, and hands their groups back."""

from dagster import DagsterInstance, DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

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
