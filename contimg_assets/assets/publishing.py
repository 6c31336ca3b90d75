"""What every asset does around its stage: build aside, publish, record, report.

Belongs here: staging and publication, the group's state when a stage fails,
metadata and pictures, and the settings that all assets share.  Does not belong
here: which stage makes which product (the other modules of this package).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    DagsterExecutionInterruptedError,
    Failure,
    MaterializeResult,
    MetadataValue,
    RetryPolicy,
)

from contimg_assets.radio.errors import ContimgError
from contimg_assets.radio.interrupts import noted, tidying
from contimg_assets.radio.limits import judge, load_limits, worst
from contimg_assets.radio.quality.causes import likely_causes
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.dagster_runs import (
    LEASE_TAG,
    LEFT_ALONE_TAG,
    SENSOR_TAG,
    lease_owner,
    why_interrupted,
)
from contimg_assets.settings import get_settings
from contimg_assets.station import publication
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.interruptions import Interruptions
from contimg_assets.station.made_with import settings_of
from contimg_assets.station.models import INTERRUPTED, STORAGE, ProductVersion
from contimg_assets.station.numbers import numbers
from contimg_assets.station.products import StationRecords
from contimg_assets.station.storage import PATIENCE_S, fault_of, located, retry, tell_once

OWNERS = ["team:imaging"]
#: For hiccups of file systems and for crashes; bad data fail at once (``Failure(allow_retries=False)``).
RETRY = RetryPolicy(max_retries=1, delay=5)
#: Pools, one for each class of memory that a stage may need.
CONVERSION, CALIBRATION, IMAGING = "conversion", "calibration", "imaging"
#: Folder-valued products; and images, whose folder must be complete.
FOLDERS, IMAGES = "folders", "images"
THUMBNAIL = "thumbnail.png"
#: Width of the column that the web UI shows a picture in, at least.
PICTURE_WIDTH = 320
#: How a verdict is said.
_FACES = {"PASS": "✓ good", "WARN": "! uncertain", "ERROR": "✕ bad", "": "not judged"}


@dataclass(frozen=True)
class Production:
    """One product that is being made."""

    key: str
    """Group that it belongs to."""
    product: str
    """Its name: that of its asset."""
    built: Path
    """Folder to build, in staging; not there yet."""
    run: str
    """Identity of the run that makes it."""
    inputs: tuple[ProductVersion, ...]
    """The versions that it is made from, as they were when the work began."""
    owner: str
    """Owner of the lease under which the run works."""
    records: StationRecords
    storage: StoreResource
    settings: Mapping[str, Any]
    """Options and software with which it is made, and what its files were if it is made of files."""
    resumes: bool
    """Whether the run goes on with work that was broken off; one that a person starts makes things anew."""

    def made_also_from(self, *paths: Path) -> "Production":
        """The same, made from further products too; content of theirs, as the store has it."""
        more = publication.versions_at(self.records, self.storage.store(), paths)
        return replace(self, inputs=(*self.inputs, *more))

    def standing(self, *, sets: Sequence[str] = ()) -> MaterializeResult[Path] | None:
        """The product that was made before the group's work was broken off, if it stands.

        Parameters
        ----------
        sets : sequence of str
            Calibration sets that would be applied now.

        Returns
        -------
        MaterializeResult
            None if it is to be made.
        """
        if not self.resumes:
            return None
        store = self.storage.store()
        inputs = [*self.inputs, *publication.tables_of(self.records, sets)]
        version = Interruptions(self.records.engine).standing(
            self.key, self.product, store.home, self.settings, [each.id for each in inputs]
        )
        if version is None:
            return None
        publication.put_link_right(self.records, store, self.key, self.product)
        path = store.path(self.key, self.product)
        return MaterializeResult(
            value=path,
            metadata={
                **verdict_of(self.product, version.numbers),
                **pictures(self.storage, path),
                "version": version.version,
                "made": f"before the work on the group was broken off, by run {version.run}",
                **numbers(version.numbers),
            },
        )

    def publish(
        self,
        result: Mapping[str, Any],
        *,
        sets: Sequence[str] = (),
        **metadata: Any,
    ) -> MaterializeResult[Path]:
        """Publish what was built, record it and what it was made from, and say so to Dagster.

        Parameters
        ----------
        result : Mapping
            The stage's result; its numbers become metadata, its whole the station database's record.
        sets : sequence of str
            Calibration sets that were applied, whose tables are inputs too.
        **metadata
            Further metadata.

        Raises
        ------
        StateError
            If the group is not the owner's any more; then nothing is published.
        """
        store = self.storage.store()
        inputs = [*self.inputs, *publication.tables_of(self.records, sets)]
        version = publication.publish(
            self.records,
            store,
            self.built,
            self.key,
            self.product,
            result,
            owner=self.owner,
            run=self.run,
            inputs=[each.id for each in inputs],
            settings=self.settings,
        )
        asked = self.settings.get("asked")
        path = store.path(self.key, self.product)
        # As a page of the web UI shows them: what to look at first, then what may be fifty numbers.
        return MaterializeResult(
            value=path,
            metadata={
                **verdict_of(self.product, result),
                **pictures(self.storage, path),
                **metadata,
                **({"asked": MetadataValue.json(asked)} if asked else {}),
                "version": version.version,
                "made_from": ", ".join(f"{each.key} {each.product} {each.version}" for each in inputs),
                **numbers(result),
            },
        )


@contextmanager
def production(
    context: AssetExecutionContext,
    database: DatabaseResource,
    storage: StoreResource,
    *made_from: Path,
    files: Mapping[str, Any] | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Iterator[Production]:
    """Make the asset's product for the partition; a failure becomes the group's state.

    Parameters
    ----------
    context, database, storage
        The asset's own.
    *made_from : Path
        Products that it is made from, as its IO manager handed them over.
    files : Mapping, optional
        What the files were that it is made from, to tell whether they are others now.
    asked : Mapping, optional
        What was asked of this run in place of the settings (``assets/run_options.py``).

    Yields
    ------
    Production
        Its staging folder is gone after the block, whatever happens.

    Raises
    ------
    dagster.Failure
        In place of our own errors, which no retry can mend.
    """
    key, product, owner = context.partition_key, context.asset_key.path[-1], lease_owner(context.run)
    records = database.records()
    with leaving_alone(context):
        database.leases().hold(key, owner)
    with failing(context, records, key, product):
        store = storage.store()
        inputs = publication.versions_at(records, store, made_from)
        with store.staging(key, product) as folder:
            yield Production(
                key,
                product,
                folder / "built",
                context.run.run_id,
                inputs,
                owner,
                records,
                storage,
                settings_of(product, get_settings(), asked or {}) | ({"files": files} if files else {}),
                resumes=SENSOR_TAG in context.run.tags or LEASE_TAG in context.run.tags,
            )


@contextmanager
def leaving_alone(context: AssetExecutionContext) -> Iterator[None]:
    """Take the group in the block: one that is somebody else's is not this run's to fail, now or later.

    Where it is Dagster that is interrupted, between our own blocks, it tries the step again: so a run
    to which a signal came begins none.
    """
    if noted() is not None:
        raise Failure(description=why_interrupted(context.instance, context.run), allow_retries=False)
    try:
        yield
    except ContimgError as error:
        context.instance.add_run_tags(context.run.run_id, {LEFT_ALONE_TAG: "true"})
        raise failure_of(error) from error


@contextmanager
def failing(
    context: AssetExecutionContext, records: StationRecords, key: str, product: str
) -> Iterator[None]:
    """Say what became of the group if the block raises, and the group is the run's.

    What was broken off by no fault of the group's own is not tried again by Dagster, which
    would retry an interrupted step as well: the group goes back to ``pending``.  Otherwise it
    has failed, unless the step will be tried again.
    """
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as error:
        with tidying():
            reason = why_interrupted(context.instance, context.run)
            put_back(context, records, key, reason, INTERRUPTED, patience_s=2.0)
        raise Failure(description=reason, allow_retries=False) from error
    except BaseException as error:
        fault = fault_of(error)
        if fault is not None:
            fault, notifier = located(fault, get_settings()), Notifier(get_settings().home)
            tell_once(notifier, fault)
            put_back(context, records, key, f"{product}: {fault}", STORAGE, patience_s=PATIENCE_S)
            # Where the home was full, it could not be kept before.
            tell_once(notifier, fault)
            raise Failure(description=str(fault), allow_retries=False) from error
        failure = failure_of(error) if isinstance(error, ContimgError) else error
        transient = isinstance(failure, OSError) or (isinstance(failure, Failure) and failure.allow_retries)
        if not (transient and context.retry_number < RETRY.max_retries):
            told = failure.description if isinstance(failure, Failure) else None
            reason = f"{product}: {told or f'{type(error).__name__}: {error}'}"
            records.fail(key, reason, owner=lease_owner(context.run))
        if failure is not error:
            raise failure from error
        raise


def put_back(
    context: AssetExecutionContext,
    records: StationRecords,
    key: str,
    reason: str,
    cause: str,
    *,
    patience_s: float,
) -> None:
    """Let the run's group go back to ``pending``; a database that cannot be written either is waited for."""
    owner, interruptions = lease_owner(context.run), Interruptions(records.engine)
    retry(lambda: interruptions.put_back(key, owner, reason, cause), patience_s)


