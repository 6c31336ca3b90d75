"""Backups: what cannot be made again of an installation, in one folder with a manifest.

In it are both databases, each as it was at one moment, the calibration registry, and the
home's small files; products, which can be made again, only where they are asked for.
The station database knows verdicts, history and numbers of all products.

Dagster's database is copied first and the files last: whatever the station database
names is then in the backup, and Dagster knows of nothing that the station does not.
Layout::

    contimg-20260115T040000Z/
      manifest.json     hash and size of every file; written last
      station/          catalogue.sqlite or station.dump
      dagster/          dagster.yaml, SQLite files or dagster.dump
      files/            as below the home

Belongs here: making, reading and thinning out backups.  Does not belong here: going
back to one (``restore.py``), or what Dagster keeps (``resources/dagster_backup.py``).
"""

import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from contimg_assets import __version__
from contimg_assets.radio.errors import BackupError
from contimg_assets.radio.files import file_sha256, write_atomically
from contimg_assets.radio.process_marks import maker_has_ended, marked
from contimg_assets.settings import SETTINGS_FILE, Settings
from contimg_assets.station.columns import now
from contimg_assets.station.database import reading, require, revision
from contimg_assets.station.database_copies import SQLITE, copy_sqlite, dump, kind_of
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import ObservationGroup, ProductVersion
from contimg_assets.station.store import remove_tree

MANIFEST = "manifest.json"
#: Parts of a backup, each with a folder of its own.
STATION, DAGSTER, FILES = PARTS = ("station", "dagster", "files")
#: The copy of the station database, by its kind.
STATION_FILES = {"sqlite": "catalogue.sqlite", "postgresql": "station.dump"}
#: Small files of the home that nothing makes again: settings, the web server's tokens, alerts.
HOME_FILES = (SETTINGS_FILE, "tokens.json", "alerts.jsonl", "antennas.json")
#: In the home: when the newest backup was made, and where it is.
LAST = "last_backup.json"
#: Source catalogues are in a backup up to this size, bytes: they can be fetched again.
CATALOGUES_BYTES = 2_000_000_000
_PREFIX, _STAMP = "contimg-", "%Y%m%dT%H%M%SZ"


class Entry(BaseModel):
    """One file of a backup."""

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    format: Literal[1] = 1
    made_at: datetime
    """When the station database was copied, UTC."""
    contimg: str
    """Version that made it."""
    schema_revision: str
    """Of the station database."""
    home: str
    host: str
    station: str
    """Kind of the station database."""
    dagster: str
    """Kind of Dagster's."""
    n_groups: int
    newest_group: str | None
    products: list[str] = Field(default_factory=list)
    """Products whose current versions are in it."""
    left_out: list[str] = Field(default_factory=list)
    """What was asked for, or is usually there, and is not in it, and why."""
    files: dict[str, Entry]

    @field_validator("files")
    @classmethod
    def _stays_within(cls, files: dict[str, Entry]) -> dict[str, Entry]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or path.parts[0] not in PARTS:
                raise ValueError(f"found the file {name}; expected one below {', '.join(PARTS)}")
        return files

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.bytes for entry in self.files.values())


class DagsterStorage(Protocol):
    """Dagster's databases of an installation (``resources/dagster_backup.py``)."""

    def copy(self, folder: Path) -> str:
        """Copy them, and how they are configured, into a folder; their kind."""
        ...

    def refusal(self, folder: Path) -> str | None:
        """Why the copies in a folder cannot take their place, in words; None if they can."""
        ...

    def load(self, folder: Path) -> str:
        """Put the copies in a folder in their place; what was done, in words."""
        ...


@dataclass(frozen=True)
class Last:
    """The newest backup of a home."""

    at: datetime
    folder: str


