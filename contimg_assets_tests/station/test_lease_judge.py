"""The dead are found, and nobody healthy is taken for dead: not after an outage of the database either."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.exc import OperationalError

from contimg_assets.radio.process_marks import is_gone, process_identity
from contimg_assets.settings import IngestOptions
from contimg_assets.station import database
from contimg_assets.station.lease_judge import Buried, Judge
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import Lease
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration

REPOSITORY = Path(__file__).parent.parent.parent
OPTIONS = IngestOptions(heartbeat_s=1.0, dead_after_s=3.0)
BUSY_MS = 200


class NotedRuns:
    """Runs of an installation that has none; notes which ones were to be ended."""

    def __init__(self, *commands: str) -> None:
        self.commands = set(commands)
        self.ended: dict[str, str] = {}

    def commands_with_runs(self) -> set[str]:
        return self.commands

    def end(self, owner: str, message: str) -> None:
        self.ended[owner] = message


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> StationRecords:
    records = StationRecords(engine)
    for key in (TARGET, CALIBRATOR):
        records.register(registration(key, tmp_path), ready=True)
    return records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Leases:
    # A database that is locked says so soon.
    monkeypatch.setattr(database, "SQLITE_BUSY_MS", BUSY_MS)
    engine.dispose()
    return Leases(engine, OPTIONS)


WORKER = f"""
import sys, time
from contimg_assets.settings import IngestOptions
from contimg_assets.station import database
from contimg_assets.station.leases import Leases
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
database.SQLITE_BUSY_MS = {BUSY_MS}
engine = database.create(sys.argv[1])
with Leases(engine, IngestOptions(heartbeat_s={OPTIONS.heartbeat_s})).living(sys.argv[3]):
    StationRecords(engine).begin(sys.argv[2], sys.argv[3])
    print("begun", flush=True)
    time.sleep(3600)
"""


@contextmanager
def worker(engine: Engine, key: str, owner: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a group and gives signs of life, killed at the latest at the end."""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", WORKER, url, key, owner]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def elsewhere(leases: Leases, key: str) -> None:
    """Let a holder be of another machine, so that only its signs of life tell of it."""
    with database.transaction(leases.engine) as session:
        session.execute(update(Lease).where(Lease.key == key).values(host="elsewhere", process=""))


@contextmanager
def away(engine: Engine, server: Callable[[], PostgresServer]) -> Iterator[None]:
    """The database does not answer (PostgreSQL), or takes no writes (SQLite)."""
    if engine.dialect.name == "postgresql":
        server().stop()
        try:
            yield
        finally:
            server().start()
        return
    connection = sqlite3.connect(str(engine.url.database), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


def bury_at_last(judge: Judge, told: list[str]) -> list[Buried]:
    """Judge as often as a sensor would, until somebody is dead; each attempt in vain must say why."""
    for attempt in range(100):
        if found := judge.bury(NotedRuns()):
            late = [text for text in told if "did not answer in time" in text]
            assert len(late) == attempt
            return found
    raise AssertionError(told)


def test_after_an_outage_the_living_are_left_alone_and_the_dead_are_found(
    request: pytest.FixtureRequest, records: StationRecords, leases: Leases, store: Store
) -> None:
    """An outage longer than the limit, at whose end a living holder's last sign of life is too old.

    The first look after it finds both holders expired: one that was killed during the outage,
    and one that lives and has just not been able to beat.  That is ensured by stopping it until the
    judge has taken its first look; and the next one comes after its sign of life, however slow it is.
    """
    told: list[str] = []

    def resume(text: str) -> None:
        told.append(text)
        if not text.startswith("waiting"):
            return
        before = leases.held()[TARGET].heartbeat
        os.kill(living.pid, signal.SIGCONT)
        deadline = time.monotonic() + 300
        while leases.held()[TARGET].heartbeat == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    judge = Judge(leases, store, resume)
    with (
        worker(leases.engine, TARGET, "living") as living,
        worker(leases.engine, CALIBRATOR, "killed") as killed,
    ):
        elsewhere(leases, TARGET)
        elsewhere(leases, CALIBRATOR)
        with away(leases.engine, lambda: request.getfixturevalue("postgres_server")):
            end = time.monotonic() + 1.5 * OPTIONS.dead_after_s
            killed.kill()
            while time.monotonic() < end:
                with pytest.raises(OperationalError):
                    judge.bury(NotedRuns())
                time.sleep(0.1)
            os.kill(living.pid, signal.SIGSTOP)
        (buried,) = bury_at_last(judge, told)
        assert "run killed" in told[0]
        assert "run living" in told[0], "the living one had not been expired: nothing was shown"
        assert (buried.key, buried.state) == (CALIBRATOR, "pending")
        assert buried.message.endswith("gave no sign of life for 3 s")
        # And it is not suspected any more.
        assert set(leases.held()) == {TARGET}
        assert records.group(TARGET).state == "in_progress"


def test_a_killed_process_of_this_machine_is_dead_at_once_and_a_living_one_is_not(
    records: StationRecords, leases: Leases, store: Store
) -> None:
    judge, runs = Judge(Leases(leases.engine, IngestOptions()), store), NotedRuns()
    with worker(leases.engine, TARGET, "doomed") as process:
        assert judge.bury(runs) == []
        process.kill()
        process.wait()
        (buried,) = judge.bury(runs)
    assert (buried.key, buried.state) == (TARGET, "pending")
    assert records.transitions(TARGET)[-1].reason.endswith("has ended (attempt 1 of 3)")
    assert set(runs.ended) == {"doomed"}
    assert judge.bury(runs) == []


def test_a_death_that_could_not_be_told_is_found_again(
    records: StationRecords, leases: Leases, store: Store
) -> None:
    """The disk is full, or the judge is killed: no group goes back without an alert."""

    def full(*_: str) -> None:
        raise OSError(28, "No space left on device")

    judge, told = Judge(Leases(leases.engine, IngestOptions()), store), []
    with worker(leases.engine, TARGET, "doomed") as process:
        process.kill()
        process.wait()
    with pytest.raises(OSError, match="No space left"):
        judge.bury(NotedRuns(), full)
    assert records.group(TARGET).state == "in_progress"
    judge.bury(NotedRuns(), lambda key, message: told.append((key, message)))
    assert [key for key, _ in told] == [TARGET]
    assert records.group(TARGET).state == "pending"


def test_runs_of_a_command_that_holds_nothing_any_more_are_ended(
    records: StationRecords, leases: Leases, store: Store
) -> None:
    leases.take(TARGET, "command-living", "contimg process")
    runs = NotedRuns("command-living", "command-dead")
    assert Judge(leases, store).bury(runs) == []
    assert set(runs.ended) == {"command-dead"}
    assert records.group(TARGET).state == "pending"


def test_processes_are_told_apart_by_when_they_began() -> None:
    mine = process_identity(os.getpid())
    assert mine is not None
    assert not is_gone(os.getpid(), mine)
    assert is_gone(os.getpid(), mine + "1"), "an earlier process with the same pid"
    assert not is_gone(os.getpid(), "another machine " + mine)
    assert not is_gone(os.getpid(), "")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        theirs = process_identity(child.pid)
        assert theirs is not None
        child.kill()
        # Not fetched by its parent yet, and so still listed: it has ended all the same.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(child.pid, theirs)
