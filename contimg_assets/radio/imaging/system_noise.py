"""The system's noise as the data themselves show it, antenna by antenna.

XX less YY has no unpolarised sky, and what calibration left of it differs little between neighbouring
channels: the difference of such differences is noise.  So antennas that are noisier than the others weigh
less, and the noise that is expected of an image is that of the data, not of a nominal system.

Belongs here: sums over the data, and what they tell.  Does not belong here: weights (``weights.py``).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.robust import factors_of_products

#: Pairs of channels of a baseline from which its noise is told: the median of fewer is 1 % low.
_FEWEST_PAIRS = 32
#: Data whose noise has less than this part of the nominal variance hold none: no system is three times
#: as good.
_LEAST_VARIANCE = 0.1
#: Antennas with this many times the noise of the array are named.
_NOISY = 2.0


@numba.njit(cache=True, parallel=True, nogil=True)
def _add_squares(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    rows: NDArray[np.int64],
    squares: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> None:
    last = data.shape[2] - 1
    for b in numba.prange(len(rows)):
        row = rows[b]
        for f in range(0, data.shape[1] - 1, 2):
            # The first and the last are XX and YY with two polarisations and with four.
            if flags[row, f, 0] or flags[row, f + 1, 0] or flags[row, f, last] or flags[row, f + 1, last]:
                continue
            step = data[row, f, 0] - data[row, f + 1, 0]
            if last > 0:
                step -= data[row, f, last] - data[row, f + 1, last]
            squares[b] += step.real * step.real + step.imag * step.imag
            pairs[b] += 1


@dataclass(frozen=True)
class SystemNoise:
    """Noise of antennas over the nominal."""

    antennas: NDArray[np.int64]
    """Ids of those in the data."""
    sefd_ratio: NDArray[np.float64]
    """System-equivalent flux density over the nominal one, of each."""
    measured: bool
    """False: the data hold too little to tell, or no noise, and all have the nominal one."""

    def variance(self, one: NDArray[np.int32], two: NDArray[np.int32]) -> NDArray[np.float64]:
        """Variance of samples over the nominal, of baselines between the antennas ``one`` and ``two``."""
        first, second = (self.sefd_ratio[np.searchsorted(self.antennas, ids)] for ids in (one, two))
        return first * second

    @classmethod
    def unknown(cls) -> "SystemNoise":
        """Of no antenna."""
        return cls(np.zeros(0, np.int64), np.zeros(0), measured=False)

    def as_numbers(self, shape: GroupShape) -> dict[str, Any]:
        """Noise of the antennas over the nominal, where the data tell it; the noisy ones by name."""
        if not self.measured:
            return {"system_noise_ratio": None, "noisy_antennas": {}}
        middle = float(np.median(self.sefd_ratio))
        noisy = np.flatnonzero(self.sefd_ratio > _NOISY * middle)
        return {
            "system_noise_ratio": middle,
            "noisy_antennas": {
                shape.antenna_names[self.antennas[k]]: round(float(self.sefd_ratio[k]), 2) for k in noisy
            },
        }


@dataclass(frozen=True)
class ChannelDifferences:
    """Squares of a group's channel differences, baseline by baseline."""

    shape: GroupShape
    rows: NDArray[np.int64]
    """Of the baselines that count, within an integration."""
    squares: NDArray[np.float64]
    pairs: NDArray[np.int64]

    @classmethod
    def of(cls, shape: GroupShape) -> "ChannelDifferences":
        """None yet."""
        rows = np.flatnonzero(shape.cross)
        return cls(shape, rows, np.zeros(len(rows)), np.zeros(len(rows), np.int64))

    def add(self, data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> None:
        """Add an integration, shape (n_baselines, n_channels, n_polarisations), calibrated."""
        _add_squares(data, flags, self.rows, self.squares, self.pairs)

    def system_noise(self) -> SystemNoise:
        """What they come to."""
        shape, antennas = self.shape, self.shape.antennas
        sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
        # Of two parts, two channels and one or two polarisations.
        expected = 4.0 * min(2, shape.n_polarisations) * sigma**2
        known = self.pairs >= _FEWEST_PAIRS
        ratios = np.full((len(antennas), len(antennas)), np.nan)
        one, two = (
            np.searchsorted(antennas, ids[self.rows][known]) for ids in (shape.antenna_1, shape.antenna_2)
        )
        ratios[one, two] = ratios[two, one] = self.squares[known] / (expected * self.pairs[known])
        told = np.flatnonzero(np.isfinite(ratios).any(axis=1))
        factors = np.ones(len(antennas))
        if not len(told) or np.nanmedian(ratios) < _LEAST_VARIANCE:
            return SystemNoise(antennas, factors, measured=False)
        factors[told] = factors_of_products(ratios[np.ix_(told, told)])
        return SystemNoise(antennas, factors, measured=True)
