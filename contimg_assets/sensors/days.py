"""Starts ``day_products`` of sidereal days whose measurements have changed.

Belongs here: when that is.  Does not belong here: which days are due
(``station/measured.py``).
"""

from datetime import UTC, datetime

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SensorResult, SkipReason, sensor

from contimg_assets.jobs import CATCH_UP_PRIORITY
from contimg_assets.partitions import sidereal_day
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.requests import PRIORITY_TAG, QUEUE_TAG, usable
from contimg_assets.station.operations import DAY
from contimg_assets.station.survey_due import due_now

#: Days of one tick: each rewrites files of the same tiles, so that they follow one another.
_AT_A_TIME = 1


@sensor(
    # By its name: Dagster would make another sensor for a job that it binds to resources, and warn of that.
    job_name=DAY,
    minimum_interval_seconds=300,
    default_status=DefaultSensorStatus.RUNNING,
    description="Makes the products of sidereal days that are over, or have changed since.",
)
def days_due(context: SensorEvaluationContext, database: DatabaseResource) -> SensorResult | SkipReason:
    if not usable():
        return SkipReason("storage or database cannot be used: see the alerts")
    unfinished = context.instance.get_run_records(limit=1, filters=_unfinished())
    if unfinished:
        return SkipReason("the products of another day are being made")
    now = datetime.now(UTC)
    due = due_now(database.records().engine, now)
    if not due:
        return SkipReason("no day is due")
    chosen = due[:_AT_A_TIME]
    return SensorResult(
        run_requests=[
            RunRequest(
                # The same measurements are tried once a day; others at once.
                run_key=f"{one.day} {one.state} {now:%Y-%m-%d}",
                partition_key=one.day,
                tags={PRIORITY_TAG: str(CATCH_UP_PRIORITY), QUEUE_TAG: "bulk"},
            )
            for one in chosen
        ],
        dynamic_partitions_requests=[sidereal_day.build_add_request([one.day for one in chosen])],
    )


def _unfinished():
    from dagster import DagsterRunStatus, RunsFilter

    going = (
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    )
    return RunsFilter(job_name=DAY, statuses=list(going))
