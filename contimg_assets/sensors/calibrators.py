"""Starts the solving of calibrator scans that have been converted and flagged."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, SkipReason, sensor

from contimg_assets.jobs import solve_calibrator
from contimg_assets.partitions import calibrator_scan
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.requests import run_requests, taken_keys, usable


@sensor(
    job=solve_calibrator,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Solves every converted group that holds a calibrator, and has not been solved since.",
)
def calibrator_scans(
    context: SensorEvaluationContext, database: DatabaseResource
) -> SensorResult | SkipReason:
    if not usable():
        return SkipReason("storage cannot be used: see the alerts")
    due = database.records().due(
        "flags", "calibration_tables", "in_progress", "completed", calibrators_only=True
    )
    taken = taken_keys(context.instance, database.leases())
    requests = run_requests((group for group in due if group.key not in taken), solve_calibrator.name)
    if not requests:
        return SkipReason(f"no calibrator scan to solve ({len(due)} are being worked on)")
    keys = [request.partition_key for request in requests if request.partition_key]
    return SensorResult(
        run_requests=requests, dynamic_partitions_requests=[calibrator_scan.build_add_request(keys)]
    )
