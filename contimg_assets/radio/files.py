"""Files and folders: content hashes, copies, and text written whole or not at all.

Belongs here: what is the same for every file that the package handles, and folders
of work that go away.  Does not belong here: names of products (``station/store.py``).
"""

import errno
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contimg_assets.radio.errors import ContimgError, MissingInputError, StorageError
from contimg_assets.radio.process_marks import marked
from contimg_assets.radio.processes import bound

#: Files are read in pieces of this size, bytes.
PIECE = 1 << 20
#: A disk with less room than this is full, bytes.
FULL = 16 * 2**20


def tree_sha256(path: Path) -> str:
    """Hash a folder's content: the sorted relative paths of its files, and their bytes.

    Parameters
    ----------
    path : Path
        A folder, such as a CASA table.  Lock files (``table.lock``), which CASA
        rewrites on every opening, do not count.

    Returns
    -------
    str
        SHA-256, hexadecimal.

    Raises
    ------
    MissingInputError
        If ``path`` is not a folder.
    """
    if not path.is_dir():
        raise MissingInputError(f"{path} is not a folder: there is nothing to hash")
    digest = hashlib.sha256()
    files = {item.relative_to(path).as_posix(): item for item in path.rglob("*") if item.is_file()}
    for name, item in sorted(files.items()):
        if item.name == "table.lock":
            continue
        # Lengths keep (name, content) pairs from running into one another.
        digest.update(f"{len(name.encode())}:{name}:{item.stat().st_size}:".encode())
        with item.open("rb") as handle:
            while piece := handle.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def clone_tree(source: Path, destination: Path) -> None:
    """Copy a folder, sharing blocks where the file system can (reflink)."""
    copy = ["cp", "--recursive", "--dereference", "--reflink=auto", str(source), str(destination)]
    subprocess.run(bound(copy), check=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part."""
    staged = path.with_name(marked(f".{path.name}.{uuid.uuid4().hex[:12]}"))
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path, label: str) -> Iterator[Path]:
    """A new working folder below ``parent``, removed afterwards.

    Parameters
    ----------
    parent : Path
        It must be there: a disk that is not mounted is not made up for by a folder in its place.
    label : str
        What the folder's name begins with; it ends with the mark of this process, so that
        what is left of a killed one is known for it.

    Yields
    ------
    Path
        An empty folder.

    Raises
    ------
    StorageError
        If ``parent`` is not there or cannot be written, or if the work failed while it was full.
    """
    folder = parent / marked(f"{label}-{uuid.uuid4().hex[:12]}")
    try:
        folder.mkdir()
    except OSError as error:
        raise StorageError(f"no working folder can be made: {_words(error)}", parent) from error
    try:
        yield folder
    except ContimgError:
        raise
    except Exception as error:
        # Libraries in C++ say less than that, and Python's own errors of a full disk name no file.
        if shutil.disk_usage(parent).free < FULL:
            raise StorageError(os.strerror(errno.ENOSPC).lower(), parent) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _words(error: OSError) -> str:
    return (
        "the folder is not there" if error.errno == errno.ENOENT else (error.strerror or str(error)).lower()
    )
