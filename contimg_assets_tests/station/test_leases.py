"""A lease has one owner, lasts while it lives, and decides who publishes."""

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from contimg_assets.radio.errors import StateError
from contimg_assets.settings import IngestOptions
from contimg_assets.station.database import database_now, reading, transaction
from contimg_assets.station.interruptions import Interruptions
from contimg_assets.station.leases import Leases, new_command
from contimg_assets.station.models import Lease
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> StationRecords:
    records = StationRecords(engine)
    records.register(registration(TARGET, tmp_path), ready=True)
    records.register(registration(CALIBRATOR, tmp_path), ready=True)
    return records


@pytest.fixture
def leases(engine: Engine) -> Leases:
    return Leases(engine, IngestOptions())


def owners(leases: Leases) -> dict[str, str]:
    return {key: held.owner for key, held in leases.held().items()}


def age(leases: Leases, seconds: float) -> None:
    """Let every holder have been silent for so long."""
    with transaction(leases.engine) as session:
        at = session.scalars(select(database_now())).one()
        session.execute(update(Lease).values(heartbeat=at - timedelta(seconds=seconds)))


def test_the_databases_clock_has_fractions_of_a_second_and_goes_on_within_a_transaction(
    engine: Engine,
) -> None:
    with reading(engine) as session:
        first = session.scalars(select(database_now())).one()
        time.sleep(0.3)
        later = session.scalars(select(database_now())).one()
    # The pause, to the millisecond that SQLite's clock gives; no upper bound on a loaded machine.
    assert later - first >= timedelta(seconds=0.299)
    assert first.tzinfo is not None


PROGRAM = """
import sys
from contimg_assets.settings import IngestOptions
from contimg_assets.station.database import engine_for
from contimg_assets.station.leases import Leases
leases = Leases(engine_for(sys.argv[1]), IngestOptions())
print("ready", flush=True)
sys.stdin.readline()
print(len(leases.take_many(sys.argv[3:], sys.argv[2], "a test")))
"""


