"""Means of a group's visibilities over each subband, of short baselines: what subbands are held against.

Two subbands see the same sky: the means of one baseline at one time are equal, but for what the baseline is
in wavelengths.  On baselines of up to 160 m that is little over a subband or two, even for sources at the
beam's half power; and from 40 m east to west on it matters whether a subband is an integration late, for then
a source has turned by a sixth of a cycle and more.

Belongs here: making, keeping and reading them.  Does not belong here: what they tell, which needs gains
(``radio/corrections/wrong_subbands.py``).
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.measurement_set import GroupShape

MEANS_NAME = "subband_means.h5"
#: Baselines have at least this extent from east to west, and at most this length, m.
_EASTWARD_M, _LONGEST_M = 40.0, 160.0
#: A mean is of at least this part of its subband's samples.
_LEAST_PART = 0.5


@dataclass(frozen=True)
class SubbandMeans:
    """Means, not calibrated; zero where there is none."""

    baselines: NDArray[np.int64]
    """Which baselines of the group, shape (n_chosen,)."""
    values: NDArray[np.complex64]
    """Shape (n_times, n_chosen, n_subbands, n_feeds), frequencies rising; the first and last polarisation."""

    @classmethod
    def of(cls, shape: GroupShape) -> "SubbandMeans":
        """Zeros for a group."""
        positions = phasing.to_meridian_frame(shape.antenna_positions)
        vectors = positions[shape.antenna_2] - positions[shape.antenna_1]
        length = np.linalg.norm(vectors, axis=1)
        chosen = np.flatnonzero((np.abs(vectors[:, 1]) >= _EASTWARD_M) & (length <= _LONGEST_M))
        n_feeds = min(2, shape.n_polarisations)
        size = (shape.n_times, len(chosen), telescope.N_SUBBANDS, n_feeds)
        return cls(chosen, np.zeros(size, np.complex64))

    def add(self, part: slice, data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> None:
        """Add a slab of baselines."""
        first, last = np.searchsorted(self.baselines, [part.start, part.stop])
        rows = self.baselines[first:last] - part.start
        hands = sorted({0, data.shape[3] - 1})
        for t in range(len(data)):
            bad = flags[t, rows][..., hands]
            good = _by_subband(~bad).sum(axis=2)
            sums = _by_subband(np.where(bad, 0, data[t, rows][..., hands])).sum(axis=2)
            self.values[t, first:last] = np.where(_enough(good, data.shape[2]), sums / np.maximum(good, 1), 0)

    def drop(self, flags: NDArray[np.bool_]) -> None:
        """Drop those of which too much has been flagged since, by flags of the whole group."""
        hands = sorted({0, flags.shape[3] - 1})
        for t, plane in enumerate(flags):
            good = _by_subband(~plane[self.baselines][..., hands]).sum(axis=2)
            self.values[t][~_enough(good, flags.shape[2])] = 0

    def write(self, folder: Path) -> None:
        """Keep them beside the flags."""
        with h5py.File(folder / MEANS_NAME, "w") as file:
            file.create_dataset("baselines", data=self.baselines)
            file.create_dataset("values", data=self.values)


def read_means(folder: Path) -> SubbandMeans | None:
    """Read them back; None for flags of before there were any."""
    path = folder / MEANS_NAME
    if not path.exists():
        return None
    with h5py.File(path, "r") as file:
        return SubbandMeans(np.asarray(file["baselines"]), np.asarray(file["values"]))


def _by_subband(values: NDArray) -> NDArray:
    """(n, n_channels, n_feeds) as (n, n_subbands, n_channels of each, n_feeds)."""
    each = values.shape[1] // telescope.N_SUBBANDS
    return values.reshape(len(values), telescope.N_SUBBANDS, each, values.shape[2])


def _enough(good: NDArray[np.int64], n_channels: int) -> NDArray[np.bool_]:
    return good >= _LEAST_PART * n_channels / telescope.N_SUBBANDS
