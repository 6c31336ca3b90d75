"""Sensors start what is ready, once, the newest first, and keep their hands off what is taken."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from dagster import (
    DagsterEvent,
    DagsterInstance,
    RunRequest,
    SensorDefinition,
    SensorResult,
    SkipReason,
    build_run_status_sensor_context,
    build_sensor_context,
)
from dagster._core.execution.plan.objects import StepFailureData

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import CALIBRATOR_SCAN, OBSERVATION_GROUP, add_keys
from contimg_assets.radio.grouping import BadFile
from contimg_assets.radio.uvh5 import SubbandHeader
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource, StoreResource
from contimg_assets.sensors import incoming
from contimg_assets.sensors.alarms import alarms, sender
from contimg_assets.sensors.alerts import failed_checks, failed_runs, pointing_changes
from contimg_assets.sensors.calibrators import calibrator_scans
from contimg_assets.sensors.imaging import images_due
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.sensors.workers import dead_workers
from contimg_assets.settings import Settings
from contimg_assets.station import incoming_folder
from contimg_assets.station.arrivals import Arrivals
from contimg_assets.station.deliveries import waiting
from contimg_assets.station.folder_watch import FolderWatch
from contimg_assets.station.incoming_folder import IncomingFolder
from contimg_assets.station.leases import new_command
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import (
    BAND_HZ,
    CALIBRATOR,
    TARGET,
    FakeStages,
    only_one_calibrator,
    record_verdict,
    registration,
    solutions,
    write_tables,
)
from contimg_assets_tests.radio.subband_files import START, file_name, write_group
from contimg_assets_tests.station.sinks import web_sink

REPOSITORY = Path(__file__).parent.parent.parent
Look = Callable[[float], list[str]]


@pytest.fixture
def records(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> StationRecords:
    only_one_calibrator(monkeypatch)
    settings.incoming_folder.mkdir()
    return DatabaseResource().records()


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def look(settings: Settings, records: StationRecords) -> Look:
    """One look at the incoming folder at a time given in s; the keys that became ready."""
    watch = FolderWatch(settings.incoming_folder, events=False)
    folder = IncomingFolder(settings.incoming_folder, records, NotifierResource().notifier(), watch)

    def once(now: float) -> list[str]:
        return [str(group.key) for group in folder.look(now)]

    return once


def tick(sensor: SensorDefinition, instance: DagsterInstance) -> SensorResult | SkipReason:
    context = build_sensor_context(
        instance=instance,
        resources={"database": DatabaseResource(), "storage": StoreResource(), "alerts": NotifierResource()},
    )
    return cast(SensorResult | SkipReason, sensor(context))


def requests(result: SensorResult | SkipReason) -> list[RunRequest]:
    return list(result.run_requests or []) if isinstance(result, SensorResult) else []


# -- files ----------------------------------------------------------------------------------


def test_a_group_is_ready_when_all_its_files_have_been_still(
    look: Look, settings: Settings, records: StationRecords
) -> None:
    write_group(settings.incoming_folder, jitter_s=30)
    assert look(1000) == []
    assert look(1004) == []
    assert look(1005) == [TARGET]
    assert records.group(TARGET).state == "pending"
    assert look(1100) == []


def test_a_file_that_still_grows_is_not_opened(
    look: Look, settings: Settings, records: StationRecords
) -> None:
    *_, last = write_group(settings.incoming_folder)
    content = last.read_bytes()
    last.write_bytes(content[:1000])
    look(1000)
    last.write_bytes(content)
    assert look(1010) == []
    assert records.group(TARGET).state == "collecting"
    assert look(1016) == [TARGET]


def test_twelve_subbands_wait_for_the_timeout_and_eleven_for_ever(
    look: Look, settings: Settings, records: StationRecords
) -> None:
    write_group(settings.incoming_folder, subbands=range(12))
    later = START + timedelta(hours=2)
    write_group(settings.incoming_folder, later, subbands=range(11))
    look(0)
    assert look(899) == []
    assert records.group(TARGET).state == "collecting"
    assert look(900) == [TARGET]
    group = records.group(TARGET)
    assert (group.state, group.missing_subbands) == ("pending", [12, 13, 14, 15])
    assert look(100_000) == []
    rejected = records.group(CALIBRATOR)
    assert rejected.state == "failed"
    assert rejected.reason.startswith("11 of 16 subbands, at least 12 are needed")
    alerts = [alert for alert in NotifierResource().notifier().recent() if alert["kind"] == "rejected_group"]
    assert [alert["subject"] for alert in alerts] == [CALIBRATOR]


def test_a_truncated_file_is_named_and_its_group_goes_on_without_it(
    look: Look, settings: Settings, records: StationRecords
) -> None:
    paths = write_group(settings.incoming_folder)
    paths[3].write_bytes(paths[3].read_bytes()[:3000])
    look(0)
    assert look(900) == []  # a last look into the file
    assert look(910) == [TARGET]
    assert records.group(TARGET).missing_subbands == [3]
    alert = NotifierResource().notifier().recent()[-1]
    assert (alert["kind"], alert["subject"]) == ("bad_file", str(paths[3]))


def again(settings: Settings, records: StationRecords) -> Look:
    """The looks of a process that has just started."""
    watch = FolderWatch(settings.incoming_folder, events=False)
    folder = IncomingFolder(settings.incoming_folder, records, NotifierResource().notifier(), watch)
    return lambda now: [str(group.key) for group in folder.look(now)]


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no header be read."""

    def refuse(paths: Iterable[Path]) -> tuple[list[SubbandHeader], list[BadFile]]:
        assert [*paths] == []
        return [], []

    monkeypatch.setattr(incoming_folder, "read_headers", refuse)


