"""Storage that is away, and a run that a person ends, at a station.  Minutes long: ``make test-long``."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import Expected, is_stage, processes_of
from contimg_assets_tests.end_to_end.station.conftest import PATIENT_S
from contimg_assets_tests.end_to_end.station.services import Station, station, wait_until
from contimg_assets_tests.end_to_end.station.stream import LONG_S, check, completed, observe
from contimg_assets_tests.end_to_end.station.test_faults import with_a_run
from contimg_assets_tests.mounts import full, small_disk

pytestmark = pytest.mark.long
#: Lengths of outages, s.
MINUTE_S, DATABASE_AWAY_S = 60.0, 90.0


def begin(made: Station, n_targets: int = 5) -> set[str]:
    """Six groups, two workers, and a run in hand; the groups' keys."""
    keys = observe(made.incoming, n_targets)
    made.environment["TINY_STAGE_S"] = "2"
    for name in ("one", "two"):
        made.start_worker(name)
    made.start_daemon()
    with_a_run(made, "one")
    return keys


def all_well(made: Station, keys: set[str]) -> None:
    """All groups are completed without a person, and no attempt was counted."""
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(made, Expected(keys))
    records = DatabaseResource().records()
    causes = {step.cause for key in keys for step in records.transitions(key)}
    assert causes <= {None, "storage"}, causes


def told(kind: str) -> list[tuple[str, str]]:
    alerts = NotifierResource().notifier().recent(1000)
    return [(alert["subject"], alert["message"]) for alert in alerts if alert["kind"] == kind]


def test_the_incoming_folder_is_away_for_a_minute(two_slots: Station) -> None:
    keys = begin(two_slots)
    away = two_slots.incoming.with_name("away")
    two_slots.incoming.rename(away)
    time.sleep(MINUTE_S)
    away.rename(two_slots.incoming)
    all_well(two_slots, keys)
    assert told("storage") == [(str(two_slots.incoming), "the folder is not there")]
    assert told("run_failed") == []


def test_the_home_is_full_for_a_minute(home: Path, postgres_server: PostgresServer) -> None:
    with (
        small_disk(home, 256),
        station(home, postgres_server, slots=2, dead_after_s=PATIENT_S) as made,
    ):
        keys = begin(made)
        with full(home):
            time.sleep(MINUTE_S)
        all_well(made, keys)
        assert {message for _, message in told("storage")} == {"no space left on device"}
        assert len(told("storage")) == 1
        assert told("run_failed") == []
    assert processes_of(home) == []


def test_postgresql_is_away_for_a_minute_and_a_half(two_slots: Station) -> None:
    keys = begin(two_slots)
    two_slots.server.stop()
    time.sleep(DATABASE_AWAY_S)
    two_slots.server.start()
    all_well(two_slots, keys)
    # Each who meets it is told of it in other words.
    ((subject, message),) = told("storage")
    assert (subject, message.partition(":")[0]) == ("database", "the database does not answer")
    assert told("run_failed") == []


def at_work(made: Station) -> bool:
    """Whether a stage is, or a program that one waits for."""
    return any(is_stage(told) or "sleep" in told for told in processes_of(made.home))


def end_run(made: Station, run_id: str) -> Callable[[], bool]:
    """End a run as the web UI does; whether it has ended."""
    with made.instance() as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_run_canceling(run)
        instance.run_coordinator.cancel_run(run_id)

    def ended() -> bool:
        with made.instance() as instance:
            run = instance.get_run_by_id(run_id)
            return run is not None and run.status == DagsterRunStatus.CANCELED

    return ended


def test_a_run_that_a_person_ends_is_cancelled_and_its_group_goes_on(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 1)
    two_slots.environment["TINY_STAGE_S"] = "10"
    two_slots.start_worker("one")
    two_slots.start_daemon()
    held = with_a_run(two_slots, "one")
    assert held.run is not None
    records = DatabaseResource().records()
    (key,) = [key for key, lease in DatabaseResource().leases().held().items() if lease.owner == held.run]
    began = time.monotonic()
    ended = end_run(two_slots, held.run)
    wait_until(lambda: not at_work(two_slots), 60, "the stage does not end")
    print(f"nothing of the stage was left {time.monotonic() - began:.1f} s after the termination", flush=True)
    wait_until(ended, 60, "the run is not cancelled")
    print(f"the run was cancelled {time.monotonic() - began:.1f} s after the termination", flush=True)
    (back,) = [step for step in records.transitions(key) if step.cause]
    assert (back.cause, back.reason) == ("interrupted", "run terminated by a person")
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(two_slots, Expected(keys))
