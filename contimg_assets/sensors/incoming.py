"""Watches the folder where the telescope's files arrive, and starts groups that are ready.

Belongs here: when files count as closed and a group as ready, and asking for
runs.  Does not belong here: which files make up a group (``radio/grouping.py``),
or what the catalogue accepts (``resources/product_catalog.py``).
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from dagster import (
    AddDynamicPartitionsRequest,
    AssetMaterialization,
    DagsterInstance,
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    MetadataValue,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from contimg_assets.jobs import convert_group
from contimg_assets.partitions import OBSERVATION_GROUP, observation_group
from contimg_assets.radio.grouping import BadFile, FileGroup, FoundFile, assemble, list_folder, read_headers
from contimg_assets.radio.uvh5 import SubbandHeader, file_stamp
from contimg_assets.resources.dagster_resources import CatalogResource, NotifierResource
from contimg_assets.resources.notifier import Notifier
from contimg_assets.resources.product_catalog import ProductCatalog
from contimg_assets.resources.registration import register
from contimg_assets.sensors.requests import run_requests, taken_keys
from contimg_assets.settings import Settings, get_settings

#: Headers that one tick reads at most (a few ms each), so that a catch-up does not outlast the tick.
HEADERS_PER_TICK = 1000
#: Retired keys of one tick at most.
RETIRED_PER_TICK = 500


@dataclass
class IncomingFolder:
    """What is known of a folder from one look to the next.

    It is a memory only: the catalogue has the state, and a new process starts
    with none of this and comes to the same groups.
    """

    folder: Path
    since: dict[FoundFile, float] = field(default_factory=dict)
    """When a file was first seen with its present size and time."""
    headers: dict[FoundFile, SubbandHeader | BadFile] = field(default_factory=dict)
    done: set[Path] = field(default_factory=set)
    """Files of groups that need no further look."""
    told: set[Path] = field(default_factory=set)
    """Bad files that an alert has named."""

    def look(
        self, settings: Settings, catalog: ProductCatalog, notifier: Notifier, now: float
    ) -> list[FileGroup]:
        """List the folder, read what is new, and register the groups found.

        Parameters
        ----------
        settings : Settings
            Times to wait.
        catalog : ProductCatalog
            Takes the groups.
        notifier : Notifier
            Takes what is wrong with files.
        now : float
            Present time, Unix s.

        Returns
        -------
        list of FileGroup
            Groups that became ready with this look.
        """
        listed = list_folder(self.folder).files
        self._forget(set(listed))
        files = [file for file in listed if file.path not in self.done]
        closed = [f for f in files if now - self.since.setdefault(f, now) >= settings.ingest.settle_s]
        self._read([f for f in reversed(closed) if f not in self.headers][:HEADERS_PER_TICK])
        read = [self.headers[f] for f in closed if f in self.headers]
        groups = assemble(
            [item for item in read if isinstance(item, SubbandHeader)],
            [item for item in read if isinstance(item, BadFile)],
            cluster_s=settings.ingest.cluster_s,
        )
        # Files that are still open, or not read yet, may belong to any group near them in time.
        expected = [_stamp(f.path) for f in files if f not in self.headers]
        arrivals = {f.path: self.since[f] for f in files}
        ready = []
        for group in groups:
            paths = _paths(group)
            waited_s = now - max(arrivals[path] for path in paths)
            if group.status != "complete" and _any_near(paths, expected, settings.ingest.cluster_s):
                waited_s = 0.0
            if self._take(group, paths, settings, catalog, notifier, waited_s):
                ready.append(group)
        return ready

    def _take(
        self,
        group: FileGroup,
        paths: list[Path],
        settings: Settings,
        catalog: ProductCatalog,
        notifier: Notifier,
        waited_s: float,
    ) -> bool:
        """Register one group; whether it became ready."""
        is_ready = group.header is not None and register(group, settings, catalog, waited_s=waited_s)
        overdue = waited_s >= settings.ingest.timeout_s
        if is_ready:
            self.done.update(paths)
        if is_ready or overdue:
            for path, reason in group.bad:
                if path not in self.told:
                    notifier.send("bad_file", str(path), reason)
            if not is_ready and not self.told.issuperset(paths):
                notifier.send("rejected_group", group.key or paths[0].name, group.reason)
                self.told.update(paths)
            self.told.update(path for path, _ in group.bad)
        return is_ready

    def _read(self, files: list[FoundFile]) -> None:
        headers, bad = read_headers(file.path for file in files)
        outcome = {item.path: item for item in [*headers, *bad]}
        self.headers.update({file: outcome[file.path] for file in files})

    def _forget(self, listed: set[FoundFile]) -> None:
        """Drop what is known of files that have gone or changed."""
        for memory in (self.since, self.headers):
            for file in [file for file in memory if file not in listed]:
                del memory[file]
        paths = {file.path for file in listed}
        self.done &= paths
        self.told &= paths


def _paths(group: FileGroup) -> list[Path]:
    return [*group.files.values(), *group.duplicates, *(path for path, _ in group.bad)]


def _stamp(path: Path) -> datetime:
    found = file_stamp(path)
    return found[0] if found else datetime.min.replace(tzinfo=UTC)


def _any_near(paths: list[Path], stamps: list[datetime], cluster_s: float) -> bool:
    own = [_stamp(path) for path in paths]
    reach = timedelta(seconds=cluster_s)
    return any(min(own) - reach <= stamp <= max(own) + reach for stamp in stamps)


@lru_cache(maxsize=4)
def _folder(folder: Path) -> IncomingFolder:
    return IncomingFolder(folder)


def arrival(key: str, files: dict[int, Path]) -> AssetMaterialization:
    """Dagster's record that a group's files have come."""
    return AssetMaterialization(
        "uvh5_subbands",
        partition=key,
        metadata={
            "n_subbands": len(files),
            "bytes": sum(path.stat().st_size for path in files.values()),
            "folder": MetadataValue.path(next(iter(files.values())).parent),
        },
    )


def _retired_keys(catalog: ProductCatalog, instance: DagsterInstance, settings: Settings) -> list[str]:
    """Keys whose groups have been done for longer than the hot window."""
    cutoff = datetime.now(UTC) - timedelta(days=settings.ingest.hot_window_days)
    old = {group.key for group in catalog.groups("completed", "failed", updated_before=cutoff)}
    if not old:
        return []
    return sorted(old.intersection(instance.get_dynamic_partitions(OBSERVATION_GROUP)))[:RETIRED_PER_TICK]


@sensor(
    job=convert_group,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Registers groups whose files have arrived, and converts the pending ones, newest first.",
)
def incoming_groups(
    context: SensorEvaluationContext, database: CatalogResource, alerts: NotifierResource
) -> SensorResult | SkipReason:
    settings, catalog = get_settings(), database.catalog()
    ready: list[FileGroup] = []
    if settings.incoming_folder.is_dir():
        ready = _folder(settings.incoming_folder).look(settings, catalog, alerts.notifier(), time.time())
    taken = taken_keys(context.instance)
    pending = (group for group in catalog.groups("pending") if group.key not in taken)
    requests = run_requests(pending, convert_group.name)
    new = {group.key: group.files for group in ready if group.key is not None}
    add = sorted(new.keys() | {request.partition_key for request in requests if request.partition_key})
    retired = _retired_keys(catalog, context.instance, settings)
    if not (requests or new or retired):
        return SkipReason(f"no new group in {settings.incoming_folder}")
    partitions: list[AddDynamicPartitionsRequest | DeleteDynamicPartitionsRequest] = []
    if add:
        partitions.append(observation_group.build_add_request(add))
    if retired:
        partitions.append(observation_group.build_delete_request(retired))
    return SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=partitions,
        asset_events=[arrival(key, files) for key, files in new.items()],
    )
