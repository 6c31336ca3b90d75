"""From measurements of groups to the changing sky: days and tiles.

All of a day is made in one run of ``day_products``, tiles and all; these assets stand for
what it makes, and make one partition of it by hand.  What computes is imported when it is
needed: the definitions are loaded by every run.  Belongs here: that.  Does not belong here:
what is made (``station/survey_day.py``).
"""

from collections.abc import Callable, Iterator
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

_GROUP, _KINDS = "survey", {"python", "parquet"}


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


def _made(
    context: AssetExecutionContext,
    database: DatabaseResource,
    storage: StoreResource,
    make: Callable[..., ProductVersion | None],
    *options: Any,
) -> MaterializeResult[Any]:
    """Make the partition, by a function of engine, store, key, options and the run."""
    with _failing():
        engine, store = database.records().engine, storage.store()
        version = make(engine, store, context.partition_key, *options, run=context.run.run_id)
    return MaterializeResult(metadata={} if version is None else metadata_of(version, storage))


@asset(
    description=(
        "Scale of each group of a sidereal day, the primary beam along hour angle and offsets of positions, "
        "from sources that groups share; tied to the survey."
    ),
    partitions_def=sidereal_day,
    deps=[_every("photometry")],
    group_name=_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    retry_policy=RETRY,
)
def flux_scale(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.flux_scales import make_flux_scale

    return _made(context, database, storage, make_flux_scale, get_settings().flux_scale)


@asset(
    description="All measurements of a tile of the sky, in the order of HEALPix and time: Parquet files.",
    partitions_def=sky_tile,
    deps=[_every("photometry")],
    group_name=_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    retry_policy=RETRY,
)
def light_curves(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.tile_merge import merge_due

    return _made(context, database, storage, merge_due)


@asset(
    description="η, V, Vs, m, structure function and features of a tile's sources, with their calibration.",
    partitions_def=sky_tile,
    deps=["light_curves", _every("flux_scale")],
    group_name=_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    retry_policy=RETRY,
)
def variability(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.variable_sources import make_variability

    return _made(context, database, storage, make_variability, get_settings().variability)


@asset(
    description="Extreme scattering events of a day's sources: dips beyond each one's red noise, ranked.",
    partitions_def=sidereal_day,
    deps=["flux_scale", _every("variability")],
    group_name=_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    retry_policy=RETRY,
)
def ese_candidates(
    context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
) -> MaterializeResult[Any]:
    from contimg_assets.station.scattering_events import search_day

    return _made(context, database, storage, search_day, get_settings().variability)


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
