"""Going back to a backup: into a home that is empty or was wiped, here or elsewhere.

Everything is looked at before anything is written: that the backup is whole, and that
nothing living would be overwritten.  Files that the home still has stay as they are.
Paths in the database are relative to the home, so it may be another one.

Belongs here: those looks, and the order of what is done.  Does not belong here: making
backups (``backup.py``), or what is amiss between databases and disk afterwards
(``reconcile.py``).
"""

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import make_url

from contimg_assets.radio.errors import BackupError
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.process_marks import marked
from contimg_assets.settings import Settings
from contimg_assets.station.backup import (
    DAGSTER,
    FILES,
    STATION,
    STATION_FILES,
    DagsterStorage,
    Manifest,
    read_manifest,
)
from contimg_assets.station.database import head
from contimg_assets.station.database_copies import SQLITE, has_rows, kind_of, load, place_sqlite, shown
from contimg_assets.station.installation import Installation
from contimg_assets.station.reconcile import ASTRAY, examine, put_right

#: Tables of which a row means that a station database is in use.
_LIVING = ("observation_group", "calibration_set")


@dataclass
class Restored:
    """What was done."""

    manifest: Manifest
    told: list[str] = field(default_factory=list)
    """A line for each step."""
    kept: list[Path] = field(default_factory=list)
    """Files that the home had and that differ from the backup's: they stayed."""


def check(settings: Settings, backup: Path, dagster: DagsterStorage, parts: Collection[str]) -> Manifest:
    """Hold a backup against its manifest, and look whether its parts can be restored; nothing is written.

    Parameters
    ----------
    settings : Settings
        Say where to.
    backup : Path
    dagster : DagsterStorage
        Of the same installation.
    parts : collection of str
        Of ``backup.PARTS``.

    Raises
    ------
    BackupError
        If it is not whole, or something that lives would be overwritten.
    """
    manifest = read_manifest(backup)
    wrong = [told for name in manifest.files if (told := _damage(backup, name, manifest))]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise BackupError(f"{backup} is not whole: {'; '.join(wrong[:3])}{more}")
    if STATION in parts:
        _check_station(settings, manifest)
    if DAGSTER in parts:
        refusal = dagster.refusal(backup / DAGSTER)
        if refusal is not None:
            raise BackupError(refusal)
    return manifest


def restore(
    settings: Settings,
    backup: Path,
    dagster: DagsterStorage,
    parts: Collection[str],
    tell: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Restore parts of a backup.

    Parameters
    ----------
    settings, backup, dagster, parts
        As for :func:`check`, which is done first.
    tell : callable
        Told each step once it is done.

    Returns
    -------
    Restored
    """
    done = Restored(check(settings, backup, dagster, parts))

    def say(text: str) -> None:
        done.told.append(text)
        tell(text)

    say(f"{len(done.manifest.files)} files of {backup.name} are as its manifest says")
    if FILES in parts:
        say(_place_files(settings.home, backup, done))
    if STATION in parts:
        say(_load_station(settings, backup, done.manifest))
    if DAGSTER in parts:
        say(dagster.load(backup / DAGSTER))
    if STATION in parts:
        # Opening it brings an older schema up to date.
        station = Installation(settings)
        sidecars = station.registry.put_sidecars_right()
        # Links are in no backup, and those that are there may lead to what came after it.
        links = [each for each in examine(station) if each.kind == ASTRAY]
        told = [f"{len(sidecars)} sidecars put right", *put_right(station, links)]
        say(", ".join(told))
    return done


def _damage(backup: Path, name: str, manifest: Manifest) -> str | None:
    path, entry = backup / name, manifest.files[name]
    if not path.is_file():
        return f"{name} is missing"
    size = path.stat().st_size
    if size != entry.bytes:
        return f"{name}: found {size} bytes, expected {entry.bytes}"
    digest = file_sha256(path)
    return None if digest == entry.sha256 else f"{name}: found SHA-256 {digest}, expected {entry.sha256}"


def _check_station(settings: Settings, manifest: Manifest) -> None:
    url = settings.sqlalchemy_url
    if manifest.schema_revision > head():
        raise BackupError(
            f"the backup has the schema {manifest.schema_revision}, expected {head()} or older: restore it "
            f"with contimg {manifest.contimg}"
        )
    kind = kind_of(url)
    if kind != manifest.station:
        raise BackupError(
            f"the backup's station database is {manifest.station}, found {shown(url)}: set "
            "CONTIMG_DATABASE_URL to a database of that kind"
        )
    if has_rows(url, *_LIVING):
        raise BackupError(
            f"the station database {shown(url)} is in use: it has groups or calibration sets; a backup is "
            "restored into an empty one (move it away, or restore the other parts with --part)"
        )


def _load_station(settings: Settings, backup: Path, manifest: Manifest) -> str:
    url = settings.sqlalchemy_url
    copy = backup / STATION / STATION_FILES[manifest.station]
    if manifest.station == SQLITE:
        place_sqlite(copy, Path(str(make_url(url).database)))
    else:
        load(copy, url, settings.backup.server)
    made = f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"station database of {made}, {manifest.n_groups} groups: {shown(url)}"


def _place_files(home: Path, backup: Path, done: Restored) -> str:
    """Put files where the home has none."""
    placed = same = 0
    for name, entry in done.manifest.files.items():
        if not name.startswith(f"{FILES}/"):
            continue
        target = home / name.removeprefix(f"{FILES}/")
        if target.is_file():
            if file_sha256(target) == entry.sha256:
                same += 1
            else:
                done.kept.append(target)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(marked(f".{target.name}"))
        try:
            shutil.copy2(backup / name, staged)
            staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)
        placed += 1
    return f"{placed} files put into {home}, {same} were there, {len(done.kept)} differ there and stay"
