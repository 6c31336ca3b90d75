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

    by_subband: NDArray[np.float64]
    """Mean over its baselines, relative to noise power, shape (n_subbands, n_antennas, n_polarisations);
    NaN without data."""

    @property
    def value(self) -> NDArray[np.float64]:
        """Mean over subbands, shape (n_antennas, n_polarisations)."""
        good = np.isfinite(self.by_subband)
        total = np.where(good, self.by_subband, 0.0).sum(axis=0)
        return np.where(good.any(axis=0), total / np.maximum(good.sum(axis=0), 1), np.nan)

    @property
    def error(self) -> NDArray[np.float64]:
        """Standard error of the mean, from the scatter between subbands."""
        n = np.isfinite(self.by_subband).sum(axis=0)
        deviation = np.nan_to_num(self.by_subband - self.value)
        variance = (deviation**2).sum(axis=0) / np.maximum(n - 1, 1)
        return np.where(n > 1, np.sqrt(variance / np.maximum(n, 1)), np.nan)

    @property
    def measurable(self) -> bool:
        """Whether the sky in this group is bright enough to tell."""
        return _detected(self.value, self.error)

    def relative(self) -> NDArray[np.float64]:
        """The worse feed of each antenna, over the array's median, shape (n_antennas,)."""
        if not np.isfinite(self.value).any():
            return np.full(len(self.value), np.nan)
        worse = np.min(np.nan_to_num(self.value), axis=1)
        return np.asarray(worse / np.nanmedian(self.value))

    def dead_feeds(self, fraction: float) -> NDArray[np.bool_]:
        """Feeds with less than ``fraction`` of the median coherence, over all the group.

        Returns
        -------
        ndarray of bool, shape (n_antennas, n_feeds)
            All False where the test cannot tell.
        """
        found = np.zeros(self.value.shape, bool)
        if not self.measurable:
            return found
        for feed, (value, error) in enumerate(zip(self.value.T, self.error.T, strict=True)):
            known = np.isfinite(value)
            if known.any():
                median = np.median(value[known])
                with np.errstate(invalid="ignore"):
                    found[:, feed] = (value < fraction * median) & (median - value > _CONFIDENCE * error)
        return found


def _detected(value: NDArray[np.float64], error: NDArray[np.float64]) -> bool:
    value, error = value[np.isfinite(value)], error[np.isfinite(error)]
    if error.size == 0 or value.size == 0:
        return False
    return bool(0 < np.median(error) < np.median(value) / _DETECTION)


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
    return Coherence(by_subband)
