"""The factory of quality checks: one judgement of each number, as Dagster's check and as a kept verdict.

Belongs here: recording verdicts, and all use of Dagster's partitioned checks,
which are a preview API.  Does not belong here: which products are judged
(``quality.py``), or judging itself (``radio/limits.py``).
"""

import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetObservation,
    PartitionsDefinition,
    PreviewWarning,
    multi_asset_check,
)

from contimg_assets.radio.limits import Judgement, Limits, judge, load_limits
from contimg_assets.radio.quality.causes import likely_causes
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.products import StationRecords
from contimg_assets.station.views import standing

#: How Dagster shows a status; PASS passes whatever the severity.
SEVERITY = {
    "PASS": AssetCheckSeverity.WARN,
    "WARN": AssetCheckSeverity.WARN,
    "ERROR": AssetCheckSeverity.ERROR,
}


def judge_product(
    records: StationRecords,
    product: str,
    key: str,
    *,
    metrics: Collection[str] | None = None,
    limits: Limits | None = None,
) -> list[Judgement]:
    """Judge the numbers that are kept of a product, and keep the verdicts.

    Parameters
    ----------
    records : StationRecords
        Has the numbers and takes the verdicts.
    product : str
        A ``*_qa`` product.
    key : str
        The group.
    metrics : collection of str, optional
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
    version = records.product(key, product)
    judgements = [
        found
        for found in judge(product, version.numbers, limits)
        if metrics is None or found.metric in metrics
    ]
    records.record_verdicts(key, product, judgements, version_id=version.id)
    return judgements


def band_checks(
    product: str,
    partitions_def: PartitionsDefinition[str],
    judged: Callable[[DatabaseResource, str], object] | None = None,
) -> AssetChecksDefinition:
    """Build the checks of one product: one per number that has a limit, partitioned, blocking.

    Parameters
    ----------
    product : str
        The ``*_qa`` asset whose numbers are judged.
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        specs = [
            AssetCheckSpec(
                metric,
                asset=product,
                description=limit.reason,
                blocking=True,
                partitions_def=partitions_def,
            )
            for metric, limit in load_limits().limits[product].items()
        ]

    @multi_asset_check(name=f"{product}_limits", specs=specs, can_subset=True)
    def checks(context: AssetCheckExecutionContext, database: DatabaseResource) -> Iterator[AssetCheckResult]:
        chosen = {check.name for check in context.selected_asset_check_keys}
        judgements = judge_product(database.records(), product, context.partition_key, metrics=chosen)
        if judged is not None:
            judged(database, context.partition_key)
        context.op_execution_context.log_event(
            _observation(product, context.partition_key, database.records())
        )
        numbers = database.records().product(context.partition_key, product).numbers
        causes = likely_causes(product, numbers)
        for judgement in judgements:
            yield _result(product, judgement, causes)

    return checks


def _observation(product: str, key: str, records: StationRecords) -> AssetObservation:
    """How the group stands now, beside the numbers of its asset, which judge nothing."""
    stands = standing(records, key)
    metadata = {
        "verdict": stands.verdict,
        "state": stands.state,
        "checks_warn": stands.n_warn,
        "checks_error": stands.n_error,
        "worst_check": stands.worst_check or "none",
    }
    return AssetObservation(product, partition=key, metadata=metadata)


def _result(product: str, judgement: Judgement, causes: tuple[str, ...]) -> AssetCheckResult:
    metadata: dict[str, Any] = {
        "soft_limit": judgement.limit.soft,
        "hard_limit": judgement.limit.hard,
        "bad_when": judgement.limit.direction,
        "limits_version": judgement.version,
        "status": judgement.status,
    }
    if judgement.value is not None:
        metadata["value"] = judgement.value
    told = judgement.text
    if judgement.status != "PASS" and causes:
        told += f" Likely: {'; '.join(causes)}."
    return AssetCheckResult(
        asset_key=product,
        check_name=judgement.metric,
        passed=judgement.status == "PASS",
        severity=SEVERITY[judgement.status],
        description=told,
        metadata=metadata,
    )
