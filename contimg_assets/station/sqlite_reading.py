"""Connections that only read a SQLite file: beside a writer, and where nothing can be written.

Belongs here: how such a file is opened.  Does not belong here: which schema is
expected of it (``readonly.py``, ``database.py``).
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event

#: How long a reader or writer waits for SQLite's single write lock, ms.
SQLITE_BUSY_MS = 30_000


def sqlite_reader(path: Path) -> Engine:
    """An engine that reads a SQLite file and cannot write it; the file need not be there yet.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Engine
        Its connections raise ``sqlalchemy.exc.OperationalError`` if the file cannot be read.
    """
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
