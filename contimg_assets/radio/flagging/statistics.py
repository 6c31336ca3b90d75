"""Robust statistics over slabs of visibilities, compiled.

Amplitudes are compared with the level of their own baseline, so that nothing
here depends on gains: uncalibrated data are treated like calibrated ones.  A
slab holds some baselines, each with all of its integrations and channels.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.flagging.medians import ENOUGH_SAMPLES, median

#: Amplitudes beyond this multiple of their baseline's level are counted, not averaged.
TRIM = 2.0


@numba.njit(parallel=True, cache=True, nogil=True)
def flag_unusable(data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Flag, in place, exact zeros and what is not finite.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)

    Returns
    -------
    ndarray, int64, shape (2, n_baselines)
        Samples that were flagged before, and that are flagged by this.
    """
    n_times, n_baselines, n_channels, n_pols = data.shape
    counts = np.zeros((2, n_baselines), np.int64)
    for b in numba.prange(n_baselines):
        for t in range(n_times):
            for c in range(n_channels):
                for p in range(n_pols):
                    value = data[t, b, c, p]
                    if flags[t, b, c, p]:
                        counts[0, b] += 1
                    elif value == 0 or not (np.isfinite(value.real) and np.isfinite(value.imag)):
                        flags[t, b, c, p] = True
                        counts[1, b] += 1
    return counts


