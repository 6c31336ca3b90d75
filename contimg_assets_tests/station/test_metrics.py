"""What Prometheus is told is what the station database and the disks say."""

import time
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest
from sqlalchemy import Engine, update

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.telescope import GROUP_S
from contimg_assets.settings import Settings
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.database import transaction
from contimg_assets.station.leases import Leases
from contimg_assets.station.metrics import station_metrics
from contimg_assets.station.models import GroupSummary, now
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import (
    CALIBRATOR,
    MJD,
    TARGET,
    record_verdict,
    registration,
    solutions,
    write_tables,
)

Told = dict[tuple[str, ...], float]
LIMITS = {"value": 1.0, "soft": 1.0, "hard": 2.0, "limits_version": "1"}


@pytest.fixture
def told_settings(settings: Settings, empty_url: str) -> Settings:
    """Settings of a home whose station database is the test's."""
    settings.incoming_folder.mkdir()
    return settings.model_copy(update={"database_url": empty_url})


def told(engine: Engine, settings: Settings) -> Told:
    """Every sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in station_metrics(engine, settings)
        for sample in metric.samples
    }


def image(records: StationRecords, key: str, seconds: float, **quality: float) -> None:
    """An image with its numbers, as its stages report them."""
    records.begin(key, "run")
    numbers = {"rms_mjy_beam": 0.3, "stage_seconds": seconds, "peak_memory_mb": 1000.0}
    records.record_product(key, "image", PurePosixPath(f"{key}/image-1"), numbers)
    records.record_product(key, "image_qa", PurePosixPath(f"{key}/qa-1"), quality)
    record_verdict(records, key, "image_qa", "rms_ratio", status="PASS", **LIMITS)
    records.complete(key)


def test_an_empty_installation_tells_no_figures_that_nobody_measured(
    engine: Engine, told_settings: Settings
) -> None:
    found = told(engine, told_settings)
    assert (
        found["contimg_groups", "pending"]
        == found["contimg_images",]
        == found["contimg_failures_total",]
        == 0
    )
    names = {name for name, *_ in found}
    absent = {
        "last_arrival_timestamp_seconds",
        "last_image_timestamp_seconds",
        "noise_ratio",
        "real_time_factor",
    }
    assert not {f"contimg_{name}" for name in absent} & names
    assert found["contimg_database_bytes",] > 0
    assert found["contimg_disk_size_bytes", "home"] > found["contimg_disk_free_bytes", "incoming"] > 0


def test_a_folder_that_is_away_has_no_space(engine: Engine, told_settings: Settings) -> None:
    told_settings.incoming_folder.rmdir()
    found = told(engine, told_settings)
    assert ("contimg_disk_free_bytes", "incoming") not in found
    assert ("contimg_disk_free_bytes", "home") in found


def test_groups_images_stages_and_verdicts(engine: Engine, told_settings: Settings, tmp_path: Path) -> None:
    records = StationRecords(engine)
    other = "2026-01-15T04:00:00"
    for key in (TARGET, CALIBRATOR, other):
        records.register(registration(key, tmp_path), ready=True)
    image(records, TARGET, 25.0, rms_ratio=1.2, flux_ratio=0.98)
    image(records, CALIBRATOR, 75.0, rms_ratio=1.4)
    record_verdict(records, TARGET, "image_qa", "rms_ratio", status="WARN", **LIMITS)
    Leases(engine, told_settings.ingest).take(other, "somebody", "a test")
    found = told(engine, told_settings)
    assert found["contimg_groups", "completed"] == 2
    assert found["contimg_groups", "in_progress"] + found["contimg_groups", "pending"] == 1
    assert found["contimg_completed_groups", "WARN"] == found["contimg_completed_groups", "PASS"] == 1
    # The newest verdict of a check stands; the one before is told no more.
    assert found["contimg_verdicts", "image_qa", "rms_ratio", "WARN"] == 1
    assert found["contimg_verdicts", "image_qa", "rms_ratio", "PASS"] == 1
    assert found["contimg_noise_ratio", "lowest"] == pytest.approx(1.2)
    assert found["contimg_noise_ratio", "median"] == pytest.approx(1.3)
    assert found["contimg_noise_jy_per_beam", "highest"] == pytest.approx(3e-4)
    assert found["contimg_flux_ratio", "highest"] == pytest.approx(0.98)
    assert found["contimg_real_time_factor",] == pytest.approx(GROUP_S / 50.0)
    assert 0 <= found["contimg_latency_seconds", "highest"] < 3600
    assert found["contimg_stage_seconds_count", "image"] == 2
    assert found["contimg_stage_seconds_sum", "image"] == pytest.approx(100.0)
    assert found["contimg_stage_seconds_bucket", "image", "30"] == 1
    assert found["contimg_stage_seconds_bucket", "image", "+Inf"] == 2
    assert found["contimg_stage_peak_memory_bytes", "image"] == 1000.0 * 2**20
    # Runs give theirs back when they end, not when a group is completed.
    assert found["contimg_leases",] == 3
    assert found["contimg_oldest_heartbeat_timestamp_seconds",] == pytest.approx(time.time(), abs=3600)
    assert found["contimg_last_image_timestamp_seconds",] == pytest.approx(time.time(), abs=3600)
    assert found["contimg_database_rows", "product_version"] == 4


def test_images_of_other_days_say_nothing_of_this_one(
    engine: Engine, told_settings: Settings, tmp_path: Path
) -> None:
    records = StationRecords(engine)
    records.register(registration(TARGET, tmp_path), ready=True)
    image(records, TARGET, 25.0, rms_ratio=1.2)
    with transaction(engine) as session:
        session.execute(update(GroupSummary).values(image_made_at=now() - timedelta(days=2)))
    found = told(engine, told_settings)
    assert found["contimg_images",] == 0
    assert ("contimg_noise_ratio", "median") not in found
    assert ("contimg_verdicts", "image_qa", "rms_ratio", "PASS") not in found
    assert found["contimg_stage_seconds_count", "image"] == 1


def test_the_newest_set_of_a_strip_counts(engine: Engine, told_settings: Settings, tmp_path: Path) -> None:
    registry = CalibrationRegistry(engine, CalibrationOptions(), tmp_path / "calibration")
    for key in (TARGET, CALIBRATOR):
        folder = tmp_path / key
        entry = solutions(key, tables=write_tables(folder))
        registry.conclude(registry.register(entry, folder), [])
    # MJD 40587 is the beginning of Unix time.
    newest = (MJD[CALIBRATOR] - 40587) * 86400
    assert told(engine, told_settings)["contimg_calibration_timestamp_seconds", "+54.6"] == pytest.approx(
        newest
    )
