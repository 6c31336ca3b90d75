"""One signal ends a command's work and all that it has started, and the next one goes on from there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.store import Store
from contimg_assets_tests.cli.station import make_data
from contimg_assets_tests.end_to_end.station.checker import is_stage, processes_of, times
from contimg_assets_tests.fake_stages import CALIBRATOR, calls

REPOSITORY = Path(__file__).parent.parent.parent
#: The second and the third come in either order.
STAGES = ["convert", "qa ms", "flag", "solve", "qa calibration", "apply", "image", "qa image", "photometry"]
#: A machine under load starts a command in this, s; and ends one in far less than that.
START_S, END_S = 180.0, 60.0


def start(*arguments: str | Path, slow: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "contimg_assets_tests.cli.tiny_process", slow, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_stage(home: Path, stage: str, process: subprocess.Popen[str]) -> int:
    """Wait until the process of a stage, and the program that it waits for, are at work; its number."""
    deadline = time.monotonic() + START_S
    while not (
        calls()[-1:] and calls()[-1]["stage"] == stage and any("sleep 3600" in p for p in processes_of(home))
    ):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (told,) = [told for told in processes_of(home) if is_stage(told)]
    return int(told.split()[0])


@pytest.mark.parametrize(
    ("number", "stage", "code"),
    [(signal.SIGTERM, "image", 143), pytest.param(signal.SIGINT, "solve", 130, marks=pytest.mark.long)],
)
def test_one_signal_ends_everything_and_the_next_command_goes_on(
    home: Path, number: signal.Signals, stage: str, code: int
) -> None:
    folder = make_data(home, target=False)
    process = start("process", folder, slow=stage)
    wait_for_stage(home, stage, process)
    process.send_signal(number)
    _, told = process.communicate(timeout=END_S)
    assert process.returncode == code
    last = told.strip().splitlines()[-1]
    assert last == (
        f"interrupted by {number.name}: unfinished groups are pending again, "
        "and go on after their last finished stage"
    )
    assert "Traceback" not in told
    assert processes_of(home) == []
    # The file alone is the whole database.
    wal = home / "catalogue.sqlite-wal"
    assert not wal.exists() or wal.stat().st_size == 0
    records = DatabaseResource().records()
    group = records.group(CALIBRATOR)
    assert (group.state, group.reason) == ("pending", f"interrupted by {number.name}")
    assert [step.cause for step in records.transitions(CALIBRATOR) if step.cause] == ["interrupted"]
    assert DatabaseResource().leases().held() == {}
    assert not [path for name in ("scratch/*", "products/*/.staging/*") for path in home.glob(name)]
    before, finished = len(calls()), times(Store(home))
    assert sorted(call["stage"] for call in calls()) == sorted(STAGES[: STAGES.index(stage) + 1])
    again = start("process", folder)
    out, told = again.communicate(timeout=START_S)
    assert again.returncode == 0, out + told
    assert [call["stage"] for call in calls()[before:]] == STAGES[STAGES.index(stage) :]
    assert {name: when for name, when in times(Store(home)).items() if name in finished} == finished
    assert records.group(CALIBRATOR).state == "completed"
