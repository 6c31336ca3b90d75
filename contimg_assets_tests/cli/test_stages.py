"""How a stage hands over its result."""

import json
import os
from pathlib import Path

import pytest

from contimg_assets.cli.stages import run_stage
from contimg_assets.radio.errors import ImagingError
from contimg_assets.settings import Settings
from contimg_assets.stages.base import Result, StageContext


def test_what_compiled_code_prints_is_not_in_the_result(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """CASA's solver writes to the file descriptor itself; a program that reads the result sees one object."""

    def work(settings: Settings, context: StageContext) -> Result:
        wrote = os.write(1, b"chatter\n")
        return Result.model_validate({"wrote": wrote, "home": str(settings.home), "threads": context.threads})

    run_stage(work, Path("out"), as_json=True)
    out, err = capfd.readouterr()
    assert json.loads(out) == {"wrote": 8, "home": str(home), "threads": 2}
    assert "chatter" in err


def test_a_stage_that_refuses_its_input_says_so_with_exit_code_3(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(settings: Settings, _context: StageContext) -> Result:
        raise ImagingError(f"{settings.home}: nothing to image")

    with pytest.raises(SystemExit) as ended:
        run_stage(work, Path("out"), as_json=True)
    assert ended.value.code == 3
    assert json.loads(capfd.readouterr().out) == {
        "error": "ImagingError",
        "message": f"{home}: nothing to image",
    }


def test_a_stage_with_a_wrong_setting_does_not_begin(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and the reason is the result that Dagster or a program gets."""

    def work(settings: Settings, _context: StageContext) -> Result:
        raise AssertionError(f"began in {settings.home}")

    monkeypatch.setenv("CONTIMG_IMAGING__ROBUSTT", "1")
    with pytest.raises(SystemExit) as ended:
        run_stage(work, Path("out"), as_json=True)
    assert ended.value.code == 2
    assert json.loads(capfd.readouterr().out)["error"] == "SettingsError"
    assert list(home.iterdir()) == []
