"""From the telescope's files to one Measurement Set per observation group."""

from pathlib import Path

from dagster import AssetExecutionContext, AssetSpec, MaterializeResult, MetadataValue, asset

from contimg_assets.assets.publishing import (
    CONVERSION,
    FOLDERS,
    OWNERS,
    RETRY,
    leaving_alone,
    ms_path,
    production,
)
from contimg_assets.partitions import observation_group
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.dagster_runs import CAMPAIGN_TAG, lease_owner
from contimg_assets.resources.stage_runner import StageRunner

#: Tag that Dagster puts on runs that a sensor asked for.
SENSOR_TAG = "dagster/sensor_name"

uvh5_subbands = AssetSpec(
    "uvh5_subbands",
    description="The 12 to 16 UVH5 files of one observation group, as the telescope wrote them.",
    partitions_def=observation_group,
    group_name="ingest",
    kinds={"hdf5"},
    owners=OWNERS,
)


@asset(
    description=(
        "All subbands of a group in one Measurement Set: channels ascending, every integration re-phased "
        "to the meridian point at mid-group, uvw recomputed."
    ),
    partitions_def=observation_group,
    deps=[uvh5_subbands],
    group_name="ingest",
    kinds={"casa", "measurementset"},
    owners=OWNERS,
    pool=CONVERSION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def measurement_set(
    context: AssetExecutionContext, stages: StageRunner, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Path]:
    key = context.partition_key
    with leaving_alone(context):
        owner = lease_owner(context.run)
        tags = context.run.tags
        explicit = SENSOR_TAG not in tags or CAMPAIGN_TAG in tags
        database.records().begin(key, owner, explicit=explicit)
    with production(context, database, storage) as making:
        files = making.records.group(key).files
        making.built.mkdir()
        result = stages.run(context, ["convert"], *files.values(), ms_path(making.built, key))
        return making.publish(result, files=MetadataValue.json(files))
