"""The operational commands over fake stages: what is taken, in which order, and what is told."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance

from contimg_assets import definitions
from contimg_assets.definitions import build_defs
from contimg_assets.radio.limits import load_limits
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.settings import get_settings
from contimg_assets_tests.cli.station import COMMANDS, contimg, make_data, outcomes
from contimg_assets_tests.fake_stages import (
    CALIBRATOR,
    FakeStages,
    calls,
    only_one_calibrator,
)
from contimg_assets_tests.radio.subband_files import START, write_group

REPOSITORY = Path(__file__).parent.parent.parent
Stages = Callable[..., None]


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Set how the fake stages behave."""

    def behave(**options: Any) -> None:
        overrides = {"stages": FakeStages(**options)}
        monkeypatch.setattr(definitions, "build_defs", lambda: build_defs(overrides))

    return behave


@pytest.fixture
def folder(home: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A calibrator scan, which calibrates itself."""
    stages()
    only_one_calibrator(monkeypatch)
    return make_data(home, target=False)


def test_a_bad_group_is_told_by_file_and_reason_and_the_others_go_on(folder: Path) -> None:
    later = START + timedelta(hours=4)
    paths = write_group(folder, later, subbands=range(12))
    paths[2].write_bytes(paths[2].read_bytes()[:4000])
    report = contimg("process", folder, code=1)
    assert outcomes(report) == {
        CALIBRATOR: "completed",
        "2026-01-15T07:00:00": "rejected",
    }
    (refused,) = report["groups"][1]["refused_files"]
    assert refused["file"] == str(paths[2])
    assert refused["reason"]
    assert contimg("status")["counts"]["collecting"] == 1


def test_twelve_subbands_are_taken_at_once_unless_files_still_arrive_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.glob("*_sb1[2-5].hdf5"):
        path.unlink()
    monkeypatch.setenv("CONTIMG_INCOMING", str(folder))
    get_settings.cache_clear()
    assert set(outcomes(contimg("process", folder)).values()) == {"waiting"}
    monkeypatch.delenv("CONTIMG_INCOMING")
    get_settings.cache_clear()
    assert set(outcomes(contimg("process", folder)).values()) == {"completed"}


def test_a_failed_group_says_why(folder: Path, stages: Stages) -> None:
    stages(fail={"image": "ImagingError: no visibilities are left"})
    report = contimg("process", folder, code=1)
    assert set(outcomes(report).values()) == {"failed"}
    assert report["groups"][0]["reason"] == "image: ImagingError: no visibilities are left"
    assert contimg("status")["counts"]["failed"] == 1


def test_a_condemned_measurement_set_fails_its_group_only(folder: Path, stages: Stages) -> None:
    stages(numbers={"qa ms": {"zero_fraction": 0.9}})
    report = contimg("process", folder, code=1)
    assert "last verdict is ERROR: zero_fraction = 0.9" in report["groups"][0]["reason"]
    assert {call["stage"] for call in calls()} == {"convert", "qa ms", "flag"}


def states_without_verdict(report: Any) -> list[Any]:
    """What is told of groups anywhere in a report with their state, and without their verdict."""
    if isinstance(report, list):
        return [found for each in report for found in states_without_verdict(each)]
    if not isinstance(report, dict):
        return []
    own = [report] if "state" in report and "verdict" not in report else []
    return own + states_without_verdict(list(report.values()))


def test_a_condemned_image_is_nowhere_merely_completed(folder: Path, stages: Stages) -> None:
    """State, verdict and reason in tables and JSON, of the run that made it and of any later one."""
    stages(numbers={"qa image": {"rms_ratio": 5.0}})
    first = contimg("process", folder, code=1)
    assert "rms_ratio = 5" in first["groups"][0]["reason"]
    for report in (first, contimg("process", folder, code=1)):
        (group,) = report["groups"]
        assert (group["status"], group["state"], group["verdict"]) == ("failed", "completed", "ERROR")
    status, products, history = contimg("status"), contimg("products"), contimg("history", CALIBRATOR)
    assert (status["counts"]["completed"], status["completed"]) == (
        1,
        {"PASS": 0, "WARN": 0, "ERROR": 1, "not judged": 0},
    )
    (check,) = status["completed_with_error"][CALIBRATOR]
    assert (check["product"], check["check"], check["value"], check["hard"]) == (
        "image_qa",
        "rms_ratio",
        5.0,
        load_limits().limits["image_qa"]["rms_ratio"].hard,
    )
    for report in (first, status, products, history):
        assert states_without_verdict(report) == []
    told = {name: CliRunner().invoke(COMMANDS[name], []).stdout for name in ("status", "products")}
    assert "1 ERROR" in told["status"]
    assert (
        f"{CALIBRATOR}  completed, verdict ERROR\n  image_qa: rms_ratio is 5, hard limit 2" in told["status"]
    )
    assert f"{CALIBRATOR}  completed, verdict ERROR" in told["products"]
    again = CliRunner().invoke(COMMANDS["process"], [str(folder)])
    assert again.exit_code == 1
    assert f"{CALIBRATOR}  failed, verdict ERROR" in again.stdout


def test_a_good_group_is_told_with_its_verdict_too(folder: Path) -> None:
    report = contimg("process", folder)
    assert (report["groups"][0]["state"], report["groups"][0]["verdict"]) == ("completed", "PASS")
    status = contimg("status")
    assert status["completed"] == {"PASS": 1, "WARN": 0, "ERROR": 0, "not judged": 0}
    assert status["completed_with_error"] == {}
    assert states_without_verdict([report, status, contimg("products", CALIBRATOR)]) == []


def test_reprocessing_takes_a_file_that_came_late(folder: Path) -> None:
    (last,) = folder.glob("*_sb15.hdf5")
    content = last.read_bytes()
    last.unlink()
    contimg("process", folder)
    last.write_bytes(content)
    assert set(outcomes(contimg("process", folder)).values()) == {"skipped"}
    assert DatabaseResource().records().group(CALIBRATOR).missing_subbands == [15]
    assert outcomes(contimg("reprocess", "--group", CALIBRATOR)) == {CALIBRATOR: "completed"}
    assert DatabaseResource().records().group(CALIBRATOR).missing_subbands == []


@pytest.mark.usefixtures("folder")
def test_reprocessing_an_unknown_group_says_so() -> None:
    told = contimg("reprocess", "--group", "2020-01-01T00:00:00", code=3)
    assert told["error"] == "MissingInputError"


def test_registering_prints_keys_that_dagster_then_knows(folder: Path) -> None:
    assert contimg("register", folder)["registered"] == [CALIBRATOR]
    assert contimg("status")["counts"]["pending"] == 1
    with DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        assert instance.get_dynamic_partitions("observation_group") == [CALIBRATOR]
        assert instance.get_dynamic_partitions("calibrator_scan") == [CALIBRATOR]


PROGRAM = """
import os, sys, time
import pytest
from contimg_assets import definitions
from contimg_assets.cli import operations
from contimg_assets.definitions import build_defs
from contimg_assets.settings import get_settings
from contimg_assets_tests import fake_stages

class Hanging(fake_stages.FakeStages):
    def run(self, context, stage, *arguments):
        if stage[0] == "image":
            print("imaging", file=open(sys.argv[2], "w"), flush=True)
            time.sleep(3600)  # it is killed long before
        return super().run(context, stage, *arguments)

fake_stages.only_one_calibrator(pytest.MonkeyPatch())
definitions.build_defs = lambda: build_defs({"stages": Hanging()})
operations.process([sys.argv[1]])
"""


def test_the_groups_of_a_killed_command_are_taken_up_by_the_next(folder: Path, home: Path) -> None:
    sign = home / "sign"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(sign)],
        cwd=REPOSITORY,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not sign.exists():
        assert process.poll() is None
        time.sleep(0.1)
    # While it lives, its groups are its own.
    (busy,) = contimg("process", folder)["groups"]
    assert busy["status"] == "busy"
    holder = f"contimg process on {socket.gethostname()}, pid {process.pid}"
    assert f"group {CALIBRATOR} is held by {holder} (last sign of life " in busy["reason"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Its run still holds the slot of the imaging pool, which must be given back; nobody waits for the
    # minute that a silent worker elsewhere has.
    assert set(outcomes(contimg("process", folder)).values()) == {"completed"}
    history = [step.reason for step in DatabaseResource().records().transitions(CALIBRATOR)]
    assert f"interrupted: {holder} has ended (attempt 1 of 3)" in history
    assert DatabaseResource().leases().held() == {}
