"""Phasing visibilities to positions on the sky, compiled.

Belongs here: what every loop over visibilities that looks at single sources shares.
Does not belong here: Fourier sums over many components (``predict.py``).
"""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, inline="always")
def turns_towards(uvw: NDArray[np.float64], position: NDArray[np.float64]) -> float:
    """Phase of a source, in turns: uvw in wavelengths, the position (l, m, n − 1)."""
    return uvw[0] * position[0] + uvw[1] * position[1] + uvw[2] * position[2]


@numba.njit(cache=True, inline="always")
def phasor(turns: float) -> complex:
    """Of a phase in turns."""
    angle = 2 * np.pi * (turns - np.floor(turns))
    return complex(np.cos(angle), np.sin(angle))


@numba.njit(cache=True, inline="always")
def bandwidth_smearing(turns: float, width: float) -> float:
    """Part of a source that averaged channels keep, their width relative to their frequency."""
    x = np.pi * turns * width
    return np.sin(x) / x if abs(x) > 1e-6 else 1.0


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
    x = np.pi * turns
    return np.sin(x) / x if abs(x) > 1e-6 else 1.0


@numba.njit(cache=True)
def start_phasors(
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    positions: NDArray[np.float64],
    state: NDArray[np.float32],
) -> None:
    """Phasors of positions at a baseline's first slot, their step from slot to slot, bandwidth smearing.

    The rows of ``state``: real and imaginary parts of the one and of the other, and the last.
    """
    # A slot is as wide as the step to the next.
    width = frequencies[1] / frequencies[0] - 1.0 if len(frequencies) > 1 else 0.0
    for k in range(len(positions)):
        turns = turns_towards(uvw, positions[k])
        now, by = phasor(turns), phasor(turns * width)
        state[0, k], state[1, k] = now.real, now.imag
        state[2, k], state[3, k] = by.real, by.imag
        state[4, k] = bandwidth_smearing(turns, width)


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