@numba.njit(parallel=True, cache=True, nogil=True)
def baseline_levels(data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Median amplitude of each baseline and polarisation; of many samples, every so many do.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)

    Returns
    -------
    ndarray, float32, shape (n_baselines, n_polarisations)
        Zero where everything is flagged.
    """
    n_times, n_baselines, n_channels, n_pols = data.shape
    levels = np.zeros((n_baselines, n_pols), np.float32)
    step = max(1, n_times * n_channels // ENOUGH_SAMPLES)
    for b in numba.prange(n_baselines):
        kept = np.empty(n_times * n_channels, np.float32)
        for p in range(n_pols):
            n, over = 0, 0
            for t in range(n_times):
                for c in range(n_channels):
                    if not flags[t, b, c, p]:
                        if over == 0:
                            value = data[t, b, c, p]
                            kept[n] = np.sqrt(value.real**2 + value.imag**2)
                            n += 1
                            over = step
                        over -= 1
            if n > 0:
                levels[b, p] = median(kept[:n])
    return levels


@numba.njit(parallel=True, cache=True, nogil=True)
def add_to_array(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    levels: NDArray[np.float32],
    use: NDArray[np.bool_],
    total: NDArray[np.float64],
    within: NDArray[np.float64],
    count: NDArray[np.float64],
) -> None:
    """Add a slab's baselines to the sums over the array.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)
    levels : ndarray, shape (n_baselines, n_polarisations)
    use : ndarray of bool, shape (n_baselines,)
    total, within, count : ndarray, shape (n_times, n_channels, n_polarisations)
        Gain the sum of amplitude / level of samples below ``TRIM``, the number
        of those, and the number of all.
    """
    n_times, n_baselines, n_channels, n_pols = data.shape
    for t in numba.prange(n_times):
        for b in range(n_baselines):
            if not use[b]:
                continue
            for p in range(n_pols):
                level = levels[b, p]
                if level <= 0:
                    continue
                for c in range(n_channels):
                    value = data[t, b, c, p]
                    ratio = np.sqrt(value.real**2 + value.imag**2) / level
                    good = not flags[t, b, c, p]
                    # Without a branch; what is flagged may be no number.
                    inside = good and ratio < TRIM
                    count[t, c, p] += 1.0 if good else 0.0
                    total[t, c, p] += ratio if inside else np.float32(0)
                    within[t, c, p] += 1.0 if inside else 0.0


@numba.njit(parallel=True, cache=True, nogil=True)
def split_band_products(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], levels: NDArray[np.float32], width: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.complex64]]:
    """Sum over blocks of Re⟨even channels⟩⟨odd channels⟩*, and of each block times the one before in time.

    Even and odd channels of a block carry the same signal and independent
    noise, so the product's expectation is the correlated power alone, whatever
    the antennas' noise is.  So do a block and the same an integration before; the
    phase of that product is by how much the baseline has turned.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)
    levels : ndarray, shape (n_baselines, n_polarisations)
        Amplitude by which each baseline is divided.
    width : int
        Channels of a block.

    Returns
    -------
    total, count, turned : ndarray, shape (n_times, n_baselines, n_polarisations)
        ``turned`` is zero in the first integration.
    """
    n_times, n_baselines, n_channels, n_pols = data.shape
    total = np.zeros((n_times, n_baselines, n_pols), np.float32)
    count = np.zeros((n_times, n_baselines, n_pols), np.int32)
    turned = np.zeros((n_times, n_baselines, n_pols), np.complex64)
    for b in numba.prange(n_baselines):
        before = np.zeros(n_channels // width, np.complex128)
        for p in range(n_pols):
            if levels[b, p] <= 0:
                continue
            square = levels[b, p] ** 2
            before[:] = 0
            for t in range(n_times):
                power, step = 0.0, 0j
                for k in range(n_channels // width):
                    even, odd = 0j, 0j
                    n_even, n_odd = 0, 0
                    for c in range(k * width, (k + 1) * width):
                        if flags[t, b, c, p]:
                            continue
                        if (c - k * width) % 2 == 0:
                            even += data[t, b, c, p]
                            n_even += 1
                        else:
                            odd += data[t, b, c, p]
                            n_odd += 1
                    mean = 0j
                    if n_even > 0 and n_odd > 0:
                        power += (even / n_even * (odd / n_odd).conjugate()).real
                        count[t, b, p] += 1
                        mean = (even + odd) / (n_even + n_odd)
                    step += mean * before[k].conjugate()
                    before[k] = mean
                total[t, b, p] = power / square
                turned[t, b, p] = step / square
    return total, count, turned


@numba.njit(parallel=True, cache=True, nogil=True)
def autocorrelation_levels(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], n_subbands: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Autocorrelations over their own median in time, by subband: the bandpass is divided out.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_antennas, n_channels, n_polarisations)
    n_subbands : int

    Returns
    -------
    relative : ndarray, float32, shape (n_subbands, n_times, n_antennas, n_polarisations)
        Medians over a subband's channels; NaN where all is flagged.
    level : ndarray, float32, shape (n_subbands, n_antennas, n_polarisations)
        Medians over a subband's channels of what they are divided by; NaN where there is nothing.
    """
    n_times, n_antennas, n_channels, n_pols = data.shape
    width = n_channels // n_subbands
    out = np.full((n_subbands, n_times, n_antennas, n_pols), np.nan, np.float32)
    level = np.full((n_subbands, n_antennas, n_pols), np.nan, np.float32)
    for a in numba.prange(n_antennas):
        kept = np.empty(max(n_times, width), np.float32)
        plane = np.empty((n_times, n_channels), np.float32)
        middles = np.empty(n_channels, np.float32)
        for p in range(n_pols):
            for c in range(n_channels):
                n = 0
                for t in range(n_times):
                    plane[t, c] = np.nan if flags[t, a, c, p] else abs(data[t, a, c, p])
                    if not np.isnan(plane[t, c]):
                        kept[n] = plane[t, c]
                        n += 1
                middle = np.median(kept[:n]) if n > 0 else np.float32(0)
                middles[c] = middle
                for t in range(n_times):
                    plane[t, c] = plane[t, c] / middle if middle > 0 else np.nan
            for s in range(n_subbands):
                n = 0
                for c in range(s * width, (s + 1) * width):
                    if middles[c] > 0:
                        kept[n] = middles[c]
                        n += 1
                if n > 0:
                    level[s, a, p] = np.median(kept[:n])
                for t in range(n_times):
                    n = 0
                    for c in range(s * width, (s + 1) * width):
                        if not np.isnan(plane[t, c]):
                            kept[n] = plane[t, c]
                            n += 1
                    if n > 0:
                        out[s, t, a, p] = np.median(kept[:n])
    return out, level
