"""Quality assets: numbers and pictures of a product.  They judge nothing: the checks do."""

from pathlib import Path

from dagster import AssetExecutionContext, MaterializeResult, asset

from contimg_assets.assets.publishing import CONVERSION, FOLDERS, OWNERS, RETRY, production
from contimg_assets.partitions import calibrator_scan, observation_group
from contimg_assets.radio.group_key import ms_path
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets.station.report_surroundings import surroundings_of


@asset(
    description="Numbers and a picture of a Measurement Set: flagged and zero data, uvw, dead antennas.",
    partitions_def=observation_group,
    group_name="quality",
    kinds={"python"},
    owners=OWNERS,
    pool=CONVERSION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def measurement_set_qa(
    context: AssetExecutionContext,
    measurement_set: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, measurement_set) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        result = stages.run(context, ["qa", "ms"], ms_path(measurement_set, making.key), making.built)
        return making.publish(result)


@asset(
    description="Numbers and a picture of a calibrator scan's solutions: failures, scatter.",
    partitions_def=calibrator_scan,
    group_name="quality",
    kinds={"python"},
    owners=OWNERS,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def calibration_qa(
    context: AssetExecutionContext,
    calibration_tables: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, calibration_tables) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        result = stages.run(context, ["qa", "calibration"], calibration_tables, making.built)
        return making.publish(result)


@asset(
    description="Numbers and report of an image: noise, artefacts, injected sources, a survey.",
    partitions_def=observation_group,
    group_name="quality",
    kinds={"python"},
    owners=OWNERS,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def image_qa(
    context: AssetExecutionContext,
    image: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, image) as making:
        standing = making.standing()
        if standing is not None:
            making.records.complete(making.key)
            return standing
        (version,) = making.inputs
        around = surroundings_of(making.records, storage.store(), making.key, version)
        told = making.built.with_name("surroundings.json")
        told.write_text(around.model_dump_json(), encoding="utf-8")
        result = stages.run(context, ["qa", "image"], image, making.built, "--surroundings", told)
        published = making.publish(result)
        making.records.complete(making.key)
        return published
