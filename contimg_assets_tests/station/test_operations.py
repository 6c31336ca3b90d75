"""Operations need no Dagster: the same functions over a launcher that only moves the groups."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import StateError
from contimg_assets.settings import Settings
from contimg_assets.station.leases import Leases
from contimg_assets.station.make_again import Step
from contimg_assets.station.operations import (
    CONVERT,
    IMAGE,
    PROCESS,
    SOLVE,
    Operations,
    RunResult,
    sole_owner,
)
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration


class Launcher:
    """Runs that take a group through its states."""

    def __init__(self, records: StationRecords, leases: Leases) -> None:
        self.records = records
        self.leases = leases
        self.ran: list[tuple[str, str]] = []
        self.waiting: set[str] = set()
        self.holders: set[str] = set()

    def run(self, job: str, key: str, owner: str, step: Step | None = None) -> RunResult:
        assert step is None
        self.ran.append((job, key))
        self.holders.add(self.leases.held()[key].owner)
        if job in (CONVERT, PROCESS):
            self.records.begin(key, owner, explicit=True)
        else:
            self.leases.hold(key, owner)
        if job in (IMAGE, PROCESS):
            self.records.complete(key)
        return RunResult(True)

    def unfinished_keys(self) -> set[str]:
        return self.waiting

    def announce(self, key: str, files: Mapping[int, Path], *, calibrator: bool) -> None:
        pass

    def commands_with_runs(self) -> set[str]:
        return set()

    def end(self, owner: str, message: str) -> None:
        raise AssertionError(f"{owner}: {message}")


@pytest.fixture
def launcher(engine: Engine, home: Path) -> Launcher:
    records = StationRecords(engine)
    records.register(registration(TARGET, home), ready=True)
    records.register(
        registration(CALIBRATOR, home, calibrator_name="J0834+555", calibrator_apparent_jy=7.9), ready=True
    )
    return Launcher(records, Leases(engine, Settings().ingest))


@pytest.fixture
def operations(launcher: Launcher, settings: Settings) -> Operations:
    return Operations(settings, launcher.records, launcher.leases, launcher, name="a test")


def test_a_group_is_made_again_under_the_commands_lease(operations: Operations, launcher: Launcher) -> None:
    for _ in range(2):
        (outcome,) = operations.reprocess(CALIBRATOR)
        assert (outcome.status, outcome.reason) == ("completed", "")
    assert launcher.ran == [(job, CALIBRATOR) for job in (CONVERT, SOLVE, IMAGE)] * 2
    (first, second) = launcher.holders
    assert first != second
    assert launcher.leases.held() == {}


def test_a_group_that_waits_between_its_runs_is_taken_up_from_its_flags_or_from_its_files(
    operations: Operations, launcher: Launcher
) -> None:
    launcher.records.begin(TARGET, "run 1")
    launcher.leases.release("run 1")
    (outcome,) = operations.reprocess(TARGET, keep_flags=True)
    assert (outcome.status, launcher.ran) == ("completed", [(IMAGE, TARGET)])
    launcher.records.begin(TARGET, "run 2", explicit=True)
    launcher.leases.release("run 2")
    assert operations.reprocess(TARGET)[0].status == "completed"
    assert launcher.ran[1:] == [(PROCESS, TARGET)]


def test_a_group_that_somebody_holds_or_that_has_a_run_is_left_alone_and_says_so(
    operations: Operations, launcher: Launcher
) -> None:
    launcher.records.begin(TARGET, "run 1")
    (outcome,) = operations.reprocess(TARGET)
    assert outcome.status == "busy"
    assert outcome.reason.startswith(f"group {TARGET} is held by run run 1 on ")
    assert "last sign of life" in outcome.reason
    launcher.waiting.add(CALIBRATOR)
    (outcome,) = operations.reprocess(CALIBRATOR)
    assert (outcome.status, outcome.bad) == ("busy", False)
    assert launcher.ran == []
    assert set(launcher.leases.held()) == {TARGET}


def test_a_group_is_reopened_on_request_unless_somebody_holds_it(
    operations: Operations, launcher: Launcher
) -> None:
    operations.reprocess(TARGET)
    with (
        sole_owner(launcher.leases, operations.store, launcher, TARGET, "contimg flags restore"),
        pytest.raises(StateError, match="is held by contimg flags restore on "),
    ):
        operations.reopen(TARGET, "asked")
    operations.reopen(TARGET, "asked")
    assert launcher.records.group(TARGET).state == "pending"
