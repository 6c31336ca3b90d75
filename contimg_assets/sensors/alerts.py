"""Alerts: failed runs, bad verdicts, the telescope's moves; each told once, not too many at a time."""

from dagster import (
    DagsterEventType,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunStatusSensorContext,
    SensorEvaluationContext,
    SkipReason,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)

from contimg_assets.jobs import convert_group, image_group, process_group
from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.radio.quality.causes import likely_causes
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource, StoreResource
from contimg_assets.resources.dagster_runs import LEFT_ALONE_TAG, TERMINATED
from contimg_assets.station.alarms import mark_of, set_mark
from contimg_assets.station.alerts import LOG, TELL
from contimg_assets.station.group_states import kind_of
from contimg_assets.station.lease_judge import Judge
from contimg_assets.station.models import INTERRUPTED, STORAGE, Verdict
from contimg_assets.station.products import StationRecords
from contimg_assets.station.storage import of_words
from contimg_assets.station.views import standings

#: Name of the mark of the newest bad verdict that was told.
VERDICTS_MARK = "bad_verdicts"
#: Alerts of one tick at most; the rest are told in the next.
ALERTS_PER_TICK = 50


@run_failure_sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Tells of failed runs, and puts the group of a run that was killed back to pending.",
)
def failed_runs(
    context: RunFailureSensorContext,
    database: DatabaseResource,
    storage: StoreResource,
    alerts: NotifierResource,
) -> None:
    run = context.dagster_run
    message = context.failure_event.message or "no message"
    key = run.tags.get(PARTITION_TAG)
    if key and database.records().find(key) and _was_broken_off(context, database, key):
        return  # told already, once for all groups that met the same; or asked for
    records = database.records()
    group = records.find(key) if key else None
    failed = group is not None and group.state == "failed"
    # Dagster names the step; why it failed the group says, and what it has in common with others.
    told = f"{run.job_name} {run.run_id}: {message}" + (f" {group.reason}" if group and failed else "")
    cause = kind_of(group.reason) if group and failed else run.job_name
    alerts.notifier().send("run_failed", key or run.run_id, told, cause=cause)
    if group is None:
        return
    # A stage that fails says so itself. A run that was killed could not, and its group is still its own.
    leases, told = database.leases(), f"{run.job_name}: {message}"
    held = leases.of(group.key)
    if held is not None:
        # Somebody else's it is not ours to touch: a command's, too, which deals with its runs itself.
        if held.owner == run.run_id:
            Judge(leases, storage.store()).hand_back(group.key, held, told)
        return
    # Nor could a run that ended before its first step took the group, or whose checks condemned what it made.
    record = context.instance.get_run_record_by_id(run.run_id)
    if record is None or LEFT_ALONE_TAG in record.dagster_run.tags:
        return
    touched_since = group.updated.timestamp() > (record.end_time or 0.0)
    if touched_since:
        return
    if group.state == "pending" and run.job_name in (convert_group.name, process_group.name):
        leases.could_not_begin(group.key, run.run_id, told)
    elif group.state == "in_progress" and _failed_itself(context):
        records.fail(group.key, told)
    elif group.state == "in_progress" and run.job_name == image_group.name:
        leases.could_not_begin(group.key, run.run_id, told)


def _failed_itself(context: RunFailureSensorContext) -> bool:
    """Whether a step of the run failed: not one that was killed, or lost with its machine, between steps."""
    run, failed = context.dagster_run, DagsterEventType.STEP_FAILURE
    return bool(context.instance.get_records_for_run(run.run_id, of_type=failed, limit=1).records)


def _was_broken_off(context: RunFailureSensorContext, database: DatabaseResource, key: str) -> bool:
    """Whether a run was interrupted or met a fault of storage, so that its group is to go on by itself."""
    interruptions, run = database.interruptions(), context.dagster_run
    record = context.instance.get_run_record_by_id(run.run_id)
    group = database.records().group(key)
    since = record is not None and group.updated.timestamp() > record.create_timestamp.timestamp()
    if since and interruptions.last(key) in (INTERRUPTED, STORAGE):
        return True
    error = getattr(context.failure_event.event_specific_data, "error", None)
    told = error.to_string() if error is not None else ""
    # A database that was away for a moment: Dagster could not write, and none of the steps met it.
    return of_words(told) and interruptions.give_back(key, run.run_id, _short(told), STORAGE)


def _short(told: str) -> str:
    """The line of an error's text that says what the database said."""
    return next((line.strip()[:200] for line in told.splitlines() if of_words(line)), told[:200])


@run_status_sensor(
    run_status=DagsterRunStatus.CANCELED,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Lets the group of a run that a person ended be started again, where the run could not.",
)
def cancelled_runs(context: RunStatusSensorContext, database: DatabaseResource) -> None:
    run = context.dagster_run
    key = run.tags.get(PARTITION_TAG)
    group = database.records().find(key) if key else None
    record = context.instance.get_run_record_by_id(run.run_id)
    if group is None or record is None:
        return
    # A run says so itself, unless it was killed, or ended before it began.
    began, ended = record.create_timestamp.timestamp(), record.end_time or 0.0
    if group.updated.timestamp() > (began if group.state == "pending" else ended):
        return
    database.interruptions().give_back(group.key, run.run_id, TERMINATED, INTERRUPTED)


def _likely(records: StationRecords, verdict: Verdict) -> str:
    """Likely causes, from all numbers of the product that was judged."""
    product = records.products(verdict.key).get(verdict.product)
    causes = likely_causes(verdict.product, product.numbers) if product is not None else ()
    return f"; likely {'; '.join(causes)}" if causes else ""


@sensor(
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description="Tells of verdicts that are WARN or ERROR.",
)
def failed_checks(
    context: SensorEvaluationContext, database: DatabaseResource, alerts: NotifierResource
) -> SkipReason:
    engine = database.records().engine
    # Not in the cursor, which goes with Dagster's database; one of a release before that is taken over.
    told = mark_of(engine, VERDICTS_MARK)
    last = int(context.cursor or 0) if told is None else told
    found = database.records().bad_verdicts_after(last, ALERTS_PER_TICK)
    if not found:
        return SkipReason("no new bad verdicts")
    notifier = alerts.notifier()
    stands = standings(database.records(), {verdict.key for verdict in found})
    for verdict in found:
        notifier.send(
            "check_failed",
            verdict.key,
            f"{stands[verdict.key].text}: {verdict.product}: "
            f"{verdict.check} is {verdict.value}: {verdict.status} "
            f"(soft {verdict.soft:g}, hard {verdict.hard:g}, limits {verdict.limits_version})"
            f"{_likely(database.records(), verdict)}",
            cause=f"{verdict.product}.{verdict.check}",
            # One WARN is no alarm; ten in succession are (``alarm_rules.py``).
            severity=TELL if verdict.status == "ERROR" else LOG,
        )
    set_mark(engine, VERDICTS_MARK, found[-1].id)
    return SkipReason(f"told of {len(found)} bad verdicts")


@sensor(
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description="Tells of changes of declination, and of gaps between groups.",
)
def pointing_changes(database: DatabaseResource, alerts: NotifierResource) -> SkipReason:
    found = database.pointing().untold(ALERTS_PER_TICK)
    notifier = alerts.notifier()
    for key, event in found:
        notifier.send("pointing", key, event, severity=LOG)
    return SkipReason(f"told of {len(found)} changes")
