"""Names of products on disk, and the only way that one gets there.

A product is built in a staging folder beside its destination and moved, whole, to
its place among the versions; then a symbolic link is renamed over the old one.
Nothing is removed here that anybody was shown: versions that were superseded are
retention's (``retention.py``).  Every file and folder name of a product is made
here and nowhere else.  Does not belong here: which version is the current one,
which the database says (``publication.py``).

Layout below ``CONTIMG_HOME`` (the slug is a group's, or the key of a sidereal day or a tile of the sky)::

    products/<slug>/<product>        link to .versions/<product>-<token>; of a day's products the
                                     slug is the date
    products/<slug>/.versions/…      the published content, never edited
    products/<slug>/.staging/…       what is being built (removed when it fails)
    calibration/<set id>/…           calibration tables of the registry
    scratch/                         what stages need only while they work, gone after each

The last may lie elsewhere (setting ``scratch``): on a disk of the machine's own,
where what is not kept never crosses to the store.

Names in ``.staging`` and ``scratch`` end with the mark of the process that made them,
so that what a killed one left is known at once (``leftovers.py``).

Paths in the database are relative to the home, so that it can be moved.
"""

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.files import scratch_folder, tree_sha256
from contimg_assets.radio.group_key import slug
from contimg_assets.radio.process_marks import marked

#: Products of which every version is kept, named by its content: small, and wanted back at times.
KEPT = frozenset({"flags"})
#: Keys of sidereal days and tiles of the sky, and of what is of none.
_NAMES = re.compile(r"\d{4}-\d{2}-\d{2}b?|hp4-\d{4}|survey")
#: Digits of a version's name.
_VERSION_LENGTH = 12
#: Folders of a product's folder; how the names begin of what is being removed, and end of links to come.
VERSIONS, STAGING, TRASH, LINK = ".versions", ".staging", ".trash-", ".link"
#: Link in a staging folder that names what was moved from it to its place: so that what a process which is
#: killed before the database knows of it leaves is known, too.
PLACED = "placed"


@dataclass(frozen=True)
class Placed:
    """Content that is in its place among the versions, whether or not it is published."""

    path: Path
    """Where it is."""
    link: Path
    """Where its product is published."""
    new: bool
    """It was not there before, so it goes again if it is not published."""


def remove_tree(path: Path) -> None:
    """Remove a folder or file; another process may be doing the same."""

    def unless_gone(_function: object, _path: str, error: tuple[Any, BaseException, Any]) -> None:
        if not isinstance(error[1], FileNotFoundError):
            raise error[1]

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=unless_gone)
    else:
        path.unlink(missing_ok=True)


def folder_name(key: str) -> str:
    """Folder of a key's products: a group's slug; the keys of days and tiles are names already.

    Raises
    ------
    ValueError
        If it is the key of nothing.
    """
    return key if _NAMES.fullmatch(key) else slug(key)


def size_of(path: Path) -> int:
    """Bytes of a folder or file; hard links and shared blocks count as if they were its own."""
    files = (item for item in path.rglob("*")) if path.is_dir() and not path.is_symlink() else iter((path,))
    return sum(item.lstat().st_size for item in files if not item.is_dir() or item.is_symlink())


@contextmanager
def set_aside_unless_done(folder: Path) -> Iterator[None]:
    """Let a staging folder, if the block raises, outlive its process's work: as a leftover, with its note."""
    try:
        yield
    except BaseException:
        # The database was away, or the disk: what the note names is settled when leftovers are swept.
        with suppress(OSError):
            folder.rename(folder.with_name(f"{TRASH}{folder.name}"))
        raise


