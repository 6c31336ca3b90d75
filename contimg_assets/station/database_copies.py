"""Whole copies of a database that is in use, and databases made from them again.

SQLite's online backup gives one consistent view beside writers, in one file;
PostgreSQL's ``pg_dump`` does, in its custom format.  Belongs here: both kinds, for any
database.  Does not belong here: which databases there are (``backup.py``,
``resources/dagster_backup.py``).
"""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import create_engine, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from contimg_assets.radio.errors import BackupError, DatabaseError
from contimg_assets.radio.process_marks import marked
from contimg_assets.radio.processes import bound
from contimg_assets.station.sqlite_reading import SQLITE_BUSY_MS, sqlite_reader

#: How the URL of each kind begins.
SQLITE, POSTGRESQL = "sqlite", "postgresql"
#: PostgreSQL's usual port.
_PORT = 5432


def kind_of(url: str) -> str:
    """``sqlite`` or ``postgresql``."""
    return make_url(url).get_backend_name()


def shown(url: str) -> str:
    """A database as people are shown it, without its password."""
    return make_url(url).render_as_string(hide_password=True)


def copy_sqlite(source: Path, copy: Path) -> None:
    """Copy a SQLite database as it is at one moment; others may write it meanwhile.

    Raises
    ------
    DatabaseError
        If it cannot be read, or is damaged.
    """
    address = f"file:{quote(str(source.absolute()))}?mode=ro"
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            closing(sqlite3.connect(address, uri=True, timeout=SQLITE_BUSY_MS / 1000)) as reader,
            closing(sqlite3.connect(copy)) as writer,
        ):
            # All pages at once: in WAL mode nobody waits for it, and nothing is begun again.
            reader.backup(writer)
            told = writer.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise DatabaseError(f"{source}: {error}") from error
    if told != "ok":
        raise DatabaseError(f"{source}: the copy is damaged: {told}")


def place_sqlite(copy: Path, destination: Path) -> None:
    """Put a copy where a database is to be, at once; the journal of one that was lost goes first."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    staged = destination.with_name(marked(f".{destination.name}"))
    try:
        shutil.copyfile(copy, staged)
        for suffix in ("-wal", "-shm"):
            destination.with_name(f"{destination.name}{suffix}").unlink(missing_ok=True)
        staged.replace(destination)
    finally:
        staged.unlink(missing_ok=True)


def dump(url: str, copy: Path, server: str | None) -> None:
    """Copy a PostgreSQL database as it is at one moment, with ``pg_dump``.

    Parameters
    ----------
    url : str
        SQLAlchemy's URL of it.
    copy : Path
        The file to make.
    server : str or None
        ``host:port`` of PostgreSQL itself, where the URL names a pooler.

    Raises
    ------
    DatabaseError
        If it cannot be read.
    BackupError
        If the URL names a pooler, and ``server`` is not given.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    options = ["--format=custom", "--no-owner", "--no-privileges", "--file", str(copy)]
    _call("pg_dump", options, url, server)


def load(copy: Path, url: str, server: str | None) -> None:
    """Fill an empty PostgreSQL database from a copy, all of it or nothing.

    Parameters
    ----------
    copy, url, server
        As for :func:`dump`.

    Raises
    ------
    DatabaseError, BackupError
        As :func:`dump`; the database is then as it was.
    """
    # Tables that a service has made and not filled give way.
    options = ["--clean", "--if-exists", "--no-owner", "--no-privileges"]
    options += ["--single-transaction", "--exit-on-error", str(copy)]
    _call("pg_restore", options, url, server)


def has_rows(url: str, *tables: str) -> bool:
    """Whether any of some tables is there and has a row; nothing is made.

    Raises
    ------
    DatabaseError
        If the database cannot be reached.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == SQLITE:
        path = Path(parsed.database or "")
        if not path.is_file():
            return False
        engine = sqlite_reader(path)
    else:
        engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            known = set(inspect(connection).get_table_names())
            # Names are this package's own.
            return any(
                connection.execute(text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None
                for table in tables
                if table in known
            )
    except (DBAPIError, sqlite3.Error) as error:
        raise DatabaseError(f"{shown(url)}: {_first_line(str(getattr(error, 'orig', error)))}") from error
    finally:
        engine.dispose()


def _call(program: str, options: list[str], url: str, server: str | None) -> None:
    found = shutil.which(program)
    if found is None:
        raise BackupError(f"{program} is not there: install Debian's package postgresql-client")
    parsed = make_url(url)
    environment = dict(os.environ)
    if parsed.password:
        # Not on the command line, which every user of the machine can read.
        environment["PGPASSWORD"] = str(parsed.password)
    address = _address(parsed, _server(parsed, server))
    done = subprocess.run(
        bound([found, "--no-password", "--dbname", address, *options]),
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DatabaseError(f"{shown(url)}: {program}: {_first_line(done.stderr)}")


def _server(url: URL, server: str | None) -> tuple[str | None, int | None]:
    """Host and port of PostgreSQL itself; a pooler would give a dump's settings to others' sessions."""
    if server is not None:
        host, _, port = server.rpartition(":")
        return host, int(port)
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            theirs = connection.scalar(select(func.inet_server_port()))
    except DBAPIError as error:
        reason = _first_line(str(error.orig))
        raise DatabaseError(f"{url.render_as_string(hide_password=True)}: {reason}") from error
    ours = url.port or _PORT
    # A Unix socket has none on the server's side, unless a pooler stands between.
    if theirs is not None and theirs != ours:
        raise BackupError(
            f"{url.render_as_string(hide_password=True)} is not PostgreSQL itself: found port {ours}, the "
            f"server says {theirs}; set CONTIMG_BACKUP__SERVER to its address, such as 127.0.0.1:{theirs}"
        )
    return url.host, url.port


def _address(url: URL, server: tuple[str | None, int | None]) -> str:
    """The same database for PostgreSQL's own programs, without the password."""
    bare = URL.create(
        "postgresql",
        username=url.username,
        host=server[0],
        port=server[1],
        database=url.database,
        query=url.query,
    )
    return bare.render_as_string(hide_password=False)


def _first_line(told: str) -> str:
    return next((line.strip() for line in told.splitlines() if line.strip()), "no reason was given")[:300]