def last_backup(home: Path) -> Last | None:
    """When the newest backup of a home was made; None if none was.

    Raises
    ------
    BackupError
        If the home's note of it cannot be read.
    """
    path = home / LAST
    if not path.is_file():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Last(datetime.fromisoformat(known["at"]), str(known["folder"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path}: found no time of a backup: {error}") from error


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises
    ------
    BackupError
        If there is none, or it is not one that this version reads.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BackupError(f"{folder} is no backup: expected {MANIFEST} in it, which is written last")
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BackupError(f"{path}: {where}: {first['msg']}") from error


def backups(folder: Path) -> list[Path]:
    """Whole backups in a folder, oldest first."""
    return sorted(path.parent for path in folder.glob(f"{_PREFIX}*/{MANIFEST}"))


def make(
    settings: Settings,
    folder: Path,
    dagster: DagsterStorage,
    *,
    keep: int | None = None,
    products: Sequence[str] = (),
) -> tuple[Path, Manifest, list[Path]]:
    """Make a backup, while the installation works or not.

    Parameters
    ----------
    settings : Settings
        Say which installation.
    folder : Path
        Where backups of it are kept; not below the home.
    dagster : DagsterStorage
    keep : int, optional
        Backups of this home that stay, with the new one; default: all.
    products : sequence of str
        Products whose current versions are to be in it.

    Returns
    -------
    path, manifest, removed : tuple
        The backup, what it says of itself, and the older ones that went.

    Raises
    ------
    BackupError
        If it cannot be there.
    DatabaseError
        If a database cannot be read.
    """
    if folder.resolve().is_relative_to(settings.home.resolve()):
        raise BackupError(f"{folder} is below the home {settings.home}: a backup there is lost with it")
    require(settings.sqlalchemy_url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackupError(f"{folder} cannot be made: {error.strerror or error}") from error
    for left in folder.glob(f".{_PREFIX}*"):
        if maker_has_ended(left.name):
            remove_tree(left)
    name = f"{_PREFIX}{now().strftime(_STAMP)}"
    staged, final = folder / marked(f".{name}"), folder / name
    if final.exists():
        raise BackupError(f"{final} is there already: one backup a second")
    staged.mkdir(mode=0o700)  # tokens, and perhaps passwords in the settings
    try:
        manifest = _fill(settings, staged, dagster, products)
        write_atomically(staged / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        _synced(staged / MANIFEST)
        staged.rename(final)
    finally:
        remove_tree(staged)
    note = {"at": manifest.made_at.isoformat(timespec="seconds"), "folder": str(final)}
    write_atomically(settings.home / LAST, json.dumps(note) + "\n")
    return final, manifest, [] if keep is None else thin_out(folder, settings.home, keep)


def thin_out(folder: Path, home: Path, keep: int) -> list[Path]:
    """Remove the oldest whole backups of a home, so that some stay; those removed."""
    own = [path for path in backups(folder) if read_manifest(path).home == str(home)]
    old = own[:-keep]
    for path in old:
        # Without its manifest it is none any more, whatever a kill leaves of it.
        trash = path.with_name(marked(f".{path.name}"))
        path.rename(trash)
        remove_tree(trash)
    return old


def _fill(settings: Settings, staged: Path, dagster: DagsterStorage, products: Sequence[str]) -> Manifest:
    """Copy everything, and say what it is."""
    kind = kind_of(settings.sqlalchemy_url)
    engine = Installation(settings, reading=True).engine
    of_dagster = dagster.copy(staged / DAGSTER)
    at, schema = now(), revision(engine)
    copy = staged / STATION / STATION_FILES[kind]
    if kind == SQLITE:
        copy_sqlite(Path(str(make_url(settings.sqlalchemy_url).database)), copy)
    else:
        dump(settings.sqlalchemy_url, copy, settings.backup.server)
    with reading(engine) as session:
        n_groups, newest = session.execute(
            select(func.count(), func.max(ObservationGroup.key)).select_from(ObservationGroup)
        ).one()
    left_out: list[str] = []
    for source, relative in _home_files(settings, products, left_out):
        target = staged / FILES / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return Manifest(
        made_at=at,
        contimg=__version__,
        schema_revision=str(schema),
        home=str(settings.home),
        host=socket.gethostname(),
        station=kind,
        dagster=of_dagster,
        n_groups=n_groups,
        newest_group=newest,
        products=list(products),
        left_out=left_out,
        files={path.relative_to(staged).as_posix(): entry_of(path) for path in files_below(staged)},
    )


def _home_files(
    settings: Settings, products: Sequence[str], left_out: list[str]
) -> Iterator[tuple[Path, Path]]:
    """Files of the home that a backup has, each with its path below the home; what is not in it is noted."""
    home, store = settings.home, Installation(settings).store
    folders = [path for path in sorted(store.calibration.glob("*")) if not path.name.startswith(".")]
    catalogues = [*files_below(settings.catalogues_folder)]
    size = sum(path.stat().st_size for path in catalogues)
    if size <= CATALOGUES_BYTES:
        folders.append(settings.catalogues_folder)
    else:
        left_out.append(f"catalogues: {size / 1e9:.1f} GB; `contimg catalogs fetch` has them again")
    watched = settings.photometry.watched
    extra = [home / name for name in HOME_FILES]
    if watched is not None and watched.is_relative_to(home):
        extra.append(watched)
    elif watched is not None:
        left_out.append(f"{watched}: not below the home")
    for path in extra:
        if path.is_file():
            yield path, path.relative_to(home)
    with reading(Installation(settings, reading=True).engine) as session:
        paths = session.scalars(
            select(ProductVersion.path).where(
                ProductVersion.product.in_(products),
                ProductVersion.superseded_at.is_(None),
                ProductVersion.deleted_at.is_(None),
            )
        ).all()
    for path in map(store.absolute, paths):
        if path.is_relative_to(home) and path.is_dir():
            folders.append(path)
        else:
            left_out.append(
                f"{path}: not there" if path.is_relative_to(home) else f"{path}: not below the home"
            )
    for folder in folders:
        yield from ((path, path.relative_to(home)) for path in files_below(folder))


def files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder, in order; not hidden ones, which are being written."""
    found: Iterable[Path] = (path for path in folder.rglob("*") if not path.name.startswith("."))
    yield from sorted(path for path in found if path.is_file())


def entry_of(path: Path) -> Entry:
    """Size and hash of a file, which is on the disk when this returns."""
    _synced(path)
    return Entry(bytes=path.stat().st_size, sha256=file_sha256(path))


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
