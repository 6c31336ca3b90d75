"""A stage ends with its run, however the run ends, and what the stage has started ends with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
#: Far more than a machine under load needs to start a run; and far less than the stage and its program would
#: live on, which is ten minutes.
START_S, END_S = 120.0, 60.0


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def left_alive(pids: list[int]) -> list[int]:
    """The processes that are still there, once they have had time to end."""
    deadline = time.monotonic() + END_S
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in pids if alive(pid)]


@contextmanager
def lingering(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A run whose stage waits for a program: the run's process, and those of stage and program."""
    command = [sys.executable, "-m", "contimg_assets_tests.resources.runner_script", "linger"]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}"}
    written = home / "processes"
    pids: list[int] = []
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL) as run:
        try:
            deadline = time.monotonic() + START_S
            while not written.exists():
                assert run.poll() is None, "the run ended before its stage began"
                assert time.monotonic() < deadline, "the stage did not begin"
                time.sleep(0.05)
            pids = [int(number) for number in written.read_text().split()]
            assert all(map(alive, pids))
            yield run, pids
        finally:
            run.kill()
            for pid in filter(alive, pids):
                os.kill(pid, signal.SIGKILL)


def test_once_the_run_is_killed_nothing_of_its_stage_is_alive(home: Path) -> None:
    with lingering(home) as (run, pids):
        run.kill()
        assert left_alive(pids) == []


def test_a_program_ends_with_a_stage_that_is_killed(home: Path) -> None:
    with lingering(home) as (_run, (stage, program)):
        os.kill(stage, signal.SIGKILL)
        assert left_alive([program]) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_run_ends_its_stage_and_what_it_has_started(home: Path, number: signal.Signals) -> None:
    with lingering(home) as (run, pids):
        run.send_signal(number)
        run.wait(START_S)
        assert [pid for pid in pids if alive(pid)] == []


def test_a_stage_whose_parent_is_gone_already_does_not_begin(home: Path) -> None:
    script = [sys.executable, "-m", "contimg_assets_tests.resources.stage_script", "linger"]
    # The number of a process that is not its parent: this test's own parent.
    environment = {**os.environ, "CONTIMG_STAGE_PARENT": str(os.getppid()), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(script, cwd=REPOSITORY, env=environment, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not (home / "processes").exists()


def test_the_command_itself_is_bound_to_its_parent_before_anything_else(home: Path) -> None:
    command = [sys.executable, "-m", "contimg_assets.cli", "--version"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    codes = []
    for parent in (os.getpid(), os.getppid()):
        told = environment | {"CONTIMG_STAGE_PARENT": str(parent)}
        codes.append(subprocess.run(command, cwd=home, env=told, check=False, capture_output=True).returncode)
    assert codes == [0, -signal.SIGKILL]
