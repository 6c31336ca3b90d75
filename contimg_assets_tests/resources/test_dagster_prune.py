"""Of old runs what tells of products stays; partitions, checks and failures are as they were."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetKey, DagsterEventType, DagsterInstance, RunsFilter
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from sqlalchemy import func, select

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import PARTITION_TAG, observation_group
from contimg_assets.resources.dagster_prune import prunable_runs, prune
from contimg_assets.resources.instance import instance_configuration
from contimg_assets.settings import Settings
from contimg_assets_tests.assets.test_chain import Station
from contimg_assets_tests.cli.station import NO_COMPUTE_LOGS
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET

ASSETS = (
    *("measurement_set", "measurement_set_qa", "flags", "calibrated_ms"),
    *("image", "image_qa", "photometry"),
)
#: Rows of a group at most, of the table and, on SQLite, of the files of its runs.
ROWS = 10


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def instance(request: pytest.FixtureRequest, settings: Settings) -> Iterator[DagsterInstance]:
    """Dagster's storage, of each kind."""
    configured = yaml.safe_load(instance_configuration() + NO_COMPUTE_LOGS)
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").new_database()
        configured["storage"] = {"postgres": {"postgres_url": url}}
    folder = settings.home / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(configured))
    with DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def storage_of(instance: DagsterInstance) -> SqlEventLogStorage:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    return storage


def rows(instance: DagsterInstance, key: str) -> dict[str, int]:
    """Event rows of a group's runs: in the table for all runs, and in the runs' own files on SQLite."""
    storage = storage_of(instance)
    runs = [run.run_id for run in instance.get_runs(RunsFilter(tags={PARTITION_TAG: key}))]
    number = select(func.count()).where(SqlEventLogStorageTable.c.run_id.in_(runs))
    with storage.index_connection() as connection:
        found = {"table": connection.execute(number).scalar_one()}
    if isinstance(storage, SqliteEventLogStorage):
        found["files"] = found["bytes"] = 0
        for run in runs:
            with storage.run_connection(run) as connection:
                found["files"] += connection.execute(number).scalar_one()
            found["bytes"] += Path(storage.path_for_shard(run)).stat().st_size
    return found


def kinds(instance: DagsterInstance, key: str) -> dict[str, int]:
    """Event rows of a group's runs in the table for all runs, by type."""
    runs = [run.run_id for run in instance.get_runs(RunsFilter(tags={PARTITION_TAG: key}))]
    columns = SqlEventLogStorageTable.c
    number = select(columns.dagster_event_type, func.count()).where(columns.run_id.in_(runs))
    with storage_of(instance).index_connection() as connection:
        found = connection.execute(number.group_by(columns.dagster_event_type))
        return {kind: count for kind, count in found}


def what_pages_show(instance: DagsterInstance) -> dict[str, Any]:
    """Status of partitions, newest products and verdicts, failed partitions, failures of runs."""
    storage = storage_of(instance)
    found: dict[str, Any] = {}
    for name in ASSETS:
        key = AssetKey(name)
        cached = get_and_update_asset_status_cache_value(instance, key, observation_group)
        assert cached is not None
        found[name] = {
            "partitions": sorted(instance.get_materialized_partitions(key)),
            "newest": storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION),
            "last": instance.get_latest_materialization_event(key),
            "attempts": storage.get_latest_asset_partition_materialization_attempts_without_materializations(
                key
            ),
            "status": (
                cached.serialized_materialized_partition_subset,
                cached.serialized_failed_partition_subset,
            ),
        }
    checks = list(build_defs().resolve_asset_graph().asset_check_keys)
    found["checks"] = {
        check: (record.status, record.event, record.run_id)
        for check, record in storage.get_latest_asset_check_execution_by_key(checks).items()
    }
    found["history of checks"] = {
        check: [
            (record.id, record.partition, record.status, record.event)
            for record in storage.get_asset_check_execution_history(check, limit=100)
        ]
        for check in checks
    }
    failed = instance.get_runs(RunsFilter(statuses=None))
    found["failures"] = {
        run.run_id: [
            entry.user_message for entry in instance.all_logs(run.run_id, DagsterEventType.STEP_FAILURE)
        ]
        for run in failed
    }
    return found


@pytest.fixture
def station(settings: Settings, instance: DagsterInstance) -> Station:
    """A target with an image, and a calibrator scan whose image failed."""
    station = Station(settings.home, instance)
    station.ready_to_image()
    assert station.run("image_group", TARGET).success
    assert not station.run("image_group", CALIBRATOR, fail={"image": "nothing to image"}).success
    return station


@pytest.mark.usefixtures("station")
def test_ten_rows_of_a_group_are_left_and_pages_show_the_same(instance: DagsterInstance) -> None:
    before, shown, n_runs = rows(instance, TARGET), what_pages_show(instance), instance.get_runs_count()
    assert shown["image"]["partitions"] == [TARGET]
    assert list(shown["image"]["attempts"]) == [CALIBRATOR]
    assert len(shown["checks"]) > 20
    assert sum(map(len, shown["failures"].values())) == 1
    assert prunable_runs(instance, 1) == 0
    assert prune(instance, 1).n_rows == 0
    assert rows(instance, TARGET) == before
    assert prunable_runs(instance, 0) == n_runs
    pruned = prune(instance, 0)
    assert pruned.n_runs == n_runs == instance.get_runs_count()
    after = rows(instance, TARGET)
    print(f"\n{before} -> {after}: {kinds(instance, TARGET)}")
    assert max(after["table"], after.get("files", 0)) <= ROWS
    assert before["table" if "files" not in before else "files"] > 2 * ROWS
    assert what_pages_show(instance) == shown
    # And there is nothing more to do; with a limit, the rest is another time's.
    assert prune(instance, 0).n_runs == 0


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_a_failure_has_no_more_to_say_once_the_product_is_there(
    station: Station, instance: DagsterInstance
) -> None:
    prune(instance, 0)
    storage = storage_of(instance)
    key = AssetKey("image")
    info = storage.get_latest_planned_materialization_info(key, CALIBRATOR)
    assert info is not None
    assert station.run("image_group", CALIBRATOR).success
    shown = what_pages_show(instance)
    assert prune(instance, 0, most=1).n_runs == 1
    assert what_pages_show(instance) == shown
    # An older plan than the product would pass for the partition's last run.
    assert storage.get_latest_planned_materialization_info(key, CALIBRATOR) is None
    assert shown["image"]["attempts"] == {}
