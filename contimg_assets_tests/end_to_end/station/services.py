"""The services of a station, started for a test as ``deploy/celery`` starts them, and ended with it.

Belongs here: processes, addresses and settings.  The configuration is that of
``deploy/celery``; only addresses, sizes and times differ.  Does not belong here:
what must be true of a station (``checker.py``).
"""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import yaml
from dagster import DagsterInstance
from sqlalchemy.engine import make_url

from contimg_assets.resources.instance import initialise
from contimg_assets.resources.workers import StationWorkers, control_app
from contimg_assets.settings import get_settings
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import described

REPOSITORY = Path(__file__).parent.parent.parent.parent
DEPLOY = REPOSITORY / "deploy" / "celery"
MODULE = "contimg_assets_tests.end_to_end.station.definitions"
#: Far more than a service needs to start on a machine under load, s.
START_S = 120.0
#: Time that a service has to end when it is asked to, s.
STOP_S = 30.0
#: Waits of seconds where a real station waits minutes.
SHORT = {
    "CONTIMG_INGEST__SETTLE_S": "0.5",
    "CONTIMG_INGEST__TIMEOUT_S": "10",
    "CONTIMG_INGEST__HEARTBEAT_S": "1",
    "CONTIMG_INGEST__ATTEMPTS": "5",
    "CONTIMG_THREADS": "1",
    "TINY_STAGE_S": "0.3",
}


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what: Callable[[], object], seconds: float, said: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {said}"
        time.sleep(0.2)


def listens(port: int) -> bool:
    """Whether something accepts connections at a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def session_of(leader: int) -> list[int]:
    """Processes of a session: what one "machine" runs, also what has a process group of its own."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def children_of(parent: int) -> list[int]:
    """Children of a process's main thread."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def parent_of(pid: int) -> int | None:
    """The process that started another; None if that has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def command_of(pid: int) -> str:
    """Name and command line of a process; empty if it has ended."""
    try:
        return described(pid)
    except (FileNotFoundError, ProcessLookupError):
        return ""


#: Options of a database of PgBouncer's that say how many connections it has.
_LIMITS = ("pool_size=", "max_db_connections=")
#: libfaketime makes nonsense of the absolute time until which Python's own sleep waits.
_SLEEP = """import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds)[0] or None
"""


