"""Without room on the disk sensors start no new group and ask for retention; they go on by themselves."""

from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, RunRequest, SkipReason, build_sensor_context

from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.campaigns import campaign_groups
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.sensors.retention import disk_guard
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.leases import Leases
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET
from contimg_assets_tests.station.space_groups import make, register


def tick(sensor: Any, instance: DagsterInstance) -> Any:
    return sensor(build_sensor_context(instance=instance, resources={"database": DatabaseResource()}))


def reserve(monkeypatch: pytest.MonkeyPatch, gigabytes: str) -> None:
    monkeypatch.setenv("CONTIMG_SPACE__RESERVE_GB", gigabytes)
    get_settings.cache_clear()


def test_sensors_wait_for_room_and_go_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    records, store = DatabaseResource().records(), Store(settings.home)
    files = Path(settings.incoming_folder)
    for key in (TARGET, CALIBRATOR):
        register(records, key, files)
    records.begin(CALIBRATOR, "a run")
    make(records, store, CALIBRATOR, "a run")
    records.complete(CALIBRATOR)
    Leases(records.engine, settings.ingest).release("a run")
    reserve(monkeypatch, "1e6")
    with DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(disk_guard, instance), RunRequest)
        started = tick(incoming_groups, instance)
        assert isinstance(started, SkipReason) or not started.run_requests
        held = tick(campaign_groups, instance)
        assert isinstance(held, SkipReason)
        assert "NEW GROUPS ARE HELD BACK" in str(held.skip_message)
        (alert,) = [each for each in Notifier(settings.home).recent() if each["kind"] == "disk"]
        assert alert["message"].startswith("new groups are held back")
        reserve(monkeypatch, "0")
        assert [each.partition_key for each in tick(incoming_groups, instance).run_requests] == [TARGET]
