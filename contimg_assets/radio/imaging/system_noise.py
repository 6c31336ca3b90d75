"""The system's noise as the data themselves show it, antenna by antenna.

XX less YY has no unpolarised sky, and what calibration left of it differs little between neighbouring
channels: the difference of such differences is noise.  So antennas that are noisier than the others weigh
less, and the noise that is expected of an image is that of the data, not of a nominal system.

Belongs here: what differences tell.  Does not belong here: the pass over the data that collects them
(``integration_sums.py``), or weights (``weights.py``).
"""

from dataclasses import dataclass
from typing import Any

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
    """Squares of differences of channels, baseline by baseline of the cross-correlations.

    A difference is that of XX − YY (or of the one polarisation that there is) between two neighbours.
    """

    squares: NDArray[np.float64]
    pairs: NDArray[np.int64]

    @classmethod
    def of(cls, n_cross: int) -> "ChannelDifferences":
        """None yet."""
        return cls(np.zeros(n_cross), np.zeros(n_cross, np.int64))

    def system_noise(self, shape: GroupShape) -> SystemNoise:
        """What they come to in a group."""
        antennas, cross = shape.antennas, shape.cross
        sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
        # Of two parts, two channels and one or two polarisations.
        expected = 4.0 * min(2, shape.n_polarisations) * sigma**2
        known = self.pairs >= _FEWEST_PAIRS
        ratios = np.full((len(antennas), len(antennas)), np.nan)
        one, two = (
            np.searchsorted(antennas, ids[cross][known]) for ids in (shape.antenna_1, shape.antenna_2)
        )
        ratios[one, two] = ratios[two, one] = self.squares[known] / (expected * self.pairs[known])
        told = np.flatnonzero(np.isfinite(ratios).any(axis=1))
        factors = np.ones(len(antennas))
        if not len(told) or np.nanmedian(ratios) < _LEAST_VARIANCE:
            return SystemNoise(antennas, factors, measured=False)
        factors[told] = factors_of_products(ratios[np.ix_(told, told)])
        return SystemNoise(antennas, factors, measured=True)
