"""Watches the folder where the telescope's files arrive, and starts groups that are ready.

Belongs here: asking for runs, partition keys and records of arrival.  Does not
belong here: what is found in the folder (``station/incoming_folder.py``), or
what the station database accepts (``station/products.py``).
"""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from dagster import (
    AddDynamicPartitionsRequest,
    DagsterInstance,
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from sqlalchemy import Engine

from contimg_assets.jobs import convert_group
from contimg_assets.partitions import OBSERVATION_GROUP, observation_group
from contimg_assets.radio.group_key import key_time
from contimg_assets.radio.grouping import FileGroup
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import arrival
from contimg_assets.sensors.requests import admitted, run_requests, taken_keys, usable, with_files
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.incoming_folder import IncomingFolder
from contimg_assets.station.products import StationRecords

#: Retired keys of one tick at most.
RETIRED_PER_TICK = 500


@lru_cache(maxsize=1)
def _incoming(folder: Path, engine: Engine, home: Path) -> IncomingFolder:
    """What this process remembers from one tick to the next."""
    return IncomingFolder(folder, StationRecords(engine), Notifier(home))


def _retired_keys(records: StationRecords, instance: DagsterInstance, settings: Settings) -> list[str]:
    """Keys whose groups have been done for longer than the hot window."""
    cutoff = datetime.now(UTC) - timedelta(days=settings.ingest.hot_window_days)
    keys = instance.get_dynamic_partitions(OBSERVATION_GROUP)
    old = sorted(key for key in keys if key_time(key) < cutoff)[:RETIRED_PER_TICK]
    return records.done(old, cutoff)


@sensor(
    job=convert_group,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Registers groups whose files have arrived, and converts the pending ones, newest first.",
)
def incoming_groups(
    context: SensorEvaluationContext, database: DatabaseResource
) -> SensorResult | SkipReason:
    settings, records = get_settings(), database.records()
    if not usable():
        return SkipReason("storage cannot be used: see the alerts")
    ready: list[FileGroup] = []
    if settings.incoming_folder.is_dir():
        incoming = _incoming(settings.incoming_folder, records.engine, settings.home)
        ready = incoming.look(time.time())
    taken = taken_keys(context.instance, database.leases())
    pending = database.interruptions().startable(settings.ingest.starts_per_tick + len(taken))
    free = with_files(database, (group for group in pending if group.key not in taken))
    requests = run_requests(admitted(free, len(taken)), convert_group.name)
    new = {group.key: group.files for group in ready if group.key is not None}
    add = sorted(new.keys() | {request.partition_key for request in requests if request.partition_key})
    retired = _retired_keys(records, context.instance, settings)
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
