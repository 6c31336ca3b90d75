"""A home is made once, by however many commands start at once, with the repository's configuration."""

import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance

from contimg_assets.resources.instance import initialise, instance_configuration
from contimg_assets.settings import Settings
from contimg_assets.station.database import engine_for, revision
from contimg_assets_tests.conftest import PostgresServer

REPOSITORY = Path(__file__).parent.parent.parent


def test_two_processes_may_make_a_home_at_once(settings: Settings, tmp_path: Path) -> None:
    program = (
        "from contimg_assets.resources.instance import initialise\n"
        "from contimg_assets.settings import get_settings\n"
        "initialise(get_settings())"
    )
    command = [sys.executable, "-c", program]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, env=_environment(settings.home), stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outcomes = [(process.communicate()[1], process.returncode) for process in processes]
    assert [code for _, code in outcomes] == [0, 0], outcomes
    with DagsterInstance.from_config(str(settings.home / "dagster")) as instance:
        assert list(instance.get_runs()) == []
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
    assert revision(engine_for(settings.sqlalchemy_url)) is not None


def _environment(home: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(REPOSITORY),
        "CONTIMG_HOME": str(home),
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
    }


def test_a_configuration_that_is_there_stays(settings: Settings) -> None:
    folder = settings.home / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    initialise(settings)
    assert (folder / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"


def test_the_repositorys_configuration_is_the_packages() -> None:
    """Dagster's own commands look for it at the top level; there is one file."""
    assert (REPOSITORY / "dagster.yaml").read_text() == instance_configuration()
    assert (REPOSITORY / "dagster.yaml").resolve().is_relative_to(REPOSITORY / "contimg_assets")


def test_the_stations_configuration_works_on_postgresql(
    settings: Settings, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_DAGSTER_DATABASE_URL", postgres_server.new_database())
    folder = settings.home / "dagster"
    folder.mkdir()
    monkeypatch.setenv("CONTIMG_REDIS_URL", "redis://127.0.0.1:1/0")
    text = (REPOSITORY / "deploy" / "celery" / "dagster.yaml").read_text()
    (folder / "dagster.yaml").write_text(text)
    initialise(settings)
    with DagsterInstance.from_config(str(folder)) as instance:
        instance.add_dynamic_partitions("observation_group", ["2026-01-15T03:00:00"])
        assert instance.get_dynamic_partitions("observation_group") == ["2026-01-15T03:00:00"]
