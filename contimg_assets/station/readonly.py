"""Opening a station database to look only: beside a station that runs, and where nothing can be written.

Belongs here: connections that cannot write.  Does not belong here: those that can,
and migrations (``database.py``).
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from contimg_assets.radio.errors import DatabaseError, MissingInputError, SettingsError
from contimg_assets.station.database import head, revision
from contimg_assets.station.sqlite_reading import sqlite_reader


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
        engine = _file(Path(parsed.database or "")) if parsed.get_backend_name() == "sqlite" else _server(url)
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


def _file(path: Path) -> Engine:
    if not path.is_file():
        raise MissingInputError(
            f"no station database at {path}: expected the file catalogue.sqlite of a home"
        )
    return sqlite_reader(path)
