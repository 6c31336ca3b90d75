"""Groups move only as drawn, are started once, and bad verdicts stop them."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError, StateError, VerdictError
from contimg_assets.settings import IngestOptions
from contimg_assets.station.leases import Leases
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, record_verdict, registration

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> StationRecords:
    records = StationRecords(engine)
    records.register(registration(TARGET, tmp_path), ready=True)
    return records


def release(records: StationRecords, run: str) -> None:
    """The run has ended."""
    Leases(records.engine, IngestOptions()).release(run)


def states(records: StationRecords) -> list[str]:
    return [step.to_state for step in records.transitions(TARGET)]


def verdict(
    records: StationRecords, status: str, check: str = "n_dead_antennas", value: float = 41.0
) -> None:
    record_verdict(
        records,
        TARGET,
        "measurement_set_qa",
        check,
        status=status,
        value=value,
        soft=10.0,
        hard=40.0,
        limits_version="1",
    )


def test_a_group_goes_from_collecting_to_completed_and_every_step_is_kept(records: StationRecords) -> None:
    records.begin(TARGET, "run 1")
    records.complete(TARGET)
    assert states(records) == ["collecting", "pending", "in_progress", "completed"]


def test_a_group_without_enough_files_is_collecting_and_says_why(
    records: StationRecords, tmp_path: Path
) -> None:
    records.register(registration(CALIBRATOR, tmp_path, reason="9 of 16 subbands"), ready=False)
    group = records.group(CALIBRATOR)
    assert (group.state, group.reason) == ("collecting", "9 of 16 subbands")
    with pytest.raises(StateError, match="is collecting, expected pending"):
        records.begin(CALIBRATOR, "run 1", explicit=True)


def test_a_second_run_does_not_start_a_group_but_a_retry_of_the_first_does(records: StationRecords) -> None:
    records.begin(TARGET, "run 1")
    with pytest.raises(StateError, match=r"is held by run run 1 on .*, so run run 2 leaves it alone"):
        records.begin(TARGET, "run 2", explicit=True)
    records.begin(TARGET, "run 1")
    assert states(records).count("in_progress") == 1


@pytest.mark.parametrize("done", ["completed", "failed"])
def test_a_group_that_is_done_starts_again_on_request_only(records: StationRecords, done: str) -> None:
    records.begin(TARGET, "run 1")
    records.complete(TARGET) if done == "completed" else records.fail(TARGET, "no calibrator")
    release(records, "run 1")
    with pytest.raises(StateError, match=f"is {done}"):
        records.begin(TARGET, "run 2")
    records.begin(TARGET, "run 3", explicit=True)
    assert states(records)[-3:] == [done, "pending", "in_progress"]
    assert records.group(TARGET).retries == 1


def test_late_files_never_reopen_a_completed_group(records: StationRecords, tmp_path: Path) -> None:
    records.begin(TARGET, "run 1")
    records.complete(TARGET)
    late = registration(TARGET, tmp_path / "elsewhere", missing_subbands=[3])
    assert records.register(late, ready=True).state == "completed"
    assert records.group(TARGET).missing_subbands == []


def test_files_that_come_before_the_start_are_taken(records: StationRecords, tmp_path: Path) -> None:
    assert records.register(registration(TARGET, tmp_path / "moved"), ready=True).state == "pending"
    assert "moved" in records.group(TARGET).files["0"]


def test_only_what_is_done_can_be_reopened(records: StationRecords) -> None:
    with pytest.raises(StateError, match="only a completed or failed group"):
        records.reopen(TARGET, "why not")
    records.begin(TARGET, "run 1")
    records.fail(TARGET, "broken")
    assert states(records)[-2:] == ["in_progress", "failed"]
    records.reopen(TARGET, "asked")
    assert (records.group(TARGET).state, records.group(TARGET).reason) == ("pending", "asked")


def test_only_drawn_transitions_exist_and_each_has_time_and_reason(
    records: StationRecords, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="is pending: it cannot become completed"):
        records.complete(TARGET)
    with pytest.raises(StateError, match="is pending: it cannot become failed"):
        records.fail(TARGET, "no")
    records.begin(TARGET, "run 1")
    records.reject(TARGET, "too few")  # of a group that is collecting only
    records.complete(TARGET)
    with pytest.raises(StateError, match="is completed: it cannot become failed"):
        records.fail(TARGET, "no")
    records.register(registration(TARGET, tmp_path, missing_subbands=[1, 2]), ready=True)
    steps = records.transitions(TARGET)
    assert [step.to_state for step in steps] == ["collecting", "pending", "in_progress", "completed"]
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert steps[2].reason == "started by run run 1"


def test_a_rejected_group_is_taken_when_its_files_have_come_and_a_failed_one_is_not(
    records: StationRecords, tmp_path: Path
) -> None:
    few = registration(CALIBRATOR, tmp_path, reason="9 of 16 subbands", missing_subbands=list(range(7)))
    records.register(few, ready=False)
    records.reject(CALIBRATOR, "9 of 16 subbands")
    assert records.register(few, ready=False).state == "failed"
    group = records.register(registration(CALIBRATOR, tmp_path), ready=True)
    assert (group.state, group.missing_subbands) == ("pending", [])
    records.begin(CALIBRATOR, "run 1")
    records.fail(CALIBRATOR, "no")
    assert records.register(registration(CALIBRATOR, tmp_path), ready=True).state == "failed"


def test_what_a_product_took_is_kept_for_every_time_it_was_made(
    records: StationRecords, tmp_path: Path
) -> None:
    for retry in range(2):
        records.begin(TARGET, f"run {retry}", explicit=True)
        numbers = {"stage_seconds": 10.0 + retry, "peak_memory_mb": 500.0, "writer": "direct"}
        records.record_product(TARGET, "measurement_set", tmp_path, numbers, owner=f"run {retry}")
        records.complete(TARGET)
        release(records, f"run {retry}")
    found = [(row.retry, row.run, row.writer, row.seconds) for row in records.performance(TARGET)]
    assert found == [(0, "run 0", "direct", 10.0), (1, "run 1", "direct", 11.0)]


def test_an_unknown_group_is_named(records: StationRecords) -> None:
    with pytest.raises(MissingInputError, match=CALIBRATOR):
        records.begin(CALIBRATOR, "run 1")


def test_of_real_processes_that_start_one_group_at_once_one_succeeds(
    engine: Engine, records: StationRecords
) -> None:
    url = engine.url.render_as_string(hide_password=False)
    # Each says that it is ready and waits for the word, so that they begin together.
    program = f"""
