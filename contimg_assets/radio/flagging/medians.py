"""Exact medians, compiled; no value may be NaN.

Values are counted by their leading bits, which order them; only the few that share those of the middle
are looked at.  That is five to eight times faster than a partition of all, and medians were half of what
flagging costs.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.robust import MAD_TO_SIGMA

#: Samples that make a median good enough.
ENOUGH_SAMPLES = 4096
#: Of a number in single precision, sign, exponent and two bits of the mantissa are counted.
_SHIFT, _BINS = np.uint32(21), 2048
_SIGN = np.uint32(1 << 31)
#: Bins that are passed over at a time.
_STRIDE = 16
#: Neighbours of which it is asked at once whether any is flagged.
_STRETCH = 32
#: So few values are ordered by insertion.
_FEW = 16


@numba.njit(cache=True)
def _select(values: NDArray[np.floating], rank: int) -> np.floating:
    """The value of a rank, from zero; all behind its place are higher or equal afterwards."""
    low, high = 0, len(values) - 1
    while high - low >= _FEW:
        one, two, three = values[low], values[(low + high) >> 1], values[high]
        pivot = max(min(one, two), min(max(one, two), three))
        # Without branches: which way one goes cannot be foretold.
        first = low
        for i in range(low, high + 1):
            value = values[i]
            values[i] = values[first]
            values[first] = value
            first += 1 if value < pivot else 0
        if rank < first:
            high = first - 1
            continue
        end = first
        for i in range(first, high + 1):
            value = values[i]
            values[i] = values[end]
            values[end] = value
            end += 1 if value == pivot else 0
        if rank < end:
            return values[rank]
        low = end
    for i in range(low + 1, high + 1):
        value, j = values[i], i
        while j > low and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    return values[rank]


@numba.njit(cache=True)
def _bin_of(counts: NDArray[np.int32], rank: int) -> tuple[int, int]:
    """The bin that holds a rank, and how many values lie below it."""
    below, k = 0, 0
    while True:
        several = 0
        for j in range(_STRIDE):
            several += counts[k + j]
        if below + several > rank:
            break
        below += several
        k += _STRIDE
    while below + counts[k] <= rank:
        below += counts[k]
        k += 1
    return k, below


@numba.njit(cache=True, inline="always")
def _bin(bits: np.uint32) -> np.uint32:
    """Place of a number among all, by its leading bits: those of negative ones run the other way."""
    return (~bits if bits & _SIGN else bits | _SIGN) >> _SHIFT


@numba.njit(cache=True)
def _median(
    values: NDArray[np.floating], bits: NDArray[np.uint32], work: NDArray[np.floating]
) -> np.floating:
    """Median, in double precision.

    Parameters
    ----------
    values : ndarray, shape (n,), n > 0
    bits : ndarray of uint32, shape (n,)
        Of the values, rounded to single precision.
    work : ndarray, shape (n + 1,)
        Overwritten.
    """
    n = len(values)
    rank = (n - 1) // 2
    counts = np.zeros(_BINS, np.int32)
    for i in range(n):
        counts[_bin(bits[i])] += np.int32(1)
    middle, below = _bin_of(counts, rank)
    n_inside = 0
    for i in range(n):
        work[n_inside] = values[i]
        n_inside += 1 if _bin(bits[i]) == middle else 0
    inside = work[:n_inside]
    place = rank - below
    value = _select(inside, place)
    if n % 2 == 1:
        return np.float64(value)
    if place + 1 < n_inside:
        following = inside[place + 1 :].min()
    else:
        above = middle + 1
        while counts[above] == 0:
            above += 1
        n_inside = 0
        for i in range(n):
            work[n_inside] = values[i]
            n_inside += 1 if _bin(bits[i]) == above else 0
        following = work[:n_inside].min()
    return (value + following) / 2


@numba.njit(cache=True)
def median(values: NDArray[np.float32]) -> np.floating:
    """Median of at least one value."""
    return _median(values, values.view(np.uint32), np.empty(len(values) + 1, np.float32))


@numba.njit(cache=True)
def median_and_spread(values: NDArray[np.float32]) -> tuple[np.floating, np.floating]:
    """Median and scaled median absolute deviation of at least one value."""
    n = len(values)
    middle = median(values)
    deviations, rounded = np.empty(n, np.float64), np.empty(n, np.float32)
    for i in range(n):
        deviations[i] = abs(values[i] - middle)
        rounded[i] = deviations[i]
    spread = _median(deviations, rounded.view(np.uint32), np.empty(n + 1, np.float64))
    return middle, np.float32(MAD_TO_SIGMA) * spread


@numba.njit(cache=True)
def some_of(
    values: NDArray[np.float32], flags: NDArray[np.bool_], kept: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Every so many of the unflagged of a plane: ``ENOUGH_SAMPLES`` or up to twice as many.

    Parameters
    ----------
    values, flags : ndarray, two axes
    kept : ndarray, shape (values.size + 1,)
        Overwritten; the result is a part of it.
    """
    step = max(1, values.size // ENOUGH_SAMPLES)
    # How many that are not flagged have still to be passed over.
    n, over = 0, 0
    n_rows, n_columns = values.shape
    for i in range(n_rows):
        for start in range(0, n_columns, _STRETCH):
            end = min(start + _STRETCH, n_columns)
            n_flagged = 0
            for j in range(start, end):
                n_flagged += 1 if flags[i, j] else 0
            if n_flagged == 0:
                j = start + over
                while j < end:
                    kept[n] = values[i, j]
                    n += 1
                    j += step
                over = j - end
            elif n_flagged < end - start:
                for j in range(start, end):
                    if not flags[i, j]:
                        kept[n] = values[i, j]
                        n += 1 if over == 0 else 0
                        over = over - 1 if over > 0 else step - 1
    return kept[:n]


@numba.njit(cache=True)
def level_and_spread(
    values: NDArray[np.float32], flags: NDArray[np.bool_]
) -> tuple[np.floating, np.floating]:
    """Median and scaled median absolute deviation of the unflagged of a plane; zeros if all are flagged.

    Of a large plane every so many samples do: the median of 4 096 is good to 2 % of the noise.
    """
    kept = some_of(values, flags, np.empty(values.size + 1, np.float32))
    if len(kept) == 0:
        return np.float64(0), np.float64(0)
    return median_and_spread(kept)
