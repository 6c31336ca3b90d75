"""The voltage beam of one dish, from its aperture.

Belongs here: illumination, shadows, their Fourier transform, its table and the looking
up.  Which dish points where stands in ``dishes.py``.
"""

from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import j0

from contimg_assets.simulation.independent.instrument import DISH_M
from contimg_assets.simulation.independent.options import Aperture

#: The table reaches to D l / λ = ± this (14° at 1.4 GHz), in steps of this.
TABLE_REACH, TABLE_STEP = 6.0, 0.02
#: Nodes over the radius and along a leg: 100 are exact to rounding for the 20 rad across the table.
_NODES = 100
_RADIAL_STEP = 0.01
_LEG_ANGLES_RAD = (np.pi / 4, 3 * np.pi / 4, 5 * np.pi / 4, 7 * np.pi / 4)


def _illumination(radius: NDArray[np.float64], taper_db: float) -> NDArray[np.float64]:
    """Field over the aperture, radius 0…1: a parabola on a pedestal, 1 at the centre."""
    edge = 10.0 ** (taper_db / 20.0)
    return edge + (1.0 - edge) * (1.0 - radius**2)


def _open_aperture(rho: NDArray[np.float64], options: Aperture) -> NDArray[np.float64]:
    """2π ∫ A(r) J₀(π ρ r) r dr from the cabin's shadow to the rim, ρ = D sin θ / λ."""
    inner = options.blockage_m / DISH_M
    x, w = np.polynomial.legendre.leggauss(_NODES)
    radius = inner + (1.0 - inner) * (x + 1.0) / 2.0
    weight = 2 * np.pi * w * (1.0 - inner) / 2.0 * radius * _illumination(radius, options.edge_taper_db)
    # Round, so it is computed along a radius: the spline is good to 1e-9 at this step.
    grid = np.arange(0.0, float(rho.max()) + _RADIAL_STEP, _RADIAL_STEP)
    return CubicSpline(grid, weight @ j0(np.pi * np.outer(radius, grid)))(rho)


def _legs(east: NDArray, north: NDArray, options: Aperture) -> NDArray[np.float64]:
    """What four legs from the cabin to the rim take away; their pairs are opposite, so it is real."""
    inner, width = options.blockage_m / DISH_M, 2.0 * options.leg_m / DISH_M
    x, w = np.polynomial.legendre.leggauss(_NODES)
    radius = inner + (1.0 - inner) * (x + 1.0) / 2.0
    weight = w * (1.0 - inner) / 2.0 * _illumination(radius, options.edge_taper_db) * width
    grid = np.arange(0.0, float(np.hypot(east, north).max()) + _RADIAL_STEP, _RADIAL_STEP)
    lengthwise = CubicSpline(grid, weight @ np.cos(np.pi * np.outer(radius, grid)))
    total = np.zeros_like(east)
    for angle in _LEG_ANGLES_RAD:
        along = east * np.cos(angle) + north * np.sin(angle)
        across = -east * np.sin(angle) + north * np.cos(angle)
        total += lengthwise(np.abs(along)) * np.sinc(across * width / 2.0)
    return total


@lru_cache(maxsize=4)
def voltage_table(options: Aperture) -> NDArray[np.float64]:
    """Voltage over D l / λ (rows) and D m / λ (columns), 1 on the axis, shape (n, n)."""
    n = 2 * round(TABLE_REACH / TABLE_STEP) + 1
    axis = (np.arange(n) - n // 2) * TABLE_STEP
    east, north = np.meshgrid(axis, axis, indexing="ij")
    field = _open_aperture(np.hypot(east, north), options)
    if options.leg_m > 0:
        field -= _legs(east, north, options)
    return np.asarray(field / field[n // 2, n // 2], dtype=np.float64)


@numba.njit(inline="always")
def _cubic(t: float) -> tuple[float, float, float, float]:
    """Lagrange's weights at −1, 0, 1, 2 for 0 ≤ t < 1."""
    return (
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    )


@numba.njit(cache=True)
def look_up(table: NDArray[np.float64], east: float, north: float) -> float:
    """Voltage at D l / λ, D m / λ by cubics; NaN outside the table."""
    half = table.shape[0] // 2
    x, y = east / TABLE_STEP + half, north / TABLE_STEP + half
    i, j = int(np.floor(x)), int(np.floor(y))
    if i < 1 or j < 1 or i > table.shape[0] - 3 or j > table.shape[0] - 3:
        return np.nan
    wx, wy = _cubic(x - i), _cubic(y - j)
    total = 0.0
    for a in range(4):
        row = 0.0
        for b in range(4):
            row += wy[b] * table[i - 1 + a, j - 1 + b]
        total += wx[a] * row
    return total


@numba.njit(parallel=True, cache=True)
def voltages(
    table: NDArray[np.float64],
    axes: NDArray[np.float64],
    scale: NDArray[np.float64],
    directions: NDArray[np.float64],
    frequencies_hz: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Voltage of each beam towards each direction.

    Parameters
    ----------
    table : ndarray, shape (n, n)
    axes : ndarray, shape (n_beams, 3, 3)
        Rows east, north, axis of each beam.
    scale : ndarray, shape (n_beams, 2)
        D / c over the width factor, along east and north, s.
    directions : ndarray, shape (n_directions, 3)
    frequencies_hz : ndarray, shape (n_frequencies,)

    Returns
    -------
    ndarray, shape (n_beams, n_directions, n_frequencies)
        NaN outside the table, 0 behind the dish.
    """
    n_beams, n_directions = len(axes), len(directions)
    out = np.zeros((n_beams, n_directions, len(frequencies_hz)))
    for index in numba.prange(n_beams * n_directions):
        b, d = index // n_directions, index % n_directions
        x, y, z = directions[d, 0], directions[d, 1], directions[d, 2]
        east = axes[b, 0, 0] * x + axes[b, 0, 1] * y + axes[b, 0, 2] * z
        north = axes[b, 1, 0] * x + axes[b, 1, 1] * y + axes[b, 1, 2] * z
        front = axes[b, 2, 0] * x + axes[b, 2, 1] * y + axes[b, 2, 2] * z
        if front > 0:
            for f in range(len(frequencies_hz)):
                hz = frequencies_hz[f]
                out[b, d, f] = look_up(table, east * scale[b, 0] * hz, north * scale[b, 1] * hz)
    return out
