"""Solutions of a set as plain arrays beside its tables, so that they are shown without CASA.

Belongs here: the file and what is in it.  Does not belong here: CASA's tables (``solutions.py``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import MissingInputError

ARRAYS_NAME = "solutions.npz"


def write_arrays(
    folder: Path, bandpass: Path, names: Sequence[str], frequencies_hz: NDArray[np.float64]
) -> None:
    """Write the bandpass of a set as arrays.

    Parameters
    ----------
    folder : Path
        The set's.
    bandpass : Path
        Its table.
    names : sequence of str
        Of the antennas, by their number in the table.
    frequencies_hz : ndarray
        Of the channels.
    """
    from contimg_assets.radio.caltables.solutions import read_table

    found = read_table(bandpass)
    solved = np.flatnonzero(~found.flags.all(axis=(1, 2)))
    np.savez_compressed(
        folder / ARRAYS_NAME,
        antennas=np.array([names[int(a)] for a in solved]),
        frequencies_hz=frequencies_hz,
        bandpass=found.values[solved],
        flags=found.flags[solved],
        snr=found.snr[solved],
    )


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The bandpass of a set: ``antennas``, ``frequencies_hz``; by antenna, channel and feed ``bandpass``
    (complex), ``flags`` and ``snr``.

    Raises
    ------
    MissingInputError
        If the set was made by a release that did not write them.
    """
    path = folder / ARRAYS_NAME
    if not path.is_file():
        raise MissingInputError(f"{path}: found no arrays; expected those of a set that this version solved")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
