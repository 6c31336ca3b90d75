"""Interference that the whole array hears, from sums over all baselines.

Thousands of baselines leave a scatter of 1 %, so what is far below the noise of
one visibility stands out.  What only a part of the array hears does not belong
here: it is found on its own baselines, and the others keep their data.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from contimg_assets.radio.robust import MAD_TO_SIGMA

#: Least excess of a cell of time × channel, so that structure of the bandpass
#: inside a subband (a few percent) is not taken for interference.
_LEAST_CELL = 0.05
#: The same of a channel or an integration as a whole.
_LEAST_LINE = 0.03
#: A cell in which more of the baselines than this are far above their level is
#: common, however little the rest shows.
_MOST_BEYOND = 0.5
#: Channels of the running median that follows the bandpass.
_SMOOTHING_CHANNELS = 15
#: Degree of the polynomial that follows the sky's drift through the beam.
_DRIFT_DEGREE = 3


def common_interference(
    total: NDArray[np.float64],
    within: NDArray[np.float64],
    count: NDArray[np.float64],
    n_sigma: float,
    growth_fraction: float,
) -> NDArray[np.bool_]:
    """Cells of time × channel where the whole array sees too much.

    Parameters
    ----------
    total, within, count : ndarray, shape (n_times, n_channels, n_polarisations)
        From :func:`statistics.add_to_array`.
    n_sigma : float
        Robust deviations.
    growth_fraction : float
        A channel or integration with more of its cells found goes whole.

    Returns
    -------
    ndarray of bool, shape (n_times, n_channels)
        All polarisations together: interference is rarely in one alone.
    """
    n_times, n_channels, n_pols = count.shape
    found = np.zeros((n_times, n_channels), bool)
    some = count > 0
    for p in range(n_pols):
        known = some[..., p]
        if not known.any():
            continue
        beyond = 1.0 - within[..., p] / np.maximum(count[..., p], 1)
        found |= known & (beyond > _MOST_BEYOND)
        mean = np.where(known & (within[..., p] > 0), total[..., p] / np.maximum(within[..., p], 1), np.nan)
        mean[found] = np.nan
        found |= _stands_out(mean, n_sigma)
    usable = some.any(axis=-1)
    for axis in (0, 1):
        share = (found & usable).sum(axis=axis) / np.maximum(usable.sum(axis=axis), 1)
        found |= np.expand_dims(share > growth_fraction, axis)
    return found & usable


def _stands_out(mean: NDArray[np.float64], n_sigma: float) -> NDArray[np.bool_]:
    if not np.isfinite(mean).any():
        return np.zeros(mean.shape, bool)
    excess = mean / _smooth_sky(mean) - 1.0
    spread = _spread(excess)
    found = np.asarray(excess > max(n_sigma * spread, _LEAST_CELL))
    left = np.where(found, np.nan, excess)
    for axis in (0, 1):
        n = np.isfinite(left).sum(axis=axis)
        line = np.where(n > 0, np.nansum(left, axis=axis) / np.maximum(n, 1), np.nan)
        limit = np.maximum(n_sigma * spread / np.sqrt(np.maximum(n, 1)), _LEAST_LINE)
        own = n_sigma * _spread(line)
        found |= np.expand_dims(line - _median(line) > np.maximum(limit, own), axis)
    return found


def _smooth_sky(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """What sky and bandpass alone would give: drift in time × smooth bandpass."""
    n_times, n_channels = mean.shape
    by_channel = np.array([_median(mean[:, c]) for c in range(n_channels)])
    known = np.isfinite(by_channel)
    filled = np.interp(np.arange(n_channels), np.flatnonzero(known), by_channel[known])
    # An odd window, and at the edges the nearest whole one: windows filled up with copies
    # of an edge channel would be led by interference in it.
    half = (min(_SMOOTHING_CHANNELS, n_channels) - 1) // 2
    whole = np.clip(np.arange(n_channels), half, n_channels - 1 - half)
    bandpass = median_filter(filled, size=2 * half + 1)[whole]
    by_time = np.array([_median(row) for row in mean / bandpass])
    return np.asarray(
        _least_absolute_polynomial(by_time, min(_DRIFT_DEGREE, n_times // 4))[:, None] * bandpass
    )


def _least_absolute_polynomial(values: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Polynomial of least absolute deviations: up to half of the values may be wild."""
    place = np.linspace(-1, 1, len(values))
    basis = np.polynomial.legendre.legvander(place, degree)
    known = np.isfinite(values)
    fitted = np.full(len(values), _median(values))
    for _ in range(30):
        weight = 1.0 / np.sqrt(np.maximum(np.abs(values - fitted)[known], 1e-4))
        solution = np.linalg.lstsq(basis[known] * weight[:, None], values[known] * weight, rcond=None)[0]
        fitted = basis @ solution
    return np.maximum(fitted, 0.1 * _median(values))


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _spread(values: NDArray[np.float64]) -> float:
    return MAD_TO_SIGMA * _median(np.abs(values - _median(values)))
