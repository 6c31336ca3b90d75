"""What happened to a group, and where the telescope looked, can be read by people and programs."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from click.testing import CliRunner

from contimg_assets.cli import history
from contimg_assets.radio.grouping import FoundFile
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.arrivals import Arrivals, Settled
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration

COMMANDS = {command.name: command for command in history.commands}


def contimg(name: str, *arguments: str) -> Any:
    result = CliRunner().invoke(COMMANDS[name], [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def made(home: Path) -> None:
    """A group that was made, its files, and a file that was not used."""
    records = DatabaseResource().records()
    records.register(registration(TARGET, home), ready=True)
    records.register(registration(CALIBRATOR, home, declination_deg=16.27), ready=False)
    records.begin(TARGET, "run")
    numbers = {"stage_seconds": 12.3, "peak_memory_mb": 600.0, "writer": "direct"}
    records.record_product(TARGET, "measurement_set", home, numbers, owner="run")
    records.complete(TARGET)
    refused = FoundFile(home / "incoming" / "2026-01-15T03:00:00_sb00.hdf5", 10, 0.0)
    arrivals = Arrivals(records.engine, home / "incoming")
    arrivals.settle([Settled(refused, TARGET, "refused", "too [short]")])


@pytest.mark.usefixtures("made")
def test_every_step_has_a_time_and_a_reason() -> None:
    found = contimg("history", TARGET)
    assert [step["to"] for step in found["transitions"]] == [
        "collecting",
        "pending",
        "in_progress",
        "completed",
    ]
    assert all(step["at"] for step in found["transitions"])
    assert all(step["reason"] for step in found["transitions"][1:])
    (row,) = found["performance"]
    assert (row["writer"], row["seconds"], row["peak_memory_mb"]) == ("direct", 12.3, 600.0)
    assert [file["reason"] for file in found["files"]] == ["too [short]"]


@pytest.mark.usefixtures("made")
def test_versions_and_what_they_are_from_are_told() -> None:
    """Each version once, with what went into it; and all that the current one is from, step by step."""
    records = DatabaseResource().records()

    def make(product: str, version: str, *inputs: int) -> int:
        path = PurePosixPath(f"products/x/.versions/{product}-{version}")
        return records.record_product(TARGET, product, path, {"stage_seconds": 2.0}, inputs=inputs).id

    measurement_set = records.product(TARGET, "measurement_set").id
    flags = make("flags", "f1", measurement_set)
    make("calibrated_ms", "c1", measurement_set, flags)
    calibrated = make("calibrated_ms", "c2", flags, measurement_set)
    make("image", "i1", calibrated)
    versions = contimg("history", TARGET)["versions"]
    assert [(v["product"], v["version"], v["superseded"] is None) for v in versions][1:] == [
        ("flags", "f1", True),
        ("calibrated_ms", "c1", False),
        ("calibrated_ms", "c2", True),
        ("image", "i1", True),
    ]
    assert (versions[0]["run"], versions[0]["seconds"], versions[0]["inputs"]) == ("run", 12.3, [])
    assert versions[3]["inputs"] == [f"{TARGET} measurement_set home", f"{TARGET} flags f1"]
    found = contimg("history", TARGET, "--product", "image")
    assert [v["version"] for v in found["versions"]] == ["i1"]
    assert [(step["steps"], step["product"]) for step in found["lineage"]] == [
        (0, "image"),
        (1, "calibrated_ms"),
        (2, "measurement_set"),
        (2, "flags"),
    ]
    assert CliRunner().invoke(COMMANDS["history"], ["--product", "image"]).exit_code == 2


@pytest.mark.usefixtures("made")
def test_files_that_were_not_used_are_told_with_reasons() -> None:
    found = contimg("history")
    assert found["files"] == {"used": 0, "duplicate": 0, "refused": 1, "late": 0}
    assert [file["reason"] for file in found["not_used"]] == ["too [short]"]


@pytest.mark.usefixtures("made")
def test_the_pointing_history_is_shown() -> None:
    first, second = contimg("pointing")["spells"]
    assert (first["first"], first["declination_deg"]) == (TARGET, 54.57)
    assert "declination +54.570° → +16.270°" in second["event"]
    assert [spell["first"] for spell in contimg("pointing", "--since", CALIBRATOR)["spells"]] == [CALIBRATOR]


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("arguments", [("history", TARGET), ("history",), ("pointing",)])
def test_people_get_tables(arguments: tuple[str, ...]) -> None:
    name, *rest = arguments
    result = CliRunner().invoke(COMMANDS[name], rest, env={"COLUMNS": "250"})
    assert result.exit_code == 0
    assert ("too [short]" if name == "history" else "16.27") in result.stdout
