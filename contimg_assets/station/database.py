"""Connecting to the station database and bringing its schema up to date.

Belongs here: engines for SQLite and PostgreSQL, transactions, the database's clock, station/migrations.
Does not belong here: the tables (``models.py``) or what is written into them.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from contimg_assets.radio.errors import DatabaseError, MissingInputError
from contimg_assets.station.columns import UtcDateTime
from contimg_assets.station.group_summary import fill_summaries
from contimg_assets.station.sqlite_reading import SQLITE_BUSY_MS, sqlite_reader

if TYPE_CHECKING:
    from alembic.config import Config

#: How long the checkpoint at a command's end waits for others, s.
_CHECKPOINT_BUSY_S = 1.0
#: Between two tries to reach a database that is away, s.
_RETRY_S = 1.0
#: Key of PostgreSQL's advisory lock around station/migrations: any number that nothing else uses.
MIGRATION_LOCK = 110_140_501
MIGRATIONS = Path(__file__).parent / "migrations"
#: Alembic's table of the revision.
_REVISION_TABLE = "alembic_version"


class database_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function that it is
    """Time of the database's clock when the statement runs, UTC: the same for every machine."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    # As SQLAlchemy stores times there: with six digits, or they would be read as microseconds.
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


@compiles(database_now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    # Not now(), which is the time at which the transaction began.
    return "(clock_timestamp() AT TIME ZONE 'utc')"


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
    """Make an engine for a station database, without touching its schema.

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


def _config() -> "Config":
    from alembic.config import Config

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
    """Revision that a database's schema is at; None if it is empty.

    Asked at every opening, so without Alembic, which takes as long to import as the rest.
    """
    with engine.connect() as connection:
        if not inspect(connection).has_table(_REVISION_TABLE):
            return None
        return connection.execute(text(f"SELECT version_num FROM {_REVISION_TABLE}")).scalar()


def head() -> str:
    """The newest revision: that of the last file in ``migrations/versions``, which begins with its number."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def is_absent(url: str) -> bool:
    """Whether a SQLite database's file is not there."""
    parsed = make_url(url)
    return parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file()


def is_empty(url: str) -> bool:
    """Whether a database has no tables of ours; nothing is made here."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        engine, found = _reader(Path(parsed.database).absolute())
    else:
        engine = create(url)
        found = revision(engine)
    engine.dispose()
    return found is None


def _reader(path: Path) -> tuple[Engine, str | None]:
    """An engine that opens a SQLite file for reading only, and the schema's revision."""
    engine = sqlite_reader(path)
    return engine, revision(engine)


def require(url: str) -> None:
    """Refuse a database that was never made; nothing is made here.

    Raises
    ------
    MissingInputError
        If there is no database, or an empty one.
    """
    parsed = make_url(url)
    absent = is_absent(url)
    if absent or is_empty(url):
        shown = parsed.database if absent else parsed.render_as_string(hide_password=True)
        raise MissingInputError(
            f"no station database at {shown} yet: run `contimg init` or `contimg process DIR`, "
            "or set CONTIMG_HOME to the home that is meant"
        )


def upgrade(url: str) -> None:
    """Bring a station database's schema up to date; safe when several processes do it at once.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of the station database.  Services of an older release must not run: they could not
        go on.
    """
    engine = create(url)
    try:
        _upgrade(engine, anyway=True)
    finally:
        engine.dispose()


def _upgrade(engine: Engine, *, anyway: bool = False) -> None:
    # A station's processes start by the dozen: none waits for another unless there is something to do.
    found = revision(engine)
    if found == head():
        return
    if found is not None and found > head():
        shown = engine.url.render_as_string(hide_password=True)
        raise DatabaseError(
            f"{shown}: found the schema {found}, expected {head()} or older: a newer release has been here"
        )
    if found is not None and not anyway:
        _refuse_under_services(found)
    from alembic import command

    config = _config()
    with _one_at_a_time(engine):
        # Another process may have been at it meanwhile.
        if revision(engine) == head():
            return
        with engine.execution_options(contimg_writes=True).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            with Session(connection, join_transaction_mode="create_savepoint") as session, session.begin():
                fill_summaries(session)


def _refuse_under_services(found: str) -> None:
    """Services that expect an older schema cannot go on with a newer one: their runs would fail.

    Raises
    ------
    DatabaseError
        If some run.
    """
    from contimg_assets.settings import get_settings
    from contimg_assets.station.services import running

    older = [each for each in running(get_settings().home) if each.schema < head()]
    if older:
        named = ", ".join(f"{each.service} {each.pid} on {each.host} ({each.version})" for each in older)
        raise DatabaseError(
            f"found the schema {found}, expected {head()}: it is not changed while services of an older "
            f"release run: {named}. Drain the workers, stop the services, then `contimg init`"
        )


@lru_cache(maxsize=8)
def engine_for(url: str) -> Engine:
    """The process's engine for a station database, its schema brought up to date first."""
    engine = create(url)
    _upgrade(engine)
    _opened[url] = engine
    return engine


#: Engines of this process that may write.
_opened: dict[str, Engine] = {}


@lru_cache(maxsize=8)
def reading_engine_for(url: str) -> Engine:
    """The process's engine for looking at a station database; a SQLite file is opened read-only.

    Raises
    ------
    DatabaseError
        If the schema is an older one, and cannot be brought up to date here.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return engine_for(url)
    path = Path(parsed.database)
    engine, found = _reader(path.absolute())
    if found == head():
        return engine
    engine.dispose()
    # Root may write anywhere but on what is mounted read-only, which this tells as well.
    if not os.access(path.parent, os.W_OK):
        raise DatabaseError(
            f"{path}: the schema is at revision {found}, expected {head()}, and {path.parent} is read-only: "
            "run `contimg init` where it can be written"
        )
    return engine_for(url)


def checkpoint() -> None:
    """Write what stands in SQLite's WAL into the database files that this process has opened.

    So a copy of the file alone is the whole database.  Where others use it, the last of them does.
    """
    for engine in _opened.values():
        if engine.dialect.name == "sqlite" and Path(engine.url.database or "").is_file():
            # A disk that is full, or a database that is damaged, is told of by what met it before.
            engine.dispose()
            connection = sqlite3.connect(str(engine.url.database), timeout=_CHECKPOINT_BUSY_S)
            with suppress(sqlite3.DatabaseError), closing(connection):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


#: How long a transaction waits for a database that is away before it begins, s.
_patience: ContextVar[float] = ContextVar("patience", default=0.0)


@contextmanager
def patient(seconds: float) -> Iterator[None]:
    """Let transactions of this thread wait for a database that is away, before they begin."""
    before = _patience.get()
    _patience.set(seconds)
    try:
        yield
    finally:
        _patience.set(before)


def _begin(session: Session) -> None:
    """Connect and begin: the one moment of a transaction that can be tried again."""
    deadline = time.monotonic() + _patience.get()
    while True:
        try:
            connection = session.connection()
            if _patience.get():
                # Behind PgBouncer there may be a connection and no server.
                connection.exec_driver_sql("SELECT 1")
        except OperationalError:
            session.rollback()
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)
        else:
            return


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One transaction: all of the block's writes, or none.

    Yields
    ------
    Session
        Its objects stay readable after the block.
    """
    writer = engine.execution_options(contimg_writes=True)
    with Session(writer, expire_on_commit=False) as session:
        _begin(session)
        yield session
        session.commit()


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """One consistent view of the database, for reading only.

    Yields
    ------
    Session
        Its objects stay readable after the block.
    """
    with Session(engine, expire_on_commit=False) as session:
        _begin(session)
        yield session
