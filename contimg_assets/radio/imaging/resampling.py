"""From an image on coarse pixels of one coordinate system to the pixels of another, by a kernel.

An image whose visibilities reach no farther than some (u, v) is known everywhere from pixels
that sample it well.  Between them the value is a sum over a few neighbours, weighted by a
Kaiser–Bessel window; what the window does to the spectrum is undone where that is cheap, in
the visibilities (Beatty et al. 2005, IEEE TMI 24, 799).

Belongs here: the kernel, and the loop over pixels.  Does not belong here: which coordinates
(``gridder.py``).
"""

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import i0

#: Neighbours along each axis.
TAPS = 6
#: Coarse pixels are finer than the visibilities ask for by this: with six neighbours the
#: interpolation is good to 4e-5.
OVERSAMPLING = 1.4
_BETA = np.pi * np.sqrt((TAPS / OVERSAMPLING * (OVERSAMPLING - 0.5)) ** 2 - 0.8)
#: Places between two pixels at which the weights are kept; linear in between.
_PLACES = 512
#: Indices without a sign: of others each use asks whether it counts from the end, which costs an eighth.
_TAPS, _BEFORE, _ONE = np.uintp(TAPS), np.uintp(TAPS // 2 - 1), np.uintp(1)


def kernel_transform(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourier transform of the kernel; frequencies in cycles a coarse pixel, 1 / (2 OVERSAMPLING) at most."""
    root = np.sqrt(_BETA**2 - (np.pi * TAPS * frequencies) ** 2)
    return TAPS * np.sinh(root) / (root * i0(_BETA))


def kernel_table() -> NDArray[np.float32]:
    """Weights of the neighbours of a place, shape (_PLACES + 1, TAPS).

    Row r is for r / _PLACES beyond the pixel TAPS // 2 − 1.
    """
    beyond = np.arange(_PLACES + 1)[:, None] / _PLACES
    distance = beyond + TAPS // 2 - 1 - np.arange(TAPS)
    inside = np.maximum(1.0 - (2 * distance / TAPS) ** 2, 0.0)
    return np.where(inside > 0, i0(_BETA * np.sqrt(inside)) / i0(_BETA), 0.0).astype(np.float32)


@numba.njit(cache=True, inline="always")
def sheared_depth(x: float, y: float, a: float, b: float) -> float:
    """n − 1 of a place by its sheared coordinates, l + a (n − 1) and m + b (n − 1).

    With l² + m² + n² = 1 that is a quadratic equation.
    """
    square, half = x * x + y * y, 1.0 - a * x - b * y
    return -square / (half + np.sqrt(half * half - (1.0 + a * a + b * b) * square))


@numba.njit(cache=True, parallel=True, fastmath=True)
def resample_sheared(
    coarse: NDArray[np.float32],
    table: NDArray[np.float32],
    cell: float,
    coarse_cell: float,
    a: float,
    b: float,
    out: NDArray[np.float32],
) -> None:
    """Fill an image, pixels [north, −east], from one on sheared coordinates, pixels [m', l'].

    Parameters
    ----------
    coarse : ndarray, float32, shape (n, n)
        Its pixel n // 2 is the phase centre; l' = l + a (n − 1), m' = m + b (n − 1).
    table : ndarray
        Of :func:`kernel_table`.
    cell, coarse_cell : float
        Pixels of the one and the other, as differences of direction cosines.
    a, b : float
        Of the array's plane.
    out : ndarray, float32, shape (n_pixels, n_pixels)
    """
    n, centre, middle = len(out), len(out) // 2, len(coarse) // 2
    places = len(table) - 1
    for row in numba.prange(n):
        m = (row - centre) * cell
        for column in range(n):
            l = (centre - column) * cell
            n1 = sheared_depth(l, m, 0.0, 0.0)
            x, y = middle + (l + a * n1) / coarse_cell, middle + (m + b * n1) / coarse_cell
            i, j = np.uintp(x), np.uintp(y)
            at_x, at_y = (x - i) * places, (y - j) * places
            p, q = np.uintp(at_x), np.uintp(at_y)
            part_x, part_y = np.float32(at_x - p), np.float32(at_y - q)
            i -= _BEFORE
            j -= _BEFORE
            total = np.float32(0)
            for g in range(_TAPS):
                line = np.float32(0)
                for h in range(_TAPS):
                    weight = table[p, h] + part_x * (table[p + _ONE, h] - table[p, h])
                    line += weight * coarse[j + g, i + h]
                total += (table[q, g] + part_y * (table[q + _ONE, g] - table[q, g])) * line
            out[row, column] = total


def resample_straight(
    coarse: NDArray[np.float32],
    table: NDArray[np.float32],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Fill an image from one on coarse pixels of the same coordinates: along one axis, then along the other.

    Parameters
    ----------
    coarse : ndarray, float32, two axes
    table : ndarray
        Of :func:`kernel_table`.
    rows, columns : ndarray
        Where the image's rows and columns lie between those of ``coarse``, TAPS // 2 from its edges at least.
    out : ndarray, float32, shape (n_rows, n_columns)
    """
    between = np.empty((len(coarse), len(columns)), np.float32)
    _along_columns(coarse, *_neighbours(columns, table), between)
    _along_rows(between, *_neighbours(rows, table), out)


def _neighbours(
    places: NDArray[np.float64], table: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """First neighbour of each place, and the weights of all, shape (n, TAPS)."""
    whole = np.floor(places).astype(np.int64)
    at = (places - whole) * (len(table) - 1)
    low = np.minimum(at.astype(np.int64), len(table) - 2)
    part = (at - low)[:, None].astype(np.float32)
    weights = table[low] + part * (table[low + 1] - table[low])
    return np.asarray(whole - (TAPS // 2 - 1), np.int64), np.asarray(weights, np.float32)


@numba.njit(cache=True, parallel=True, fastmath=True)
def _along_columns(
    coarse: NDArray[np.float32],
    firsts: NDArray[np.int64],
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for row in numba.prange(len(out)):
        for column in range(len(firsts)):
            first, total = np.uintp(firsts[column]), np.float32(0)
            for h in range(_TAPS):
                total += weights[column, h] * coarse[row, first + h]
            out[row, column] = total


@numba.njit(cache=True, parallel=True, fastmath=True)
def _along_rows(
    coarse: NDArray[np.float32],
    firsts: NDArray[np.int64],
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for row in numba.prange(len(out)):
        out[row] = 0
        for g in range(TAPS):
            weight, line = weights[row, g], coarse[firsts[row] + g]
            for column in range(out.shape[1]):
                out[row, column] += weight * line[column]
