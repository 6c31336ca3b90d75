"""How a stage hands over its result."""

import errno
import json
import os
import signal
from collections.abc import Callable
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


def fills_the_disk(out: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out / "half" / "made"))


def refuses(_out: Path) -> None:
    raise ImagingError("nothing to image")


@pytest.mark.parametrize(
    ("ends", "code", "told"),
    [
        (lambda _: os.kill(os.getpid(), signal.SIGTERM), 143, "interrupted by SIGTERM"),
        (lambda _: os.kill(os.getpid(), signal.SIGINT), 130, "interrupted by SIGINT"),
        (fills_the_disk, 3, "no space left on device"),
        (refuses, 3, "ImagingError: nothing to image"),
    ],
    ids=["SIGTERM", "SIGINT", "full disk", "refused"],
)
@pytest.mark.parametrize("there", [False, True], ids=["new", "there before"])
def test_a_stage_that_does_not_come_to_its_end_leaves_nothing_half_made(
    home: Path,
    capfd: pytest.CaptureFixture[str],
    ends: Callable[[Path], None],
    code: int,
    told: str,
    there: bool,
) -> None:
    out = home / "out"
    if there:
        out.mkdir()
        (out / "earlier").touch()

    def work(_settings: Settings, _context: StageContext) -> Result:
        (out / "half").mkdir(parents=True)
        (out / "half" / "made").write_text("something")
        ends(out)
        raise AssertionError("it went on")

    with pytest.raises(SystemExit) as ended:
        run_stage(work, out, as_json=False)
    assert ended.value.code == code
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert told in line
    assert [path.name for path in out.rglob("*")] == (["earlier"] if there else [])
    assert out.exists() == there


@pytest.mark.usefixtures("home")
def test_a_person_sees_short_values(capsys: pytest.CaptureFixture[str]) -> None:
    """A table of a hundred antennas is no line of a terminal; how long it is, and where to find it, is."""

    told = {"noise": 0.000262984, "beam": {"width": 1.0}, "dishes": {str(n): 0.1 for n in range(96)}}
    run_stage(lambda _settings, _context: Result.model_validate(told), None, as_json=False)
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.strip().splitlines()]
    assert lines == [
        ["noise", "0.000262984"],
        ["beam", "{'width': 1.0}"],
        ["dishes", "(96 entries: --json)"],
    ]
