"""A station database that is damaged, away, or not the one that its home needs: what is wrong, and where.

Belongs here: naming such an error in one line, and refusing an empty database
beside a home full of products.  Does not belong here: connecting (``database.py``),
or what is waited for (``storage.py``).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from contimg_assets.radio.errors import ContimgError, DatabaseError
from contimg_assets.settings import Settings
from contimg_assets.station.database import is_absent, is_empty, reading_engine_for
from contimg_assets.station.storage import database_place

#: What SQLite says of a file that it cannot use.
_DAMAGED = ("file is not a database", "malformed", "file is encrypted")


def named(error: BaseException, settings: Settings) -> ContimgError | None:
    """Our own error for one of a database's driver; None for a statement that is wrong.

    Parameters
    ----------
    error : BaseException
        What a command met.
    settings : Settings
        Say which database it can have been.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, DBAPIError | sqlite3.DatabaseError):
        found = found.__cause__ or found.__context__
    if found is None:
        return None
    driver = found.orig if isinstance(found, DBAPIError) else found
    words = " ".join(str(driver).split())[:300]
    if type(driver).__name__ not in ("OperationalError", "DatabaseError", "InterfaceError"):
        return None
    return DatabaseError(f"{_where(settings)}: {words}")


def _where(settings: Settings) -> str:
    """The database that cannot be used: the station's if it is that, else Dagster's."""
    place, url = database_place(settings.sqlalchemy_url), settings.sqlalchemy_url
    if not url.startswith("sqlite"):
        return f"station database {place}, or Dagster's"
    damaged = [path for path in [Path(place), *_of_dagster(settings)] if path.is_file() and _is_damaged(path)]
    if damaged:
        return ", ".join(map(str, damaged))
    return f"station database {place}, or Dagster's in {settings.home / 'dagster'}"


def _of_dagster(settings: Settings) -> list[Path]:
    return sorted((settings.home / "dagster").rglob("*.db"))


def _is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            told = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return any(words in str(error) for words in _DAMAGED)
    return told != "ok"


def refuse_lost(settings: Settings) -> None:
    """Refuse a database that is missing or knows no group while the home is full of products.

    Nothing is made here: a new database in its place would hide the loss.

    Raises
    ------
    DatabaseError
        It says what to restore.
    """
    url = settings.sqlalchemy_url
    if is_absent(url):
        what = "is missing"
    elif is_empty(url):
        what = "is empty"
    elif _knows_groups(url):
        return
    else:
        what = "knows no group"
    n_groups = _products(settings.home)
    if n_groups:
        raise DatabaseError(
            f"station database {database_place(url)} {what}, but {settings.home / 'products'} holds products "
            f"of {n_groups} groups: restore the database from its backup, or set "
            "CONTIMG_DATABASE_URL to the one that is meant"
        )


def _products(home: Path) -> int:
    """Groups of which a product is published in a home."""
    folders = (home / "products").iterdir() if (home / "products").is_dir() else ()
    return sum(any(path.is_symlink() for path in folder.iterdir()) for folder in folders if folder.is_dir())


def _knows_groups(url: str) -> bool:
    engine = reading_engine_for(url)
    with engine.connect() as connection:
        if not inspect(connection).has_table("observation_group"):
            return False
        return connection.execute(text("SELECT 1 FROM observation_group LIMIT 1")).first() is not None