def clock_off(by: str, folder: Path) -> dict[str, str]:
    """Environment of processes whose clock is off, such as ``-2h``; durations are right.

    A module that Python loads at its start goes to ``folder``, which must come first on its path.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SLEEP)
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    assert library is not None, "no libfaketime: install Debian's package libfaketime"
    return {"LD_PRELOAD": str(library), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def lose_machine(process: subprocess.Popen[bytes]) -> None:
    """Kill everything of a session at once, as when a machine loses power."""
    for _ in range(3):
        # What was forked in between is met in the next round.
        for pid in session_of(process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    process.wait()


class Station:
    """Redis, PgBouncer, code server, daemon and workers of one home.

    Parameters
    ----------
    folder : Path
        For configuration, data and logs; readable by PgBouncer's user.
    home : Path
        ``CONTIMG_HOME``.
    server : PostgresServer
        A cluster of the test's own.
    slots : int
        Runs in progress at most.
    dead_after_s : float
        A worker without a sign of life for this long is dead, s.
    """

    def __init__(
        self, folder: Path, home: Path, server: PostgresServer, slots: int, dead_after_s: float
    ) -> None:
        self.folder, self.home, self.server, self.slots = folder, home, server, slots
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.redis_port, self.bouncer_port, self.code_port = free_port(), free_port(), free_port()
        self.databases = [make_url(server.new_database()).database for _ in range(2)]
        dagster, contimg = (
            f"postgresql+psycopg2://{server.user}@127.0.0.1:{self.bouncer_port}/{name}"
            for name in self.databases
        )
        self.environment = {
            **SHORT,
            "CONTIMG_INGEST__DEAD_AFTER_S": str(dead_after_s),
            "CONTIMG_HOME": str(home),
            # Its disk may be a small one.
            "CONTIMG_SPACE__RESERVE_GB": "0",
            "CONTIMG_INCOMING": str(home.parent / "incoming"),
            "DAGSTER_HOME": str(home / "dagster"),
            "CONTIMG_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "CONTIMG_DATABASE_URL": contimg,
            "CONTIMG_DAGSTER_DATABASE_URL": dagster,
        }
        self.incoming = Path(self.environment["CONTIMG_INCOMING"])
        #: Where the package lies that services load, those that are started from now on.
        self.release = REPOSITORY

    # The services

    def start_redis(self) -> None:
        """Redis, with the station's file; again after it was killed, with what it had."""
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        command = ["redis-server", str(DEPLOY / "redis.conf"), "--port", str(self.redis_port)]
        self._start("redis", [*command, "--dir", str(data)])
        wait_until(lambda: listens(self.redis_port), START_S, "Redis does not listen")

    def start_pgbouncer(self) -> None:
        """PgBouncer, with the station's file but for addresses and passwords."""
        settings = configparser.ConfigParser(comment_prefixes=(";",), interpolation=None)
        settings.read(DEPLOY / "pgbouncer.ini")
        # Only where each database is differs, and its name.
        limits = [
            " ".join(part for part in settings["databases"][name].split() if part.startswith(_LIMITS))
            for name in ("dagster", "contimg")
        ]
        settings["databases"] = {
            str(name): f"host={self.server.socket} dbname={name} {limit}"
            for name, limit in zip(self.databases, limits, strict=True)
        }
        (self.folder / "users").write_text(f'"{self.server.user}" ""\n')
        settings["pgbouncer"].update(
            listen_port=str(self.bouncer_port),
            unix_socket_dir="",
            auth_type="trust",
            auth_file=str(self.folder / "users"),
        )
        path = self.folder / "pgbouncer.ini"
        with path.open("w") as handle:
            settings.write(handle)
        # It refuses to run as root.
        identity = ["setpriv", f"--reuid={self.server.user}", "--clear-groups"] if os.geteuid() == 0 else []
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        assert program is not None, "no PgBouncer: install Debian's package pgbouncer"
        self._start("pgbouncer", [*identity, program, str(path)])
        wait_until(lambda: listens(self.bouncer_port), START_S, "PgBouncer does not listen")

    def initialise(self) -> None:
        """What ``contimg init`` does, with the station's instance file."""
        folder = self.home / "dagster"
        folder.mkdir(parents=True)
        instance = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
        instance["concurrency"]["runs"]["max_concurrent_runs"] = self.slots
        instance["run_monitoring"]["poll_interval_seconds"] = 3
        (folder / "dagster.yaml").write_text(yaml.safe_dump(instance))
        workspace = {"host": "127.0.0.1", "port": self.code_port, "location_name": "contimg"}
        (self.folder / "workspace.yaml").write_text(
            yaml.safe_dump({"load_from": [{"grpc_server": workspace}]})
        )
        self.incoming.mkdir(exist_ok=True)
        initialise(get_settings())

    def start_code_server(self) -> None:
        """The process that the daemon asks for jobs and sensors."""
        address = ["--host", "127.0.0.1", "--port", str(self.code_port)]
        command = ["-m", "dagster", "api", "grpc", "-m", MODULE, "--location-name", "contimg", *address]
        self._start("code", [sys.executable, *command])
        wait_until(lambda: listens(self.code_port), START_S, "the code server does not listen")

    def start_daemon(self) -> None:
        """Sensors and queue."""
        workspace = str(self.folder / "workspace.yaml")
        self._start("daemon", [sys.executable, "-m", "dagster._daemon", "run", "-w", workspace])

    def start_worker(
        self, name: str, queues: str = "live,bulk", runs: int = 1, clock: str = ""
    ) -> subprocess.Popen[bytes]:
        """A worker "machine": a session of its own, for one run at a time unless a test wants many.

        Its clock is off by ``clock``, such as ``-2h``, if that is given.
        """
        app = ["-A", "contimg_assets.resources.celery_app", "worker"]
        options = ["-Q", queues, "-n", f"{name}@%h", "-c", str(runs), "--loglevel", "INFO"]
        command = [sys.executable, "-m", "celery", *app, *options]
        if not clock:
            return self._start(name, command)
        folder = self.folder / "clock"
        python = f"{folder}:{self._path()}"
        return self._start(name, command, {**clock_off(clock, folder), "PYTHONPATH": python})

    def start_web(self) -> int:
        """The web server, which asks the station's code server; its port."""
        port = free_port()
        served = ["serve", "--port", str(port), "--workspace", str(self.folder / "workspace.yaml")]
        self._start("web", [sys.executable, "-m", "contimg_assets.cli", *served])
        wait_until(lambda: listens(port), START_S, "the web server does not listen")
        return port

    def command(self, release: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of a release, to its end; whether that is a good one is the test's to judge."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": self._path(release)}
        command = [sys.executable, "-m", "contimg_assets.cli", *arguments]
        # Python's -m looks into the present folder first, and pytest's holds a release of its own.
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def _path(self, release: Path | None = None) -> str:
        """Where Python looks first: for the package, then for its tests."""
        return f"{release or self.release}:{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}"

    def _start(
        self, name: str, command: list[str], further: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.environment, "PYTHONPATH": self._path()}
        environment |= {"PYTHONWARNINGS": "ignore"}
        environment |= further or {}
        with (self.folder / f"{name}.log").open("ab") as log:
            # Signals as a service has them: what a shell's background ignores, Dagster would ignore as well.
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    # What a test does with them

    def kill(self, name: str) -> None:
        """End a service, and whatever it has started, with SIGKILL."""
        lose_machine(self.processes.pop(name))

    def stop(self, *names: str) -> None:
        """End services as systemd does: SIGTERM to their main processes, SIGKILL to what is left then."""
        processes = {name: self.processes.pop(name) for name in names}
        for process in processes.values():
            process.terminate()
        for name, process in processes.items():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                print(f"{name} did not end within {STOP_S:g} s")
            lose_machine(process)

    def end(self) -> None:
        """End all services: those that use others first."""
        used = [name for name in ("redis", "pgbouncer") if name in self.processes]
        self.stop(*(name for name in self.processes if name not in used))
        self.stop(*used)

    def workers(self) -> StationWorkers:
        """Who asks the workers."""
        return StationWorkers(control_app())

    def instance(self) -> DagsterInstance:
        """Dagster's instance, as a worker sees it."""
        return DagsterInstance.from_config(str(self.home / "dagster"))

    def connections(self) -> int:
        """Connections of others to the station's two databases."""
        with psycopg2.connect(host=str(self.server.socket), user=self.server.user, dbname="postgres") as own:
            cursor = own.cursor()
            # Not PostgreSQL's own, such as autovacuum.
            others = "datname = ANY(%s) AND backend_type = 'client backend'"
            cursor.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {others}", (self.databases,))
            row = cursor.fetchone()
        own.close()
        assert row is not None
        return row[0]

    def logs(self) -> str:
        """The end of every service's log."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            parts.append(f"--- {path.name}\n" + "\n".join(lines))
        return "\n".join(parts)


@contextmanager
def station(home: Path, server: PostgresServer, slots: int, dead_after_s: float) -> Iterator[Station]:
    """A station without workers, its folder of incoming files empty; nothing of it is left afterwards.

    The environment of this process is the station's for the length of the block.
    """
    with tempfile.TemporaryDirectory(prefix="contimg-station-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Station(folder, home, server, slots, dead_after_s)
        before = dict(os.environ)
        os.environ.update(made.environment)
        get_settings.cache_clear()
        try:
            made.start_redis()
            made.start_pgbouncer()
            made.initialise()
            made.start_code_server()
            yield made
        finally:
            # Shown when the test has failed.
            print(made.logs())
            made.end()
            os.environ.clear()
            os.environ.update(before)
            get_settings.cache_clear()