def test_of_real_processes_that_take_a_group_at_once_one_succeeds(
    records: StationRecords, leases: Leases
) -> None:
    url = records.engine.url.render_as_string(hide_password=False)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, f"run {number}", *keys],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # In both orders: they must not wait for one another.
        for number, keys in enumerate([(TARGET, CALIBRATOR), (CALIBRATOR, TARGET)] * 2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sum(int(process.communicate()[0]) for process in processes) == 2
    assert set(owners(leases)) == {TARGET, CALIBRATOR}


def test_a_command_holds_its_groups_for_its_length_and_gets_none_that_somebody_holds(
    records: StationRecords, leases: Leases
) -> None:
    records.begin(TARGET, "run 1")
    command = new_command()
    with leases.living(command):
        assert leases.take_many([TARGET, CALIBRATOR], command, "contimg process") == {CALIBRATOR}
        assert owners(leases) == {TARGET: "run 1", CALIBRATOR: command}
        assert leases.take(CALIBRATOR, command, "contimg process")
        assert str(leases.held()[CALIBRATOR]).startswith("contimg process (last sign of life ")
    assert owners(leases) == {TARGET: "run 1"}


@pytest.mark.usefixtures("records")
def test_a_sign_of_life_is_for_all_groups_of_an_owner_and_no_others(leases: Leases) -> None:
    leases.take_many([TARGET], "a", "a")
    leases.take_many([CALIBRATOR], "b", "b")
    age(leases, 61)
    leases.beat("b")
    _, expired = leases.expired()
    assert [held.key for held in expired] == [TARGET]
    assert expired[0].silent_s >= 61
    age(leases, 30)
    assert leases.expired()[1] == []


@pytest.mark.usefixtures("records")
def test_while_it_lives_a_holder_beats_by_itself(engine: Engine) -> None:
    quick = Leases(engine, IngestOptions(heartbeat_s=0.02))
    with quick.living("a"):
        quick.take(TARGET, "a", "a")
        first = quick.held()[TARGET].heartbeat
        deadline = time.monotonic() + 60
        while quick.held()[TARGET].heartbeat == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_worker_that_was_taken_for_dead_publishes_nothing(
    records: StationRecords, leases: Leases, tmp_path: Path
) -> None:
    records.begin(TARGET, "paused")
    assert leases.died(TARGET, "paused", "no sign of life") == "pending"
    records.begin(TARGET, "next")

    def publish() -> None:
        raise AssertionError("published what another run makes")

    with pytest.raises(StateError, match=r"is held by run next on .*, so run paused leaves it alone"):
        records.record_product(TARGET, "measurement_set", tmp_path, {}, owner="paused", show=publish)
    leases.beat("paused")
    records.fail(TARGET, "the paused run's fault", owner="paused")
    leases.release("paused")
    assert leases.died(TARGET, "paused", "no sign of life") == "in_progress"
    assert (records.group(TARGET).state, owners(leases)[TARGET]) == ("in_progress", "next")
    assert records.record_product(TARGET, "measurement_set", tmp_path, {}, owner="next").run == "next"


def test_a_command_that_was_taken_for_dead_does_not_begin_again(
    records: StationRecords, leases: Leases
) -> None:
    command = new_command()
    leases.take(TARGET, command, "contimg process")
    records.begin(TARGET, command)
    leases.died(TARGET, command, "no sign of life")
    with pytest.raises(StateError, match="is held by nobody"):
        records.begin(TARGET, command)
    with pytest.raises(StateError, match="is held by nobody"):
        leases.hold(TARGET, command)
    assert owners(leases) == {}


def test_a_group_that_kills_its_workers_is_given_up(records: StationRecords, leases: Leases) -> None:
    found = []
    for run in ("a", "b", "c"):
        records.begin(TARGET, run)
        found.append(leases.died(TARGET, run, "out of memory"))
    assert found == ["pending", "pending", "failed"]
    assert records.group(TARGET).reason == "out of memory, 3 times in succession: given up"
    records.reopen(TARGET, "more memory now")
    records.begin(TARGET, "d")
    assert leases.died(TARGET, "d", "out of memory") == "pending"


def test_a_run_that_cannot_begin_counts_as_an_attempt(records: StationRecords, leases: Leases) -> None:
    assert leases.could_not_begin(TARGET, "run 1", "no such module") == "pending"
    assert records.group(TARGET).retries == 1
    # Several look for such runs, at the same time.
    assert leases.could_not_begin(TARGET, "run 1", "neither Redis nor a worker has it") == "pending"
    assert not Interruptions(leases.engine).give_back(TARGET, "run 1", "connection refused", "storage")
    assert records.group(TARGET).retries == 1, "one run counted twice"
    assert leases.take(CALIBRATOR, "command", "contimg process")
    assert leases.could_not_begin(CALIBRATOR, "run 1", "no such module") == "pending"
    assert records.group(CALIBRATOR).retries == 0, "counted against a group that a command holds"
    records.begin(TARGET, "run 2")
    assert leases.could_not_begin(TARGET, "run 1", "no such module") == "in_progress"


def test_a_run_that_is_lost_before_it_takes_a_converted_group_costs_it_an_attempt(
    records: StationRecords, leases: Leases
) -> None:
    """Between two runs a group is in progress and nobody's: it goes back, as if its worker had died."""
    records.begin(TARGET, "convert")
    leases.release("convert")
    told = "neither Redis nor a worker has it"
    assert leases.could_not_begin(TARGET, "image", told) == "pending"
    assert records.group(TARGET).retries == 1
    assert records.group(TARGET).reason.startswith(f"run image ended before it took the group: {told}")
    # Whoever else finds the run finds it counted.
    assert leases.could_not_begin(TARGET, "image", "killed") == "pending"
    assert records.group(TARGET).retries == 1


def test_between_runs_nobody_holds_a_group(records: StationRecords, leases: Leases) -> None:
    records.begin(TARGET, "convert")
    with pytest.raises(StateError, match=r"held by run convert on .*, so run image leaves it alone"):
        leases.hold(TARGET, "image")
    leases.release("convert")
    age(leases, 3600)
    assert leases.expired()[1] == []
    leases.hold(TARGET, "image")
    assert owners(leases) == {TARGET: "image"}


def test_stages_made_again_by_hand_take_up_failed_groups_and_leave_completed_ones_so(
    records: StationRecords, leases: Leases, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="is pending, expected in_progress: convert it first"):
        leases.hold(TARGET, "image")
    assert owners(leases) == {}
    records.begin(TARGET, "convert")
    records.fail(TARGET, "no calibrator")
    # A sibling step of the run that failed leaves the group, and its reason, alone.
    with pytest.raises(StateError, match="has failed: no calibrator"):
        leases.hold(TARGET, "convert")
    assert records.group(TARGET).reason == "no calibrator"
    leases.release("convert")
    leases.hold(TARGET, "image")
    assert [step.to_state for step in records.transitions(TARGET)][-3:] == [
        "failed",
        "pending",
        "in_progress",
    ]
    records.complete(TARGET)
    leases.release("image")
    leases.hold(TARGET, "again")
    records.record_product(TARGET, "image", tmp_path, {}, owner="again")
    records.fail(TARGET, "broken this time", owner="again")
    assert leases.died(TARGET, "again", "killed") == "completed"
    assert owners(leases) == {}
