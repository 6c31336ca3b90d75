"""From the telescope's files to one Measurement Set per observation group."""

from collections.abc import Mapping
from pathlib import Path

from dagster import AssetExecutionContext, AssetSpec, MaterializeResult, MetadataValue, asset

from contimg_assets.assets.publishing import (
    CONVERSION,
    FOLDERS,
    OWNERS,
    RETRY,
    leaving_alone,
    production,
)
from contimg_assets.partitions import observation_group
from contimg_assets.radio.group_key import ms_path
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.dagster_runs import AGAIN_TAG, CAMPAIGN_TAG, SENSOR_TAG, lease_owner
from contimg_assets.resources.stage_runner import StageRunner

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
        # What retention removed of a completed group is made again without opening the group.
        if AGAIN_TAG not in tags:
            database.records().begin(key, owner, explicit=explicit)
    files = database.records().group(key).files
    with production(context, database, storage, files=_marks(files)) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        making.built.mkdir()
        result = stages.run(context, ["convert"], *files.values(), ms_path(making.built, key))
        return making.publish(result, files=MetadataValue.json(files))


def _marks(files: Mapping[str, str]) -> dict[str, list[int] | None]:
    """Size and time of each file, which are others if it was written again; None if it is not there."""
    found: dict[str, list[int] | None] = {}
    for subband, path in files.items():
        try:
            status = Path(path).stat()
        except OSError:  # the stage says what is wrong with it
            found[subband] = None
        else:
            found[subband] = [status.st_size, status.st_mtime_ns]
    return found