import sys
from contimg_assets.radio.errors import StateError
from contimg_assets.station.database import engine_for
from contimg_assets.station.products import StationRecords
records = StationRecords(engine_for({url!r}))
print("ready", flush=True)
sys.stdin.readline()
try:
    records.begin({TARGET!r}, sys.argv[1], explicit=True)
    print("started")
except StateError:
    print("refused")
"""
    command = [sys.executable, "-c", program]
    processes = [
        subprocess.Popen(
            [*command, f"run {number}"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = sorted(process.communicate()[0].strip() for process in processes)
    assert outcomes == ["refused", "refused", "refused", "started"]
    assert states(records).count("in_progress") == 1


def test_a_product_made_again_replaces_its_record(records: StationRecords, tmp_path: Path) -> None:
    records.record_product(TARGET, "image", tmp_path, {"rms_mjy_beam": 0.4})
    records.record_product(TARGET, "image", tmp_path, {"rms_mjy_beam": 0.3, "peak": float("nan"), "l": [1.0]})
    assert records.product(TARGET, "image").numbers == {"rms_mjy_beam": 0.3, "peak": None, "l": [1.0]}
    with pytest.raises(MissingInputError, match="image_qa"):
        records.product(TARGET, "image_qa")


def test_a_group_is_due_until_the_product_is_newer_than_what_it_is_made_from(
    records: StationRecords, tmp_path: Path
) -> None:
    records.begin(TARGET, "run 1")

    def due() -> list[str]:
        return [group.key for group in records.due("flags", "image", "in_progress")]

    assert due() == []
    records.record_product(TARGET, "flags", tmp_path, {})
    assert due() == [TARGET]
    records.record_product(TARGET, "image", tmp_path, {})
    assert due() == []
    records.record_product(TARGET, "flags", tmp_path, {})
    assert due() == [TARGET]
    assert records.due("flags", "image", "in_progress", calibrators_only=True) == []


def test_the_last_verdict_of_each_check_decides(records: StationRecords) -> None:
    records.refuse_errors(TARGET, "measurement_set_qa")
    verdict(records, "ERROR")
    with pytest.raises(VerdictError, match="n_dead_antennas is 41, hard limit 40"):
        records.refuse_errors(TARGET, "measurement_set_qa")
    verdict(records, "PASS", check="zero_fraction", value=0.0)
    with pytest.raises(VerdictError):
        records.refuse_errors(TARGET, "measurement_set_qa")
    verdict(records, "WARN", value=11.0)
    records.refuse_errors(TARGET, "measurement_set_qa")


def test_a_verdict_on_a_number_without_a_limit_any_more_does_not_count(records: StationRecords) -> None:
    verdict(records, "ERROR", check="number_of_a_former_version")
    records.refuse_errors(TARGET, "measurement_set_qa")
