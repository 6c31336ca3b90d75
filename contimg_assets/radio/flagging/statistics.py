"""Robust statistics over visibilities, compiled.

Amplitudes are compared with the median of their own baseline, so that nothing
here depends on gains: uncalibrated data are treated like calibrated ones.
"""

import numba
import numpy as np
from numpy.typing import NDArray

#: A normal distribution's standard deviation over its median absolute deviation.
MAD_TO_SIGMA = 1.4826


@numba.njit(parallel=True, cache=True)
def baseline_medians(
    amplitude: NDArray[np.float32], flags: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median and scaled MAD of each baseline and polarisation.

    Parameters
    ----------
    amplitude, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)

    Returns
    -------
    median, sigma : ndarray, float32, shape (n_baselines, n_polarisations)
        Zero where everything is flagged.
    """
    n_times, n_baselines, n_channels, n_pols = amplitude.shape
    median = np.zeros((n_baselines, n_pols), np.float32)
    sigma = np.zeros((n_baselines, n_pols), np.float32)
    for b in numba.prange(n_baselines):
        values = np.empty(n_times * n_channels, np.float32)
        for p in range(n_pols):
            n = 0
            for t in range(n_times):
                for c in range(n_channels):
                    if not flags[t, b, c, p]:
                        values[n] = amplitude[t, b, c, p]
                        n += 1
            if n > 0:
                middle = np.median(values[:n])
                median[b, p] = middle
                sigma[b, p] = np.float32(MAD_TO_SIGMA) * np.median(np.abs(values[:n] - middle))
    return median, sigma


@numba.njit(parallel=True, cache=True)
def array_medians(
    amplitude: NDArray[np.float32],
    flags: NDArray[np.bool_],
    scale: NDArray[np.float32],
    use: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Median over baselines of amplitude / scale, for each time, channel, polarisation.

    NaN where no baseline is left.
    """
    n_times, n_baselines, n_channels, n_pols = amplitude.shape
    out = np.full((n_times, n_channels, n_pols), np.nan)
    for cell in numba.prange(n_times * n_channels):
        t, c = cell // n_channels, cell % n_channels
        values = np.empty(n_baselines, np.float32)
        for p in range(n_pols):
            n = 0
            for b in range(n_baselines):
                if use[b] and scale[b, p] > 0 and not flags[t, b, c, p]:
                    values[n] = amplitude[t, b, c, p] / scale[b, p]
                    n += 1
            if n > 0:
                out[t, c, p] = np.median(values[:n])
    return out


@numba.njit(parallel=True, cache=True)
def flag_outliers(
    amplitude: NDArray[np.float32],
    flags: NDArray[np.bool_],
    median: NDArray[np.float32],
    sigma: NDArray[np.float32],
    n_sigma: float,
) -> None:
    """Flag, in place, samples, channels and integrations of single baselines.

    A sample is compared with its baseline's median by ``n_sigma`` robust
    deviations; the mean over time of a channel, and over channels of an
    integration, by as many deviations of a mean of that many samples.
    """
    n_times, n_baselines, n_channels, n_pols = amplitude.shape
    for b in numba.prange(n_baselines):
        for p in range(n_pols):
            centre, spread = median[b, p], sigma[b, p]
            if spread <= 0:
                continue
            by_channel = np.zeros(n_channels)
            in_channel = np.zeros(n_channels)
            by_time = np.zeros(n_times)
            in_time = np.zeros(n_times)
            for t in range(n_times):
                for c in range(n_channels):
                    if flags[t, b, c, p]:
                        continue
                    excess = (amplitude[t, b, c, p] - centre) / spread
                    if excess > n_sigma:
                        flags[t, b, c, p] = True
                        continue
                    by_channel[c] += excess
                    in_channel[c] += 1
                    by_time[t] += excess
                    in_time[t] += 1
            for c in range(n_channels):
                if in_channel[c] > 0:
                    by_channel[c] /= np.sqrt(in_channel[c])
            for t in range(n_times):
                if in_time[t] > 0:
                    by_time[t] /= np.sqrt(in_time[t])
            _flag_lines(flags, b, p, by_channel, by_time, n_sigma)


@numba.njit(cache=True)
def _flag_lines(
    flags: NDArray[np.bool_],
    b: int,
    p: int,
    by_channel: NDArray[np.float64],
    by_time: NDArray[np.float64],
    n_sigma: float,
) -> None:
    # A median over lines removes what they share (a source's flux through the
    # beam); their own spread, at least 1, allows for fringes of a strong field.
    middle = np.median(by_channel)
    spread = max(1.0, 1.4826 * np.median(np.abs(by_channel - middle)))
    for c in range(len(by_channel)):
        if by_channel[c] - middle > n_sigma * spread:
            flags[:, b, c, p] = True
    middle = np.median(by_time)
    spread = max(1.0, 1.4826 * np.median(np.abs(by_time - middle)))
    for t in range(len(by_time)):
        if by_time[t] - middle > n_sigma * spread:
            flags[t, b, :, p] = True


@numba.njit(parallel=True, cache=True)
def split_band_products(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], scale: NDArray[np.float32], width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum over time and blocks of Re⟨even channels⟩⟨odd channels⟩*, per baseline.

    Even and odd channels of a block carry the same signal and independent
    noise, so the product's expectation is the correlated power alone, whatever
    the antennas' noise is.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)
    scale : ndarray, shape (n_baselines, n_polarisations)
        Amplitude by which each baseline is divided.
    width : int
        Channels of a block.

    Returns
    -------
    total, count : ndarray, shape (n_baselines, n_polarisations)
    """
    n_times, n_baselines, n_channels, n_pols = data.shape
    total = np.zeros((n_baselines, n_pols))
    count = np.zeros((n_baselines, n_pols))
    for b in numba.prange(n_baselines):
        for p in range(n_pols):
            if scale[b, p] <= 0:
                continue
            for t in range(n_times):
                for start in range(0, n_channels - width + 1, width):
                    even, odd = 0j, 0j
                    n_even, n_odd = 0, 0
                    for c in range(start, start + width):
                        if flags[t, b, c, p]:
                            continue
                        if (c - start) % 2 == 0:
                            even += data[t, b, c, p]
                            n_even += 1
                        else:
                            odd += data[t, b, c, p]
                            n_odd += 1
                    if n_even > 0 and n_odd > 0:
                        product = even / n_even * (odd / n_odd).conjugate()
                        total[b, p] += product.real / scale[b, p] ** 2
                        count[b, p] += 1
    return total, count
