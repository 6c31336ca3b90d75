"""A disk that is full for a while: the command waits, and goes on from the stage that was broken off."""

import os
import signal
import time
from pathlib import Path

import pytest

from contimg_assets.radio.errors import MissingInputError, StorageError
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource
from contimg_assets.settings import get_settings
from contimg_assets.stages import convert
from contimg_assets.stages.base import StageContext
from contimg_assets_tests.cli.station import make_data
from contimg_assets_tests.cli.test_interrupts import STAGES, START_S, start, wait_for_stage
from contimg_assets_tests.fake_stages import CALIBRATOR, calls
from contimg_assets_tests.mounts import full, small_disk


def test_a_home_that_is_full_for_a_while_costs_no_attempt(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the databases cannot be written meanwhile: both are SQLite files in that home."""
    monkeypatch.setenv("CONTIMG_SPACE__RESERVE_GB", "0")
    with small_disk(home, 192):
        folder = make_data(home, target=False)
        process = start("process", folder, slow="image")
        stage = wait_for_stage(home, "image", process)
        with full(home):
            # As casacore ends when it cannot write.
            os.kill(stage, signal.SIGABRT)
            time.sleep(5)
            assert process.poll() is None
        out, told = process.communicate(timeout=START_S)
        assert process.returncode == 0, out + told
        assert sorted(call["stage"] for call in calls()) == sorted([*STAGES, "image"])
        records = DatabaseResource().records()
        steps = records.transitions(CALIBRATOR)
        assert [step.cause for step in steps if step.cause] == ["storage"]
        (back,) = [step.reason for step in steps if step.cause]
        assert back.startswith(f"image: {home}")
        assert "no space left on device; looked at again at" in back
        assert records.group(CALIBRATOR).state == "completed"
        alerts = [alert for alert in NotifierResource().notifier().recent() if alert["kind"] == "storage"]
        assert [alert["message"] for alert in alerts] == ["no space left on device"]
        assert alerts[0]["subject"].startswith(str(home))


def test_files_that_are_away_are_no_missing_file(home: Path) -> None:
    folder = make_data(home, target=False)
    files = sorted(folder.iterdir())
    at = StageContext(scratch=home, catalogues=home, casa=home, threads=1)
    inputs = convert.ConvertInputs(source=tuple(files), out=home / "out.ms")
    files[3].unlink()
    with pytest.raises(MissingInputError, match=f"{files[3]} is not there"):
        convert.run(inputs, get_settings().conversion, at)
    folder.rename(folder.with_name("away"))
    with pytest.raises(StorageError, match=f"{folder}: the folder is not there"):
        convert.run(inputs, get_settings().conversion, at)
    folder.mkdir()
    with pytest.raises(StorageError, match=f"{folder}: none of 16 files is there"):
        convert.run(inputs, get_settings().conversion, at)
