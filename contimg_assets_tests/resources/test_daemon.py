"""Of any number of daemons one works; the next takes over when it ends, however it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from sqlalchemy import create_engine, text

from contimg_assets.resources.daemon import LOCK, LOOK_EVERY_S, FileLock, PostgresLock
from contimg_assets.resources.instance import initialise, instance_configuration
from contimg_assets.settings import Settings
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.resources import daemon_definitions
from contimg_assets_tests.resources.daemon_definitions import INTERVAL_S, TICKS

#: Time that anything may take on a machine that does other things as well, s.
PATIENCE_S = 300


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What a lock is made of, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "daemon.lock")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    # A database of its own: a lock of this kind is the whole database's.
    return server.new_database()


class Process:
    """A process that tells in lines what it does."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[tuple[float, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.strip()))

    @property
    def told(self) -> list[str]:
        return [line for _, line in self.lines]

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


def until(true: Callable[[], object]) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + PATIENCE_S
        time.sleep(0.1)


def alive(first: str, *others: str, environment: str = "") -> list[int]:
    """Processes by words of their command line, the first of which is known; none that has ended."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(FileNotFoundError, PermissionError, ProcessLookupError):
            if not folder.name.isdecimal():
                continue
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0] != first or not set(others) <= set(words):
                continue
            if environment.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


@contextmanager
def counted(count: Callable[[], int]) -> Iterator[list[int]]:
    """The largest count at any look within the block."""
    most, stop = [0], threading.Event()

    def look() -> None:
        while not stop.wait(0.2):
            most[0] = max(most[0], count())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


class Keepers:
    """Processes that run a sleeper under a lock; a sleeper that finds another one alive ends at once."""

    def __init__(self, where: str, folder: Path) -> None:
        # So long that nobody else's has the same.
        self.length = str(10**6 + uuid.uuid4().int % 10**6)
        sole = ["flock", "--nonblock", "--no-fork", str(folder / "sole"), "sleep", self.length]
        self.command = [sys.executable, str(Path(__file__).parent / "one_daemon.py"), where, *sole]
        self.processes: list[Process] = []

    def start(self) -> Process:
        """Another one."""
        self.processes.append(Process(*self.command))
        return self.processes[-1]

    def sleeper(self) -> int | None:
        """The one that is alive."""
        found = alive("sleep", self.length)
        assert len(found) < 2
        return found[0] if found else None


@pytest.fixture
def keepers(where: str, tmp_path: Path) -> Iterator[Keepers]:
    keepers = Keepers(where, tmp_path)
    yield keepers
    for process in keepers.processes:
        process.kill()
    until(lambda: keepers.sleeper() is None)


def test_the_second_waits_and_takes_over_from_one_that_is_killed(keepers: Keepers) -> None:
    first = keepers.start()
    until(lambda: first.told == ["running"] and keepers.sleeper())
    second = keepers.start()
    until(lambda: second.told == ["waiting"])
    before = keepers.sleeper()
    first.kill()
    until(lambda: second.told == ["waiting", "running"] and keepers.sleeper())
    assert keepers.sleeper() != before
    # A daemon that ends by itself ends its keeper.
    os.kill(keepers.sleeper() or 0, signal.SIGKILL)
    assert second.process.wait(PATIENCE_S) == 1
    third = keepers.start()
    until(lambda: third.told == ["running"] and keepers.sleeper())
    third.process.send_signal(signal.SIGTERM)
    assert third.process.wait(PATIENCE_S) == 0
    until(lambda: keepers.sleeper() is None)


@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
def test_when_the_locks_connection_is_gone_the_daemon_is_killed(keepers: Keepers, where: str) -> None:
    keeper = keepers.start()
    until(keepers.sleeper)
    before = keepers.sleeper()
    engine = create_engine(where, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        holders = "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database "
        holders += "WHERE locktype = 'advisory' AND objid = :key AND datname = current_database()"
        (holder,) = connection.execute(text(holders), {"key": LOCK}).scalars()
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": holder})
    engine.dispose()
    until(lambda: keeper.told == ["running", "lost", "running"] and keepers.sleeper())
    assert keepers.sleeper() != before


def test_a_lock_is_one_holders_and_free_after_it(where: str) -> None:
    def lock() -> FileLock | PostgresLock:
        return PostgresLock(where) if "://" in where else FileLock(Path(where))

    first, second = lock(), lock()
    assert not first.held()
    assert first.take()
    assert (first.held(), second.take()) == (True, False)
    first.release()
    assert (first.held(), second.take()) == (False, True)
    second.release()


def test_nobody_has_the_lock_while_the_database_is_away(tmp_path: Path) -> None:
    assert not PostgresLock(f"postgresql+psycopg2://x@/x?host={tmp_path}").take()


@pytest.mark.long
def test_two_real_daemons_the_first_killed(settings: Settings, postgres_server: PostgresServer) -> None:
    """Dagster's own, on PostgreSQL, with a sensor: one daemon at any time, no tick twice."""
    dagster = settings.home / "dagster"
    dagster.mkdir()
    configured = yaml.safe_load(instance_configuration())
    configured["storage"] = {"postgres": {"postgres_url": postgres_server.new_database()}}
    (dagster / "dagster.yaml").write_text(yaml.safe_dump(configured))
    initialise(settings)
    workspace = settings.home / "toy.yaml"
    target = {"python_file": {"relative_path": daemon_definitions.__file__}}
    workspace.write_text(yaml.safe_dump({"load_from": [target]}))
    command = [sys.executable, "-m", "contimg_assets.cli", "daemon", "--json", "--workspace", str(workspace)]
    ticks_file = settings.home / TICKS
    ticks_file.touch()

    def ticks() -> list[float]:
        return [float(line) for line in ticks_file.read_text().splitlines()]

    def told(process: Process) -> list[str]:
        return [json.loads(line)["daemon"] for line in process.told if line.startswith("{")]

    home = f"CONTIMG_HOME={settings.home}"
    processes: list[Process] = []
    try:
        with counted(lambda: len(alive(sys.executable, "dagster._daemon", environment=home))) as most:
            processes.append(Process(*command))
            until(lambda: told(processes[0]) == ["running"])
            processes.append(Process(*command))
            until(lambda: told(processes[1]) == ["waiting"] and len(ticks()) >= 3)
            killed, killed_at = time.monotonic(), time.time()
            processes[0].kill()
            until(lambda: told(processes[1]) == ["waiting", "running"])
            taken = time.monotonic() - killed
            until(lambda: [at for at in ticks() if at > killed_at])
            first = next(at for at in ticks() if at > killed_at) - killed_at
            until(lambda: len([at for at in ticks() if at > killed_at]) >= 3)
        print(f"\nlock taken over after {taken:.1f} s, first tick after {first:.1f} s")
        assert most == [1]
        apart = [after - before for before, after in zip(ticks()[:-1], ticks()[1:], strict=True)]
        # As far as Dagster keeps to the interval: two daemons would ask twice within it.
        assert min(apart) > INTERVAL_S / 2, apart
        assert taken > 0
        assert LOOK_EVERY_S < INTERVAL_S
    finally:
        for process in processes:
            process.kill()
        until(lambda: not alive(sys.executable, "dagster._daemon", environment=home))
