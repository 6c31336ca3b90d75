"""Dagster's databases in a backup: its runs, events, partitions, sensors' cursors and schedules.

On SQLite they are files, one for each run and some for all; on PostgreSQL one database.
Belongs here: where Dagster keeps them.  Does not belong here: how a database is copied
(``station/database_copies.py``), or the rest of a backup (``station/backup.py``).
"""

import os
import shutil
from pathlib import Path

import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster_postgres.storage import DagsterPostgresStorage

from contimg_assets.radio.errors import BackupError
from contimg_assets.resources.instance import INSTANCE_FILE, dagster_home
from contimg_assets.settings import Settings, with_driver
from contimg_assets.station.backup import files_below
from contimg_assets.station.database_copies import (
    POSTGRESQL,
    SQLITE,
    copy_sqlite,
    dump,
    has_rows,
    load,
    place_sqlite,
    shown,
)

#: The copy of a PostgreSQL database; the folder of copies of SQLite's files.
DUMP, SQLITE_FILES = "dagster.dump", "sqlite"
#: Folders of Dagster's SQLite files below its own.
_FOLDERS = ("history", "schedules")
#: Tables of which a row means that an instance has been in use.
_LIVING = ("runs", "dynamic_partitions")


class DagsterDatabases:
    """Dagster's databases of one home.

    Parameters
    ----------
    settings : Settings
        Of the installation.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = dagster_home(settings)

    def copy(self, folder: Path) -> str:
        """Copy them, and how they are configured, into a folder; their kind."""
        configuration = self.folder / INSTANCE_FILE
        if not configuration.is_file():
            raise BackupError(f"{self.folder} has no {INSTANCE_FILE}: `contimg init` makes it")
        folder.mkdir(parents=True)
        shutil.copy2(configuration, folder / INSTANCE_FILE)
        place = _place_of(self.folder)
        if isinstance(place, str):
            dump(place, folder / DUMP, self.settings.backup.server)
            return POSTGRESQL
        for path in _files(place):
            copy_sqlite(path, folder / SQLITE_FILES / path.relative_to(place))
        return SQLITE

    def refusal(self, folder: Path) -> str | None:
        """Why the copies in a folder cannot take their place, in words; None if they can."""
        own = self.folder / INSTANCE_FILE
        place = _place_of(self.folder) if own.is_file() else _place_of(folder, self.folder)
        kind = SQLITE if isinstance(place, Path) else POSTGRESQL
        found = POSTGRESQL if (folder / DUMP).is_file() else SQLITE
        if kind != found:
            return (
                f"the backup's Dagster is on {found}, found {kind} in {own}: put the backup's "
                f"{INSTANCE_FILE} there, or restore the other parts (--part) and let "
                "`contimg reconcile --fix` tell Dagster"
            )
        if isinstance(place, str):
            urls = [place]
        else:
            urls = [f"sqlite:///{path}" for path in (place / "history").rglob("*.db")]
        used = next((url for url in urls if has_rows(url, *_LIVING)), None)
        if used is None:
            return None
        return (
            f"Dagster's database {shown(used)} is in use: it has runs or partitions; a backup is restored "
            "into an empty one (move it away, or restore the other parts with --part)"
        )

    def load(self, folder: Path) -> str:
        """Put the copies in a folder in their place; what was done, in words."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / INSTANCE_FILE).is_file():
            shutil.copy2(folder / INSTANCE_FILE, self.folder / INSTANCE_FILE)
        place = _place_of(self.folder)
        if isinstance(place, str):
            load(folder / DUMP, place, self.settings.backup.server)
            return f"Dagster's database: {shown(place)}"
        copies = list(files_below(folder / SQLITE_FILES))
        for copy in copies:
            place_sqlite(copy, place / copy.relative_to(folder / SQLITE_FILES))
        return f"Dagster's database: {len(copies)} SQLite files in {place}"


def _files(place: Path) -> list[Path]:
    return sorted(path for name in _FOLDERS for path in (place / name).rglob("*.db"))


def _place_of(folder: Path, home: Path | None = None) -> Path | str:
    """Where an instance keeps its databases: a folder, or the URL of a database.

    Parameters
    ----------
    folder : Path
        Has its configuration.
    home : Path, optional
        Where it is to be; default: there.
    """
    reference = InstanceRef.from_dir(str(folder))
    data = reference.storage_data
    if data is None:
        raise BackupError(f"{folder / INSTANCE_FILE}: found a storage of several parts, expected one")
    if data.class_name == DagsterSqliteStorage.__name__:
        # Not opened: that would make what is not there.
        base = yaml.safe_load(data.config_yaml)["base_dir"]
        path = Path(os.environ[base["env"]] if isinstance(base, dict) else base)
        return (home or folder) if path == folder else path
    storage = reference.storage
    if isinstance(storage, DagsterPostgresStorage):
        return with_driver(storage.postgres_url)
    raise BackupError(
        f"{folder / INSTANCE_FILE}: found the storage {data.class_name}; "
        "only SQLite and PostgreSQL can be copied"
    )
