"""Flags, calibration tables of calibrator scans, and their application to every group."""

import json
from pathlib import Path

from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    IdentityPartitionMapping,
    MaterializeResult,
    MetadataValue,
    asset,
)

from contimg_assets.assets.publishing import (
    CALIBRATION,
    CONVERSION,
    FOLDERS,
    OWNERS,
    RETRY,
    ms_path,
    production,
)
from contimg_assets.partitions import calibrator_scan, observation_group
from contimg_assets.resources.casa import StageRunner
from contimg_assets.resources.dagster_resources import CatalogResource, StoreResource
from contimg_assets.settings import get_settings

#: What calibrated a group, beside its calibrated Measurement Set.
PROVENANCE = "provenance.json"


@asset(
    description=(
        "Flags of a group, kept beside its Measurement Set and never in it: zeros, dead antennas, "
        "autocorrelations, radio-frequency interference."
    ),
    partitions_def=observation_group,
    group_name="calibration",
    kinds={"hdf5"},
    owners=OWNERS,
    pool=CONVERSION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def flags(
    context: AssetExecutionContext,
    measurement_set: Path,
    stages: StageRunner,
    database: CatalogResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage) as making:
        result = stages.run(context, ["flag"], ms_path(measurement_set, making.key), making.built)
        return making.publish(result)


@asset(
    description=(
        "Delay, bandpass and gain tables solved on a calibrator scan with the beam at each integration; "
        "entered in the calibration registry."
    ),
    partitions_def=calibrator_scan,
    ins={
        "measurement_set": AssetIn(partition_mapping=IdentityPartitionMapping()),
        "flags": AssetIn(partition_mapping=IdentityPartitionMapping()),
    },
    group_name="calibration",
    kinds={"casa"},
    owners=OWNERS,
    pool=CALIBRATION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def calibration_tables(
    context: AssetExecutionContext,
    measurement_set: Path,
    flags: Path,
    stages: StageRunner,
    database: CatalogResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage) as making:
        making.catalog.refuse_errors(making.key, "measurement_set_qa")
        calibrator = making.catalog.group(making.key).calibrator_name
        reference = get_settings().calibration.reference_antenna
        options = ["--calibrator", calibrator] if calibrator else []
        options += ["--refant", reference] if reference else []
        solutions = stages.run(
            context, ["solve"], ms_path(measurement_set, making.key), flags, making.built, *options
        )
        published = making.publish(
            solutions,
            calibrator=str(solutions["calibrator"]),
            reference_antenna=str(solutions["refant"]),
            solutions=MetadataValue.json(solutions["quality"]),
        )
        # The partition says which group this is; the stage derives the same from the times in the data.
        database.registry().register(
            {**solutions, "group": making.key}, storage.store().path(making.key, making.product)
        )
        return published


@asset(
    description=(
        "A copy of the group's Measurement Set with flags and the nearest valid calibration applied "
        "(CORRECTED_DATA), and a note of which tables those were."
    ),
    partitions_def=observation_group,
    # Any scan's tables may be the nearest: the registry chooses, the metadata say which it was.
    deps=[AssetDep(calibration_tables, partition_mapping=AllPartitionMapping())],
    group_name="calibration",
    kinds={"casa", "measurementset"},
    owners=OWNERS,
    pool=CALIBRATION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def calibrated_ms(
    context: AssetExecutionContext,
    measurement_set: Path,
    flags: Path,
    stages: StageRunner,
    database: CatalogResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage) as making:
        key, catalog, registry = making.key, making.catalog, database.registry()
        catalog.refuse_errors(key, "measurement_set_qa")
        group, converted = catalog.group(key), catalog.product(key, "measurement_set").metrics
        chosen = registry.choose(
            group.mid_mjd,
            group.declination_deg,
            group.antennas,
            converted["channel_low_hz"],
            converted["channel_high_hz"],
            get_settings().calibration,
        )
        registry.check_intact(chosen)
        if chosen.warning:
            context.log.warning("%s: %s", chosen.set_id, chosen.warning)
        making.built.mkdir()
        # The version that is current now, so that a set published meanwhile cannot mix in.
        tables = chosen.path.resolve()
        result = stages.run(
            context, ["apply"], ms_path(measurement_set, key), flags, tables, ms_path(making.built, key)
        )
        provenance = chosen.provenance()
        (making.built / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
        published = making.publish(
            result,
            calibration_set=chosen.set_id,
            calibrator=chosen.calibrator,
            calibration_hours=chosen.hours,
            calibration=MetadataValue.json(provenance),
        )
        registry.record_use(key, chosen)
        return published
