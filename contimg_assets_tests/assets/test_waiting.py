"""A tick waits for news where it has a thread of its own, and takes up what comes meanwhile."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, SensorResult, SkipReason
from dagster._core.test_utils import instance_for_test

from contimg_assets.resources.daemon import ENDING
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.instance import instance_configuration
from contimg_assets.sensors import waiting
from contimg_assets.sensors.calibrators import calibrator_scans
from contimg_assets.sensors.imaging import images_due
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.settings import Settings
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.assets.test_sensors import converted, requests, tick
from contimg_assets_tests.fake_stages import (
    CALIBRATOR,
    TARGET,
    only_one_calibrator,
    solutions,
    write_tables,
)
from contimg_assets_tests.radio.subband_files import write_group

#: Longer than any machine takes, s.
LONG_S = 300.0


@pytest.fixture
def records(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> StationRecords:
    only_one_calibrator(monkeypatch)
    settings.incoming_folder.mkdir()
    monkeypatch.setattr(waiting, "LONGEST_WAIT_S", LONG_S)
    return DatabaseResource().records()


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance whose sensors have threads."""
    with instance_for_test({"sensors": {"use_threads": True}}) as instance:
        yield instance


def test_the_instances_that_we_give_have_threads_for_sensors() -> None:
    assert "use_threads: true" in instance_configuration()
    deploy = Path(__file__).parent.parent.parent / "deploy"
    assert "use_threads: true" in (deploy / "celery" / "dagster.yaml").read_text()


@pytest.mark.usefixtures("records")
def test_a_tick_without_a_thread_of_its_own_does_not_wait() -> None:
    """It would hold all others."""
    began = time.monotonic()
    with DagsterInstance.ephemeral() as instance:
        for sensor in (incoming_groups, calibrator_scans, images_due):
            assert isinstance(tick(sensor, instance), SkipReason)
    assert time.monotonic() - began < LONG_S / 2


@pytest.mark.usefixtures("records")
def test_a_tick_ends_though_nothing_comes(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONGEST_WAIT_S", 1.5)
    began = time.monotonic()
    assert isinstance(tick(images_due, instance), SkipReason)
    assert time.monotonic() - began >= 1.5


@pytest.mark.usefixtures("records")
def test_a_tick_waits_no_longer_once_the_daemon_is_told_to_end(instance: DagsterInstance) -> None:
    """Else the command that runs it would take half a minute to end."""
    Path(instance.root_directory, ENDING).touch()
    began = time.monotonic()
    assert isinstance(tick(images_due, instance), SkipReason)
    assert time.monotonic() - began < LONG_S / 2


@pytest.mark.usefixtures("records")
def test_files_that_come_while_a_tick_waits_are_taken_up_by_it(
    settings: Settings, instance: DagsterInstance
) -> None:
    def arrive() -> None:
        write_group(settings.incoming_folder)

    threading.Timer(1.0, arrive).start()
    result = tick(incoming_groups, instance)
    assert isinstance(result, SensorResult)
    assert [(r.partition_key, r.job_name) for r in requests(result)] == [(TARGET, "convert_group")]


def test_a_group_is_imaged_in_the_tick_in_which_its_calibration_is_judged(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    converted(records, home, TARGET)
    registry = DatabaseResource().registry()
    name = registry.register(solutions(CALIBRATOR, tables=write_tables(home / "solved")), home / "solved")
    threading.Timer(1.0, registry.conclude, (name, [])).start()
    assert [request.partition_key for request in requests(tick(images_due, instance))] == [TARGET]


def test_a_scan_is_solved_in_the_tick_in_which_it_is_flagged(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    scan = {"calibrator_name": "J0834+555", "calibrator_apparent_jy": 7.9}
    threading.Timer(1.0, converted, (records, home, CALIBRATOR), scan).start()
    asked = requests(tick(calibrator_scans, instance))
    assert [request.partition_key for request in asked] == [CALIBRATOR]
