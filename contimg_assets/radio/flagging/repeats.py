"""Subbands that repeat an integration: what a correlator node writes that hangs.

An autocorrelation has noise of a thousandth, so no two integrations of it are equal to the last bit, and
re-phasing leaves it as it is.  Where all autocorrelations of a subband are what they were an integration
before, the subband's visibilities are those of before, phased for now.

Belongs here: finding them.  Does not belong here: subbands that are late throughout, which calibrated data
tell (``radio/corrections/wrong_subbands.py``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.measurement_set import GroupShape


@dataclass(frozen=True)
class Repeats:
    """Counts of autocorrelations; shape (n_times, n_subbands), frequencies rising."""

    shape: GroupShape
    equal: NDArray[np.int64]
    """Those that are what they were an integration before."""
    seen: NDArray[np.int64]
    """Those that are there in both."""

    @classmethod
    def of(cls, shape: GroupShape) -> "Repeats":
        """Nothing yet."""
        size = (shape.n_times, telescope.N_SUBBANDS)
        return cls(shape, np.zeros(size, np.int64), np.zeros(size, np.int64))

    def add(self, part: slice, data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> None:
        """Add a slab of baselines, with flags of what is no sample."""
        own = np.flatnonzero(~self.shape.cross[part])
        values, good = data[:, own].real, ~flags[:, own]
        both = good[1:] & good[:-1]
        same = both & (values[1:] == values[:-1])
        each = both.shape[2] // telescope.N_SUBBANDS * both.shape[3]
        size = (len(both), len(own), telescope.N_SUBBANDS, each)
        self.seen[1:] += both.reshape(size).sum(axis=(1, 3))
        self.equal[1:] += same.reshape(size).sum(axis=(1, 3))

    def found(self) -> NDArray[np.bool_]:
        """Which integrations of which subbands are repeated ones; none of a subband that never changes.

        That has no noise, as in simulations without.
        """
        repeated = (self.seen > 0) & (self.equal == self.seen)
        return repeated & ~repeated[1:].all(axis=0)

    def flag(self, flags: NDArray[np.bool_]) -> None:
        """Flag what is found, in place, shape ``shape.data_shape``."""
        width = self.shape.n_channels // telescope.N_SUBBANDS
        for t, subband in zip(*np.nonzero(self.found()), strict=True):
            flags[t, :, subband * width : (subband + 1) * width] = True

    def alarms(self) -> list[str]:
        """A line for subbands that hung."""
        times, subbands = np.nonzero(self.found())
        names = {
            f"sb{telescope.N_SUBBANDS - 1 - k:02d}": times[subbands == k] for k in np.unique(subbands)[::-1]
        }
        told = [f"{name} ({', '.join(map(str, when))})" for name, when in names.items()]
        return [f"subbands that repeat an integration: {'; '.join(told)}"] if told else []
