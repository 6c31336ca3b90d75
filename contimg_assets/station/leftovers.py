"""What killed processes left on disk, found and taken away at once.

Names of folders of work carry the mark of the process that made them
(``radio/process_marks.py``).  What carries the mark of a process of this machine
that has ended is nobody's.  Of another machine only what a lease's holder made is
known to be nobody's, and only from the judge of leases (``lease_judge.py``).
Everything else, also what other releases left, waits for retention.

A staging folder also names what was moved from it to its place: content, or a
calibration set, that the database does not know is withdrawn with it.

Belongs here: finding and removing.  Does not belong here: who is dead, or
versions that were superseded (``retention.py``).
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contimg_assets.radio.group_key import key_of, slug
from contimg_assets.radio.process_marks import maker_has_ended, was_made_by
from contimg_assets.station.calibration_folders import withdraw_set
from contimg_assets.station.leases import Held
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import put_link_right, withdraw
from contimg_assets.station.store import PLACED, STAGING, TRASH, VERSIONS, Placed, Store, remove_tree

#: How names begin that ``radio.files.scratch_folder`` gives, and those of what is being removed.
_WORKING_FOLDER = re.compile(rf"(?:[a-z-]+-|{re.escape(TRASH)})[0-9a-f]{{12}}(?:\.|$)")


@dataclass
class Swept:
    """What became of leftovers."""

    removed: list[Path] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What could not be removed, and why."""


def entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder, by name; nothing if there is no such folder."""
    try:
        with os.scandir(folder) as found:
            names = sorted(entry.name for entry in found)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (folder / name for name in names)


def working_folders(store: Store) -> Iterator[Path]:
    """What stages have in scratch, or left there; a scratch disk may hold other people's things beside it."""
    return (path for path in entries(store.scratch) if _WORKING_FOLDER.match(path.name))


def in_scratch(store: Store, holder: Held | None = None) -> list[Path]:
    """Working folders of processes that have ended, or of a dead holder of a lease."""
    return [path for path in working_folders(store) if _is_nobodys(path, holder)]


def shared(store: Store, holder: Held | None = None) -> list[Path]:
    """The same, and what lies where no group's products do: calibration sets and files in the making."""
    staged = [path for path in entries(store.calibration / STAGING) if _is_nobodys(path, holder)]
    texts = [path for path in entries(store.home) if path.is_file() and _is_nobodys(path, holder)]
    return [*in_scratch(store, holder), *staged, *texts]


def of_group(store: Store, key: str, holder: Held | None = None) -> list[Path]:
    """What processes that have ended, or a dead holder of the group's lease, left of its products."""
    return _of_folder(store.products / slug(key), holder)


def _of_folder(folder: Path, holder: Held | None = None) -> list[Path]:
    return [
        path for part in (STAGING, VERSIONS) for path in entries(folder / part) if _is_nobodys(path, holder)
    ]


def everywhere(store: Store) -> list[Path]:
    """All that processes of this machine that have ended left in a home."""
    found = shared(store)
    for folder in entries(store.products):
        found += _of_folder(folder)
    for folder in entries(store.calibration):
        found += [path for path in entries(folder) if path.is_file() and _is_nobodys(path, None)]
    return found


def is_leftover(path: Path) -> bool:
    """Whether something is nobody's by its name, whatever its age: also a removal that was cut short."""
    return path.name.startswith(TRASH) or maker_has_ended(path.name)


def _is_nobodys(path: Path, holder: Held | None) -> bool:
    name = path.name
    if is_leftover(path):
        return True
    return holder is not None and was_made_by(name, holder.pid, holder.process)


def sweep(records: StationRecords, store: Store, paths: Iterable[Path]) -> Swept:
    """Remove leftovers, from the functions above, and what they had put in place without a row.

    Returns
    -------
    Swept
        One that cannot be removed keeps none of the others.
    """
    swept = Swept()
    for path in paths:
        try:
            _withdraw_what_was_placed(records, store, path)
            remove_tree(path)
        except OSError as error:
            swept.refused.append(f"{path}: {error.strerror}")
        else:
            swept.removed.append(path)
    return swept


def sweep_group(records: StationRecords, store: Store, key: str, paths: Iterable[Path]) -> Swept:
    """Remove a group's leftovers, and let its links lead to the current versions of its products."""
    swept = sweep(records, store, paths)
    for product in records.products(key):
        put_link_right(records, store, key, product)
    return swept


def sweep_scratch(store: Store) -> None:
    """Remove working folders of processes of this machine that have ended, as far as they can be removed."""
    for path in in_scratch(store):
        # What stays is the judge's or retention's to tell of.
        shutil.rmtree(path, ignore_errors=True)


def _withdraw_what_was_placed(records: StationRecords, store: Store, path: Path) -> None:
    note = path / PLACED
    if path.parent.name != STAGING or not note.is_symlink():
        return
    name = note.readlink().name
    if path.parent.parent == store.calibration:
        withdraw_set(records.engine, store.calibration, name)
        return
    key, product = key_of(path.parent.parent.name), name.rpartition("-")[0]
    # A database that does not know the group may have been lost: that must cost no data.
    if key is not None and records.find(key) is not None:
        link = store.path(key, product)
        withdraw(records, store, Placed(link.parent / VERSIONS / name, link, new=True), key, product)
