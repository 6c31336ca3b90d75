"""Connecting to the catalogue's database and bringing its schema up to date.

Belongs here: engines for SQLite and PostgreSQL, transactions, station/migrations.
Does not belong here: the tables (``models.py``) or what is written into them.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

#: How long a writer waits for SQLite's single write lock, ms.
SQLITE_BUSY_MS = 30_000
#: Key of PostgreSQL's advisory lock around station/migrations: any number that nothing else uses.
MIGRATION_LOCK = 110_140_501
MIGRATIONS = Path(__file__).parent.parent / "station/migrations"


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """Set what SQLite keeps per connection, not per file."""
    # The driver's own transaction handling starts none before SELECT; SQLAlchemy's "begin" event below does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def create(url: str) -> Engine:
    """Make an engine for a catalogue, without touching its schema.

    Parameters
    ----------
    url : str
        ``sqlite:///…`` or ``postgresql+psycopg2://…``.

    Returns
    -------
    Engine
        On SQLite with WAL, foreign keys and a busy timeout.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _configure_sqlite)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at its start: a reader that turns writer half-way can only fail.
        writes = connection.get_execution_options().get("contimg_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # Without this Alembic warns that it splits version locations in its old way.
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _one_at_a_time(engine: Engine) -> Iterator[None]:
    """Let one process at a time migrate; the others wait."""
    if engine.dialect.name == "sqlite":
        database = engine.url.database
        if not database or database == ":memory:":
            yield
            return
        with Path(f"{database}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        return
    # For one transaction: behind PgBouncer the next may be on another connection, without the lock.
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        yield


def revision(engine: Engine) -> str | None:
    """Revision that a database's schema is at; None if it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str) -> None:
    """Bring a catalogue's schema up to date; safe when several processes do it at once.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of the catalogue.
    """
    engine = create(url)
    try:
        _upgrade(engine)
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    config = _config()
    head = ScriptDirectory.from_config(config).get_current_head()
    # A station's processes start by the dozen: none waits for another unless there is something to do.
    if engine.dialect.name != "sqlite" and revision(engine) == head:
        return
    with _one_at_a_time(engine):
        if revision(engine) == head:
            return
        with engine.execution_options(contimg_writes=True).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@lru_cache(maxsize=8)
def engine_for(url: str) -> Engine:
    """The process's engine for a catalogue, its schema brought up to date first."""
    engine = create(url)
    _upgrade(engine)
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One transaction: all of the block's writes, or none.

    Yields
    ------
    Session
        Its objects stay readable after the block.
    """
    writer = engine.execution_options(contimg_writes=True)
    with Session(writer, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """One consistent view of the database, for reading only.

    Yields
    ------
    Session
        Its objects stay readable after the block.
    """
    with Session(engine, expire_on_commit=False) as session:
        yield session
