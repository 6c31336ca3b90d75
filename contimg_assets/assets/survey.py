"""From measurements of groups to the changing sky: days and tiles.

All of a day is made in one run of ``day_products``, tiles and all; these assets stand for
what it makes, and make one partition of it by hand.  What computes is imported when it is
needed: the definitions are loaded by every run.  Belongs here: that.  Does not belong here:
what is made (``station/survey_day.py``).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetMaterialization,
    AssetsDefinition,
    DynamicPartitionsDefinition,
    MaterializeResult,
    OpExecutionContext,
    asset,
    in_process_executor,
    job,
    op,
)
from sqlalchemy import Engine

from contimg_assets.assets.publishing import OWNERS, RETRY, failure_of
from contimg_assets.partitions import SIDEREAL_DAY, SKY_TILE, sidereal_day, sky_tile
from contimg_assets.radio.errors import ContimgError
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.settings import get_settings
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.numbers import numbers
from contimg_assets.station.operations import DAY
from contimg_assets.station.store import Store

_GROUP, _KINDS = "survey", {"python", "parquet"}
_Make = Callable[[Engine, Store, str, str], ProductVersion | None]


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


def _survey_asset(
    name: str,
    description: str,
    partitions: DynamicPartitionsDefinition,
    deps: Sequence[str | AssetDep],
    make: _Make,
) -> AssetsDefinition:
    """An asset that makes its partition by a function of engine, store, key and the run."""

    @asset(
        name=name,
        description=description,
        partitions_def=partitions,
        deps=deps,
        group_name=_GROUP,
        kinds=_KINDS,
        owners=OWNERS,
        retry_policy=RETRY,
    )
    def of_partition(
        context: AssetExecutionContext, database: DatabaseResource, storage: StoreResource
    ) -> MaterializeResult[Any]:
        with _failing():
            engine, store = database.records().engine, storage.store()
            version = make(engine, store, context.partition_key, context.run.run_id)
        return MaterializeResult(metadata={} if version is None else metadata_of(version, storage))

    return of_partition


def _make_flux_scale(engine: Engine, store: Store, day: str, run: str) -> ProductVersion:
    from contimg_assets.station.flux_scales import make_flux_scale

    return make_flux_scale(engine, store, day, get_settings().flux_scale, run=run)


def _make_light_curves(engine: Engine, store: Store, tile: str, run: str) -> ProductVersion | None:
    from contimg_assets.station.tile_merge import merge_due

    return merge_due(engine, store, tile, run=run)


def _make_variability(engine: Engine, store: Store, tile: str, run: str) -> ProductVersion:
    from contimg_assets.station.variable_sources import make_variability

    return make_variability(engine, store, tile, get_settings().variability, run=run)


def _make_candidates(engine: Engine, store: Store, day: str, run: str) -> ProductVersion:
    from contimg_assets.station.scattering_events import search_day

    return search_day(engine, store, day, get_settings().variability, run=run)


flux_scale = _survey_asset(
    "flux_scale",
    "Scale of each group of a sidereal day, the primary beam along hour angle and offsets of positions, "
    "from sources that groups share; tied to the survey.",
    sidereal_day,
    [_every("photometry")],
    _make_flux_scale,
)
light_curves = _survey_asset(
    "light_curves",
    "All measurements of a tile of the sky, in the order of HEALPix and time: Parquet files.",
    sky_tile,
    [_every("photometry")],
    _make_light_curves,
)
variability = _survey_asset(
    "variability",
    "η, V, Vs, m, structure function and features of a tile's sources, with their calibration.",
    sky_tile,
    ["light_curves", _every("flux_scale")],
    _make_variability,
)
ese_candidates = _survey_asset(
    "ese_candidates",
    "Extreme scattering events of a day's sources: dips beyond each one's red noise, ranked.",
    sidereal_day,
    ["flux_scale", _every("variability")],
    _make_candidates,
)


_ASSETS = frozenset(
    one.key.to_user_string() for one in (flux_scale, light_curves, variability, ese_candidates)
)


@op(description="Scales, files of tiles, numbers of light curves and events of a day, in this order.")
def make_day_products(
    context: OpExecutionContext, database: DatabaseResource, storage: StoreResource
) -> None:
    from contimg_assets.station.survey_day import make_day

    def tell(version: ProductVersion) -> None:
        names = {"day": SIDEREAL_DAY, "tile": SKY_TILE}
        # What became of made-up sources is a product of the day, and no node of the graph.
        if version.kind not in names or version.product not in _ASSETS:
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
