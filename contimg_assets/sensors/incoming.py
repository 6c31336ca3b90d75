"""Watches the folder where the telescope's files arrive, and starts groups that are ready.

Belongs here: asking for runs, partition keys and records of arrival.  Does not
belong here: what is found in the folder (``station/incoming_folder.py``), or
what the station database accepts (``station/products.py``).
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from dagster import (
    AddDynamicPartitionsRequest,
    DagsterInstance,
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from sqlalchemy import Engine

from contimg_assets.jobs import convert_group, process_group
from contimg_assets.partitions import OBSERVATION_GROUP, observation_group
from contimg_assets.radio.group_key import key_time
from contimg_assets.radio.grouping import FileGroup
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import arrival
from contimg_assets.sensors.requests import admitted, room_for, run_requests, taken_keys, usable, with_files
from contimg_assets.sensors.waiting import INTERVAL_S, first_found
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.incoming_folder import IncomingFolder
from contimg_assets.station.models import ObservationGroup
from contimg_assets.station.products import StationRecords

#: Retired keys of one tick at most.
RETIRED_PER_TICK = 500


#: One tick at a time: Dagster gives up one that takes a minute, and starts the next beside it.
_TICK = threading.Lock()


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
    jobs=[convert_group, process_group],
    minimum_interval_seconds=INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Registers groups whose files have arrived, and starts the pending ones, newest first: all of it in "
        "one run where the calibration stands, else the conversion."
    ),
)
def incoming_groups(
    context: SensorEvaluationContext, database: DatabaseResource
) -> SensorResult | SkipReason:
    if not _TICK.acquire(blocking=False):
        return SkipReason("an earlier tick, which took too long for Dagster, goes on")
    try:
        return _tick(context.instance, database)
    finally:
        _TICK.release()


def _tick(instance: DagsterInstance, database: DatabaseResource) -> SensorResult | SkipReason:
    if not usable():
        return SkipReason("storage or database cannot be used: see the alerts")
    settings, records = get_settings(), database.records()
    retired = _retired_keys(records, instance, settings)
    incoming = None
    if settings.incoming_folder.is_dir():
        incoming = _incoming(settings.incoming_folder, records.engine, settings.home)
    news = incoming is not None and incoming.wait(0.0, time.time())

    def look() -> SensorResult | None:
        ready = incoming.look(time.time()) if incoming is not None and news else []
        return _result(instance, database, ready, retired)

    def wait(seconds: float) -> None:
        nonlocal news
        if incoming is None:
            time.sleep(seconds)
        else:
            news = incoming.wait(seconds, time.time())

    found = first_found(instance, look, wait)
    return found or SkipReason(f"no new group in {settings.incoming_folder}")


def _result(
    instance: DagsterInstance, database: DatabaseResource, ready: list[FileGroup], retired: list[str]
) -> SensorResult | None:
    """What is asked of Dagster now; None if nothing is."""
    records, starts = database.records(), get_settings().ingest.starts_per_tick
    requests: list[RunRequest] = []
    if records.groups("pending", limit=1):
        taken = taken_keys(instance, database.leases())
        pending = database.interruptions().startable(starts + len(taken))
        free = with_files(database, (group for group in pending if group.key not in taken))
        selection = database.selection()

        def job_of(group: ObservationGroup) -> str:
            return (process_group if selection.covers(group) else convert_group).name

        fit = room_for(database, taken)[0] if free else 0
        requests = run_requests(admitted(free, len(taken))[:fit], job_of)
    new = {group.key: group.files for group in ready if group.key is not None}
    if not (requests or new or retired):
        return None
    add = sorted(new.keys() | {request.partition_key for request in requests if request.partition_key})
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
