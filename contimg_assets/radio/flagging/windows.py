"""Sums over windows of a plane of time × channel, and gaps between flags, compiled.

Belongs here: the search for what is too much in sums of rising length, along either axis, and closing
the gaps between what was found.  Does not belong here: what is summed (``baselines.py``).
"""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.flagging.medians import level_and_spread

#: Longest window of sums along frequency, channels.
LONGEST_CHANNELS = 16
#: A window's sum must lie this many robust deviations above the baseline's own
#: windows as well: fringes that the mean over neighbours leaves are no interference.
_WINDOW_SIGMA = 8.0
#: A run is closed if what is flagged of it exceeds the fraction by this, against rounding.
_ROUNDING = 1e-6


@numba.njit(cache=True)
def flag_sums(
    power: NDArray[np.float32],
    count: NDArray[np.int32],
    bad: NDArray[np.bool_],
    of_samples: NDArray[np.float32],
    of_windows: NDArray[np.float32],
) -> None:
    """Flag samples, then windows of rising length along frequency, then along time, at last whole channels.

    Parameters
    ----------
    power, count : ndarray, shape (n_times, n_channels)
        What is summed, and of how many samples it is the sum.
    bad : ndarray of bool, same shape
        Left out of sums; what is found is added.
    of_samples, of_windows : ndarray
        Sums that chance hardly exceeds, by number of samples.
    """
    n_times, n_channels = power.shape
    for t in range(n_times):
        for c in range(n_channels):
            bad[t, c] |= power[t, c] > of_samples[count[t, c]]
    turned_power, turned_count = np.ascontiguousarray(power.T), np.ascontiguousarray(count.T)
    turned_bad = np.ascontiguousarray(bad.T)
    if _flag_rising(
        turned_power, turned_count, turned_bad, of_windows, min(LONGEST_CHANNELS, n_channels) + 1
    ):
        bad[:] = turned_bad.T
    _flag_rising(power, count, bad, of_windows, n_times)
    total, number = _sums(power, count, bad, n_times)
    _flag_windows(total, number, bad, of_windows, n_times)


@numba.njit(cache=True)
def _flag_rising(
    power: NDArray[np.float32],
    count: NDArray[np.int32],
    bad: NDArray[np.bool_],
    threshold: NDArray[np.float32],
    end: int,
) -> bool:
    """Flag windows of 2, 4, 8, … rows, shorter than ``end``; whether there were any."""
    window, found, found_now = 2, False, True
    total, number = np.empty((0, 0), np.float32), np.empty((0, 0), np.int32)
    while window < end:
        if found_now:
            total, number = _sums(power, count, bad, window)
        else:
            # Windows overlap by half, so two of half the length, which do not, make one.
            n_windows = (len(power) - window) // (window // 2) + 1
            halves, numbers = total, number
            total = np.empty((n_windows, power.shape[1]), np.float32)
            number = np.empty((n_windows, power.shape[1]), np.int32)
            for k in range(n_windows):
                for i in range(power.shape[1]):
                    total[k, i] = halves[2 * k, i] + halves[2 * k + 2, i]
                    number[k, i] = numbers[2 * k, i] + numbers[2 * k + 2, i]
        found_now = _flag_windows(total, number, bad, threshold, window)
        found |= found_now
        window *= 2
    return found


@numba.njit(cache=True)
def _sums(
    power: NDArray[np.float32], count: NDArray[np.int32], bad: NDArray[np.bool_], window: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Sums of what is not bad over windows of rows that overlap by half."""
    length, n_lines = power.shape
    step = max(1, window // 2)
    n_windows = (length - window) // step + 1
    total = np.zeros((n_windows, n_lines), np.float32)
    number = np.zeros((n_windows, n_lines), np.int32)
    for k in range(n_windows):
        for j in range(k * step, k * step + window):
            for i in range(n_lines):
                total[k, i] += np.float32(0) if bad[j, i] else power[j, i]
                number[k, i] += np.int32(0) if bad[j, i] else count[j, i]
    return total, number


@numba.njit(cache=True)
def _flag_windows(
    total: NDArray[np.float32],
    number: NDArray[np.int32],
    bad: NDArray[np.bool_],
    threshold: NDArray[np.float32],
    window: int,
) -> bool:
    """Flag windows of rows whose sum is unlikely, and unlike the others; whether there were any."""
    n_windows, n_lines = total.shape
    n_unlikely = 0
    for k in range(n_windows):
        for i in range(n_lines):
            n_unlikely += 1 if total[k, i] > threshold[number[k, i]] else 0
    if n_unlikely == 0:
        return False
    mean = total / np.maximum(number, 1).astype(np.float32)
    # In the order of lines, of which so many are looked at.
    level, spread = level_and_spread(np.ascontiguousarray(mean.T), np.ascontiguousarray(number.T == 0))
    step, found = max(1, window // 2), False
    for k in range(n_windows):
        for i in range(n_lines):
            if total[k, i] > threshold[number[k, i]] and mean[k, i] > level + _WINDOW_SIGMA * spread:
                bad[k * step : k * step + window, i] = True
                found = True
    return found


@numba.njit(cache=True)
def close_gaps(bad: NDArray[np.bool_], before: NDArray[np.bool_], growth_fraction: float) -> None:
    """Flag every run along frequency, then along time, of which more than the fraction is flagged.

    What was flagged before counts neither way: a known burst over a quarter of
    the band says nothing about the channels beside it.
    """
    _close_lines(bad, before, _new_in_columns(bad.T, before.T), growth_fraction)
    _close_lines(bad.T, before.T, _new_in_columns(bad, before), growth_fraction)


@numba.njit(cache=True)
def _new_in_columns(bad: NDArray[np.bool_], before: NDArray[np.bool_]) -> NDArray[np.int32]:
    """How many flags of each column are new."""
    n_new = np.zeros(bad.shape[1], np.int32)
    for i in range(bad.shape[0]):
        for j in range(bad.shape[1]):
            n_new[j] += np.int32(1) if bad[i, j] and not before[i, j] else np.int32(0)
    return n_new


@numba.njit(cache=True)
def _close_lines(
    bad: NDArray[np.bool_], before: NDArray[np.bool_], n_new: NDArray[np.int32], growth_fraction: float
) -> None:
    n_lines, length = bad.shape
    total = np.zeros(length + 1)
    best_end = np.empty(length + 1)
    for i in range(n_lines):
        # Without a flag that is new no run has more than the fraction.
        if n_new[i] == 0:
            continue
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
            elif best_end[j] - lowest > _ROUNDING:
                bad[i, j] = True
