"""Interference on single baselines, compiled: what only part of the array hears.

Three looks at each baseline's plane of time × channel, all polarisations
together (noise is independent in them, interference is not):

1. amplitudes far above the baseline's level;
2. what is left of each sample after the mean of its neighbours in frequency,
   which follows the sky's fringes, is taken off: single samples, then sums over
   windows of rising length in both directions, so that the weak and the long
   are found as well (the idea of SumThreshold, Offringa et al. 2010);
3. amplitudes of means over blocks of channels, summed in the same way, for what
   is as smooth as the sky.

Then gaps are closed: between flags, runs of which most is flagged are flagged
whole (after the scale-invariant rank operator of Offringa et al. 2012, which
would grow into what is clean on either side as well).
"""

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv

from contimg_assets.radio.flagging.statistics import amplitudes, level_and_spread

#: Samples of a block in which the residual's noise is taken as uniform: its median is good to 4 %.
_NOISE_SAMPLES = 1024
#: Longest window of sums along frequency, channels.
_LONGEST_CHANNELS = 16
#: A window's sum must lie this many robust deviations above the baseline's own
#: windows as well: fringes that the mean over neighbours leaves are no interference.
_WINDOW_SIGMA = 8.0
#: Integrations of the running median that follows the sky's drift through the beam.
_DRIFT_INTEGRATIONS = 7
#: The neighbours' centre may be this many channels aside.
_MOST_ASIDE = 1.25
#: A window is this much less likely by chance than a sample, since there are many.
_WINDOW_CHANCE = 1e-3
#: Median of the exponential and of the χ² distribution (one degree) over their mean.
_MEDIAN_COMPLEX, _MEDIAN_REAL = 0.6931, 0.4549


def chance_thresholds(n_most: int, false_alarm: float) -> NDArray[np.float32]:
    """Sums of n unit exponentials that chance exceeds with the given probability.

    Returns
    -------
    ndarray, float32, shape (2, n_most + 1)
        For single samples (of n polarisations) and for windows; infinite at n = 0.
    """
    n = np.arange(1, n_most + 1)
    rows = [gammainccinv(n, chance) for chance in (false_alarm, false_alarm * _WINDOW_CHANCE)]
    return np.array([np.concatenate([[np.inf], row]) for row in rows], np.float32)


def longest_window(n_times: int, n_polarisations: int) -> int:
    """Most samples of one window, for :func:`chance_thresholds`."""
    return max(n_times, _LONGEST_CHANNELS) * n_polarisations


@numba.njit(parallel=True, cache=True, nogil=True)
def flag_baselines(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    cross: NDArray[np.bool_],
    half: int,
    block: int,
    sigma: float,
    thresholds: NDArray[np.float32],
    growth_fraction: float,
) -> None:
    """Flag a slab of baselines in place.

    Parameters
    ----------
    data, flags : ndarray, shape (n_times, n_baselines, n_channels, n_polarisations)
        ``flags`` holds what is known to be bad and gains what is found.
    cross : ndarray of bool, shape (n_baselines,)
        False for autocorrelations, whose noise has one part, not two.
    half : int
        Neighbours on either side from which a sample is foretold; 0: channels
        are so wide that fringes differ from one to the next, and none is.
    block : int
        Channels of a block.
    sigma : float
        Robust deviations at which an amplitude is flagged.
    thresholds : ndarray
        From :func:`chance_thresholds`.
    growth_fraction : float
        Runs with more than this part flagged are flagged whole.
    """
    n_times, n_baselines, n_channels, n_pols = data.shape
    for b in numba.prange(n_baselines):
        known = flags[:, b].copy()
        bad = np.ones((n_times, n_channels), np.bool_)
        for t in range(n_times):
            for c in range(n_channels):
                for p in range(n_pols):
                    bad[t, c] &= known[t, c, p]
        if bad.all():
            continue
        before = bad.copy()
        plane = data[:, b].copy()
        if not cross[b]:
            _divide_by_channel(plane, known)
        _flag_amplitudes(plane, known, bad, sigma)
        if half > 0:
            power, count = _residual_power(plane, known, bad, half, cross[b])
            _flag_sums(power, count, bad, thresholds[0], thresholds[1])
        _flag_smooth(plane, known, bad, block, thresholds[1])
        _close_gaps(bad, before, growth_fraction)
        for t in range(n_times):
            for c in range(n_channels):
                if bad[t, c] and not before[t, c]:
                    flags[t, b, c, :] = True


@numba.njit(cache=True)
def _divide_by_channel(plane: NDArray[np.complex64], known: NDArray[np.bool_]) -> None:
    """Divide an autocorrelation by the median over time of each channel.

    Its signal is a thousand times its noise, so that the bandpass would hide
    everything; a constant carrier is left to the cross-correlations.
    """
    n_times, n_channels, n_pols = plane.shape
    values = np.empty(n_times, np.float32)
    for p in range(n_pols):
        for c in range(n_channels):
            n = 0
            for t in range(n_times):
                if not known[t, c, p]:
                    values[n] = abs(plane[t, c, p])
                    n += 1
            if n > 0:
                plane[:, c, p] /= np.median(values[:n])


