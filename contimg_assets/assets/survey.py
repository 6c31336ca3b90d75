"""From measurements of groups to the changing sky: days and tiles.

All of a day is made in one run of ``day_products``, tiles and all; these assets stand for
what it makes, and make one partition of it by hand.  What computes is imported when it is
needed: the definitions are loaded by every run.  Belongs here: that.  Does not belong here:
what is made (``station/survey_day.py``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetMaterialization,
    MaterializeResult,
    OpExecutionContext,
    asset,
    in_process_executor,
    job,
    op,
)

from contimg_assets.assets.publishing import OWNERS, RETRY, failure_of
from contimg_assets.partitions import SIDEREAL_DAY, SKY_TILE, sidereal_day, sky_tile
from contimg_assets.radio.errors import ContimgError
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.settings import get_settings
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.numbers import numbers
from contimg_assets.station.operations import DAY

_GROUP = "survey"


def _every(name: str) -> AssetDep:
    """Any partition of what has other keys: which, the station database says."""
    return AssetDep(name, partition_mapping=AllPartitionMapping())


@contextmanager
def _failing() -> Iterator[None]:
    """No retry mends what we raise on purpose."""
    try:
        yield
    except ContimgError as error:
        raise failure_of(error) from error


def metadata_of(version: ProductVersion, store: StoreResource) -> dict[str, Any]:
    """What Dagster shows of a version."""
    path = str(store.store().absolute(version.path))
    return {"version": version.version, "path": path, **numbers(version.numbers)}


@asset(
    description=(
        "Scale of each group of a sidereal day, the primary beam along hour angle and offsets of positions, "
        "from sources that groups share; tied to the survey."
    ),
    partitions_def=sidereal_day,
    group_name=_GROUP,
    kinds={"python", "parquet"},
    owners=OWNERS,
    retry_policy=RETRY,
    deps=[_every("photometry")],
)
def flux_scale(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.flux_scales import make_flux_scale

    with _failing():
        version = make_flux_scale(
            database.records().engine,
            storage.store(),
            context.partition_key,
            get_settings().flux_scale,
            run=context.run.run_id,
        )
    return MaterializeResult(metadata=metadata_of(version, storage))


@asset(
    description="All measurements of a tile of the sky, in the order of HEALPix and time: Parquet files.",
    partitions_def=sky_tile,
    group_name=_GROUP,
    kinds={"python", "parquet"},
    owners=OWNERS,
    retry_policy=RETRY,
    deps=[_every("photometry")],
)
def light_curves(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.measured import days_due
    from contimg_assets.station.survey_versions import TILE, current_versions
    from contimg_assets.station.tile_merge import PRODUCT, merge_day

    engine, store = database.records().engine, storage.store()
    with _failing():
        for day in days_due(engine):
            merge_day(engine, store, day, run=context.run.run_id)
        found = current_versions(engine, TILE, PRODUCT, [context.partition_key])
    version = found.get(context.partition_key)
    return MaterializeResult(metadata={} if version is None else metadata_of(version, storage))


@asset(
    description="η, V, Vs, m, structure function and features of a tile's sources, with their calibration.",
    partitions_def=sky_tile,
    group_name=_GROUP,
    kinds={"python", "parquet"},
    owners=OWNERS,
    retry_policy=RETRY,
    deps=["light_curves", _every("flux_scale")],
)
def variability(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.variable_sources import make_variability

    with _failing():
        version = make_variability(
            database.records().engine,
            storage.store(),
            context.partition_key,
            get_settings().variability,
            run=context.run.run_id,
        )
    return MaterializeResult(metadata=metadata_of(version, storage))


@asset(
    description="Extreme scattering events of a day's sources: dips beyond each one's red noise, ranked.",
    partitions_def=sidereal_day,
    group_name=_GROUP,
    kinds={"python", "parquet"},
    owners=OWNERS,
    retry_policy=RETRY,
    deps=["flux_scale", _every("variability")],
)
def ese_candidates(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.scattering_events import search_day

    with _failing():
        version = search_day(
            database.records().engine,
            storage.store(),
            context.partition_key,
            get_settings().variability,
            run=context.run.run_id,
        )
    return MaterializeResult(metadata=metadata_of(version, storage))


@op(description="Scales, files of tiles, numbers of light curves and events of a day, in this order.")
def make_day_products(
    context: OpExecutionContext, database: DatabaseResource, storage: StoreResource
) -> None:
    from contimg_assets.station.survey_day import make_day

    def tell(version: ProductVersion) -> None:
        names = {"day": SIDEREAL_DAY, "tile": SKY_TILE}
        if version.kind not in names:
            return
        context.instance.add_dynamic_partitions(names[version.kind], [version.key])
        context.log_event(
            AssetMaterialization(
                version.product, partition=version.key, metadata=metadata_of(version, storage)
            )
        )

    with _failing():
        done = make_day(
            database.records().engine,
            storage.store(),
            get_settings(),
            context.partition_key,
            run=context.run_id,
            tell=tell,
        )
    for reason in done.refused:
        context.log.warning(reason)


@job(
    name=DAY,
    partitions_def=sidereal_day,
    executor_def=in_process_executor,
    description="All that a sidereal day is due: scales, files of tiles, light curves' numbers, events.",
)
def day_products() -> None:
    make_day_products()
