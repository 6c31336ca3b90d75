"""Faults of storage: telling them from bad data, and measuring whether a folder can be used.

Belongs here: which errors of the system mean that a disk is full, read-only, ill
or away.  Such a fault is nobody's data's: what met it is made again when it is
over.  Does not belong here: what becomes of a group meanwhile (``station/storage.py``).
"""

import errno
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from contimg_assets.radio.errors import StorageError

#: Errors of the system that are a disk's or a mount's, not a file's.
FAULTS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO),
        *(errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.EREMOTEIO),
    }
)
#: Libraries in C++ keep the text alone: casacore, HDF5, FITS.
_TEXTS = {os.strerror(number).lower(): number for number in FAULTS}
_TEXT = re.compile("|".join(re.escape(text) for text in _TEXTS), re.IGNORECASE)
#: A folder is taken to have room if so much can be reserved in it, bytes.
ROOM = 16 * 2**20


def fault_of(error: BaseException) -> StorageError | None:
    """The storage fault behind an error, or behind what it was raised from; None if there is none.

    Parameters
    ----------
    error : BaseException
        An error of the system, or of a library that hands on its text.

    Returns
    -------
    StorageError
        It names the folder, if that is known, and the system's words.
    """
    for one in _chain(error):
        if isinstance(one, StorageError):
            return one
        if isinstance(one, OSError):
            found = _of_system(one)
            if found is not None:
                return found
        text = _TEXT.search(str(one)) if isinstance(one, OSError | RuntimeError) else None
        if text is not None:
            return StorageError(text[0].lower(), _place(one))
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _of_system(error: OSError) -> StorageError | None:
    place = _place(error)
    if error.errno in FAULTS:
        return StorageError(os.strerror(error.errno).lower(), place)
    if error.errno == errno.ENOENT and place is not None and not place.exists():
        # Not a file that is missing, but the folder that should hold it.
        return StorageError("the folder is not there", place)
    return None


def _place(error: BaseException) -> Path | None:
    """The folder that an error is about."""
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        return Path(os.fsdecode(error.filename)).absolute().parent
    quoted = re.search(r"name = '([^']+)'", str(error))
    return Path(quoted[1]).absolute().parent if quoted else None


def fault_at(folder: Path) -> StorageError | None:
    """Measure whether a folder can be written: a file of :data:`ROOM` bytes is reserved in it and removed.

    Parameters
    ----------
    folder : Path
        If it is not there yet, the nearest folder above it that is.

    Returns
    -------
    StorageError
        What is wrong; None if nothing is.
    """
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    path = folder / f".probe-{uuid.uuid4().hex[:12]}"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.posix_fallocate(handle, 0, ROOM)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            return None  # a file system that cannot reserve: the file was made, so it can be written
        return StorageError(os.strerror(error.errno or 0).lower(), folder)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return None


def absent(paths: Iterable[Path]) -> StorageError | None:
    """Whether files are away with their folder, not one by one.

    Returns
    -------
    StorageError
        If none of the files of a folder is there (or the folder is not); None if each folder has at
        least one of them.
    """
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    for folder, files in sorted(folders.items()):
        if not folder.is_dir():
            return StorageError("the folder is not there", folder)
        if not any(path.exists() for path in files):
            return StorageError(f"none of {len(files)} files is there", folder)
    return None