def outcomes(records: StationRecords, settings: Settings) -> dict[str, int]:
    return {k: n for k, n in Arrivals(records.engine, settings.incoming_folder).counts().items() if n}


def test_a_new_process_knows_what_has_been_dealt_with_and_opens_nothing(
    settings: Settings, records: StationRecords, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_group(settings.incoming_folder)
    copy = settings.incoming_folder / file_name(4, START + timedelta(seconds=7))
    copy.write_bytes(paths[4].read_bytes())
    write_group(settings.incoming_folder, START + timedelta(hours=2), subbands=range(3))
    look(0)
    assert look(10) == [TARGET]
    look(1000)
    assert outcomes(records, settings) == {"used": 19, "duplicate": 1}
    records.begin(TARGET, "run 1")
    records.complete(TARGET)
    no_reading(monkeypatch)
    restarted = again(settings, records)
    assert restarted(1010) == restarted(3000) == []
    assert [records.group(key).state for key in (TARGET, CALIBRATOR)] == ["completed", "failed"]


def test_files_of_a_group_that_another_process_has_taken_are_no_late_ones(
    settings: Settings, records: StationRecords, look: Look
) -> None:
    """`contimg process` on the same folder, or a station database without the account of files."""
    paths = write_group(settings.incoming_folder)
    files = {int(path.stem[-2:]): path for path in paths}
    records.register(registration(TARGET, settings.home, files=files), ready=True)
    records.begin(TARGET, "foreground")
    look(0)
    assert look(10) == []
    assert outcomes(records, settings) == {"used": 16}


def test_a_second_file_of_a_subband_is_compared_before_its_group_is_taken(
    settings: Settings, records: StationRecords, look: Look
) -> None:
    paths = write_group(settings.incoming_folder)
    look(0)
    rival = settings.incoming_folder / file_name(4, START + timedelta(seconds=7))
    rival.write_bytes(paths[4].read_bytes()[:-1] + b"?")
    assert look(5) == []
    assert look(10) == []
    assert look(904) == []
    assert look(905) == [TARGET]
    assert records.group(TARGET).missing_subbands == [4]
    assert outcomes(records, settings) == {"used": 15, "refused": 2}


def test_a_late_file_is_accounted_for_and_changes_nothing(
    settings: Settings, records: StationRecords, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, last = write_group(settings.incoming_folder)
    content = last.read_bytes()
    last.unlink()
    look(0)
    assert look(900) == [TARGET]
    records.begin(TARGET, "run 1")
    last.write_bytes(content)
    look(1000)
    assert look(1010) == []
    assert outcomes(records, settings) == {"used": 15, "late": 1}
    (late,) = Arrivals(records.engine, settings.incoming_folder).not_used(10)
    assert (late.name, late.group_key) == (last.name, TARGET)
    assert late.reason == "came when the group was in_progress already, with 15 subbands"
    assert records.group(TARGET).missing_subbands == [15]
    no_reading(monkeypatch)
    look(1020)


def test_a_copy_that_waits_to_be_read_holds_its_group_past_the_timeout(
    settings: Settings, records: StationRecords, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a catch-up, where files wait longer for their turn than the timeout."""
    monkeypatch.setattr(incoming_folder, "HEADERS_PER_LOOK", 16)
    paths = write_group(settings.incoming_folder)
    copy = settings.incoming_folder / file_name(4, START - timedelta(seconds=60))
    copy.write_bytes(paths[4].read_bytes())
    look(0)
    assert look(1000) == []
    assert look(1001) == [TARGET]
    assert outcomes(records, settings) == {"used": 16, "duplicate": 1}


@pytest.mark.parametrize(("change", "outcome"), [(b"", "duplicate"), (b"?", "refused")])
def test_a_second_file_of_a_subband_in_use_is_compared_whenever_and_by_whomever_it_is_found(
    settings: Settings, records: StationRecords, look: Look, change: bytes, outcome: str
) -> None:
    paths = write_group(settings.incoming_folder)
    look(0)
    other_process = again(settings, records)
    other_process(1)
    assert look(10) == [TARGET]
    records.begin(TARGET, "run 1")
    content = paths[4].read_bytes()
    copy = settings.incoming_folder / file_name(4, START + timedelta(seconds=7))
    copy.write_bytes(content[: len(content) - len(change)] + change)
    for looks, now in ((look, 20), (other_process, 20), (look, 30), (other_process, 30)):
        assert looks(now) == []
    assert outcomes(records, settings) == {"used": 16, outcome: 1}


def test_a_late_file_is_taken_while_its_group_is_pending(
    settings: Settings, records: StationRecords, look: Look
) -> None:
    *_, last = write_group(settings.incoming_folder)
    content = last.read_bytes()
    last.unlink()
    look(0)
    assert look(900) == [TARGET]
    last.write_bytes(content)
    look(1000)
    look(1010)
    look(1020)
    assert look(1030) == [TARGET]
    assert (records.group(TARGET).state, records.group(TARGET).missing_subbands) == ("pending", [])
    assert outcomes(records, settings) == {"used": 16}


def test_a_group_that_was_rejected_is_taken_when_the_transfer_goes_on(
    settings: Settings, records: StationRecords, look: Look
) -> None:
    paths = write_group(settings.incoming_folder)
    contents = [path.read_bytes() for path in paths]
    for path in paths[9:]:
        path.unlink()
    paths[8].write_bytes(contents[8][:4000])
    look(0)
    look(900)
    assert look(910) == []
    assert records.group(TARGET).state == "failed"
    assert outcomes(records, settings) == {"used": 8, "refused": 1}
    for path, content in zip(paths[8:], contents[8:], strict=True):
        path.write_bytes(content)
    look(5000)
    look(5010)
    look(5020)
    assert look(5030) == [TARGET]
    assert [step.to_state for step in records.transitions(TARGET)] == ["collecting", "failed", "pending"]
    assert outcomes(records, settings) == {"used": 16}


def test_a_file_that_could_not_be_read_is_read_again_before_it_is_refused(
    settings: Settings, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_group(settings.incoming_folder)
    reading = incoming_folder.read_headers

    def fail(paths: Iterable[Path]) -> tuple[list[SubbandHeader], list[BadFile]]:
        return [], [BadFile(path, "Input/output error") for path in paths]

    monkeypatch.setattr(incoming_folder, "read_headers", fail)
    look(0)
    assert look(10) == []
    monkeypatch.setattr(incoming_folder, "read_headers", reading)
    assert look(900) == []
    assert look(910) == [TARGET]


def test_unreadable_files_of_no_group_are_accounted_for(
    settings: Settings, records: StationRecords, look: Look
) -> None:
    (settings.incoming_folder / file_name(3)).write_bytes(b"not HDF5")
    for now in (0, 900, 910, 920):
        look(now)
    (refused,) = Arrivals(records.engine, settings.incoming_folder).not_used(10)
    assert (refused.outcome, refused.group_key) == ("refused", None)
    assert "expected a complete HDF5 file" in refused.reason


def test_a_catch_up_reads_a_bounded_number_of_headers_and_cuts_no_group(
    look: Look, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming_folder, "HEADERS_PER_LOOK", 24)
    for number in range(3):
        write_group(settings.incoming_folder, START + timedelta(minutes=6 * number))
    look(0)
    # The newest first; the half that was read of the next one waits, even past the timeout.
    assert look(2000) == ["2026-01-15T03:12:00"]
    assert look(2001) == ["2026-01-15T03:00:00", "2026-01-15T03:06:00"]


# -- runs -----------------------------------------------------------------------------------


def pending(records: StationRecords, home: Path, *keys: str) -> None:
    for key in keys:
        records.register(registration(key, home), ready=True)


def test_pending_groups_are_started_newest_first_and_not_too_many(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    keys = [f"2026-01-{day:02d}T03:00:00" for day in range(1, 29)]
    pending(records, home, *keys)
    result = tick(incoming_groups, instance)
    asked = requests(result)
    assert [request.partition_key for request in asked] == keys[:3:-1]
    assert all(request.run_key == request.partition_key for request in asked)
    assert isinstance(result, SensorResult)
    (added,) = result.dynamic_partitions_requests or []
    assert set(keys[4:]) == set(added.partition_keys)


def test_live_groups_go_before_a_catch_up(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    live = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%S")
    pending(records, home, live, TARGET)
    priorities = [
        int(request.tags["dagster/priority"]) for request in requests(tick(incoming_groups, instance))
    ]
    assert priorities[0] > priorities[1]


def test_groups_that_a_foreground_command_holds_are_left_alone(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    pending(records, home, TARGET, CALIBRATOR)
    leases, command = DatabaseResource().leases(), new_command()
    with leases.living(command):
        assert leases.take(TARGET, command, "contimg process")
        asked = [request.partition_key for request in requests(tick(incoming_groups, instance))]
    assert asked == [CALIBRATOR]


def test_a_catch_up_keeps_the_queue_short_and_live_groups_always_find_room(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    job = build_defs({"stages": FakeStages()}).resolve_job_def("convert_group")
    keys = [f"2026-01-{day:02d}T{hour:02d}:00:00" for day in range(1, 29) for hour in (3, 4)]
    pending(records, home, *keys)
    for expected in (24, 24, 0):
        asked = requests(tick(incoming_groups, instance))
        assert len(asked) == expected
        for request in asked:
            add_keys(instance, str(request.partition_key), calibrator=False)
            instance.create_run_for_job(job, tags={"dagster/partition": str(request.partition_key)})
    live = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%S")
    pending(records, home, live)
    (request,) = requests(tick(incoming_groups, instance))
    assert (request.partition_key, request.tags["dagster/priority"]) == (live, "10")
    assert request.tags["dagster-celery/queue"] == "live"


def test_a_reopened_group_gets_a_run_key_of_its_own(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    pending(records, home, TARGET)
    records.begin(TARGET, "run 1")
    records.fail(TARGET, "broken")
    DatabaseResource().leases().release("run 1")
    records.reopen(TARGET, "asked")
    (request,) = requests(tick(incoming_groups, instance))
    assert request.run_key == f"{TARGET} retry 1"


def test_files_that_arrive_become_a_run_a_partition_and_an_arrival(
    records: StationRecords, settings: Settings, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_INGEST__SETTLE_S", "0")
    incoming.get_settings.cache_clear()
    write_group(settings.incoming_folder)
    result = tick(incoming_groups, instance)
    assert isinstance(result, SensorResult)
    assert [request.partition_key for request in requests(result)] == [TARGET]
    (arrived,) = result.asset_events
    assert (arrived.asset_key.to_user_string(), arrived.partition) == ("uvh5_subbands", TARGET)
    assert isinstance(tick(incoming_groups, instance), SensorResult), records.group(TARGET).state


def test_keys_of_groups_that_were_done_long_ago_are_retired(
    records: StationRecords, home: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending(records, home, TARGET)
    add_keys(instance, TARGET, calibrator=False)
    records.begin(TARGET, "run 1")
    records.complete(TARGET)
    assert isinstance(tick(incoming_groups, instance), SkipReason)
    monkeypatch.setenv("CONTIMG_INGEST__HOT_WINDOW_DAYS", "1e-9")
    incoming.get_settings.cache_clear()
    result = tick(incoming_groups, instance)
    assert isinstance(result, SensorResult)
    (removed,) = result.dynamic_partitions_requests or []
    assert (removed.partitions_def_name, removed.partition_keys) == (OBSERVATION_GROUP, [TARGET])


def converted(records: StationRecords, home: Path, key: str, **changes: object) -> None:
    records.register(registration(key, home, **changes), ready=True)
    records.begin(key, f"run of {key}")
    numbers = {"channel_low_hz": BAND_HZ[0], "channel_high_hz": BAND_HZ[1]}
    records.record_product(key, "measurement_set", home, numbers)
    records.record_product(key, "flags", home, {})
    DatabaseResource().leases().release(f"run of {key}")


def test_a_converted_calibrator_scan_is_solved_once(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    converted(records, home, TARGET)
    converted(records, home, CALIBRATOR, calibrator_name="J0834+555", calibrator_apparent_jy=7.9)
    result = tick(calibrator_scans, instance)
    assert isinstance(result, SensorResult)
    assert [request.partition_key for request in requests(result)] == [CALIBRATOR]
    (added,) = result.dynamic_partitions_requests or []
    assert (added.partitions_def_name, added.partition_keys) == (CALIBRATOR_SCAN, [CALIBRATOR])
    records.record_product(CALIBRATOR, "calibration_tables", home, {})
    assert isinstance(tick(calibrator_scans, instance), SkipReason)


def test_a_group_is_imaged_as_soon_as_a_calibration_covers_it(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    converted(records, home, TARGET)
    pending(records, home, CALIBRATOR)
    assert isinstance(tick(images_due, instance), SkipReason)
    tables = write_tables(home / "solved")
    registry = DatabaseResource().registry()
    name = registry.register(solutions(CALIBRATOR, tables=tables), home / "solved")
    # Registered and not judged yet: it calibrates nothing.
    assert isinstance(tick(images_due, instance), SkipReason)
    registry.conclude(name, [])
    assert [request.partition_key for request in requests(tick(images_due, instance))] == [TARGET]
    records.record_product(TARGET, "image", home, {})
    assert isinstance(tick(images_due, instance), SkipReason)


#: As a worker of its own: takes the lease as ``begin`` does, and lives until it is killed.
WORKER = """
import sys, time
from contimg_assets.resources.dagster_resources import DatabaseResource
with DatabaseResource().leases().living(sys.argv[2]):
    DatabaseResource().records().begin(sys.argv[1], sys.argv[2])
    print("begun", flush=True)
    time.sleep(3600)
"""


def test_a_worker_that_was_killed_is_buried_and_its_group_asked_for_again(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    pending(records, home, TARGET)
    add_keys(instance, TARGET, calibrator=False)
    job = build_defs({"stages": FakeStages()}).resolve_job_def("convert_group")
    run = instance.create_run_for_job(job, tags={"dagster/partition": TARGET})
    command = [sys.executable, "-c", WORKER, TARGET, run.run_id]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "begun\n"
        tick(dead_workers, instance)
        assert records.group(TARGET).state == "in_progress"
        assert requests(tick(incoming_groups, instance)) == []
        worker.kill()
    tick(dead_workers, instance)
    assert (records.group(TARGET).state, records.group(TARGET).retries) == ("pending", 1)
    finished = instance.get_run_by_id(run.run_id)
    assert finished is not None
    assert finished.is_failure
    (request,) = requests(tick(incoming_groups, instance))
    assert request.run_key == f"{TARGET} retry 1"
    assert NotifierResource().notifier().recent()[-1]["kind"] == "worker_died"


def test_moves_of_the_telescope_are_told(
    records: StationRecords, home: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.register(registration(TARGET, home), ready=False)
    records.register(registration(CALIBRATOR, home, declination_deg=16.27), ready=False)
    monkeypatch.setenv("CONTIMG_INGEST__TIMEOUT_S", "0")
    incoming.get_settings.cache_clear()
    for _ in range(2):
        tick(pointing_changes, instance)
    (alert,) = NotifierResource().notifier().recent()
    assert (alert["kind"], alert["subject"]) == ("pointing", CALIBRATOR)
    assert "declination +54.570° → +16.270°" in alert["message"]


def test_a_group_waits_for_its_calibration_until_its_deadline(
    records: StationRecords, home: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reason and deadline are kept; past it a run is asked for, which takes a fallback or is refused."""
    converted(records, home, TARGET)
    assert isinstance(tick(images_due, instance), SkipReason)
    selection = DatabaseResource().selection()
    waits = selection.waits()
    assert "holds no set" in waits[TARGET].reason
    assert waits[TARGET].deadline > datetime.now(UTC) + timedelta(hours=13)
    monkeypatch.setenv("CONTIMG_CALIBRATION__DEADLINE_HOURS", "0")
    incoming.get_settings.cache_clear()
    assert [request.partition_key for request in requests(tick(images_due, instance))] == [TARGET]
    assert selection.waits() == {}


# -- alerts ---------------------------------------------------------------------------------


def test_bad_verdicts_are_told_once_and_a_bounded_number_at_a_time(
    records: StationRecords, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after Dagster's own database is lost, and with it the sensors' cursors."""
    monkeypatch.setattr("contimg_assets.sensors.alerts.ALERTS_PER_TICK", 2)
    pending(records, home, TARGET)
    for status in ("PASS", "WARN", "ERROR", "ERROR"):
        limits = {"value": 2.0, "soft": 1.5, "hard": 3.0, "limits_version": "1"}
        record_verdict(records, TARGET, "image_qa", "rms_ratio", status=status, **limits)
    told = []
    for _ in range(4):
        with DagsterInstance.ephemeral() as instance:
            tick(failed_checks, instance)
        told.append(len(NotifierResource().notifier().recent()))
    assert told == [2, 3, 3, 3]
    alerts = NotifierResource().notifier().recent()
    assert [alert["kind"] for alert in alerts] == ["check_failed"] * 3
    # One WARN is no alarm.
    assert [alert["severity"] for alert in alerts] == ["log", "tell", "tell"]
    assert {alert["cause"] for alert in alerts} == {"image_qa.rms_ratio"}


def test_the_cursor_of_a_release_before_is_taken_over(records: StationRecords, home: Path) -> None:
    pending(records, home, TARGET)
    for _ in range(2):
        limits = {"value": 2.0, "soft": 1.5, "hard": 1.8, "limits_version": "1"}
        record_verdict(records, TARGET, "image_qa", "rms_ratio", status="ERROR", **limits)
    (first, _) = records.bad_verdicts_after(0, 10)
    with DagsterInstance.ephemeral() as instance:
        resources = {
            "database": DatabaseResource(),
            "storage": StoreResource(),
            "alerts": NotifierResource(),
        }
        failed_checks(build_sensor_context(instance=instance, cursor=str(first.id), resources=resources))
    assert len(NotifierResource().notifier().recent()) == 1


def test_the_sensor_of_alarms_queues_messages_and_waits_for_no_address(
    records: StationRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that it starts sends them: to one that takes it, and to one that is not there."""
    with web_sink() as web, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = f"json://127.0.0.1:{taken.getsockname()[1]}/x"
        monkeypatch.setenv("CONTIMG_NOTIFY_URLS", f"{away} {web.url}")
        NotifierResource().notifier().send("run_failed", TARGET, "why", cause="image: ImagingError")
        with DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert isinstance(tick(alarms, instance), SkipReason)
        assert sender.process is not None
        sender.process.wait(300)
        assert "contimg: a run failed: image: ImagingError" in web.titles
    queue = waiting(records.engine)
    assert {each.address for each in queue} == {"environment-1"}
    assert all(each.attempts == 1 and each.error for each in queue)


def tell_sensor(instance: DagsterInstance, event: DagsterEvent, run_id: str) -> None:
    """Let the sensor of failed runs see the end of one."""
    finished = instance.get_run_by_id(run_id)
    assert finished is not None
    context = build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=finished,
        resources={"database": DatabaseResource(), "storage": StoreResource(), "alerts": NotifierResource()},
    ).for_run_failure()
    failed_runs(context)


def tell_of_failed_run(
    home: Path,
    records: StationRecords,
    instance: DagsterInstance,
    *,
    before: bool,
    interrupted: bool = False,
) -> None:
    """A run that was killed (or interrupted), and its alert; the group goes on before or after its end."""
    pending(records, home, TARGET)
    add_keys(instance, TARGET, calibrator=False)
    job = build_defs({"stages": FakeStages()}).resolve_job_def("convert_group")
    run = instance.create_run_for_job(job, tags={"dagster/partition": TARGET})
    if before:
        records.begin(TARGET, run.run_id)
    if interrupted:
        DatabaseResource().interruptions().put_back(
            TARGET, run.run_id, "interrupted by SIGTERM", "interrupted"
        )
        DatabaseResource().leases().release(run.run_id)
    event = instance.report_run_failed(run, "the run worker is gone")
    if not before:
        records.begin(TARGET, "a later run")
    tell_sensor(instance, event, run.run_id)


def test_the_group_of_a_run_that_was_killed_is_pending_again_and_told(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    tell_of_failed_run(home, records, instance, before=True)
    group = records.group(TARGET)
    assert (group.state, group.retries) == ("pending", 1)
    assert group.reason == "convert_group: the run worker is gone (attempt 1 of 3)"
    alert = NotifierResource().notifier().recent()[-1]
    assert (alert["kind"], alert["subject"]) == ("run_failed", TARGET)


def test_a_group_that_another_run_has_taken_since_is_left_to_it(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    tell_of_failed_run(home, records, instance, before=False)
    held = DatabaseResource().leases().held()[TARGET]
    assert (records.group(TARGET).state, held.owner) == ("in_progress", "a later run")


def test_a_run_that_found_its_group_taken_does_not_fail_it_when_its_holder_has_ended(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    """The holder is between two of its runs when the alert of the other run is told."""
    pending(records, home, TARGET)
    add_keys(instance, TARGET, calibrator=False)
    records.begin(TARGET, "the holder")
    job = build_defs({"stages": FakeStages()}).resolve_job_def("convert_group")
    result = job.execute_in_process(
        instance=instance,
        partition_key=TARGET,
        raise_on_error=False,
        tags={"dagster/sensor_name": "incoming_groups"},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert not result.success
    DatabaseResource().leases().release("the holder")
    (event,) = (event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    tell_sensor(instance, event, result.run_id)
    assert records.group(TARGET).state == "in_progress"
    assert NotifierResource().notifier().recent()[-1]["kind"] == "run_failed"


def test_groups_whose_folder_is_away_wait_and_that_is_told_once(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    for key in (TARGET, CALIBRATOR):
        pending(records, home / "away", key)
    for _ in range(2):
        assert requests(tick(incoming_groups, instance)) == []
    for key in (TARGET, CALIBRATOR):
        group = records.group(key)
        assert (group.state, group.retries) == ("pending", 0)
        assert group.reason.startswith(f"{home / 'away'}: the folder is not there; looked at again at ")
    alerts = NotifierResource().notifier().recent()
    assert [(alert["kind"], alert["subject"]) for alert in alerts] == [("storage", str(home / "away"))]


def test_a_run_that_failed_because_it_was_interrupted_is_no_alert_and_its_group_goes_on(
    records: StationRecords, home: Path, instance: DagsterInstance
) -> None:
    tell_of_failed_run(home, records, instance, before=True, interrupted=True)
    group = records.group(TARGET)
    assert (group.state, group.reason) == ("pending", "interrupted by SIGTERM")
    assert NotifierResource().notifier().recent() == []


@pytest.mark.parametrize("step_failed", [False, True])
def test_an_imaging_run_that_was_killed_before_it_took_its_group_lets_it_go_on(
    records: StationRecords, home: Path, instance: DagsterInstance, *, step_failed: bool
) -> None:
    """Its group was converted, and nobody's; one whose step failed has failed."""
    pending(records, home, TARGET)
    records.begin(TARGET, "convert")
    DatabaseResource().leases().release("convert")
    job = build_defs({"stages": FakeStages()}).resolve_job_def("image_group")
    run = instance.create_run_for_job(job, tags={"dagster/partition": TARGET})
    if step_failed:
        failed = StepFailureData(error=None, user_failure_data=None)
        event = DagsterEvent("STEP_FAILURE", "image_group", event_specific_data=failed)
        instance.report_dagster_event(event, run.run_id)
    event = instance.report_run_failed(run, "the run worker is gone")
    tell_sensor(instance, event, run.run_id)
    group = records.group(TARGET)
    assert (group.state, group.retries) == (("failed", 0) if step_failed else ("pending", 1))
