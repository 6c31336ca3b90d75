"""Radio-frequency interference in one subband of uncalibrated data.

Two looks.  First the median amplitude over all baselines against time and
channel: interference common to the array stands out at once, since thousands
of baselines leave a scatter of 1 %.  Then each baseline by itself: samples,
channels and integrations far above their own baseline's level, which finds
what only part of the array hears.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from contimg_assets.radio.flagging import statistics

#: Least excess of the array's median that counts, so that structure of the
#: bandpass inside a subband (a few percent) is not taken for interference.
_LEAST_EXCESS = 0.05
#: Channels of the running median that follows the bandpass.
_SMOOTHING_CHANNELS = 15


def common_interference(
    medians: NDArray[np.float64], n_sigma: float, growth_fraction: float
) -> NDArray[np.bool_]:
    """Cells of time × channel where the whole array sees too much.

    Parameters
    ----------
    medians : ndarray, shape (n_times, n_channels, n_polarisations)
        From :func:`statistics.array_medians`; NaN where nothing is left.
    n_sigma : float
        Robust deviations.
    growth_fraction : float
        A channel or integration with more of its cells found goes whole.

    Returns
    -------
    ndarray of bool, shape (n_times, n_channels)
        Both polarisations together: interference is rarely in one alone.
    """
    n_times, n_channels, _ = medians.shape
    found = np.zeros((n_times, n_channels), bool)
    filled = np.where(
        np.isfinite(medians), medians, np.nanmedian(medians) if np.isfinite(medians).any() else 1.0
    )
    # An odd window, and at the edges the nearest whole one: windows filled up with copies
    # of an edge channel would be led by interference in it.
    half = (min(_SMOOTHING_CHANNELS, n_channels) - 1) // 2
    whole = np.clip(np.arange(n_channels), half, n_channels - 1 - half)
    for plane in np.moveaxis(filled, -1, 0):
        level = median_filter(np.median(plane, axis=0), size=2 * half + 1)[whole]
        excess = plane / np.where(level > 0, level, 1.0) - 1.0
        spread = statistics.MAD_TO_SIGMA * np.median(np.abs(excess - np.median(excess)))
        found |= excess > max(n_sigma * spread, _LEAST_EXCESS)
    found[:, found.mean(axis=0) > growth_fraction] = True
    found[found.mean(axis=1) > growth_fraction] = True
    return found


def flag_subband(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    cross: NDArray[np.bool_],
    sigma: float,
    common_sigma: float,
    growth_fraction: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Flag one subband in place.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)
        ``flags`` holds what is known to be bad and gains what is found.
    cross : ndarray of bool, shape (n_baselines,)
    sigma, common_sigma, growth_fraction : float
        See ``FlaggingSettings``.

    Returns
    -------
    common : ndarray of bool, shape (n_times, n_channels)
        What the whole array saw.
    level : ndarray, shape (n_baselines, n_polarisations)
        Median amplitude of each baseline.
    """
    amplitude = np.abs(data)
    level, _ = statistics.baseline_medians(amplitude, flags)
    common = common_interference(
        statistics.array_medians(amplitude, flags, level, cross), common_sigma, growth_fraction
    )
    flags |= common[:, None, :, None]
    level, spread = statistics.baseline_medians(amplitude, flags)
    statistics.flag_outliers(amplitude, flags, level, spread, sigma)
    return common, level
