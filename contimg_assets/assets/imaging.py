"""From calibrated visibilities to images."""

from datetime import timedelta
from pathlib import Path

from dagster import AssetExecutionContext, FreshnessPolicy, MaterializeResult, MetadataValue, asset

from contimg_assets.assets.calibration import PROVENANCE
from contimg_assets.assets.publishing import IMAGES, IMAGING, OWNERS, RETRY, ms_path, production
from contimg_assets.assets.run_options import ImageRunOptions
from contimg_assets.partitions import observation_group
from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.stage_runner import StageRunner

#: A usual night leaves no gap longer than this between images.
FRESH = timedelta(hours=24)


@asset(
    description=(
        "FITS images of the field: restored, corrected for the drifting beam, the beam itself, residual, "
        "model, point-spread function, CLEAN mask, noise map and source list."
    ),
    partitions_def=observation_group,
    group_name="imaging",
    kinds={"python", "fits"},
    owners=OWNERS,
    pool=IMAGING,
    retry_policy=RETRY,
    io_manager_key=IMAGES,
    freshness_policy=FreshnessPolicy.time_window(fail_window=FRESH),
)
def image(
    context: AssetExecutionContext,
    config: ImageRunOptions,
    calibrated_ms: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, calibrated_ms, asked=config.asked) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        key = making.key
        making.records.refuse_errors(key, "measurement_set_qa")
        result = stages.run(
            context,
            ["image"],
            ms_path(calibrated_ms, key),
            making.built,
            "--name",
            slug(key),
            "--provenance",
            calibrated_ms / PROVENANCE,
            *config.arguments,
        )
        corrected = storage.store().path(key, making.product) / f"{slug(key)}.pbcor.fits"
        return making.publish(result, beam_corrected_image=MetadataValue.path(corrected))
