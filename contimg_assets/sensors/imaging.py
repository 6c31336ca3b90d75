"""Starts the imaging of groups that have been flagged, once their calibration is there or overdue."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, SkipReason, sensor

from contimg_assets.jobs import image_group
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.requests import run_requests, taken_keys, usable
from contimg_assets.station.models import ObservationGroup


@sensor(
    job=image_group,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Images every flagged group once a valid calibration covers it, or its deadline has passed.",
)
def images_due(context: SensorEvaluationContext, database: DatabaseResource) -> SensorResult | SkipReason:
    if not usable():
        return SkipReason("storage cannot be used: see the alerts")
    records, selection = database.records(), database.selection()
    due = records.due("flags", "image", "in_progress")
    taken = taken_keys(context.instance, database.leases())
    waited = selection.waits()
    ready: list[ObservationGroup] = []
    for group in due:
        if group.key in taken:
            continue
        wait = selection.waiting(group, records)
        if wait is None:
            # Past its deadline too: the run takes a fallback, or says plainly that there is none.
            ready.append(group)
        if wait is not None or group.key in waited:
            selection.record_wait(group.key, wait)
    requests = run_requests(ready, image_group.name)
    if not requests:
        return SkipReason(f"{len(due)} groups wait for calibration or are being worked on")
    return SensorResult(run_requests=requests)
