"""Starts the solving of calibrator scans that have been converted and flagged."""

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SensorResult, SkipReason, sensor

from contimg_assets.jobs import solve_calibrator
from contimg_assets.partitions import calibrator_scan
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.requests import run_requests, taken_keys, usable
from contimg_assets.sensors.waiting import INTERVAL_S, first_found


@sensor(
    job=solve_calibrator,
    minimum_interval_seconds=INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description="Solves every converted group that holds a calibrator, and has not been solved since.",
)
def calibrator_scans(
    context: SensorEvaluationContext, database: DatabaseResource
) -> SensorResult | SkipReason:
    if not usable():
        return SkipReason("storage or database cannot be used: see the alerts")
    records, leases = database.records(), database.leases()

    def look() -> list[RunRequest] | None:
        due = records.due("flags", "calibration_tables", "in_progress", "completed", calibrators_only=True)
        if not due:
            return None
        taken = taken_keys(context.instance, leases)
        return run_requests((g for g in due if g.key not in taken), solve_calibrator.name) or None

    requests = first_found(context.instance, look)
    if requests is None:
        return SkipReason("no calibrator scan to solve, but for those that are being worked on")
    keys = [request.partition_key for request in requests if request.partition_key]
    return SensorResult(
        run_requests=requests, dynamic_partitions_requests=[calibrator_scan.build_add_request(keys)]
    )
