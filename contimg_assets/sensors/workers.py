"""Finds workers that have died, and hands their groups back."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from contimg_assets.resources.dagster_resources import CatalogResource, NotifierResource
from contimg_assets.resources.dagster_runs import DagsterRuns
from contimg_assets.station.lease_judge import Judge


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Puts groups whose worker is dead back to pending, and ends its run.",
)
def dead_workers(
    context: SensorEvaluationContext, database: CatalogResource, alerts: NotifierResource
) -> SkipReason:
    judge = Judge(database.leases(), context.log.info)
    found = judge.bury(DagsterRuns(context.instance))
    for buried in found:
        alerts.notifier().send("worker_died", buried.key, f"{buried.message}; the group is {buried.state}")
    return SkipReason(f"{len(found)} workers had died")
