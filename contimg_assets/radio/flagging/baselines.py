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

from contimg_assets.radio.flagging.medians import level_and_spread, median
from contimg_assets.radio.flagging.windows import LONGEST_CHANNELS, close_gaps, flag_sums

#: Samples of a block in which the residual's noise is taken as uniform: its median is good to 4 %.
_NOISE_SAMPLES = 1024
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
    return max(n_times, LONGEST_CHANNELS) * n_polarisations


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
        real, imag, known = _planes(data[:, b], flags[:, b])
        bad = np.ones((n_times, n_channels), np.bool_)
        for p in range(n_pols):
            bad &= known[p]
        if bad.all():
            continue
        before = bad.copy()
        if not cross[b]:
            _divide_by_channel(real, imag, known)
        for p in range(n_pols):
            _flag_amplitudes(real[p], imag[p], known[p], bad, sigma)
        if half > 0:
            power, count = _residual_power(real, imag, known, bad, half, cross[b])
            flag_sums(power, count, bad, thresholds[0], thresholds[1])
        _flag_smooth(real, imag, known, bad, block, thresholds[1])
        close_gaps(bad, before, growth_fraction)
        for t in range(n_times):
            for c in range(n_channels):
                if bad[t, c] and not before[t, c]:
                    flags[t, b, c, :] = True


