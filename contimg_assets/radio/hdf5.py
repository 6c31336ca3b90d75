"""Distrustful reading of HDF5 files that others wrote.

Belongs here: opening, and typed access to datasets, in which every fault of
file or library becomes a ``BadSubbandFileError`` that names the file, what was
found and what was expected.  What a UVH5 header must say is in ``uvh5.py``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import BadSubbandFileError
from contimg_assets.radio.storage import fault_of

#: What h5py raises for files that are cut off, damaged or of strange types.
_LIBRARY_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError)
#: Most bytes of one header dataset (the telescope's largest has 1.3 MB); a
#: damaged shape must not make us reserve memory for it.
_MAX_HEADER_BYTES = 64 * 2**20


@contextmanager
def library_errors(path: Path, what: str) -> Iterator[None]:
    """Turn what h5py raises in the block into a BadSubbandFileError about ``what``, or a StorageError."""
    try:
        yield
    except _LIBRARY_ERRORS as error:
        fault = fault_of(error)
        if fault is not None:
            # Nothing is known of the file: it is the disk that cannot be read.
            raise fault from error
        found = " ".join(str(error).split()) or type(error).__name__
        raise BadSubbandFileError(f"{path}: {what}: found {found}, expected a complete HDF5 file") from error


class Hdf5Reader:
    """Typed access to one open file.

    Parameters
    ----------
    path : Path
        For messages.
    file : h5py.File
        Open for reading.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file

    def refuse(self, what: str, found: object, expected: object) -> NoReturn:
        """Raise the BadSubbandFileError of these words."""
        raise BadSubbandFileError(f"{self.path}: {what}: found {found}, expected {expected}")

    def need(self, good: object, what: str, found: object, expected: object) -> None:
        """Refuse the file unless ``good``."""
        if not good:
            self.refuse(what, found, expected)

    def has(self, name: str) -> bool:
        """Whether anything is stored under ``name``."""
        with library_errors(self.path, name):
            return self.file.get(name) is not None

    def dataset(self, name: str, kinds: str, shapes: tuple[tuple[int, ...], ...]) -> h5py.Dataset:
        """A dataset whose numpy kind (``S`` for any text) and shape are among those allowed."""
        with library_errors(self.path, name):
            item = self.file.get(name)
            if not isinstance(item, h5py.Dataset):
                self.refuse(name, "nothing" if item is None else f"a {type(item).__name__}", "a dataset")
            shape, dtype = item.shape, item.dtype
            kind = "S" if h5py.check_string_dtype(dtype) is not None else dtype.kind
        self.need(kind in kinds, f"{name} type", dtype, " or ".join(f"kind {k!r}" for k in kinds))
        self.need(shape in shapes, f"{name} shape", shape, " or ".join(map(str, shapes)))
        return item

    def array(self, name: str, kinds: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        """A header dataset, whole."""
        item = self.dataset(name, kinds, shapes)
        self.need(item.nbytes <= _MAX_HEADER_BYTES, f"{name} bytes", item.nbytes, f"≤ {_MAX_HEADER_BYTES}")
        with library_errors(self.path, name):
            return np.asarray(item[()])

    def count(self, name: str) -> int:
        """A positive integer of the header."""
        value = int(self.array(f"Header/{name}", "iu", (), (1,)).reshape(-1)[0])
        self.need(value > 0, f"Header/{name}", value, "a positive number")
        return value

    def floats(self, name: str, *shapes: tuple[int, ...]) -> NDArray[np.float64]:
        """A finite float64 array of the header."""
        values = self.array(f"Header/{name}", "fiu", *shapes).astype(np.float64)
        n_bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        found = f"{n_bad} of {values.size} values NaN or infinite"
        self.need(n_bad == 0, f"Header/{name}", found, "finite values")
        return values

    def number(self, name: str) -> float:
        """A finite number of the header."""
        return float(self.floats(name, (), (1,)).reshape(-1)[0])

    def texts(self, name: str, *shapes: tuple[int, ...]) -> tuple[str, ...]:
        """Fixed-length or variable-length strings of the header, without their padding."""
        values = self.array(f"Header/{name}", "S", *shapes).reshape(-1).tolist()
        with library_errors(self.path, f"Header/{name}"):
            texts = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
        return tuple(text.rstrip("\0 ") for text in texts)


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5Reader]:
    """Open a finished file for reading.

    Raises
    ------
    BadSubbandFileError
        If it is not there, not HDF5, or cut off.
    """
    # Without a lock: nobody writes to a finished file, and network file systems may have no locks.
    with library_errors(path, "opening"):
        file = h5py.File(path, "r", locking=False)
    with file:
        yield Hdf5Reader(path, file)
