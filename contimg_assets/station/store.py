"""Names of products on disk, and the only way that one gets there.

A product is built in a staging folder beside its destination, then published
by renaming a symbolic link over the old one: a kill at any instant leaves the
old product or the new one, never a part.  Every file and folder name of a
product is made here and nowhere else.

Layout below ``CONTIMG_HOME``::

    products/<slug>/<product>        link to .versions/<product>-<token>
    products/<slug>/.versions/…      the published content, never edited; of flags all versions
    products/<slug>/.staging/…       what is being built (removed when it fails)
    calibration/<set id>/…           calibration tables of the registry
    scratch/                         clones that CASA edits, gone after each stage
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.files import scratch_folder, tree_sha256
from contimg_assets.radio.group_key import slug

#: Products of which every version is kept, named by its content: small, and wanted back at times.
KEPT = frozenset({"flags"})
#: Digits of a version's name.
_VERSION_LENGTH = 12


class Store:
    """Product folders of one ``CONTIMG_HOME``.

    Parameters
    ----------
    home : Path
        Root of everything that a run keeps.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.products = home / "products"
        self.calibration = home / "calibration"
        self.scratch = home / "scratch"

    def path(self, key: str, product: str) -> Path:
        """Where ``product`` of group ``key`` is (or will be) published."""
        return self.products / slug(key) / product

    def existing(self, key: str, product: str) -> Path:
        """Path of a published product.

        Raises
        ------
        MissingInputError
            If it has not been made.
        """
        path = self.path(key, product)
        if not path.exists():
            raise MissingInputError(f"group {key} has no {product}: expected it at {path}")
        return path

    @contextmanager
    def staging(self, key: str, product: str) -> Iterator[Path]:
        """A new folder in which to build ``product``; gone if the block raises.

        Yields
        ------
        Path
            An empty folder on the destination's file system.  Build in it a
            folder or file of any name, then call :meth:`publish`.
        """
        folder = self.products / slug(key) / ".staging" / f"{product}-{uuid.uuid4().hex[:12]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, built: Path, key: str, product: str) -> Path:
        """Make ``built`` (from :meth:`staging`) the current version of ``product``.

        Returns
        -------
        Path
            The published path, a link that is replaced atomically.
        """
        destination = self.path(key, product)
        versions = destination.parent / ".versions"
        versions.mkdir(exist_ok=True)
        version = tree_sha256(built) if product in KEPT else uuid.uuid4().hex
        name = f"{product}-{version[:_VERSION_LENGTH]}"
        # The same content again is the version that is there.
        if not (versions / name).exists():
            built.replace(versions / name)
        self._point(destination, name)
        if product not in KEPT:
            for old in self.versions(key, product).values():
                if old.name != name:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
        return destination

    def versions(self, key: str, product: str) -> dict[str, Path]:
        """Content of each version of ``product`` on disk, by the version's name, oldest first."""
        folder = self.path(key, product).parent / ".versions"
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

    def restore(self, version: Path, key: str, product: str) -> Path:
        """Make a version (from :meth:`version`) the current one again; returns the published path."""
        destination = self.path(key, product)
        self._point(destination, version.name)
        return destination

    @staticmethod
    def _point(destination: Path, name: str) -> None:
        link = destination.parent / ".versions" / f"{name}.{uuid.uuid4().hex}.link"
        link.symlink_to(Path(".versions") / name)
        link.replace(destination)

    def scratch_folder(self, label: str) -> AbstractContextManager[Path]:
        """A working folder for one stage, removed afterwards."""
        return scratch_folder(self.scratch, label)
