"""Phasing visibilities to positions on the sky, compiled.

Belongs here: what every loop over visibilities that looks at single sources shares.
Does not belong here: Fourier sums over many components (``predict.py``).
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

#: Of the series of the sine.
_C3, _C5, _C7, _C9, _C11, _C13 = ((-1) ** k / math.factorial(2 * k + 1) for k in range(1, 7))


@numba.njit(cache=True, inline="always")
def turns_towards(uvw: NDArray[np.float64], position: NDArray[np.float64]) -> float:
    """Phase of a source, in turns: uvw in wavelengths, the position (l, m, n − 1)."""
    return uvw[0] * position[0] + uvw[1] * position[1] + uvw[2] * position[2]


@numba.njit(cache=True, inline="always")
def sine(turns: float) -> float:
    """Of an angle in turns, to 1e-9.

    A library's sine is called one by one; this is arithmetic, which goes several at a time.
    """
    rest = turns - np.floor(turns + 0.5)
    height = min(abs(rest), 0.5 - abs(rest))
    x = 2 * np.pi * (height if rest >= 0 else -height)
    y = x * x
    # Taylor's series: x is no larger than a quarter of a turn.
    return x * (1 + y * (_C3 + y * (_C5 + y * (_C7 + y * (_C9 + y * (_C11 + y * _C13))))))


@numba.njit(cache=True, inline="always")
def phasor(turns: float) -> complex:
    """Of a phase in turns."""
    return complex(sine(turns + 0.25), sine(turns))


@numba.njit(cache=True, inline="always")
def _mean_over(turns: float) -> float:
    """Mean of a phasor over so many turns."""
    x = np.pi * turns
    return sine(turns / 2) / x if abs(x) > 1e-6 else 1.0


@numba.njit(cache=True, inline="always")
def bandwidth_smearing(turns: float, width: float) -> float:
    """Part of a source that averaged channels keep, their width relative to their frequency."""
    return _mean_over(turns * width)


@numba.njit(cache=True, inline="always")
def time_smearing(
    uvw: NDArray[np.float64], position: NDArray[np.float64], turning: NDArray[np.float64]
) -> float:
    """Part of a source that the mean over an integration keeps.

    Parameters
    ----------
    uvw, position, turning : ndarray
        Wavelengths; (l, m, n − 1); the integration's row of ``smearing.tracking``.
    """
    pole, tracked = turning[0], turning[1]
    turns = (uvw[1] * pole[2] - uvw[2] * pole[1]) * (position[0] - tracked[0])
    turns += (uvw[2] * pole[0] - uvw[0] * pole[2]) * (position[1] - tracked[1])
    turns += (uvw[0] * pole[1] - uvw[1] * pole[0]) * (position[2] - tracked[2])
    return _mean_over(turns)


@numba.njit(cache=True)
def start_phasors(
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    positions: NDArray[np.float64],
    state: NDArray[np.float32],
) -> None:
    """Phasors of positions at a baseline's first slot, their step from slot to slot, bandwidth smearing.

    The rows of ``state``: real and imaginary parts of the one and of the other, and the last.  Take them by
    index: rows that are unpacked are not known to be contiguous, and loops over them take one at a time.
    """
    # A slot is as wide as the step to the next.
    width = frequencies[1] / frequencies[0] - 1.0 if len(frequencies) > 1 else 0.0
    u, v, w = uvw[0], uvw[1], uvw[2]
    for k in range(len(positions)):
        turns = u * positions[k, 0] + v * positions[k, 1] + w * positions[k, 2]
        state[0, k] = sine(turns + 0.25)
        state[1, k] = sine(turns)
        state[2, k] = sine(turns * width + 0.25)
        state[3, k] = sine(turns * width)
        state[4, k] = _mean_over(turns * width)


@numba.njit(cache=True, inline="always")
def advance_phasors(
    real: NDArray[np.float32],
    imag: NDArray[np.float32],
    by_real: NDArray[np.float32],
    by_imag: NDArray[np.float32],
) -> None:
    """From one slot of a baseline to the next."""
    for k in range(len(real)):
        turned = real[k] * by_real[k] - imag[k] * by_imag[k]
        imag[k] = real[k] * by_imag[k] + imag[k] * by_real[k]
        real[k] = turned


def baseline_starts(frequencies_hz: NDArray[np.float64]) -> NDArray[np.int64]:
    """First slot of each baseline, and the end: a baseline's slots have rising frequencies."""
    return np.flatnonzero(np.concatenate([[True], np.diff(frequencies_hz) <= 0, [True]]))
