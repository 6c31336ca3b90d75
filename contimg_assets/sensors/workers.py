"""Finds workers that have died, and hands their groups back."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from contimg_assets.jobs import image_group
from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource, StoreResource
from contimg_assets.resources.dagster_runs import DagsterRuns
from contimg_assets.station.lease_judge import Judge


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Puts groups whose worker is dead back to pending, ends its run and removes what it left.",
)
def dead_workers(
    context: SensorEvaluationContext,
    database: DatabaseResource,
    storage: StoreResource,
    alerts: NotifierResource,
) -> SkipReason:
    judge = Judge(database.leases(), storage.store(), context.log.info)
    notifier = alerts.notifier()
    found = judge.bury(
        DagsterRuns(context.instance), lambda key, message: notifier.send("worker_died", key, message)
    )
    for buried in found:
        context.log.info("%s: %s; the group is %s", buried.key, buried.message, buried.state)
    return SkipReason(f"{len(found)} workers had died")


@sensor(
    # What it finds was handed over a minute ago at least; on one machine it has nothing to do.
    minimum_interval_seconds=120,
    default_status=DefaultSensorStatus.RUNNING,
    description="At a station: ends runs that no worker will ever begin, so that their groups go on.",
)
def lost_runs(
    context: SensorEvaluationContext, database: DatabaseResource, alerts: NotifierResource
) -> SkipReason:
    if type(context.instance.run_launcher).__module__ != "dagster_celery.launcher":
        return SkipReason("runs are not handed to workers here")
    # Celery takes half a second to import, which every run of a laptop would pay.
    from contimg_assets.resources.workers import StationWorkers, control_app
    from contimg_assets.resources.workers import lost_runs as find

    leases, runs = database.leases(), DagsterRuns(context.instance)
    limit_s = leases.settings.dead_after_s
    owners = {held.owner for held in leases.held().values()}
    found = find(context.instance, StationWorkers(control_app()), owners, limit_s)
    for run in found:
        message = f"run {run.run_id} was handed over {limit_s:g} s ago, and neither Redis nor a worker has it"
        runs.end(run.run_id, message)
        key = run.tags.get(PARTITION_TAG)
        group = database.records().find(key) if key else None
        # Between two runs a group is in progress and nobody's: only the run that was to image it counts then.
        if group is not None and (group.state == "pending" or run.job_name == image_group.name):
            leases.could_not_begin(group.key, run.run_id, message)
        alerts.notifier().send("run_lost", key or run.run_id, message)
    return SkipReason(f"{len(found)} runs were lost")
