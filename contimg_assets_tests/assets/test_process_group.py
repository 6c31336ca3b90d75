"""A group whose calibration stands goes from its files to its image in one run; others wait in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.imaging import images_due
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.station.calibration_selection import expected_need, need_of
from contimg_assets_tests.assets.test_chain import Station, failure_text
from contimg_assets_tests.assets.test_sensors import requests, tick
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, calls, registration, solutions, write_tables

#: Tag of a run that a sensor asked for.
BY_SENSOR = {"dagster/sensor_name": "incoming_groups"}


@pytest.fixture
def station(home: Path) -> Iterator[Station]:
    """A target that is pending, and a calibrator scan that has been solved."""
    with DagsterInstance.ephemeral() as instance:
        made = Station(home, instance)
        for job in ("convert_group", "solve_calibrator"):
            assert made.run(job, CALIBRATOR).success
        yield made


def jobs_asked(station: Station) -> dict[str | None, str | None]:
    asked = requests(tick(incoming_groups, station.instance))
    return {request.partition_key: request.job_name for request in asked}


def images_asked(station: Station) -> dict[str | None, str | None]:
    asked = requests(tick(images_due, station.instance))
    return {request.partition_key: request.job_name for request in asked}


def stages_of(key: str) -> list[str]:
    return [call["stage"] for call in calls() if call["key"] == key]


def test_a_covered_group_is_asked_for_as_one_run_and_another_for_its_conversion(
    station: Station, home: Path
) -> None:
    elsewhere = "2026-01-15T04:00:00"
    station.records.register(registration(elsewhere, home, declination_deg=16.3), ready=True)
    asked = requests(tick(incoming_groups, station.instance))
    assert {request.partition_key: request.job_name for request in asked} == {
        TARGET: "process_group",
        elsewhere: "convert_group",
    }
    covered = next(request for request in asked if request.partition_key == TARGET)
    assert covered.run_key == TARGET
    assert {"dagster/priority", "dagster-celery/queue"} <= covered.tags.keys()


def test_one_run_takes_a_covered_group_from_files_to_image(station: Station) -> None:
    result = station.run("process_group", TARGET, tags=BY_SENSOR)
    assert result.success, failure_text(result)
    assert station.records.group(TARGET).state == "completed"
    stages = stages_of(TARGET)
    assert sorted(stages) == ["apply", "convert", "flag", "image", "photometry", "qa image", "qa ms"]
    # The data are judged before they are calibrated.
    assert stages.index("qa ms") < stages.index("apply")
    assert DatabaseResource().leases().of(TARGET) is None
    assert TARGET not in images_asked(station)


def test_data_that_are_condemned_are_not_calibrated_in_the_same_run(station: Station) -> None:
    result = station.run("process_group", TARGET, tags=BY_SENSOR, numbers={"qa ms": {"zero_fraction": 1.0}})
    assert not result.success
    assert "apply" not in stages_of(TARGET)


def test_a_run_whose_calibration_went_away_ends_converted_and_is_imaged_later(station: Station) -> None:
    (made,) = station.registry.list()
    station.registry.retire(made.id, "a test")
    result = station.run("process_group", TARGET, tags=BY_SENSOR)
    assert result.success, failure_text(result)
    assert sorted(stages_of(TARGET)) == ["convert", "flag", "qa ms"]
    assert station.records.group(TARGET).state == "in_progress"
    assert "no valid calibration" in DatabaseResource().selection().waits()[TARGET].reason
    assert TARGET not in images_asked(station)
    again = solutions("2026-01-15T05:10:00", tables=write_tables(station.store.home / "solved"))
    station.registry.conclude(station.registry.register(again, station.store.home / "solved"), [])
    assert images_asked(station)[TARGET] == "image_group"
    assert station.run("image_group", TARGET).success
    assert station.records.group(TARGET).state == "completed"


def test_a_person_who_asks_for_all_of_a_group_does_not_wait(station: Station) -> None:
    """As with `image_group`: what is wrong is said at once."""
    (made,) = station.registry.list()
    station.registry.retire(made.id, "a test")
    result = station.run("process_group", TARGET)
    assert not result.success
    assert "no valid calibration" in failure_text(result)


def test_a_group_with_a_better_scan_on_its_way_is_converted_first(station: Station, home: Path) -> None:
    scan = {"mid_mjd": 61055.13, "calibrator_name": "J0834+555", "calibrator_apparent_jy": 7.9}
    nearer = registration("2026-01-15T03:10:00", home, **scan)
    station.records.register(nearer, ready=True)
    # The scan itself is solved before anything is imaged.
    assert jobs_asked(station) == {TARGET: "convert_group", nearer.key: "convert_group"}


def test_what_a_group_will_need_is_within_what_it_needs(station: Station) -> None:
    """By its subbands before conversion, by its channels after."""
    expected = expected_need(station.records.group(TARGET))
    assert station.run("convert_group", TARGET).success
    needed = need_of(station.records.group(TARGET), station.records)
    assert needed.channel_low_hz < expected.channel_low_hz < expected.channel_high_hz < needed.channel_high_hz
    assert expected.antennas == needed.antennas
