"""The factory of quality checks: numbers held against a soft and a hard limit.

Belongs here: judging a product's recorded numbers, and all use of Dagster's
partitioned checks, which are a preview API.  Does not belong here: which
numbers a product has (the sibling modules) or their limits (``limits.toml``).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    PartitionsDefinition,
    PreviewWarning,
    multi_asset_check,
)

from contimg_assets.radio.limits import Limit, Limits, Status, load_limits
from contimg_assets.resources.dagster_resources import CatalogResource
from contimg_assets.station.products import ProductCatalog

#: How Dagster shows a status; PASS passes whatever the severity.
SEVERITY = {
    "PASS": AssetCheckSeverity.WARN,
    "WARN": AssetCheckSeverity.WARN,
    "ERROR": AssetCheckSeverity.ERROR,
}


@dataclass(frozen=True)
class Judgement:
    """One number held against its limit."""

    metric: str
    status: Status
    value: float | None
    """None if the product has no such number: an ERROR, unless its limit says that it may."""
    limit: Limit
    limits_version: str

    @property
    def text(self) -> str:
        """The judgement in one line."""
        if self.value is None and self.status == "PASS":
            return f"{self.metric} was not measured, which takes a catalogue or more sources than there are"
        if self.value is None:
            return f"{self.metric} is missing from the product's numbers, so it cannot be vouched for"
        side = self.limit.direction
        return (
            f"{self.metric} = {self.value:.4g}: WARN {side} {self.limit.soft:g}, "
            f"ERROR {side} {self.limit.hard:g}. {self.limit.reason}"
        )


def judge(
    catalog: ProductCatalog,
    product: str,
    key: str,
    *,
    metrics: Sequence[str] | None = None,
    limits: Limits | None = None,
) -> list[Judgement]:
    """Judge a product's numbers and keep the verdicts in the catalogue.

    Parameters
    ----------
    catalog : ProductCatalog
        Has the numbers and takes the verdicts.
    product : str
        A ``*_qa`` product.
    key : str
        The group.
    metrics : sequence of str, optional
        Which numbers; default: all that have a limit.
    limits : Limits, optional
        Default: those that the package carries.

    Returns
    -------
    list of Judgement
        One for each number.

    Raises
    ------
    MissingInputError
        If the product has not been made.
    """
    limits = limits or load_limits()
    known = limits.limits[product]
    version = catalog.product(key, product)
    numbers = version.numbers
    judgements = []
    for metric in known if metrics is None else metrics:
        limit, number = known[metric], numbers.get(metric)
        value = None
        if isinstance(number, int | float) and not isinstance(number, bool):
            value = float(number)
        status: Status = "ERROR" if value is None else limit.judge(value)
        # A number that was not finite is there, as None; one that could not be measured is not there.
        if metric not in numbers and limit.optional:
            status = "PASS"
        judgements.append(Judgement(metric, status, value, limit, limits.version))
        catalog.record_verdict(
            key,
            product,
            metric,
            status=status,
            value=value,
            soft=limit.soft,
            hard=limit.hard,
            limits_version=limits.version,
            version_id=version.id,
        )
    return judgements


def band_checks(
    product: str,
    metrics: Sequence[str],
    partitions_def: PartitionsDefinition[str],
    judged: Callable[[CatalogResource, str], object] | None = None,
) -> AssetChecksDefinition:
    """Build the checks of one product: one per number, partitioned, blocking.

    Parameters
    ----------
    product : str
        The ``*_qa`` asset whose numbers are judged.
    metrics : sequence of str
        Those that have a limit in ``limits.toml``.
    partitions_def : PartitionsDefinition
        Of the asset.
    judged : callable, optional
        Called with the database and the key once the verdicts are kept.

    Returns
    -------
    AssetChecksDefinition
        One op for all of them (each step of a run costs), any subset of which can be run:
        limits can change and be re-judged without touching the product.
    """
    known = load_limits().limits[product]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        specs = [
            AssetCheckSpec(
                metric,
                asset=product,
                description=known[metric].reason,
                blocking=True,
                partitions_def=partitions_def,
            )
            for metric in metrics
        ]

    @multi_asset_check(name=f"{product}_limits", specs=specs, can_subset=True)
    def checks(context: AssetCheckExecutionContext, database: CatalogResource) -> Iterator[AssetCheckResult]:
        chosen = sorted(check.name for check in context.selected_asset_check_keys)
        judgements = judge(database.catalog(), product, context.partition_key, metrics=chosen)
        if judged is not None:
            judged(database, context.partition_key)
        for judgement in judgements:
            yield _result(product, judgement)

    return checks


def _result(product: str, judgement: Judgement) -> AssetCheckResult:
    metadata: dict[str, Any] = {
        "soft_limit": judgement.limit.soft,
        "hard_limit": judgement.limit.hard,
        "bad_when": judgement.limit.direction,
        "limits_version": judgement.limits_version,
        "status": judgement.status,
    }
    if judgement.value is not None:
        metadata["value"] = judgement.value
    return AssetCheckResult(
        asset_key=product,
        check_name=judgement.metric,
        passed=judgement.status == "PASS",
        severity=SEVERITY[judgement.status],
        description=judgement.text,
        metadata=metadata,
    )