@numba.njit(cache=True)
def _flag_amplitudes(
    plane: NDArray[np.complex64], known: NDArray[np.bool_], bad: NDArray[np.bool_], sigma: float
) -> None:
    n_times, n_channels, n_pols = plane.shape
    for p in range(n_pols):
        amplitude = amplitudes(plane[:, :, p])
        level, spread = level_and_spread(amplitude, known[:, :, p])
        if spread <= 0:
            continue
        limit = level + sigma * spread
        for t in range(n_times):
            for c in range(n_channels):
                if amplitude[t, c] > limit and not known[t, c, p]:
                    bad[t, c] = True


@numba.njit(cache=True)
def _residual_power(
    plane: NDArray[np.complex64],
    known: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    half: int,
    is_cross: bool,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """|sample − mean of its neighbours|² in units of its mean for noise, summed over
    polarisations, and how many polarisations are in each sum."""
    n_times, n_channels, n_pols = plane.shape
    power = np.zeros((n_times, n_channels), np.float32)
    count = np.zeros((n_times, n_channels), np.int32)
    square = np.zeros((n_times, n_channels), np.float32)
    n_blocks = max(1, n_times * n_channels // _NOISE_SAMPLES)
    kept = np.empty(n_times * n_channels, np.float32)
    for p in range(n_pols):
        for t in range(n_times):
            total, n, places = np.complex128(0), 0, 0
            for c in range(min(half, n_channels)):
                if not (bad[t, c] or known[t, c, p]):
                    total += plane[t, c, p]
                    n += 1
                    places += c
            for c in range(n_channels):
                new, old = c + half, c - half - 1
                if new < n_channels and not (bad[t, new] or known[t, new, p]):
                    total += plane[t, new, p]
                    n += 1
                    places += new
                if old >= 0 and not (bad[t, old] or known[t, old, p]):
                    total -= plane[t, old, p]
                    n -= 1
                    places -= old
                square[t, c] = -1.0
                if known[t, c, p]:
                    continue
                others, m, aside = total, n, places
                if not bad[t, c]:
                    others -= plane[t, c, p]
                    m -= 1
                    aside -= c
                # One-sided neighbours foretell badly what turns: at the band's edges, beside carriers.
                if m >= half and abs(aside - m * c) <= _MOST_ASIDE * m:
                    rest = plane[t, c, p] - others / m
                    square[t, c] = (rest.real**2 + rest.imag**2) / (1.0 + 1.0 / m)
        for k in range(n_blocks):
            first, last = k * n_channels // n_blocks, (k + 1) * n_channels // n_blocks
            n = 0
            for t in range(n_times):
                for c in range(first, last):
                    if square[t, c] >= 0 and not bad[t, c]:
                        kept[n] = square[t, c]
                        n += 1
            if n == 0:
                continue
            middle = np.median(kept[:n])
            if middle <= 0:
                continue
            # In either case the sum's unit is twice the variance of one part.
            mean = middle / _MEDIAN_COMPLEX if is_cross else 2.0 * middle / _MEDIAN_REAL
            for t in range(n_times):
                for c in range(first, last):
                    if square[t, c] >= 0:
                        power[t, c] += square[t, c] / mean
                        count[t, c] += 1
    return power, count


@numba.njit(cache=True)
def _flag_sums(
    power: NDArray[np.float32],
    count: NDArray[np.int32],
    bad: NDArray[np.bool_],
    of_samples: NDArray[np.float32],
    of_windows: NDArray[np.float32],
) -> None:
    n_times, n_channels = power.shape
    for t in range(n_times):
        for c in range(n_channels):
            if power[t, c] > of_samples[count[t, c]]:
                bad[t, c] = True
    window = 2
    while window <= min(_LONGEST_CHANNELS, n_channels):
        _flag_windows(power, count, bad, of_windows, window)
        window *= 2
    # Transposed views: the same along time, and at last each channel as a whole.
    window = 2
    while window < n_times:
        _flag_windows(power.T, count.T, bad.T, of_windows, window)
        window *= 2
    _flag_windows(power.T, count.T, bad.T, of_windows, n_times)


@numba.njit(cache=True)
def _flag_windows(
    power: NDArray[np.float32],
    count: NDArray[np.int32],
    bad: NDArray[np.bool_],
    threshold: NDArray[np.float32],
    window: int,
) -> None:
    n_lines, length = power.shape
    step = max(1, window // 2)
    n_windows = (length - window) // step + 1
    number = np.zeros((n_lines, n_windows), np.int32)
    total = np.zeros((n_lines, n_windows), np.float32)
    unlikely = False
    for i in range(n_lines):
        for k in range(n_windows):
            for j in range(k * step, k * step + window):
                if not bad[i, j]:
                    total[i, k] += power[i, j]
                    number[i, k] += count[i, j]
            unlikely |= total[i, k] > threshold[number[i, k]]
    if not unlikely:
        return
    mean = total / np.maximum(number, 1).astype(np.float32)
    level, spread = level_and_spread(mean, number == 0)
    for i in range(n_lines):
        for k in range(n_windows):
            if total[i, k] > threshold[number[i, k]] and mean[i, k] > level + _WINDOW_SIGMA * spread:
                for j in range(k * step, k * step + window):
                    bad[i, j] = True


@numba.njit(cache=True)
def _flag_smooth(
    plane: NDArray[np.complex64],
    known: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    block: int,
    thresholds: NDArray[np.float32],
) -> None:
    """Blocks of channels whose mean amplitude is unlike the baseline's others.

    Larger or smaller: what adds to a bright calibrator in opposite phase takes
    from it.  The squares of the deviations are summed like the residual's.
    """
    n_times, n_channels, n_pols = plane.shape
    n_blocks = n_channels // block
    power = np.zeros((n_times, n_blocks), np.float32)
    count = np.zeros((n_times, n_blocks), np.int32)
    amplitude = np.zeros((n_times, n_blocks), np.float32)
    lacking = np.zeros((n_times, n_blocks), np.bool_)
    for p in range(n_pols):
        for t in range(n_times):
            for k in range(n_blocks):
                total, n = np.complex128(0), 0
                for c in range(k * block, (k + 1) * block):
                    if not (bad[t, c] or known[t, c, p]):
                        total += plane[t, c, p]
                        n += 1
                lacking[t, k] = 2 * n < block or n == 0
                amplitude[t, k] = 0.0 if lacking[t, k] else abs(total) / n
        _follow_sky(amplitude, lacking)
        level, spread = level_and_spread(amplitude, lacking)
        if spread <= 0:
            continue
        for t in range(n_times):
            for k in range(n_blocks):
                if not lacking[t, k]:
                    power[t, k] += 0.5 * ((amplitude[t, k] - level) / spread) ** 2
                    count[t, k] += 1
    found = np.zeros((n_times, n_blocks), np.bool_)
    _flag_sums(power, count, found, thresholds, thresholds)
    for t in range(n_times):
        for k in range(n_blocks):
            if found[t, k]:
                bad[t, k * block : (k + 1) * block] = True


@numba.njit(cache=True)
def _follow_sky(amplitude: NDArray[np.float32], lacking: NDArray[np.bool_]) -> None:
    """Put each integration on the level and spread that the sky gives it.

    Sources drift through the beam, and so do the fringes between them.  Level
    and spread are running medians over integrations, so that a burst in a few
    stands out however much of the band it fills.
    """
    n_times = amplitude.shape[0]
    numbers = np.full((2, n_times), np.nan, np.float32)
    for t in range(n_times):
        level, spread = level_and_spread(amplitude[t : t + 1], lacking[t : t + 1])
        if spread > 0:
            numbers[0, t], numbers[1, t] = level, spread
    half = (min(_DRIFT_INTEGRATIONS, n_times) - 1) // 2
    for t in range(n_times):
        middle = min(max(t, half), n_times - 1 - half)
        near = numbers[:, middle - half : middle + half + 1]
        known = ~np.isnan(near[0])
        if known.any():
            amplitude[t] = (amplitude[t] - np.median(near[0][known])) / np.median(near[1][known])


@numba.njit(cache=True)
def _close_gaps(bad: NDArray[np.bool_], before: NDArray[np.bool_], growth_fraction: float) -> None:
    """Flag every run along frequency, then along time, of which more than the fraction is flagged.

    What was flagged before counts neither way: a known burst over a quarter of
    the band says nothing about the channels beside it.
    """
    _close_lines(bad, before, growth_fraction)
    _close_lines(bad.T, before.T, growth_fraction)


@numba.njit(cache=True)
def _close_lines(bad: NDArray[np.bool_], before: NDArray[np.bool_], growth_fraction: float) -> None:
    n_lines, length = bad.shape
    total = np.zeros(length + 1)
    best_end = np.empty(length + 1)
    for i in range(n_lines):
        # A run [a, b) qualifies if the sum of (flag − fraction) over it is positive. It begins and
        # ends with a flag, so that gaps are closed and nothing grows into what is clean.
        for j in range(length):
            weight = 0.0 if before[i, j] else (1.0 if bad[i, j] else 0.0) - growth_fraction
            total[j + 1] = total[j] + weight
        best_end[length] = -np.inf
        for j in range(length - 1, -1, -1):
            best_end[j] = max(total[j + 1], best_end[j + 1]) if bad[i, j] else best_end[j + 1]
        lowest = np.inf
        for j in range(length):
            if bad[i, j]:
                lowest = min(lowest, total[j])
            elif best_end[j] - lowest > 1e-6:
                bad[i, j] = True
