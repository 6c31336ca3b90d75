"""Rows of a file whose antennas are not all those of its group.

An array that is changed while files are opened leaves a dish out of some of them.  What a file
shares with the group is read into its place; the group's other baselines stay zero and flagged in that
subband.

Belongs here: which rows those are, and reading them.  Does not belong here: how different a file may
be (``group_members.py``).
"""

from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import BadSubbandFileError, ConversionError
from contimg_assets.radio.group_members import antenna_difference
from contimg_assets.radio.uvh5 import SubbandHeader

#: Antenna numbers stay below this.
_MOST_ANTENNAS = 1 << 20


@dataclass(frozen=True)
class SharedRows:
    """Baselines that a file shares with its group."""

    of_file: NDArray[np.int64]
    """Their places in an integration of the file, shape (n_shared,) …"""
    of_group: NDArray[np.int64]
    """… and in one of the group."""
    n_file: int
    """Baselines of the file."""

    def read(self, dataset: h5py.Dataset, integration: int, into: NDArray, missing: float | bool) -> None:
        """Read an integration of one array of the file.

        Parameters
        ----------
        dataset : h5py.Dataset
            Shape (n_integrations × n_file, …).
        integration : int
        into : ndarray, shape (n_group, …)
        missing : float or bool
            What the group's other baselines get.
        """
        rows = dataset[integration * self.n_file : (integration + 1) * self.n_file]
        into[...] = missing
        into[self.of_group] = rows[self.of_file]


def shared_rows(
    header: SubbandHeader, pairs: NDArray[np.int64], usual: NDArray[np.int64]
) -> SharedRows | None:
    """Which rows a file shares with its group.

    Parameters
    ----------
    header : SubbandHeader
        Of the file.
    pairs : ndarray of int, shape (n_file, 2)
        Antennas of its baselines, in its order.
    usual : ndarray of int, shape (n_group, 2)
        Those of the group.

    Returns
    -------
    SharedRows or None
        None if the file has the group's baselines in the group's order.

    Raises
    ------
    BadSubbandFileError
        If it names the antennas of shared baselines in the other order.
    """
    if np.array_equal(pairs, usual):
        return None
    own, others = (each @ np.array([_MOST_ANTENNAS, 1]) for each in (pairs, usual))
    _, of_file, of_group = np.intersect1d(own, others, assume_unique=True, return_indices=True)
    known = np.intersect1d(np.unique(pairs), np.unique(usual))
    n_shared = len(known) * (len(known) + 1) // 2
    if len(of_file) != n_shared:
        raise BadSubbandFileError(
            f"{header.path}: baselines: found {len(of_file)} of {n_shared} of shared antennas named as in "
            "the group's other files; expected all"
        )
    return SharedRows(of_file, of_group, len(pairs))


def refuse_other_antennas(header: SubbandHeader, usual: SubbandHeader) -> None:
    """Refuse a file that has not the group's antennas.

    Raises
    ------
    ConversionError
        If it lacks any, or has others besides.
    """
    lacking, extra = antenna_difference(header, usual.antennas)
    if lacking or extra:
        raise ConversionError(
            f"{header.path}: antennas: found {header.n_antennas}, lacking numbers {lacking} and having "
            f"{extra} besides; the writer pyuvdata expects the group's antennas in every file: set "
            "conversion.writer to direct"
        )
