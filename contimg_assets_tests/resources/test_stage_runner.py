"""Stages run in a process of their own, and however that ends the asset learns how."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    DagsterEventType,
    DagsterInstance,
    MaterializeResult,
    RetryPolicy,
    asset,
    materialize,
)

from contimg_assets.resources import stage_runner as casa
from contimg_assets.resources import warm_stages
from contimg_assets.resources.stage_runner import StageRunner

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def script(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the tests' own stages in place of ``contimg``'s."""
    monkeypatch.setattr(casa, "ENTRY_MODULE", "contimg_assets_tests.resources.stage_script")
    monkeypatch.setattr(casa, "LOADS", False)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert home.is_dir()


def run(*stage: str, retries: int = 0) -> tuple[dict[str, Any] | None, str, int]:
    """Run a stage from an asset; its result (None if it failed), what the failure said, and its retries."""
    results: list[dict[str, Any]] = []

    @asset(retry_policy=RetryPolicy(max_retries=retries))
    def product(context: AssetExecutionContext, stages: StageRunner) -> MaterializeResult:
        results.append(stages.run(context, stage))
        return MaterializeResult()

    with DagsterInstance.ephemeral() as instance:
        result = materialize(
            [product],
            resources={"stages": StageRunner()},
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    told = "".join(f.user_failure_data.description or "" for f in failures if f.user_failure_data)
    tried_again = sum(event.event_type == DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)
    return (results[0] if result.success else None), told, tried_again


def test_the_result_comes_back_with_the_memory_that_it_took() -> None:
    result, _, _ = run("work")
    assert result is not None
    assert result["answer"] == 42
    # Linux counts what this process had when the stage's began as a copy of it.
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 5 < result["peak_memory_mb"] < max(2000, here + 100)


def test_a_stage_runs_in_a_scratch_folder_that_is_gone_after_it(home: Path) -> None:
    result, _, _ = run("work")
    assert result is not None
    folder = Path(result["folder"])
    assert folder.parent == home / "scratch"
    assert not folder.exists()
    assert (result["home"], result["threads"]) == (str(home), "2")


def test_a_stage_works_on_the_scratch_disk_that_was_chosen(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    monkeypatch.setenv("CONTIMG_SCRATCH", str(disk))
    casa.get_settings.cache_clear()
    assert run("work")[0] is None
    assert not disk.exists()
    disk.mkdir()
    result, _, _ = run("work")
    assert result is not None
    assert Path(result["folder"]).parent == disk
    assert list(disk.iterdir()) == []
    assert not (home / "scratch").exists()


def test_our_own_errors_come_back_by_name_and_are_not_tried_again() -> None:
    result, told, tried_again = run("refuse", retries=1)
    assert (result, tried_again) == (None, 0)
    assert told == "ConversionError: it is no use"


@pytest.mark.parametrize(
    ("stage", "why", "retries"),
    [
        ("crash", "crashed with exit code 1", 1),
        ("segfault", "was killed by SIGSEGV", 1),
        ("orphan", "was killed by SIGKILL", 1),
        ("silent", "ended without reporting a result", 1),
    ],
)
def test_any_other_end_is_told_as_what_it_was_and_tried_again(stage: str, why: str, retries: int) -> None:
    result, told, tried_again = run(stage, retries=1)
    assert (result, tried_again) == (None, retries)
    assert why in told


def test_what_cannot_be_loaded_was_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its standard error has the cause; "killed" would send somebody to look for too little memory."""
    monkeypatch.setattr(warm_stages, "_SERVER_MODULE", "contimg_assets_tests.resources.not_there")
    warm_stages.close()
    result, told, _ = run("work")
    assert result is None
    assert "crashed with exit code 1" in told


def test_stages_are_processes_of_their_own_from_one_server() -> None:
    first, second = run("work")[0], run("work")[0]
    assert first is not None
    assert second is not None
    assert first["process"] != second["process"]
    # The name of the test that runs is in the environment, which is the same for both.
    assert first["server"] == second["server"]


def test_a_stage_finds_the_environment_that_its_run_has_now(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (run("work")[0] or {})["threads"] == "2"
    monkeypatch.setenv("CONTIMG_THREADS", "1")
    casa.get_settings.cache_clear()
    assert (run("work")[0] or {})["threads"] == "1"


def test_what_stages_load_starts_no_thread_of_python_and_writes_no_file(home: Path) -> None:
    """Forking copies neither a lock that another thread holds nor a file that two would write."""
    script = f"""
import os, threading
from pathlib import Path
from contimg_assets.stages import server

before = set(os.listdir("/proc/self/fd"))
server.load(Path({str(home / "casa")!r}))
opened = sorted(set(os.listdir("/proc/self/fd")) - before)[:-1]
flags = [int(Path(f"/proc/self/fdinfo/{{n}}").read_text().split()[3], 8) for n in opened]
print(threading.active_count(), any(flag & (os.O_WRONLY | os.O_RDWR) for flag in flags))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[-2] == "1 False", done.stdout + done.stderr
