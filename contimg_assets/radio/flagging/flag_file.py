"""Flags as a sidecar of their Measurement Set: bits, packed and compressed."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import FlaggingError, MissingInputError
from contimg_assets.radio.measurement_set import read_shape

FLAGS_NAME = "flags.h5"
SUMMARY_NAME = "summary.json"


def write_flags(folder: Path, flags: NDArray[np.bool_]) -> Path:
    """Write flags of shape (n_times, n_baselines, n_channels, n_polarisations)."""
    path = folder / FLAGS_NAME
    with h5py.File(path, "w") as file:
        packed = np.packbits(flags.reshape(flags.shape[0], flags.shape[1], -1), axis=-1)
        file.create_dataset(
            "packed", data=packed, chunks=(1, *packed.shape[1:]), compression="gzip", compression_opts=1
        )
        file.attrs["shape"] = flags.shape
        file.attrs["format"] = 1
    return path


@contextmanager
def open_flags(
    folder: Path, shape: tuple[int, int, int, int]
) -> Iterator[Callable[[int], NDArray[np.bool_]]]:
    """Open flags for reading by integration, held against the shape of their Measurement Set.

    Yields
    ------
    callable
        Takes the number of an integration, returns its flags, shape
        (n_baselines, n_channels, n_polarisations).

    Raises
    ------
    MissingInputError
        If there are none.
    FlaggingError
        If they are of another shape.
    """
    path = folder / FLAGS_NAME
    if not path.exists():
        raise MissingInputError(f"{path}: found no flags; expected those of the group")
    with h5py.File(path, "r") as file:
        stored = tuple(int(n) for n in np.asarray(file.attrs["shape"]))
        if stored != shape:
            raise FlaggingError(f"{path}: found flags of shape {stored}; expected {shape}")
        dataset = file["packed"]
        assert isinstance(dataset, h5py.Dataset)

        def read(integration: int) -> NDArray[np.bool_]:
            bits = np.unpackbits(dataset[integration], axis=-1, count=shape[2] * shape[3])
            return bits.view(bool).reshape(shape[1:])

        yield read


def read_summary(folder: Path) -> dict[str, Any]:
    """What is kept of flags beside them.

    Raises
    ------
    MissingInputError
        If it is not there.
    """
    path = folder / SUMMARY_NAME
    if not path.exists():
        raise MissingInputError(f"{path}: found no summary of flags; expected that of the group")
    return dict(json.loads(path.read_text()))


def read_flags(folder: Path, shape: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Read flags back whole; see :func:`open_flags`."""
    out = np.empty(shape, bool)
    with open_flags(folder, shape) as read:
        for integration in range(shape[0]):
            out[integration] = read(integration)
    return out


def refuse_foreign(folder: Path, ms: Path) -> None:
    """Hold flags against the Measurement Set that they are to be used with.

    Raises
    ------
    FlaggingError
        If they are of another shape, or leave in what the set itself flags (a
        missing subband): such flags were made of other files.
    """
    from casacore.tables import table

    shape, left = read_shape(ms), 0
    with open_flags(folder, shape.data_shape) as flags_of, table(str(ms), ack=False) as main:
        for t in range(shape.n_times):
            known = main.getcol("FLAG", t * shape.n_baselines, shape.n_baselines)
            left += int(np.count_nonzero(known & ~flags_of(t)))
    if left:
        raise FlaggingError(
            f"{folder}: leaves in {left} samples that {ms} flags; expected flags made for it, "
            "not for another conversion of the group"
        )
