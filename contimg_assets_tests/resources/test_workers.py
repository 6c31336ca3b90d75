"""Workers are seen, drained and resumed through a real Redis, and runs that nobody has are found."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from contimg_assets.cli.workers import workers as command
from contimg_assets.resources import workers
from contimg_assets.resources.celery_app import make_celery
from contimg_assets.resources.workers import StationWorkers, control_app, lost_runs
from contimg_assets_tests.end_to_end.station.services import (
    DEPLOY,
    REPOSITORY,
    START_S,
    free_port,
    listens,
    wait_until,
)


@pytest.fixture
def redis_url(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Redis of the test's own, with the station's configuration."""
    program = shutil.which("redis-server")
    assert program is not None, "no Redis: install Debian's package redis-server"
    port = free_port()
    options = ["--port", str(port), "--dir", str(tmp_path), "--logfile", str(tmp_path / "redis.log")]
    with subprocess.Popen([program, str(DEPLOY / "redis.conf"), *options]) as process:
        try:
            wait_until(lambda: listens(port), START_S, "Redis does not listen")
            url = f"redis://127.0.0.1:{port}/0"
            monkeypatch.setenv("CONTIMG_REDIS_URL", url)
            assert home.is_dir()
            yield url
        finally:
            process.kill()


@pytest.fixture
def worker(redis_url: str, tmp_path: Path) -> Iterator[str]:
    """A worker of that Redis; its name."""
    app = ["-A", "contimg_assets.resources.celery_app", "worker", "-Q", "live,bulk", "-n", "one@%h"]
    environment = os.environ | {
        "PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}",
        "CONTIMG_REDIS_URL": redis_url,
    }
    with (
        (tmp_path / "worker.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "celery", *app], env=environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_until(lambda: StationWorkers(control_app()).states(), START_S, "the worker does not answer")
            yield "one"
        finally:
            process.terminate()
            process.wait(60)


def contimg_workers(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(command, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def hand_over(url: str, queue: str, run_id: str = "a run") -> Any:
    """What the launcher does; a worker that takes this one fails at once."""
    arguments = {"execute_job_args_packed": {"run_id": run_id}}
    where = {"queue": queue, "routing_key": f"{queue}.execute_job", "priority": 0}
    return make_celery(url).send_task("execute_job", kwargs=arguments, **where)


def test_a_worker_is_shown_with_its_queues_live_ones_first_and_asked_by_its_name(worker: str) -> None:
    (shown,) = contimg_workers("list")["workers"]
    assert shown["name"] == f"{worker}@{shown['host']}"
    assert shown["queues"] == ["live", "bulk"]
    assert (shown["drained"], shown["run"], shown["since"]) == (False, None, None)
    told = contimg_workers("drain", "two", code=3)
    assert told["error"] == "StateError"
    assert told["message"].startswith(f"0 workers called two answer; there are: {worker}@")


def test_a_drained_worker_takes_nothing_until_it_is_resumed(worker: str, redis_url: str) -> None:
    (drained,) = contimg_workers("drain", worker)["workers"]
    assert (drained["queues"], drained["drained"]) == ([], True)
    handed = [hand_over(redis_url, queue) for queue in ("bulk", "live")]
    # Both still wait after the look that asks the worker too, which takes seconds.
    assert {task.id for task in handed} <= StationWorkers(control_app()).held()
    assert [task.state for task in handed] == ["PENDING", "PENDING"]
    (resumed,) = contimg_workers("resume", worker)["workers"]
    assert (resumed["queues"], resumed["drained"]) == (["live", "bulk"], False)
    wait_until(lambda: {task.state for task in handed} == {"FAILURE"}, START_S, "the runs were not taken")


def test_without_redis_one_line_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("CONTIMG_REDIS_URL", f"redis://:secret@127.0.0.1:{port}/0")
    told = contimg_workers("list", code=3)
    assert told["error"] == "StateError"
    assert f"127.0.0.1:{port}" in told["message"]
    assert "does not answer" in told["message"]
    assert "secret" not in told["message"]
    assert home.is_dir()


def test_a_home_without_workers_is_told_so(home: Path) -> None:
    told = contimg_workers("list", code=3)
    assert told["error"] == "MissingInputError"
    assert told["message"].startswith("CONTIMG_REDIS_URL is not set")
    assert home.is_dir()


def test_a_run_is_lost_if_neither_redis_nor_a_lease_has_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SECOND_LOOK_S", 0.0)
    with DagsterInstance.ephemeral() as instance:

        def run(task: str | None, status: DagsterRunStatus = DagsterRunStatus.STARTING) -> str:
            tags = {DAGSTER_CELERY_TASK_ID_TAG: task} if task else {}
            return create_run_for_test(instance, job_name="convert_group", status=status, tags=tags).run_id

        waiting = hand_over(redis_url, "bulk")
        run(waiting.id)
        lost = {
            run("a task that Redis does not know"),
            # Its worker was killed before it took its group.
            run("another one", DagsterRunStatus.STARTED),
            # The daemon was killed before it handed it over.
            run(None),
        }
        leased = run("a third one", DagsterRunStatus.STARTED)
        run("done long ago", DagsterRunStatus.SUCCESS)
        asked = StationWorkers(control_app())
        found = lost_runs(instance, asked, owners={leased}, older_than_s=0.0)
        assert {each.run_id for each in found} == lost
        assert lost_runs(instance, asked, owners={leased}, older_than_s=60.0) == []
