"""Opening a station database to look only: beside a station that runs, and where nothing can be written.

Belongs here: connections that cannot write.  Does not belong here: those that can,
and migrations (``database.py``).
"""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from contimg_assets.radio.errors import DatabaseError, MissingInputError, SettingsError
from contimg_assets.station.database import SQLITE_BUSY_MS, head, revision


def open_readonly(url: str) -> Engine:
    """Open a station database for reading; nothing is made, migrated or locked.

    Parameters
    ----------
    url : str
        ``sqlite:///…`` or ``postgresql+psycopg2://…``.

    Raises
    ------
    MissingInputError
        If there is no database, or an empty one.
    DatabaseError
        If it cannot be reached, or its schema is another release's.
    SettingsError
        If the URL is none of a database.
    """
    try:
        parsed = make_url(url)
        shown = parsed.render_as_string(hide_password=True)
        engine = (
            _sqlite(Path(parsed.database or "")) if parsed.get_backend_name() == "sqlite" else _server(url)
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError(
            f"found the database URL {url!r}; expected sqlite:/// or postgresql://"
        ) from error
    try:
        found = revision(engine)
    except OperationalError as error:
        raise DatabaseError(f"{shown} cannot be read: {str(error.orig).splitlines()[0]}") from error
    if found is None:
        raise MissingInputError(f"no station database at {shown} yet: it is empty")
    if found != head():
        raise DatabaseError(
            f"{shown}: found the schema {found}, expected {head()}: `contimg init` of this release brings it "
            "up to date, or read it with the release that wrote it"
        )
    return engine


def _server(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def only_read(connection: Any, _record: Any) -> None:
        # Said with each BEGIN, so that it holds behind PgBouncer too.
        connection.set_session(readonly=True)

    return engine


def _sqlite(path: Path) -> Engine:
    if not path.is_file():
        raise MissingInputError(
            f"no station database at {path}: expected the file catalogue.sqlite of a home"
        )
    address = f"file:{quote(str(path.absolute()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        connection = _connect(address)
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        except sqlite3.OperationalError:
            connection.close()
            if _log_of(path):
                raise
            # A database in WAL mode wants to make its -wal and -shm, and this folder lets nobody.  Without
            # a log nobody writes, and all that was written is in the file.
            connection = _connect(address + "&immutable=1")
        connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MS}")
        return connection

    engine = create_engine("sqlite://", creator=connect)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # One consistent view for all that is read in it.
        connection.exec_driver_sql("BEGIN")

    return engine


def _connect(address: str) -> sqlite3.Connection:
    # A notebook's threads take turns.
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)


def _log_of(path: Path) -> bool:
    """Whether there are changes beside the file that are not in it yet."""
    log = path.with_name(f"{path.name}-wal")
    return log.is_file() and log.stat().st_size > 0
