"""What Dagster's database lacks of what the station knows, and telling it again.

After Dagster's database alone was lost, or restored from an older backup, its pages show
the same partitions again, with the numbers of their current versions.  Runs and
their logs do not come back, and verdicts stand in the station database.

Belongs here: partitions and materialisations.  Does not belong here: databases and
disks (``station/reconcile.py``).
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from dagster import AssetKey, AssetMaterialization, DagsterInstance, MetadataValue

from contimg_assets.partitions import CALIBRATOR_SCAN, OBSERVATION_GROUP
from contimg_assets.station.installation import Installation
from contimg_assets.station.numbers import numbers
from contimg_assets.station.reconcile import (
    ORPHANED,
    UNKNOWN_TO_DAGSTER,
    Difference,
    expected_keys,
    expected_products,
)

#: The asset that the telescope's files are, and the one that only calibrator scans have.
_FILES, _TABLES = "uvh5_subbands", "calibration_tables"
_FIX = "--fix tells Dagster again"


def examine_dagster(
    station: Installation, instance: DagsterInstance, assets: Collection[str]
) -> list[Difference]:
    """Hold Dagster's partitions and materialisations against the station database; nothing is changed.

    Parameters
    ----------
    station : Installation
    instance : DagsterInstance
        Of the same home.
    assets : collection of str
        Products that the asset graph has.

    Returns
    -------
    list of Difference
    """
    return list(_examine(station, instance, assets))


def tell_dagster(
    station: Installation,
    instance: DagsterInstance,
    differences: Iterable[Difference],
    tell: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Make partitions and materialisations known again.

    It may be ended and begun again at any moment.

    Parameters
    ----------
    station, instance
        As for :func:`examine_dagster`.
    differences : iterable of Difference
        From it.
    tell : callable
        Told of each kind once it is done.

    Returns
    -------
    list of str
        What was done.
    """
    told: list[str] = []
    for each in differences:
        if each.kind != UNKNOWN_TO_DAGSTER:
            continue
        if each.product in (OBSERVATION_GROUP, CALIBRATOR_SCAN):
            instance.add_dynamic_partitions(each.product, list(each.keys))
            text = f"{len(each.keys)} keys of {each.product} told to Dagster"
        else:
            for key in each.keys:
                instance.report_runless_asset_event(_materialization(station, each.product, key))
            text = f"{len(each.keys)} materialisations of {each.product} told to Dagster"
        told.append(text)
        tell(text)
    return told


def _examine(
    station: Installation, instance: DagsterInstance, assets: Collection[str]
) -> Iterator[Difference]:
    keys = expected_keys(station)
    products = {name: of for name, of in expected_products(station, keys).items() if name in assets}
    wanted = {OBSERVATION_GROUP: keys, CALIBRATOR_SCAN: products.get(_TABLES, set())}
    for name, of in wanted.items():
        known = set(instance.get_dynamic_partitions(name))
        if lacks := tuple(sorted(of - known)):
            yield Difference(UNKNOWN_TO_DAGSTER, f"partitions {name}", _some(lacks), _FIX, True, lacks, name)
        if strange := tuple(sorted(known - _registered(station, known))):
            fix = "restore the station database that has them, or `contimg register` their files"
            yield Difference(ORPHANED, f"partitions {name}", _some(strange), fix, keys=strange)
    for product, of in sorted({_FILES: keys, **products}.items()):
        made = instance.get_materialized_partitions(AssetKey(product))
        if lacks := tuple(sorted(of - made)):
            what = f"materialisations of {product}"
            yield Difference(UNKNOWN_TO_DAGSTER, what, _some(lacks), _FIX, True, lacks, product)


def _registered(station: Installation, keys: Collection[str]) -> set[str]:
    known = {group.key for group in station.records.groups()}
    return known & set(keys)


def _some(keys: tuple[str, ...]) -> str:
    """Groups in words: how many, and the first."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{len(keys)} groups: {', '.join(keys[:3])}{more}"


def _materialization(station: Installation, product: str, key: str) -> AssetMaterialization:
    """Dagster's record of a current version, from its row."""
    told = {"told_again": "by contimg reconcile, from the station database"}
    if product == _FILES:
        group = station.records.group(key)
        return AssetMaterialization(_FILES, partition=key, metadata={**told, "n_subbands": group.n_subbands})
    version = station.records.product(key, product)
    return AssetMaterialization(
        product,
        partition=key,
        metadata={
            **told,
            "made_at": MetadataValue.timestamp(version.made_at),
            "path": MetadataValue.path(station.store.path(key, product)),
            "version": version.version,
            **({"run": version.run} if version.run else {}),
            **numbers(version.numbers),
        },
    )
