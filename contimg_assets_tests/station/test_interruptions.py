"""Work that is broken off goes back uncounted, waits where it must, and what stands of it is found."""

from pathlib import Path, PurePosixPath

import pytest
from sqlalchemy import Engine, update

from contimg_assets.settings import IngestOptions
from contimg_assets.station.database import transaction
from contimg_assets.station.interruptions import Interruptions
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import DIED, INTERRUPTED, STORAGE, ObservationGroup
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import TARGET, registration

MADE_WITH = {"options": {"niter": 3}}


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> StationRecords:
    found = StationRecords(engine)
    found.register(registration(TARGET, tmp_path), ready=True)
    return found


@pytest.fixture
def leases(engine: Engine) -> Leases:
    return Leases(engine, IngestOptions())


@pytest.fixture
def interruptions(engine: Engine) -> Interruptions:
    return Interruptions(engine)


def make(records: StationRecords, home: Path, product: str, owner: str, *inputs: int) -> int:
    path = PurePosixPath(f"products/{product}-{owner}")
    (home / path).mkdir(parents=True, exist_ok=True)
    version = records.record_product(
        TARGET, product, path, {}, owner=owner, inputs=inputs, settings=MADE_WITH
    )
    return version.id


def test_interruptions_and_storage_are_no_attempts_and_three_deaths_are(
    records: StationRecords, leases: Leases, interruptions: Interruptions
) -> None:
    for number, cause in enumerate([INTERRUPTED, STORAGE] * 4):
        records.begin(TARGET, f"run {number}")
        assert interruptions.put_back(TARGET, f"run {number}", "broken off", cause)
        leases.release(f"run {number}")
    found = []
    for run in ("a", "b", "c"):
        records.begin(TARGET, run)
        found.append(leases.died(TARGET, run, "killed"))
        assert interruptions.last(TARGET) == (DIED if found[-1] == "pending" else None)
    assert found == ["pending", "pending", "failed"]
    assert records.group(TARGET).reason == "killed, 3 times in succession: given up"


def test_only_the_holder_puts_a_group_back_and_only_one_in_progress(
    records: StationRecords, leases: Leases, interruptions: Interruptions
) -> None:
    assert not interruptions.put_back(TARGET, "run 1", "broken off", INTERRUPTED)
    records.begin(TARGET, "run 1")
    assert not interruptions.put_back(TARGET, "run 2", "broken off", INTERRUPTED)
    assert not interruptions.give_back(TARGET, "run 2", "ended", INTERRUPTED)
    records.complete(TARGET)
    assert not interruptions.put_back(TARGET, "run 1", "broken off", INTERRUPTED)
    leases.release("run 1")
    assert records.group(TARGET).state == "completed"


def test_a_group_whose_run_was_ended_before_it_began_gets_another_name_for_the_next(
    records: StationRecords, interruptions: Interruptions
) -> None:
    assert interruptions.give_back(TARGET, "run 1", "run terminated by a person", INTERRUPTED)
    group = records.group(TARGET)
    assert (group.state, group.retries, group.reason) == ("pending", 1, "run terminated by a person")


def test_a_group_that_met_a_storage_fault_waits_longer_each_time(
    records: StationRecords, leases: Leases, interruptions: Interruptions, engine: Engine
) -> None:
    waits = []
    for run in ("a", "b", "c"):
        records.begin(TARGET, run)
        interruptions.put_back(TARGET, run, "/disk: no space left on device", STORAGE)
        leases.release(run)
        group = records.group(TARGET)
        assert group.not_before is not None
        waits.append(round((group.not_before - group.updated).total_seconds()))
        assert group.reason.startswith("/disk: no space left on device; looked at again at ")
        assert interruptions.startable(10) == []
        with transaction(engine) as session:
            session.execute(update(ObservationGroup).values(not_before=group.created))
        assert [each.key for each in interruptions.startable(10)] == [TARGET]
    assert waits == pytest.approx([15, 30, 60], abs=5)
    records.begin(TARGET, "d")
    assert records.group(TARGET).not_before is None


def test_a_pending_group_is_held_back_without_a_try(
    records: StationRecords, interruptions: Interruptions
) -> None:
    interruptions.hold_back([TARGET], "/incoming: the folder is not there")
    assert interruptions.startable(10) == []
    group = records.group(TARGET)
    assert (group.state, group.retries) == ("pending", 0)
    assert group.reason.startswith("/incoming: the folder is not there; looked at again at ")


@pytest.mark.parametrize("how", [INTERRUPTED, STORAGE, DIED])
def test_what_the_broken_off_work_has_made_stands(
    records: StationRecords, leases: Leases, interruptions: Interruptions, tmp_path: Path, how: str
) -> None:
    records.begin(TARGET, "a")
    ms = make(records, tmp_path, "measurement_set", "a")
    flags = make(records, tmp_path, "flags", "a", ms)

    def stands(product: str, *inputs: int, settings: dict[str, object] | None = None) -> bool:
        found = interruptions.standing(TARGET, product, tmp_path, settings or MADE_WITH, inputs)
        return found is not None

    assert not stands("measurement_set"), "nothing was broken off: it is made"
    for run in ("b", "c"):
        if how == DIED:
            leases.died(TARGET, "a" if run == "b" else "b", "killed")
        else:
            owner = "a" if run == "b" else "b"
            interruptions.put_back(TARGET, owner, "broken off", how)
            leases.release(owner)
        records.begin(TARGET, run)
        assert stands("measurement_set")
        assert stands("flags", ms)
        assert not stands("image", flags)
        assert not stands("flags", ms, flags), "other inputs"
        assert not stands("flags", ms, settings={"options": {"niter": 4}}), "other options"
    (tmp_path / "products" / "flags-a").rmdir()
    assert not stands("flags", ms), "it is gone from the disk"
    # A person who asks for it anew gets it anew.
    records.fail(TARGET, "a reason", owner="c")
    leases.release("c")
    records.reopen(TARGET, "asked")
    records.begin(TARGET, "d")
    assert not stands("measurement_set")


def test_a_pending_group_that_was_broken_off_can_be_begun_anew(
    records: StationRecords, interruptions: Interruptions, tmp_path: Path
) -> None:
    records.begin(TARGET, "a")
    make(records, tmp_path, "measurement_set", "a")
    interruptions.put_back(TARGET, "a", "broken off", INTERRUPTED)
    interruptions.begin_anew(TARGET, "a", "asked")
    records.begin(TARGET, "a")
    assert interruptions.standing(TARGET, "measurement_set", tmp_path, MADE_WITH, ()) is None
