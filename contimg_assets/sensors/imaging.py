"""Starts the imaging of groups that have been flagged, once their calibration is there or overdue."""

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SensorResult, SkipReason, sensor

from contimg_assets.jobs import image_group
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.requests import run_requests, taken_keys, usable
from contimg_assets.sensors.waiting import INTERVAL_S, first_found
from contimg_assets.station.models import ObservationGroup


@sensor(
    job=image_group,
    minimum_interval_seconds=INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description="Images every flagged group once a valid calibration covers it, or its deadline has passed.",
)
def images_due(context: SensorEvaluationContext, database: DatabaseResource) -> SensorResult | SkipReason:
    if not usable():
        return SkipReason("storage or database cannot be used: see the alerts")
    records, registry, leases = database.records(), database.registry(), database.leases()
    selection = database.selection()
    # Groups that were found to wait in this tick, and the registry of then: judging a group takes queries.
    waiting: set[str] = set()
    judged_by: dict[str, int] | None = None

    def look() -> list[RunRequest] | None:
        nonlocal judged_by
        statuses = registry.statuses()
        if statuses != judged_by:
            judged_by = statuses
            waiting.clear()
        due = [group for group in records.due("flags", "image", "in_progress") if group.key not in waiting]
        if not due:
            return None
        taken = taken_keys(context.instance, leases)
        waited = selection.waits()
        ready: list[ObservationGroup] = []
        for group in due:
            if group.key in taken:
                continue
            wait = selection.waiting(group, records)
            if wait is None:
                # Past its deadline too: the run takes a fallback, or says plainly that there is none.
                ready.append(group)
            else:
                waiting.add(group.key)
            if wait is not None or group.key in waited:
                selection.record_wait(group.key, wait)
        return run_requests(ready, image_group.name) or None

    requests = first_found(context.instance, look)
    if requests is None:
        return SkipReason(f"{len(waiting)} groups wait for calibration, others are being worked on")
    return SensorResult(run_requests=requests)
