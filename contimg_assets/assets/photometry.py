"""From images to measurements of sources."""

from pathlib import Path

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, asset

from contimg_assets.assets.publishing import FOLDERS, OWNERS, RETRY, production
from contimg_assets.partitions import observation_group
from contimg_assets.radio.photometry.table import FILE
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.stage_runner import StageRunner

#: The list of detections, in the folder of ``image_qa``.
SOURCES = "sources.fits"


@asset(
    description=(
        "Flux density, error, offset, χ² and flags of every survey and watched source in the field, and of "
        "detections that are neither: one Parquet file."
    ),
    partitions_def=observation_group,
    group_name="photometry",
    kinds={"python", "parquet"},
    owners=OWNERS,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def photometry(
    context: AssetExecutionContext,
    image: Path,
    image_qa: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, image, image_qa) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        making.records.refuse_errors(making.key, "image_qa")
        result = stages.run(
            context, ["photometry"], image, image_qa / SOURCES, making.built, "--group", making.key
        )
        measurements = storage.store().path(making.key, making.product) / FILE
        return making.publish(result, measurements=MetadataValue.path(measurements))
