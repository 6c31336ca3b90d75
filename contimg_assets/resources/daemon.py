"""Dagster's daemon, of which an instance has one at a time: a second one waits, and takes over.

Two daemons do everything twice.  On PostgreSQL a lock of the database says who is
the one: it is gone as soon as its connection is, so the other need not judge who is
alive.  It is held within a transaction, since behind PgBouncer nothing else stays on
one connection.  On SQLite an instance is one machine's, and a lock of the operating
system on a file does the same: the kernel frees it however the process ends, where a
lease would have to expire first.

Belongs here: the locks, and starting and ending the daemon.  Does not belong here:
what the daemon runs (``definitions.py``), or the command (``cli/daemon.py``).
"""

import fcntl
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import yaml
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from contimg_assets.radio.processes import bound

if TYPE_CHECKING:
    from dagster import DagsterInstance

#: Name of the code location: sensors keep their state under it, whatever loads them.
LOCATION = "contimg"
#: What the code location is made of.
DEFINITIONS = "contimg_assets.definitions"
#: Key of PostgreSQL's advisory lock: any number that nothing else uses.
LOCK = 110_140_502
#: How often the holder looks whether the lock is still its own, and the other whether it is free, s.
LOOK_EVERY_S = 2.0
#: Time that the daemon has to end by itself, s.
GRACE_S = 60.0
#: File in ``DAGSTER_HOME`` that is there while a daemon ends: ticks of sensors that wait for news, which run
#: in another process, look for it.
ENDING = "daemon.ending"
#: A holder that the network has cut off knows it after 10 s, …
_OURS = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 4,
    "keepalives_interval": 3,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}
#: … and the database frees its lock after 20 s, when its daemon has been killed.
_THEIRS = (
    "SET LOCAL tcp_keepalives_idle = 10; "
    "SET LOCAL tcp_keepalives_interval = 5; "
    "SET LOCAL tcp_keepalives_count = 2"
)

#: Told what has come to pass: ``waiting``, ``running``, ``lost`` or ``ended``.
Tell = Callable[[str], None]


class Lock(Protocol):
    """What one process at a time has."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Open files with which a child holds the lock, too."""
        ...

    def take(self) -> bool:
        """Take it if nobody has it; whether it is ours."""
        ...

    def held(self) -> bool:
        """Whether it still is."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class PostgresLock:
    """An advisory lock of PostgreSQL, for as long as one transaction lasts.

    Parameters
    ----------
    url : str
        Of Dagster's storage.
    """

    descriptors: tuple[int, ...] = ()

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool, connect_args=_OURS)
        self._connection: Connection | None = None

    def take(self) -> bool:
        """Take it; not while the database is away."""
        try:
            connection = self._engine.connect()
            connection.execute(text(_THEIRS))
            if connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK}).scalar():
                self._connection = connection
                return True
            connection.close()
        except OperationalError:
            # It is being restarted, or the network is away: nobody can have the lock then.
            return False
        return False

    def held(self) -> bool:
        """Ask the database over the connection that holds it."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            # For good: a connection that comes back has no lock.
            self.release()
            return False
        return True

    def release(self) -> None:
        """End the transaction."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


class FileLock:
    """A lock of the operating system on a file.

    The daemon inherits it, so that it is held while either lives.

    Parameters
    ----------
    path : Path
        The file, which stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The open file."""
        return () if self._file is None else (self._file.fileno(),)

    def take(self) -> bool:
        """Take it."""
        handle = self._path.open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return False
        self._file = handle
        return True

    def held(self) -> bool:
        """The kernel takes it from nobody."""
        return self._file is not None

    def release(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def lock_of(instance: "DagsterInstance", folder: Path) -> Lock:
    """The lock that the daemon of an instance needs.

    Parameters
    ----------
    instance : DagsterInstance
    folder : Path
        ``DAGSTER_HOME``.
    """
    # Dagster takes a second to import; what only keeps the daemon alive does without.
    from dagster_postgres.run_storage import PostgresRunStorage

    storage = instance.run_storage
    if isinstance(storage, PostgresRunStorage):
        return PostgresLock(storage.postgres_url)
    return FileLock(folder / "daemon.lock")


def write_workspace(folder: Path) -> Path:
    """A workspace file for a daemon that loads the definitions itself."""
    path = folder / "workspace.yaml"
    module = {"module_name": DEFINITIONS, "location_name": LOCATION}
    path.write_text(yaml.safe_dump({"load_from": [{"python_module": module}]}), encoding="utf-8")
    return path


def daemon_command(workspace: Path) -> list[str]:
    """Command line of Dagster's daemon."""
    return [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace)]


def is_ending(instance: "DagsterInstance") -> bool:
    """Whether the daemon of an instance has been told to end."""
    return not instance.is_ephemeral and Path(instance.root_directory, ENDING).exists()


def run_one(
    lock: Lock,
    command: list[str],
    folder: Path,
    tell: Tell,
    ending: threading.Event,
    mark: Path | None = None,
) -> int:
    """Run a daemon whenever the lock is ours, until told to end.

    To be called in the thread that lives longest: the kernel kills the daemon when it ends.

    Parameters
    ----------
    lock : Lock
    command : list of str
        The daemon's.
    folder : Path
        Where it starts.
    tell : callable
    ending : threading.Event
    mark : Path, optional
        File that is there while the daemon ends.

    Returns
    -------
    int
        Exit code: 1 if the daemon ended by itself.
    """
    told = False
    while not ending.is_set():
        if not lock.take():
            if not told:
                tell("waiting")
            told = True
            ending.wait(LOOK_EVERY_S)
            continue
        told = False
        try:
            tell("running")
            code = _run(lock, command, folder, ending, mark)
        finally:
            lock.release()
        if code is not None:
            tell("ended")
            return code
        tell("lost")
    return 0


def _run(
    lock: Lock, command: list[str], folder: Path, ending: threading.Event, mark: Path | None
) -> int | None:
    """Run the daemon to its end; None if it was killed because the lock was gone."""
    if mark is not None:
        # Of one that was killed while it ended.
        mark.unlink(missing_ok=True)
    with subprocess.Popen(bound(command), cwd=folder, pass_fds=lock.descriptors) as child:
        try:
            while child.poll() is None:
                if ending.wait(LOOK_EVERY_S):
                    return 0
                if not lock.held():
                    return None
            return 1
        finally:
            if mark is not None and lock.held():
                mark.touch()
            # At once if the lock is another's by now; else it may end what it does.
            end(child, GRACE_S if lock.held() else 0.0)
            if mark is not None:
                mark.unlink(missing_ok=True)


def end(child: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ask a process to end, and kill it if it has not after a while."""
    if child.poll() is not None:
        return
    if grace_s > 0:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    else:
        child.kill()
    child.wait()


@contextmanager
def told_to_end() -> Iterator[threading.Event]:
    """Whether the user or the system has asked for the end.

    Processes that start here get the default of the signals.  What is ignored here, as a shell does for its
    background, they would ignore as well, and not end.
    """
    ending = threading.Event()

    def note(_number: int, _frame: object) -> None:
        ending.set()

    previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ending
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