class Store:
    """Product folders of one ``CONTIMG_HOME``.

    Parameters
    ----------
    home : Path
        Root of everything that a run keeps.
    scratch : Path, optional
        Folder for what a run needs only while it works; default: a folder of the home.
    """

    def __init__(self, home: Path, scratch: Path | None = None) -> None:
        self.home = home
        self.products = home / "products"
        self.calibration = home / "calibration"
        self.scratch = home / "scratch" if scratch is None else scratch

    def path(self, key: str, product: str) -> Path:
        """Where ``product`` of a group, day or tile is (or will be) published."""
        return self.products / folder_name(key) / product

    @contextmanager
    def staging(self, key: str, product: str) -> Iterator[Path]:
        """A new folder in which to build ``product``; gone if the block raises.

        Yields
        ------
        Path
            An empty folder on the destination's file system.  Build in it a
            folder or file of any name, then call ``publication.publish``.
        """
        name = marked(f"{product}-{uuid.uuid4().hex[:12]}")
        folder = self.products / folder_name(key) / STAGING / name
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def place(self, built: Path, key: str, product: str) -> Placed:
        """Move what was built (in :meth:`staging`) to its place among the versions of ``product``.

        It is whole there at once, and nobody is shown it before :meth:`point`.
        """
        link = self.path(key, product)
        versions = link.parent / VERSIONS
        versions.mkdir(exist_ok=True)
        version = tree_sha256(built) if product in KEPT else uuid.uuid4().hex
        path = versions / f"{product}-{version[:_VERSION_LENGTH]}"
        # The same content again is the version that is there.
        new = not path.exists()
        if new:
            self.move(built, path)
        return Placed(path, link, new)

    def move(self, built: Path, path: Path) -> None:
        """Move what was built (in :meth:`staging`) to a place of its own among the versions."""
        (built.parent / PLACED).symlink_to(path.name)
        built.replace(path)

    def remove(self, path: Path) -> None:
        """Remove content that nobody uses: renamed first, so that nobody ever sees a part of it."""
        trash = path.with_name(f"{TRASH}{uuid.uuid4().hex[:12]}")
        try:
            path.rename(trash)
        except FileNotFoundError:
            return  # another process was first
        remove_tree(trash)

    def relative(self, path: Path) -> str:
        """A path as the database has it: relative to the home if it lies below it."""
        return (path.relative_to(self.home) if path.is_relative_to(self.home) else path).as_posix()

    def absolute(self, path: str) -> Path:
        """A path that the database has, on this machine."""
        return self.home / path

    @staticmethod
    def target(link: Path) -> Path | None:
        """The content that a product's link leads to; None if there is no link."""
        return link.parent / link.readlink() if link.is_symlink() else None

    def versions(self, key: str, product: str) -> dict[str, Path]:
        """Content of each version of ``product`` on disk, by the version's name, oldest first."""
        folder = self.path(key, product).parent / VERSIONS
        found = {path.name.removeprefix(f"{product}-"): path for path in folder.glob(f"{product}-*")}
        whole = {name: path for name, path in found.items() if len(name) == _VERSION_LENGTH}
        return dict(sorted(whole.items(), key=lambda item: item[1].stat().st_mtime))

    def version(self, key: str, product: str, name: str) -> Path:
        """Content of one version.

        Parameters
        ----------
        key, product : str
        name : str
            Its name, the beginning of it, or the whole hash that it begins.

        Raises
        ------
        MissingInputError
            If no version is called so, or more than one.
        """
        known = self.versions(key, product)
        found = [path for version, path in known.items() if version.startswith(name[:_VERSION_LENGTH])]
        if len(found) != 1:
            raise MissingInputError(
                f"group {key}: found {len(found)} versions of {product} called {name!r}; "
                f"there are {', '.join(known) or 'none'}"
            )
        return found[0]

    @staticmethod
    def point(link: Path, path: Path) -> None:
        """Let a product's link lead to one of its versions, at once: a reader sees the old one or the new."""
        staged = link.parent / VERSIONS / marked(f"{path.name}.{uuid.uuid4().hex[:12]}{LINK}")
        staged.symlink_to(Path(VERSIONS) / path.name)
        staged.replace(link)

    def scratch_folder(self, label: str) -> AbstractContextManager[Path]:
        """A working folder for one stage, removed afterwards; see :func:`radio.files.scratch_folder`."""
        return scratch_folder(self.scratch_place(), label)

    def scratch_place(self) -> Path:
        """Where working folders are made: a folder of the home is made when it is needed, another never."""
        if self.scratch.parent == self.home:
            self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch
