"""Turning visibilities to a place on the sky, compiled.

Belongs here: what every loop over visibilities that looks at single sources shares.
Does not belong here: Fourier sums over many components (``predict.py``).
"""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, inline="always")
def turns_towards(uvw: NDArray[np.float64], place: NDArray[np.float64]) -> float:
    """Phase of a source, in turns: uvw in wavelengths, the place (l, m, n − 1)."""
    return uvw[0] * place[0] + uvw[1] * place[1] + uvw[2] * place[2]


@numba.njit(cache=True, inline="always")
def phasor(turns: float) -> complex:
    """Of a phase in turns."""
    angle = 2 * np.pi * (turns - np.floor(turns))
    return complex(np.cos(angle), np.sin(angle))


@numba.njit(cache=True, inline="always")
def averaging_loss(turns: float, width: float) -> float:
    """What averaging channels leaves of a source, their width relative to their frequency."""
    x = np.pi * turns * width
    return np.sin(x) / x if abs(x) > 1e-6 else 1.0
