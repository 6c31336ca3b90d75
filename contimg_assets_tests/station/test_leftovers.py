"""What killed processes left goes at once, with what it had put in place; what the living have stays."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.process_marks import marked
from contimg_assets.settings import IngestOptions
from contimg_assets.station import leftovers, publication, retention
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.lease_judge import Judge
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import Lease
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration, solutions, write_tables
from contimg_assets_tests.station.test_lease_judge import NotedRuns

Mark = Callable[[str], str]


@pytest.fixture(scope="module")
def ended() -> Mark:
    """Marks names as a process did that has ended."""
    code = "from contimg_assets.radio.process_marks import marked; print(marked('x'))"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return lambda label: f"{label}.{name.strip().partition('.')[2]}"


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> StationRecords:
    records = StationRecords(engine)
    for key in (TARGET, CALIBRATOR):
        records.register(registration(key, tmp_path), ready=True)
    return records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def publish(records: StationRecords, store: Store, product: str = "image") -> Path:
    with store.staging(TARGET, product) as folder:
        (folder / "built").mkdir()
        (folder / "built" / "data").write_text(os.urandom(4).hex())
        publication.publish(records, store, folder / "built", TARGET, product, {})
    return publication.content(records, store, TARGET, product)


def killed_while_publishing(store: Store, mark: Mark, product: str = "image") -> tuple[Path, Path]:
    """A process was killed after its content and link were in place, before the row; staging and content."""
    staging = store.path(TARGET, ".staging") / mark(f"{product}-0123456789ab")
    (staging / "built").mkdir(parents=True)
    placed = store.place(staging / "built", TARGET, product)
    store.point(placed.link, placed.path)
    return staging, placed.path


def test_the_judge_sweeps_what_the_dead_left_and_nothing_of_the_living(
    records: StationRecords, store: Store, ended: Mark
) -> None:
    current = publish(records, store)
    staging, content = killed_while_publishing(store, ended)
    living = [
        store.scratch / marked("image-0123456789ab"),
        store.path(TARGET, ".staging") / marked("flags-0"),
    ]
    dead = [store.scratch / ended("image-0123456789ab"), store.calibration / ".staging" / ended("set-0")]
    unmarked = store.scratch / "flag-0123456789ab"
    for folder in (*living, *dead, unmarked):
        folder.mkdir(parents=True)
    text = store.home / ended(".alerts.jsonl.0123456789ab")
    text.write_text("half")
    leases = Leases(records.engine, IngestOptions())
    leases.take(TARGET, "run 1", "run 1")
    Judge(leases, store).bury(NotedRuns())
    assert staging.exists(), "the group is held by somebody who lives"
    assert not any(folder.exists() for folder in (*dead, text))
    with records.engine.begin() as connection:
        connection.execute(update(Lease).values(process=f"{_identity(staging)}", pid=_pid(staging)))
    (buried,) = Judge(leases, store).bury(NotedRuns())
    assert buried.key == TARGET
    assert not staging.exists()
    assert not content.exists()
    assert store.path(TARGET, "image").resolve() == current
    assert all(folder.is_dir() for folder in (*living, unmarked))


def _pid(folder: Path) -> int:
    return int(folder.name.rpartition(".")[2].split("-")[1])


def _identity(folder: Path) -> str:
    from contimg_assets.radio.process_marks import process_identity

    mine = process_identity(os.getpid())
    assert mine is not None
    return f"{mine.rpartition(' ')[0]} {folder.name.rpartition('-')[2]}"


def test_what_a_dead_holder_of_another_machine_left_goes_with_its_lease(
    records: StationRecords, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(records, store)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("contimg_assets.radio.process_marks._machine", lambda: "boot pid:[9]")
        leases = Leases(records.engine, IngestOptions(heartbeat_s=0.1, dead_after_s=0.2))
        leases.take(TARGET, "run 1", "run 1 on n9")
        left = [
            store.scratch / marked("image-0123456789ab"),
            store.path(TARGET, ".staging") / marked("image-0123456789ab"),
        ]
        for folder in left:
            folder.mkdir(parents=True)
    other = store.scratch / "image-0123456789ab.01234567-12-345"
    other.mkdir()
    retention.carry_out(records.engine, store, retention.plan(records.engine, store, 0.0))
    assert all(folder.exists() for folder in left), "nobody has said that it is dead"
    while not Judge(leases, store).bury(NotedRuns()):
        pass
    assert not any(folder.exists() for folder in left)
    assert other.exists()


def test_a_process_that_holds_another_group_keeps_its_scratch(records: StationRecords, store: Store) -> None:
    """A worker's run was lost with the database away; the worker lives, and has another run."""
    leases = Leases(records.engine, IngestOptions())
    leases.take(TARGET, "run 1", "run 1")
    leases.take(CALIBRATOR, "run 2", "run 2")
    scratch = store.scratch / marked("image-0123456789ab")
    scratch.mkdir(parents=True)
    held = leases.held()
    Judge(leases, store).hand_back(TARGET, held[TARGET], "lost")
    assert scratch.is_dir()
    Judge(leases, store).hand_back(CALIBRATOR, held[CALIBRATOR], "lost")
    assert not scratch.exists()


