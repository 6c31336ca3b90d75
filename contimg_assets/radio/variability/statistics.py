"""Numbers of one light curve: how much it varies, and whether that is more than noise.

Definitions are those of the field (Swinbank et al. 2015, A&C 11, 25; Mooley et al. 2016,
ApJ 818, 105).  Belongs here: formulas.  Does not belong here: which of a source's
measurements count, or populations of sources.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def whole_error(
    flux_jy: NDArray[np.float64], error_jy: NDArray[np.float64], relative_error: float
) -> NDArray[np.float64]:
    """Errors of one light curve, with what every measurement has besides noise and scale.

    That is a part of the source's mean flux density: a part of each measurement's own would give faint ones
    of a source that varies the more weight, and draw its mean down.
    """
    known = flux_jy[np.isfinite(flux_jy)]
    mean = abs(float(known.mean())) if len(known) else 0.0
    return np.hypot(error_jy, relative_error * mean)


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

    Of that pair none of the higher ones is more certain than the upper one, and none of the lower ones than
    the lower one: so each is where the flux density, in the order of the errors, sets a record.
    """
    order = np.argsort(error, kind="stable")
    sorted_flux = flux[order]
    high = order[_records(sorted_flux)]
    low = order[_records(-sorted_flux)]
    apart = (flux[high, None] - flux[low]) / np.hypot(error[high, None], error[low])
    i, j = np.unravel_index(int(apart.argmax()), apart.shape)
    upper, lower = float(flux[high[i]]), float(flux[low[j]])
    total = upper + lower
    return float(apart[i, j]), 2 * (upper - lower) / total if total > 0 else float("nan")


def _records(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values are larger than all before them."""
    return np.concatenate([[True], values[1:] > np.maximum.accumulate(values)[:-1]])
