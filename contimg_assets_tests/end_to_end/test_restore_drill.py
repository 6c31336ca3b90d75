"""The drill with real groups: all is lost while one is made, restored from a backup, and the next is imaged.

``cli/test_backup_drill.py`` tries backups with stages that make small files; here the real stages work, every
step is a command as it is typed, and the machine is lost at the moment of the backup.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml
from dagster import AssetKey, DagsterInstance

from contimg_assets.radio.images.planes import image_name, plane_file
from contimg_assets.resources.instance import instance_configuration
from contimg_assets.simulation.comparison import compare, summary
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.machine import Machine
from contimg_assets_tests.end_to_end.tiny_groups import arrive, files_of, simulate_night, truth_of

pytestmark = pytest.mark.long
#: Kept in the backup; everything else is made again, or missed.
KEPT = ("image", "image_qa", "flags")
_STORAGE = {"storage": {"postgres": {"postgres_url": {"env": "CONTIMG_DAGSTER_DATABASE_URL"}}}}
#: A group begins within this on a machine that has much else to do, s.
PATIENCE_S = 900.0


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A calibrator's scan and three targets."""
    folder = tmp_path_factory.mktemp("night")
    return folder, simulate_night(folder, 3)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_all_is_lost_while_a_group_is_made_and_the_next_one_is_imaged(
    kind: str, night: tuple[Path, list[str]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: PostgresServer | None = (
        request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    )
    folder, keys = night
    files, incoming = files_of(folder, keys), tmp_path / "incoming"
    scan, first, in_work, following = keys
    before = Machine.new(tmp_path / "home", server)
    configure(before, server)
    for key in (scan, first):
        arrive(files[key], incoming)
    assert {each["status"] for each in before.contimg("process", incoming)["groups"]} == {"completed"}

    # The load: a group is in progress when the backup is made, and when the machine is lost.
    arrive(files[in_work], incoming)
    working = before.begin("process", incoming)
    began = time.monotonic()
    while before.state(in_work) != "in_progress":
        assert time.monotonic() < began + PATIENCE_S
        time.sleep(1)
    asked = [option for product in KEPT for option in ("--product", product)]
    made = before.contimg("backup", tmp_path / "backups", *asked)
    assert before.state(in_work) == "in_progress", "it was done before the backup: nothing was shown"
    os.killpg(working.pid, signal.SIGKILL)
    working.wait()
    shutil.rmtree(before.home)

    after = Machine.new(tmp_path / "another" / "home", server)
    after.contimg("restore", made["backup"])
    missed = after.contimg("reconcile", "--hashes", code=1)["differences"]
    assert {each["kind"] for each in missed} == {"missing"}
    assert {each["product"] for each in missed}.isdisjoint(KEPT)
    assert after.contimg("reconcile", "--hashes", "--fix", "--lost")["differences"] == []

    # What was in work goes on, and the next one comes: with the calibration of the backup.
    arrive(files[following], incoming)
    told = {each["group"]: each["status"] for each in after.contimg("process", incoming)["groups"]}
    assert (told[in_work], told[following]) == ("completed", "completed")
    assert flux_ratio(after, folder, following) == pytest.approx(1.0, abs=0.03)
    assert after.contimg("reconcile", "--hashes")["differences"] == []

    lose_dagster(after, server)
    lacking = after.contimg("reconcile", code=1)["differences"]
    assert {each["kind"] for each in lacking} == {"unknown to Dagster"}
    assert after.contimg("reconcile", "--fix")["differences"] == []
    assert materialised(after, "image") == set(keys)
    # Nothing of it is made again.
    again = after.contimg("process", incoming)["groups"]
    assert {each["status"] for each in again} <= {"completed", "skipped"}


def configure(machine: Machine, server: PostgresServer | None) -> None:
    """Dagster's instance file, on the database that the station has."""
    folder = machine.home / "dagster"
    folder.mkdir(parents=True)
    instance = yaml.safe_load(instance_configuration()) | (_STORAGE if server is not None else {})
    (folder / "dagster.yaml").write_text(yaml.safe_dump(instance))


def lose_dagster(machine: Machine, server: PostgresServer | None) -> None:
    """Dagster's database alone is gone."""
    if server is not None:
        machine.environment["CONTIMG_DAGSTER_DATABASE_URL"] = server.new_database()
        return
    for name in ("history", "storage", "schedules"):
        shutil.rmtree(machine.home / "dagster" / name, ignore_errors=True)


def materialised(machine: Machine, asset: str) -> set[str]:
    """Partitions of an asset that Dagster knows to be made."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in machine.environment.items():
            patch.setenv(name, value)
        with DagsterInstance.from_config(machine.environment["DAGSTER_HOME"]) as instance:
            return set(instance.get_materialized_partitions(AssetKey(asset)))


def flux_ratio(machine: Machine, truths: Path, key: str) -> float:
    """Median of measured over true flux density of a group's bright sources."""
    (group,) = [each for each in machine.contimg("products")["groups"] if each["group"] == key]
    folder = Path(group["products"]["image"]["path"])
    stem = image_name(folder)
    image, beam, noise = (plane_file(folder, stem, plane) for plane in ("image", "pb", "noise"))
    return summary(compare(truth_of(truths, key), image, beam, noise, 30.0))["median_flux_ratio"]
