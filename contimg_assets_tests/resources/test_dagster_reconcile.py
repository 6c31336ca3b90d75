"""Dagster's databases in a backup, and Dagster's database lost alone: its partitions come back from ours."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dagster import AssetKey, DagsterInstance

from contimg_assets.partitions import CALIBRATOR_SCAN, OBSERVATION_GROUP
from contimg_assets.radio.errors import BackupError
from contimg_assets.resources.dagster_backup import DagsterDatabases
from contimg_assets.resources.dagster_reconcile import examine_dagster, tell_dagster
from contimg_assets.resources.instance import instance_configuration
from contimg_assets.settings import Settings
from contimg_assets.station.backup import make
from contimg_assets.station.installation import Installation
from contimg_assets.station.publication import publish
from contimg_assets.station.restore import restore
from contimg_assets_tests.cli.station import NO_COMPUTE_LOGS
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET
from contimg_assets_tests.station.test_backup import fill

ASSETS = {"flags", "image", "calibration_tables", "uvh5_subbands"}
#: What Dagster's configuration names, so that another database may take its place.
URL = "CONTIMG_DAGSTER_DATABASE_URL"


@pytest.fixture(params=["sqlite", "postgresql"])
def lose(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Dagster's storage, of each kind; call it to put an empty one in its place."""
    configured = yaml.safe_load(instance_configuration() + NO_COMPUTE_LOGS)
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    if server is not None:
        monkeypatch.setenv(URL, server.new_database())
        configured["storage"] = {"postgres": {"postgres_url": {"env": URL}}}
    folder = settings.home / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(configured))

    def lose() -> None:
        if server is not None:
            monkeypatch.setenv(URL, server.new_database())
        else:
            shutil.rmtree(folder / "history")

    return lose


def opened(settings: Settings) -> DagsterInstance:
    return DagsterInstance.from_config(str(settings.home / "dagster"))


def pages(instance: DagsterInstance) -> dict[str, set[str]]:
    """Partitions, and those that are materialised of each asset: what Dagster's pages show."""
    found = {
        name: set(instance.get_dynamic_partitions(name)) for name in (OBSERVATION_GROUP, CALIBRATOR_SCAN)
    }
    return found | {name: instance.get_materialized_partitions(AssetKey(name)) for name in ASSETS}


def test_dagster_is_lost_alone_and_told_again(
    settings: Settings, lose: Callable[[], None], tmp_path: Path
) -> None:
    station = Installation(settings)
    fill(settings)
    with station.store.staging(CALIBRATOR, "calibration_tables") as staging:
        (staging / "built").mkdir()
        publish(
            station.records, station.store, staging / "built", CALIBRATOR, "calibration_tables", {"snr": 4.0}
        )
    expected = {
        OBSERVATION_GROUP: {TARGET, CALIBRATOR},
        CALIBRATOR_SCAN: {CALIBRATOR},
        "flags": {TARGET},
        "image": {TARGET},
        "calibration_tables": {CALIBRATOR},
        "uvh5_subbands": {TARGET, CALIBRATOR},
    }
    with opened(settings) as instance:
        found = examine_dagster(station, instance, ASSETS)
        assert {each.product: set(each.keys) for each in found} == expected
        assert all(each.safe for each in found)
        tell_dagster(station, instance, found)
        assert pages(instance) == expected
        assert examine_dagster(station, instance, ASSETS) == []
        event = instance.get_latest_materialization_event(AssetKey("image"))
        assert event is not None
        assert event.asset_materialization is not None
        told = event.asset_materialization.metadata
        assert (told["rms_ratio"].value, told["run"].value) == (1.6, "a run")
        instance.add_dynamic_partitions(OBSERVATION_GROUP, ["2020-01-01T00:00:00"])
        (strange,) = examine_dagster(station, instance, ASSETS)
        assert (strange.kind, strange.keys, strange.safe) == ("orphaned", ("2020-01-01T00:00:00",), False)
    dagster = DagsterDatabases(settings)
    path, manifest, _ = make(settings, tmp_path / "backups", dagster)
    names = [name for name in manifest.files if name.startswith("dagster/")]
    assert len(names) > 1
    assert not any(name.endswith(("-wal", "-shm")) for name in names)
    with pytest.raises(BackupError, match=r"Dagster's database .* is in use"):
        restore(settings, path, dagster, ["dagster"])
    lose()
    restore(settings, path, DagsterDatabases(settings), ["dagster"])
    with opened(settings) as instance:
        assert pages(instance)["image"] == {TARGET}
        assert instance.has_dynamic_partition(OBSERVATION_GROUP, "2020-01-01T00:00:00")


def test_a_backup_of_another_kind_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = settings.home / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(instance_configuration())
    copies = tmp_path / "dagster"
    copies.mkdir()
    (copies / "dagster.dump").write_bytes(b"")
    refusal = DagsterDatabases(settings).refusal(copies)
    assert refusal is not None
    assert "is on postgresql, found sqlite" in refusal
