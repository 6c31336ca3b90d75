"""``contimg retention`` lists what would go, and removes it only when it is told to."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance

from contimg_assets.cli.common import Opened
from contimg_assets.cli.retention import retention
from contimg_assets.definitions import build_defs
from contimg_assets.settings import get_settings
from contimg_assets.station.publication import publish
from contimg_assets_tests.fake_stages import TARGET, registration


@pytest.fixture
def old(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Content of a version that was superseded, and has no grace."""
    monkeypatch.setenv("CONTIMG_RETENTION__GRACE_HOURS", "0")
    get_settings.cache_clear()
    opened = Opened()
    opened.records.register(registration(TARGET, home), ready=True)
    paths = []
    for _ in range(2):
        with opened.store.staging(TARGET, "image") as folder:
            (folder / "built").mkdir()
            (folder / "built" / "data").write_text("x" * 1000)
            made = publish(opened.records, opened.store, folder / "built", TARGET, "image", {})
        paths.append(opened.store.absolute(made.path))
    return paths[0]


def run(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(retention, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_it_lists_first_and_removes_when_told(old: Path) -> None:
    told = run()
    assert [item["path"] for item in told["removals"]] == [str(old)]
    assert (told["bytes"], told["bytes_freed"], told["applied"]) == (1000, 0, False)
    assert old.is_dir()
    text = CliRunner().invoke(retention, []).stdout
    assert "superseded" in text
    assert "--apply" in text
    assert run("--apply")["bytes_freed"] == 1000
    assert not old.exists()
    assert run()["removals"] == []


def test_the_hourly_job_does_the_same(old: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        job = build_defs().resolve_job_def("retention_job")
        assert job.execute_in_process(instance=instance).success
    assert not old.exists()
