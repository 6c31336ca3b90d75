"""The drill: a backup under load, everything wiped, restored elsewhere, and the next group is imaged."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterInstance

from contimg_assets import definitions
from contimg_assets.cli import backup as backups
from contimg_assets.definitions import build_defs
from contimg_assets.partitions import OBSERVATION_GROUP
from contimg_assets.settings import get_settings
from contimg_assets.station import database
from contimg_assets.station.installation import Installation
from contimg_assets_tests.cli.station import contimg, make_data, outcomes
from contimg_assets_tests.fake_stages import (
    CALIBRATOR,
    TARGET,
    FakeStages,
    only_one_calibrator,
    registration,
)
from contimg_assets_tests.radio.subband_files import write_group

OWN = {command.name: command for command in backups.commands}
PRODUCTS = ("measurement_set", "flags", "calibrated_ms", "image", "image_qa")


def run(name: str, *arguments: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(OWN[name], [*map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def enter(monkeypatch: pytest.MonkeyPatch, home: Path, server: Any) -> None:
    """Let this process work on a home, with databases of its own where there is a server."""
    monkeypatch.setenv("CONTIMG_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    if server is not None:
        monkeypatch.setenv("CONTIMG_DATABASE_URL", server.new_database())
        monkeypatch.setenv("CONTIMG_DAGSTER_DATABASE_URL", server.new_database())
    for cached in (get_settings, database.engine_for, database.reading_engine_for):
        cached.cache_clear()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_all_is_wiped_and_the_next_group_is_imaged(
    kind: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    only_one_calibrator(monkeypatch)
    monkeypatch.setattr(definitions, "build_defs", lambda: build_defs({"stages": FakeStages()}))
    enter(monkeypatch, home, server)
    data = make_data(home, target=False)
    if server is not None:
        path = home / "dagster" / "dagster.yaml"
        storage = {"storage": {"postgres": {"postgres_url": {"env": "CONTIMG_DAGSTER_DATABASE_URL"}}}}
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | storage))
    assert outcomes(contimg("process", data)) == {CALIBRATOR: "completed"}
    asked = [option for product in PRODUCTS for option in ("--product", product)]
    stop, records = threading.Event(), Installation(get_settings()).records

    def load() -> None:
        for number in range(24 * 60):
            key = f"2027-01-01T{number // 60:02d}:{number % 60:02d}:00"
            records.register(registration(key, data), ready=False)
            if stop.is_set():
                return

    writer = threading.Thread(target=load)
    writer.start()
    try:
        made = run("backup", tmp_path / "backups", *asked)
    finally:
        stop.set()
        writer.join()
    assert made["station"] == made["dagster"] == kind
    shutil.rmtree(home)
    there = tmp_path / "another" / "home"
    enter(monkeypatch, there, server)
    assert run("restore", made["backup"], "--check")["restorable"]
    run("restore", made["backup"])
    # Products that were not asked for are not in the backup, and are told of.
    left = run("reconcile", "--hashes", code=1)["differences"]
    assert {each["product"] for each in left}.isdisjoint(PRODUCTS)
    assert {each["kind"] for each in left} == {"missing"}
    assert run("reconcile", "--hashes", "--fix", "--lost")["differences"] == []
    write_group(data, jitter_s=25)
    assert outcomes(contimg("process", data))[TARGET] == "completed"
    assert run("reconcile", "--hashes")["differences"] == []
    lose_dagster(monkeypatch, there, server)
    lacking = run("reconcile", code=1)["differences"]
    assert {each["kind"] for each in lacking} == {"unknown to Dagster"}
    assert run("reconcile", "--fix")["differences"] == []
    with DagsterInstance.from_config(str(there / "dagster")) as instance:
        assert {TARGET, CALIBRATOR} <= set(instance.get_dynamic_partitions(OBSERVATION_GROUP))


def lose_dagster(monkeypatch: pytest.MonkeyPatch, home: Path, server: Any) -> None:
    if server is not None:
        monkeypatch.setenv("CONTIMG_DAGSTER_DATABASE_URL", server.new_database())
    else:
        shutil.rmtree(home / "dagster" / "history")