def failure_of(error: ContimgError) -> Failure:
    """Dagster's form of an error that was raised on purpose, which no retry can mend."""
    return Failure(description=f"{type(error).__name__}: {error}", allow_retries=False)


def verdict_of(product: str, numbers: Mapping[str, Any]) -> dict[str, str]:
    """What the limits say of a product's numbers, if it has any with limits: the checks say it in full."""
    if product not in load_limits().limits:
        return {}
    measured = [found for found in judge(product, numbers) if found.measured]
    status = worst(found.status for found in measured)
    bad = [f"{found.metric} {_shown(found.value)}" for found in measured if found.status == status != "PASS"]
    told = ", ".join(bad) or f"all {len(measured)} numbers within their limits"
    causes = likely_causes(product, numbers)
    if causes:
        told += f". Likely: {'; '.join(causes)}"
    return {"verdict": f"{_FACES[status]}: {told}"}


def _shown(value: float | None) -> str:
    return "is not finite" if value is None else f"= {value:.4g}"


def pictures(storage: StoreResource, path: Path) -> dict[str, MetadataValue]:
    """Where the product lies and, if it has one, its picture (by URL: inline data would be too long)."""
    found: dict[str, MetadataValue] = {}
    report = path / "report.html"
    if report.is_file():
        found["report"] = MetadataValue.url(storage.url(report))
    if (path / THUMBNAIL).is_file():
        url = storage.url(path / THUMBNAIL)
        # As wide as its column; it leads to the whole.
        found["picture"] = MetadataValue.md(f"[![{path.name}]({url}?width={PICTURE_WIDTH})]({url})")
        found["picture_url"] = MetadataValue.url(url)
    return found | {"path": MetadataValue.path(path)}
