"""The guard holds new groups back before a disk is full, and lets them go on by itself."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import StorageError
from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.settings import RetentionOptions, Settings, SpaceOptions
from contimg_assets.station import room_waiting
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.database import engine_for, transaction
from contimg_assets.station.leases import Leases
from contimg_assets.station.metrics import station_metrics
from contimg_assets.station.models import now
from contimg_assets.station.operations import Operations
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import content
from contimg_assets.station.space import Guard
from contimg_assets.station.space_models import SpaceSample
from contimg_assets.station.store import Store
from contimg_assets_tests.mounts import small_disk
from contimg_assets_tests.station.space_groups import MakingLauncher, make, register

START = datetime(2025, 6, 1, 12, tzinfo=UTC)


def keys(number: int) -> list[str]:
    return [(START + timedelta(minutes=6 * n)).strftime(KEY_FORMAT) for n in range(number)]


def test_it_stops_when_not_one_more_fits_and_goes_on_when_several_do(
    emptied: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, space=SpaceOptions(reserve_gb=0, resume_groups=2))
    records, store, guard = StationRecords(emptied), Store(tmp_path), Guard(emptied, settings)
    notifier, free = Notifier(tmp_path), [10**12]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "contimg_assets.station.space.shutil.disk_usage", lambda _: usage._replace(free=free[0])
    )
    first, second, third = keys(3)
    assert guard.judge(notifier).n_more is None
    register(records, first, tmp_path / "in")
    # Of files until a group was made: 16 of 3 bytes.
    assert (guard.look().group_bytes, guard.look().n_measured) == (57, 0)
    records.begin(first, "run 1")
    make(records, store, first, "run 1")
    records.complete(first)
    size = guard.look().group_bytes
    assert size == sum(row.made_bytes or 0 for row in records.products(first).values())
    register(records, second, tmp_path / "in")
    records.begin(second, "run 2")
    free[0] = 3 * size
    found = guard.judge(notifier, asked={third})
    assert (found.n_in_work, found.promised_bytes, found.n_more, found.stopped) == (2, 2 * size, 1, False)
    free[0] = 3 * size - 1
    assert guard.judge(notifier, asked={third}).stopped
    # One fits now, and the other one is in work: it waits for two.
    free[0] = 3 * size
    assert guard.judge(notifier, asked={third}).stopped
    assert guard.judge(notifier, asked={third}).wanted_bytes == size
    free[0] = 4 * size
    assert not guard.judge(notifier, asked={third}).stopped
    told = [each["message"].partition(":")[0] for each in notifier.recent()]
    assert told == ["new groups are held back", "new groups go on"]
    # What was written of a group is not promised any more.
    make(records, store, second, "run 2")
    assert guard.look().promised_bytes == 0


def test_the_forecast_is_of_the_last_weeks_pace(emptied: Engine, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, space=SpaceOptions(reserve_gb=0))
    guard = Guard(emptied, settings)
    assert guard.look().days_left is None
    free, per_day = shutil.disk_usage(tmp_path).free, 10**11
    with transaction(emptied) as session:
        for hours in range(0, 48, 4):
            at = now() - timedelta(hours=48 - hours)
            session.add(SpaceSample(at=at, free_bytes=free - per_day * hours // 24, total_bytes=free))
    left = guard.look().days_left
    assert left is not None
    assert left == pytest.approx(free / per_day, rel=0.05)
    values = {metric.name: metric for metric in station_metrics(emptied, settings)}
    (sample,) = values["contimg_disk_full_seconds"].samples
    assert sample.value == pytest.approx(86400 * left, rel=0.05)
    assert values["contimg_groups_held_back"].samples[0].value == 0


def test_twenty_groups_go_through_a_disk_that_holds_five(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 22) as disk:
        home = disk / "home"
        home.mkdir()
        settings = Settings(
            home=home,
            retention=RetentionOptions(grace_hours=0),
            space=SpaceOptions(reserve_gb=0.004),
        )
        engine = engine_for(settings.sqlalchemy_url)
        records, store, leases = StationRecords(engine), Store(home), Leases(engine, settings.ingest)
        launcher = MakingLauncher(records, leases, store)
        operations = Operations(settings, records, leases, launcher, name="a test")
        least_free = shutil.disk_usage(disk).free
        for key in keys(20):
            register(records, key, disk / "incoming")
            (outcome,) = operations.reprocess(key)
            assert (outcome.status, outcome.reason) == ("completed", "")
            least_free = min(least_free, shutil.disk_usage(disk).free)
        assert len(launcher.ran) == 20
        made = sum(row.made_bytes or 0 for key in keys(20) for row in records.products(key).values())
        assert made > 3 * shutil.disk_usage(disk).total
        assert least_free > 0
        for key in keys(20):
            image = content(records, store, key, "image")
            assert any(image.glob("g.image.fits*"))
            assert all(Path(path).read_bytes() == b"raw" for path in records.group(key).files.values())
            assert records.group(key).state == "completed"
        assert {"new groups are held back", "new groups go on"} <= {
            each["message"].partition(":")[0] for each in Notifier(home).recent(100)
        }
        engine.dispose()


def test_a_command_says_what_it_waits_for_and_gives_up_after_an_hour(
    emptied: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, space=SpaceOptions(reserve_gb=1e6))
    register(StationRecords(emptied), keys(1)[0], tmp_path / "in")
    monkeypatch.setattr(room_waiting, "PATIENCE_S", 0.2)
    monkeypatch.setattr(room_waiting, "LOOK_S", 0.05)
    told: list[str] = []
    with pytest.raises(StorageError, match="NEW GROUPS ARE HELD BACK"):
        room_waiting.wait_for_room(emptied, settings, told.append)
    assert len(told) == 1