def test_retention_lists_what_the_dead_left_and_removes_it_at_once(
    records: StationRecords, store: Store, ended: Mark
) -> None:
    current = publish(records, store)
    staging, content = killed_while_publishing(store, ended)
    link = content.with_name(ended(f"{content.name}.0123.link"))
    link.symlink_to(content.name)
    planned = retention.plan(records.engine, store, 24.0)
    assert {item.path for item in planned} == {staging, link}
    retention.carry_out(records.engine, store, planned)
    assert sorted(current.parent.iterdir()) == [current]
    assert store.path(TARGET, "image").resolve() == current
    assert retention.plan(records.engine, store, 24.0) == []


def test_content_whose_row_was_entered_stays(records: StationRecords, store: Store, ended: Mark) -> None:
    """The process was killed after the commit, before its staging folder was gone."""
    current = publish(records, store)
    staging = store.path(TARGET, ".staging") / ended("image-0123456789ab")
    staging.mkdir(parents=True)
    (staging / "placed").symlink_to(current.name)
    leftovers.sweep_group(records, store, TARGET, leftovers.of_group(store, TARGET))
    assert current.is_dir()
    assert not staging.exists()


def test_a_database_that_does_not_know_the_group_costs_no_content(
    engine: Engine, store: Store, ended: Mark
) -> None:
    staging, content = killed_while_publishing(store, ended)
    leftovers.sweep(StationRecords(engine), store, [staging])
    assert content.is_dir()


def test_a_publication_whose_withdrawal_failed_is_settled_later(
    records: StationRecords, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was away for both; the process lives on, as a worker does."""
    current = publish(records, store)

    def away(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(records, "record_product", away)
        patched.setattr(publication, "put_link_right", away)
        with pytest.raises(ConnectionError):
            publish(records, store)
    assert len(list(current.parent.iterdir())) == 2
    left = leftovers.of_group(store, TARGET)
    assert [path.name.startswith(".trash-image-") for path in left] == [True]
    leftovers.sweep_group(records, store, TARGET, left)
    assert sorted(current.parent.iterdir()) == [current]


def test_a_calibration_set_whose_registration_was_cut_short_is_withdrawn(
    records: StationRecords, store: Store, tmp_path: Path, ended: Mark
) -> None:
    registry = CalibrationRegistry(records.engine, CalibrationOptions(), store.calibration)
    found = solutions(CALIBRATOR, tables=write_tables(tmp_path / "solved"))
    entered = registry.register(found, tmp_path / "solved")
    lost = f"{entered[:-8]}01234567"
    state = (store.calibration / entered / "registry.json").read_text()
    (store.calibration / entered).rename(store.calibration / lost)
    (store.calibration / lost / "registry.json").write_text(state.replace(entered, lost))
    again = registry.register(found, tmp_path / "solved")
    for name in (lost, again):
        folder = store.calibration / ".staging" / ended(name)
        folder.mkdir()
        (folder / "placed").symlink_to(name)
    # Told by a transaction that did not come through.
    sidecar = store.calibration / again / "registry.json"
    right = sidecar.read_text()
    sidecar.write_text(right.replace('"pending"', '"retired"'))
    leftovers.sweep(records, store, leftovers.shared(store))
    assert not (store.calibration / lost).exists()
    assert sidecar.read_text() == right
    assert list((store.calibration / ".staging").iterdir()) == []
