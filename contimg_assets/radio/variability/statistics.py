"""Numbers of one light curve: how much it varies, and whether that is more than noise.

Definitions are those of the field (Swinbank et al. 2015, A&C 11, 25; Mooley et al. 2016,
ApJ 818, 105).  Belongs here: formulas.  Does not belong here: which of a source's
measurements count, or populations of sources.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Epochs that are held against all others at a time.
_AT_A_TIME = 512


@dataclass(frozen=True)
class Variability:
    """Of one light curve; NaN where it has too few measurements to tell."""

    n: int
    """Measurements that counted."""
    weighted_mean_jy: float
    weighted_mean_error_jy: float
    eta: float
    """Reduced χ² about the weighted mean: 1 for a constant source with right errors."""
    modulation: float
    """V: standard deviation over mean."""
    pair_sigma: float
    """Vs of the two measurements that differ most by their errors."""
    pair_modulation: float
    """m of these two: their difference over their mean."""


def variability(flux_jy: NDArray[np.float64], error_jy: NDArray[np.float64]) -> Variability:
    """Measure one light curve.

    Parameters
    ----------
    flux_jy, error_jy : ndarray, shape (n,)
        Measurements without finite flux density and positive error are left out.
    """
    good = np.isfinite(flux_jy) & (error_jy > 0)
    flux, error = np.asarray(flux_jy, np.float64)[good], np.asarray(error_jy, np.float64)[good]
    n = len(flux)
    none = float("nan")
    if n == 0:
        return Variability(0, none, none, none, none, none, none)
    weights = error**-2
    mean = float(np.average(flux, weights=weights))
    mean_error = float(weights.sum() ** -0.5)
    if n == 1:
        return Variability(1, mean, mean_error, none, none, none, none)
    # N/(N − 1) (mean(w I²) − mean(w I)²/mean(w)), without its loss of digits.
    eta = float((weights * (flux - mean) ** 2).sum() / (n - 1))
    modulation = float(flux.std(ddof=1) / flux.mean())
    return Variability(n, mean, mean_error, eta, modulation, *_largest_pair(flux, error))


def _largest_pair(flux: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[float, float]:
    """Vs and m of the pair with the largest Vs, without a table of all pairs.

    What cannot be in that pair is left out first: an epoch that is not far enough even from the highest
    or the lowest one, were that as certain as the most certain one.
    """
    high, low = int(flux.argmax()), int(flux.argmin())
    best = float((flux[high] - flux[low]) / np.hypot(error[high], error[low]))
    most = np.maximum(flux[high] - flux, flux - flux[low]) / np.hypot(error, error.min())
    kept = np.flatnonzero(most >= best)
    best, pair = -1.0, (0, 0)
    for start in range(0, len(kept), _AT_A_TIME):
        some = kept[start : start + _AT_A_TIME]
        apart = np.abs(flux[some, None] - flux[kept]) / np.hypot(error[some, None], error[kept])
        i, j = np.unravel_index(int(apart.argmax()), apart.shape)
        if apart[i, j] > best:
            best, pair = float(apart[i, j]), (int(some[i]), int(kept[j]))
    total = float(flux[pair[0]] + flux[pair[1]])
    difference = float(abs(flux[pair[0]] - flux[pair[1]]))
    return best, 2 * difference / total if total > 0 else float("nan")