@numba.njit(cache=True)
def _planes(
    data: NDArray[np.complex64], flags: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Real and imaginary parts and flags of a baseline, shape (n_polarisations, n_times, n_channels)."""
    n_times, n_channels, n_pols = data.shape
    shape = (n_pols, n_times, n_channels)
    real, imag, known = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.bool_)
    for p in range(n_pols):
        for t in range(n_times):
            for c in range(n_channels):
                real[p, t, c] = data[t, c, p].real
                imag[p, t, c] = data[t, c, p].imag
                known[p, t, c] = flags[t, c, p]
    return real, imag, known


@numba.njit(cache=True)
def _divide_by_channel(
    real: NDArray[np.float32], imag: NDArray[np.float32], known: NDArray[np.bool_]
) -> None:
    """Divide an autocorrelation by the median over time of each channel.

    Its signal is a thousand times its noise, so that the bandpass would hide
    everything; a constant carrier is left to the cross-correlations.
    """
    n_pols, n_times, n_channels = real.shape
    values = np.empty(n_times, np.float32)
    for p in range(n_pols):
        for c in range(n_channels):
            n = 0
            for t in range(n_times):
                if not known[p, t, c]:
                    values[n] = np.hypot(real[p, t, c], imag[p, t, c])
                    n += 1
            if n > 0:
                middle = median(values[:n])
                real[p, :, c] /= middle
                imag[p, :, c] /= middle


@numba.njit(cache=True)
def _flag_amplitudes(
    real: NDArray[np.float32],
    imag: NDArray[np.float32],
    known: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    sigma: float,
) -> None:
    amplitude = np.sqrt(real * real + imag * imag)
    level, spread = level_and_spread(amplitude, known)
    if spread <= 0:
        return
    limit = level + sigma * spread
    n_times, n_channels = real.shape
    for t in range(n_times):
        for c in range(n_channels):
            bad[t, c] |= amplitude[t, c] > limit and not known[t, c]


@numba.njit(cache=True)
def _residual_power(
    real: NDArray[np.float32],
    imag: NDArray[np.float32],
    known: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    half: int,
    is_cross: bool,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """|sample − mean of its neighbours|² in units of its mean for noise, summed over
    polarisations, and how many polarisations are in each sum."""
    n_pols, n_times, n_channels = real.shape
    power = np.zeros((n_times, n_channels), np.float32)
    count = np.zeros((n_times, n_channels), np.int32)
    square = np.empty((n_times, n_channels), np.float32)
    n_blocks = max(1, n_times * n_channels // _NOISE_SAMPLES)
    kept = np.empty(n_times * n_channels + 1, np.float32)
    for p in range(n_pols):
        for t in range(n_times):
            _squares(real[p, t], imag[p, t], known[p, t], bad[t], half, square[t])
        for k in range(n_blocks):
            first, last = k * n_channels // n_blocks, (k + 1) * n_channels // n_blocks
            n_kept = 0
            for t in range(n_times):
                for c in range(first, last):
                    kept[n_kept] = square[t, c]
                    n_kept += 1 if square[t, c] >= 0 and not bad[t, c] else 0
            if n_kept == 0:
                continue
            middle = median(kept[:n_kept])
            if middle <= 0:
                continue
            # In either case the sum's unit is twice the variance of one part.
            mean = middle / _MEDIAN_COMPLEX if is_cross else 2.0 * middle / _MEDIAN_REAL
            for t in range(n_times):
                for c in range(first, last):
                    power[t, c] += square[t, c] / mean if square[t, c] >= 0 else 0.0
                    count[t, c] += np.int32(1) if square[t, c] >= 0 else np.int32(0)
    return power, count


@numba.njit(cache=True)
def _squares(
    real: NDArray[np.float32],
    imag: NDArray[np.float32],
    known: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    half: int,
    square: NDArray[np.float32],
) -> None:
    """Square of each sample of a line less the mean of its good neighbours; −1 where that tells nothing."""
    n_channels = len(real)
    # Sums over all channels below: of real and imaginary parts, the number, and the channels' numbers.
    by_real, by_imag, numbers, places = np.zeros((4, n_channels + 2 * half + 1))
    total_real, total_imag, number, place = 0.0, 0.0, 0.0, 0.0
    for c in range(n_channels + half):
        if c < n_channels and not (bad[c] or known[c]):
            total_real += real[c]
            total_imag += imag[c]
            number += 1.0
            place += c
        at = half + c + 1
        by_real[at], by_imag[at], numbers[at], places[at] = total_real, total_imag, number, place
    for c in range(n_channels):
        end, own = c + 2 * half + 1, 0.0 if bad[c] or known[c] else 1.0
        n = numbers[end] - numbers[c] - own
        aside = places[end] - places[c] - own * c - n * c
        # One-sided neighbours foretell badly what turns: at the band's edges, beside carriers.
        usable = not known[c] and n >= half and abs(aside) <= _MOST_ASIDE * n
        part = 1.0 / max(n, 1.0)
        rest_real = real[c] - (by_real[end] - by_real[c] - own * real[c]) * part
        rest_imag = imag[c] - (by_imag[end] - by_imag[c] - own * imag[c]) * part
        square[c] = (rest_real**2 + rest_imag**2) / (1.0 + part) if usable else -1.0


@numba.njit(cache=True)
def _flag_smooth(
    real: NDArray[np.float32],
    imag: NDArray[np.float32],
    known: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    block: int,
    thresholds: NDArray[np.float32],
) -> None:
    """Blocks of channels whose mean amplitude is unlike the baseline's others.

    Larger or smaller: what adds to a bright calibrator in opposite phase takes
    from it.  The squares of the deviations are summed like the residual's.
    """
    n_pols, n_times, n_channels = real.shape
    n_blocks = n_channels // block
    power = np.zeros((n_times, n_blocks), np.float32)
    count = np.zeros((n_times, n_blocks), np.int32)
    amplitude = np.zeros((n_times, n_blocks), np.float32)
    lacking = np.zeros((n_times, n_blocks), np.bool_)
    for p in range(n_pols):
        for t in range(n_times):
            for k in range(n_blocks):
                total_real, total_imag, n = 0.0, 0.0, 0
                for c in range(k * block, (k + 1) * block):
                    use = not (bad[t, c] or known[p, t, c])
                    total_real += real[p, t, c] if use else np.float32(0)
                    total_imag += imag[p, t, c] if use else np.float32(0)
                    n += 1 if use else 0
                lacking[t, k] = 2 * n < block or n == 0
                mean = np.sqrt(total_real**2 + total_imag**2) / max(n, 1)
                amplitude[t, k] = 0.0 if lacking[t, k] else mean
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
    flag_sums(power, count, found, thresholds, thresholds)
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
