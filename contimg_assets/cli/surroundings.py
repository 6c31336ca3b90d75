"""What a command meets when a setting leads nowhere: told as an error of ours, which is one line.

Belongs here: homes that cannot be made, addresses of databases that are none.
Does not belong here: storage that is full or ill (``radio/storage.py``), databases
that are damaged or do not answer (``station/database_faults.py``).
"""

import sys
from pathlib import Path

from contimg_assets.radio.errors import ContimgError, SettingsError
from contimg_assets.settings import Settings

#: Databases that a station may have, and errors of a path that cannot be a folder of ours.
_KNOWN = ("sqlite", "postgresql")
_NO_FOLDER = (PermissionError, NotADirectoryError, FileExistsError, FileNotFoundError)


def wrong_surroundings(error: Exception, settings: Settings) -> ContimgError | None:
    """Our own error for one that a setting has led to; None if it is something else.

    Parameters
    ----------
    error : Exception
        What a library or the system has raised.
    settings : Settings
        Of this process.
    """
    if isinstance(error, _NO_FOLDER) and _concerns(error, settings.home):
        why = error.strerror or type(error).__name__
        return SettingsError(f"CONTIMG_HOME: found {settings.home}, which cannot be made or written: {why}")
    if "sqlalchemy" not in sys.modules:
        return None
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    # A database that SQLAlchemy knows and we do not wants a driver that is not installed.
    foreign = isinstance(error, ModuleNotFoundError) and not settings.sqlalchemy_url.startswith(_KNOWN)
    if foreign or isinstance(error, ArgumentError | NoSuchModuleError):
        return SettingsError(
            f"CONTIMG_DATABASE_URL: found {settings.database_url!r}; expected an address such as "
            "postgresql+psycopg2://user@host/name"
        )
    return None


def _concerns(error: OSError, home: Path) -> bool:
    """Whether it is the home or a folder above it; what is missing within a home is no wrong setting."""
    if not isinstance(error.filename, str | Path):
        return False
    path = Path(error.filename).absolute()
    return home.is_relative_to(path) or (path.is_relative_to(home) and not home.is_dir())
