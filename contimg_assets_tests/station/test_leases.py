"""A worker that dies is noticed by its heartbeat, and its group is made by another, once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import StateError
from contimg_assets.settings import IngestOptions
from contimg_assets.station.leases import Workers
from contimg_assets.station.products import ProductCatalog
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration

REPOSITORY = Path(__file__).parent.parent.parent
#: A worker that is silent for a tenth of a second is dead.
QUICK = IngestOptions(heartbeat_s=0.02, dead_after_s=0.1)


@pytest.fixture
def catalog(engine: Engine, tmp_path: Path) -> ProductCatalog:
    catalog = ProductCatalog(engine)
    catalog.register(registration(TARGET, tmp_path), ready=True)
    return catalog


@pytest.fixture
def workers(engine: Engine) -> Workers:
    return Workers(engine, QUICK)


def dead(workers: Workers) -> list[str]:
    return [group.key for group in workers.dead()]


def wait_until_dead(workers: Workers) -> None:
    deadline = time.monotonic() + 60
    while not dead(workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


WORKER = """
import sys, time
from contimg_assets.station.database import engine_for
from contimg_assets.station.products import ProductCatalog
from contimg_assets.station.leases import Workers
from contimg_assets.settings import IngestOptions
engine = engine_for(sys.argv[1])
ProductCatalog(engine).begin(sys.argv[2], "doomed")
with Workers(engine, IngestOptions(heartbeat_s=0.02)).living(sys.argv[2], "doomed"):
    print("begun", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_is_noticed_and_its_group_is_pending_again(
    engine: Engine, catalog: ProductCatalog
) -> None:
    """kill -9 of a real process, on both databases; while it lives, however long, it is left alone."""
    workers = Workers(engine, IngestOptions(dead_after_s=5.0))
    url = engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, url, TARGET], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    first = catalog.group(TARGET).heartbeat
    assert first is not None
    deadline = time.monotonic() + 60
    while (beat := catalog.group(TARGET).heartbeat) == first or beat is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert dead(workers) == []
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    workers = Workers(engine, QUICK)
    wait_until_dead(workers)
    assert workers.died(TARGET, "doomed", "no sign of life") == "pending"
    assert catalog.group(TARGET).retries == 1
    assert catalog.transitions(TARGET)[-1].reason == "no sign of life (attempt 1 of 3)"


def test_a_worker_that_was_taken_for_dead_publishes_nothing(
    catalog: ProductCatalog, workers: Workers, tmp_path: Path
) -> None:
    catalog.begin(TARGET, "paused")
    wait_until_dead(workers)
    workers.died(TARGET, "paused", "no sign of life")
    catalog.begin(TARGET, "next")

    def publish() -> None:
        raise AssertionError("published what another run makes")

    with pytest.raises(StateError, match="held by next: run paused lost it"):
        catalog.record_product(TARGET, "measurement_set", tmp_path, {}, owner="paused", show=publish)
    workers.beat(TARGET, "paused")
    catalog.fail(TARGET, "the paused run's fault", owner="paused")
    workers.release(TARGET, "paused")
    assert (catalog.group(TARGET).state, catalog.group(TARGET).owner) == ("in_progress", "next")
    assert catalog.record_product(TARGET, "measurement_set", tmp_path, {}, owner="next").run == "next"


def test_a_group_that_kills_its_workers_is_given_up(catalog: ProductCatalog, workers: Workers) -> None:
    found = []
    for run in ("a", "b", "c"):
        catalog.begin(TARGET, run)
        found.append(workers.died(TARGET, run, "out of memory"))
    assert found == ["pending", "pending", "failed"]
    assert catalog.group(TARGET).reason == "out of memory, 3 times in succession: given up"
    catalog.reopen(TARGET, "more memory now")
    catalog.begin(TARGET, "d")
    assert workers.died(TARGET, "d", "out of memory") == "pending"


def test_a_run_that_cannot_begin_counts_as_an_attempt(catalog: ProductCatalog, workers: Workers) -> None:
    assert workers.could_not_begin(TARGET, "run 1", "no such module") == "pending"
    assert catalog.group(TARGET).retries == 1
    catalog.begin(TARGET, "run 2")
    assert workers.could_not_begin(TARGET, "run 1", "no such module") == "in_progress"


def test_between_runs_nobody_holds_a_group_and_it_is_not_dead(
    catalog: ProductCatalog, workers: Workers
) -> None:
    catalog.begin(TARGET, "convert")
    with pytest.raises(StateError, match="held by run convert, so run image leaves it alone"):
        workers.hold(TARGET, "image")
    workers.release(TARGET, "convert")
    time.sleep(2 * QUICK.dead_after_s)
    assert dead(workers) == []
    workers.hold(TARGET, "image")
    assert catalog.group(TARGET).owner == "image"


def test_stages_made_again_by_hand_take_up_failed_groups_and_leave_completed_ones_so(
    catalog: ProductCatalog, workers: Workers, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="is pending, expected in_progress: convert it first"):
        workers.hold(TARGET, "image")
    catalog.begin(TARGET, "convert")
    catalog.fail(TARGET, "no calibrator")
    workers.hold(TARGET, "image")
    assert [step.to_state for step in catalog.transitions(TARGET)][-3:] == [
        "failed",
        "pending",
        "in_progress",
    ]
    catalog.complete(TARGET)
    workers.hold(TARGET, "again")
    catalog.record_product(TARGET, "image", tmp_path, {}, owner="again")
    catalog.fail(TARGET, "broken this time", owner="again")
    assert catalog.group(TARGET).state == "completed"


def test_groups_are_watched_one_by_one(catalog: ProductCatalog, workers: Workers, tmp_path: Path) -> None:
    catalog.register(registration(CALIBRATOR, tmp_path), ready=True)
    catalog.begin(TARGET, "run 1")
    catalog.begin(CALIBRATOR, "run 2")
    time.sleep(2 * QUICK.dead_after_s)
    workers.beat(CALIBRATOR, "run 2")
    assert [group.key for group in Workers(workers.engine, QUICK).dead()][:1] == [TARGET]
