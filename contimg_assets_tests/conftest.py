"""Fixtures that all tests may use: a home of their own, and databases of both kinds."""

import os
import pwd
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine

from contimg_assets.settings import Settings, get_settings
from contimg_assets.station import database

#: Where Debian keeps its PostgreSQL, a folder for each version; the tests start a private cluster from it.
POSTGRES = Path("/usr/lib/postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tests under faults."""
    parser.addoption("--seed", type=int, default=None, help="seed of the nemesis; default: another each time")
    parser.addoption("--minutes", type=float, default=30.0, help="how long the nemesis goes on")
    parser.addoption("--day-minutes", type=float, default=60.0, help="how long a day of groups takes")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty ``CONTIMG_HOME`` of the test's own, which all of its processes see."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("CONTIMG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONTIMG_HOME", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
    get_settings.cache_clear()
    yield folder
    get_settings.cache_clear()
    database.engine_for.cache_clear()


@pytest.fixture
def settings(home: Path) -> Settings:
    """Settings of the test's home."""
    assert get_settings().home == home
    return get_settings()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a night has been processed (``finished_home.py``); only to be read, or copied."""
    from contimg_assets_tests.finished_home import finish_night

    home = tmp_path_factory.mktemp("finished") / "home"
    home.mkdir()
    # With its last connection SQLite puts all into the one file, so that a copy of the home is whole.
    finish_night(home).engine.dispose()
    database.engine_for.cache_clear()
    return home


@dataclass(frozen=True)
class PostgresServer:
    """A private PostgreSQL cluster behind a Unix socket."""

    socket: Path
    user: str
    binaries: Path
    identity: dict[str, Any]
    """User and groups as whom its programs run."""

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self.socket / "data"

    def create(self) -> None:
        """Make the cluster."""
        self._call("initdb", "-U", self.user, "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.socket} -c fsync=off"
        self._call("pg_ctl", "-o", options, "-l", str(self.socket / "log"), "-w", "start")

    def stop(self) -> None:
        """End the server and all of its connections at once."""
        self._call("pg_ctl", "-m", "immediate", "-w", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), "-D", str(self.data), *arguments]
        # One that a test starts anew is none of its home's processes.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
        done = subprocess.run(
            command, cwd="/", env=environment, capture_output=True, text=True, check=False, **self.identity
        )
        if done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    def new_database(self) -> str:
        """Make an empty database; its SQLAlchemy URL."""
        return f"postgresql+psycopg2://{self.user}@/{self._create('DATABASE')}?host={self.socket}"

    def new_schema(self) -> str:
        """Make an empty schema, which is to the station database what a database is; its URL.

        A database is 300 files, which a hundred tests take minutes to make and remove.
        """
        name = self._create("SCHEMA")
        return (
            f"postgresql+psycopg2://{self.user}@/postgres?host={self.socket}&options=-csearch_path%3D{name}"
        )

    def _create(self, what: str) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        connection = psycopg2.connect(host=str(self.socket), user=self.user, dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE {what} {name}")
        connection.close()
        return name


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a private cluster; a machine without PostgreSQL fails the test, and says what to install."""
    binaries = next((path.parent for path in POSTGRES.glob("*/bin/initdb")), None)
    if binaries is None:
        pytest.fail(f"no PostgreSQL in {POSTGRES}: install Debian's package postgresql")
    # initdb refuses to run as root; Debian's package has made a user for it.
    root = os.geteuid() == 0
    user = "postgres" if root else pwd.getpwuid(os.geteuid()).pw_name
    # Not pytest's folder: a socket's path is short, and another user must be able to reach it.
    with tempfile.TemporaryDirectory(prefix="contimg-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        identity: dict[str, Any] = {}
        if root:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        folder.chmod(0o755)
        server = PostgresServer(folder, user, binaries, identity)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_schema()


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """Engine of a migrated database, once of each kind."""
    database.upgrade(empty_url)
    engine = database.create(empty_url)
    yield engine
    engine.dispose()
