"""Antennas that are bad as a whole, found in the group itself.

A dead antenna carries noise but no signal.  Left in, it lowers every flux
density (two of 96: 4.5 %), while noise and residuals look fine.  Its coherence
with the array is zero, however its noise looks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The array's median coherence must be this many errors above zero, or the
#: group is too faint for the test and nobody is called dead.
_DETECTION = 10.0
#: And a dead antenna's this many errors below the threshold's neighbours.
_CONFIDENCE = 5.0


@dataclass(frozen=True)
class Coherence:
    """Correlated power of each antenna with the others."""

    value: NDArray[np.float64]
    """Mean over its baselines, relative to noise power, shape (n_antennas, n_polarisations)."""
    error: NDArray[np.float64]
    """Standard error, from the scatter between subbands."""

    @property
    def measurable(self) -> bool:
        """Whether the sky in this group is bright enough to tell."""
        error, value = self.error[np.isfinite(self.error)], self.value[np.isfinite(self.value)]
        if error.size == 0 or value.size == 0:
            return False
        return bool(0 < np.median(error) < np.median(value) / _DETECTION)

    def dead(self, fraction: float) -> NDArray[np.bool_]:
        """Antennas with less than ``fraction`` of the median coherence in any feed.

        Returns
        -------
        ndarray of bool, shape (n_antennas,)
            All False where the test cannot tell.
        """
        if not self.measurable:
            return np.zeros(len(self.value), bool)
        found = np.zeros(len(self.value), bool)
        for value, error in zip(self.value.T, self.error.T, strict=True):
            known = np.isfinite(value)
            if known.any():
                median = np.median(value[known])
                found |= (value < fraction * median) & (median - value > _CONFIDENCE * error)
        return found


def antenna_coherence(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    n_antennas: int,
) -> Coherence:
    """Coherence of each antenna from products per subband and baseline.

    Parameters
    ----------
    total, count : ndarray, shape (n_subbands, n_baselines, n_polarisations)
        From :func:`statistics.split_band_products`, cross-correlations only.
    one, two : ndarray, shape (n_baselines,)
        Antenna indices 0…n_antennas−1.
    n_antennas : int

    Returns
    -------
    Coherence
        NaN for an antenna without data.
    """
    n_subbands, _, n_polarisations = total.shape
    by_subband = np.full((n_subbands, n_antennas, n_polarisations), np.nan)
    for s in range(n_subbands):
        for p in range(n_polarisations):
            sums = np.bincount(one, total[s, :, p], n_antennas) + np.bincount(two, total[s, :, p], n_antennas)
            counts = np.bincount(one, count[s, :, p], n_antennas) + np.bincount(
                two, count[s, :, p], n_antennas
            )
            by_subband[s, :, p] = np.divide(sums, counts, out=np.full(n_antennas, np.nan), where=counts > 0)
    good = np.isfinite(by_subband)
    n_good = good.sum(axis=0)
    filled = np.where(good, by_subband, 0.0)
    value = np.where(n_good > 0, filled.sum(axis=0) / np.maximum(n_good, 1), np.nan)
    deviation = np.where(good, by_subband - np.where(n_good > 0, value, 0.0), 0.0)
    variance = (deviation**2).sum(axis=0) / np.maximum(n_good - 1, 1)
    # Interference in one subband inflates a standard deviation; half the antennas' median holds.
    error = np.sqrt(variance / np.maximum(n_good, 1))
    return Coherence(value, np.where(n_good > 1, error, np.nan))
