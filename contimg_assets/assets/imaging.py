"""From calibrated visibilities to images."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dagster import AssetExecutionContext, FreshnessPolicy, MaterializeResult, MetadataValue, asset

from contimg_assets.assets.publishing import (
    IMAGES,
    IMAGING,
    OWNERS,
    RETRY,
    Production,
    production,
)
from contimg_assets.assets.run_options import ImageRunOptions
from contimg_assets.partitions import observation_group
from contimg_assets.radio.group_key import ms_path, slug
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets.station.applied_calibration import PROVENANCE, calibration_of
from contimg_assets.station.publication import content

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
    # Read where no calibrated Measurement Set was written.
    deps=["measurement_set", "flags"],
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
    with production(context, database, storage, calibrated_ms, asked=config.asked) as begun:
        data = _data(begun, calibrated_ms)
        making = begun.made_also_from(*data.read)
        standing = making.standing()
        if standing is not None:
            return standing
        key = making.key
        making.records.refuse_errors(key, "measurement_set_qa")
        result = stages.run(
            context,
            ["image"],
            data.ms,
            making.built,
            "--name",
            slug(key),
            "--provenance",
            calibrated_ms / PROVENANCE,
            *data.calibration,
            *config.arguments,
        )
        (made,) = making.built.glob("*.pbcor.fits*")
        corrected = storage.store().path(key, making.product) / made.name
        return making.publish(result, beam_corrected_image=MetadataValue.path(corrected))


@dataclass(frozen=True)
class _Data:
    """What an image is made of."""

    ms: Path
    calibration: tuple[str | Path, ...]
    """Options by which the stage calibrates what it reads; none where that is calibrated."""
    read: tuple[Path, ...]
    """Content of further products that is read."""


def _data(making: Production, calibrated: Path) -> _Data:
    """The calibrated Measurement Set, or what it would be made of."""
    key, records, store = making.key, making.records, making.storage.store()
    written = ms_path(calibrated, key)
    if written.is_dir():
        return _Data(written, (), ())
    converted, flags = (content(records, store, key, name) for name in ("measurement_set", "flags"))
    found = calibration_of(records.engine, store, calibrated, flags)
    options: tuple[str | Path, ...] = ("--calibrate", found.flags, found.tables)
    if found.other is not None:
        options = (*options, "--other", found.other, "--weight", f"{found.weight:.6f}")
    return _Data(ms_path(converted, key), options, (converted, flags))
