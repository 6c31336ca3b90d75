"""Starts the imaging of groups that have been flagged and that a calibration covers."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, SkipReason, sensor

from contimg_assets.jobs import image_group
from contimg_assets.radio.errors import NoCalibratorError, VerdictError
from contimg_assets.resources.calibration_registry import CalibrationRegistry
from contimg_assets.resources.dagster_resources import CatalogResource
from contimg_assets.resources.models import ObservationGroup
from contimg_assets.resources.product_catalog import ProductCatalog
from contimg_assets.sensors.requests import run_requests, taken_keys
from contimg_assets.settings import get_settings


def covered(group: ObservationGroup, catalog: ProductCatalog, registry: CalibrationRegistry) -> bool:
    """Whether the registry holds a set that can calibrate a group now."""
    numbers = catalog.product(group.key, "measurement_set").metrics
    try:
        registry.choose(
            group.mid_mjd,
            group.declination_deg,
            group.antennas,
            numbers["channel_low_hz"],
            numbers["channel_high_hz"],
            get_settings().calibration,
        )
    except (NoCalibratorError, VerdictError):
        return False  # a later calibrator scan may still cover it
    return True


@sensor(
    job=image_group,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Images every flagged group as soon as a valid calibration covers it.",
)
def images_due(context: SensorEvaluationContext, database: CatalogResource) -> SensorResult | SkipReason:
    catalog, registry = database.catalog(), database.registry()
    due = catalog.due("flags", "image", "in_progress")
    taken = taken_keys(context.instance)
    ready = (group for group in due if group.key not in taken and covered(group, catalog, registry))
    requests = run_requests(ready, image_group.name)
    if not requests:
        return SkipReason(f"{len(due)} groups wait for calibration or are being worked on")
    return SensorResult(run_requests=requests)
