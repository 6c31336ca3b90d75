"""The restoring beam fitted to the pixels about a place, compiled: an image has a thousand such fits.

Belongs here: the fit of a point to an array of pixels.  Does not belong here: which places are sources
(``source_finding.py``), or fits of sizes (``gaussian_fits.py``).
"""

from typing import TYPE_CHECKING

import numba
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from contimg_assets.radio.images.gaussian_fits import Ellipse

#: Most steps of a fit, and its damping at the start; each step that helps has a tenth of it, each that
#: does not ten times as much.
_STEPS, _DAMPING, _TENFOLD = 200, 1e-3, 10.0
#: A fit ends when a step is smaller than this (of the flux density, and in pixels), when it takes less than
#: this part of what is left, or when no step helps.
_SMALL, _LEAST_PART, _MOST_DAMPING = 1e-9, 1e-12, 1e12


def fit_pixels(
    pixels: NDArray[np.float64], beam: "Ellipse", x: float, y: float, core: float
) -> tuple[float, float, float] | None:
    """Fit peak and place of a Gaussian of known shape to the pixels about a place, by least squares.

    Parameters
    ----------
    pixels : ndarray, shape (2 half + 1, 2 half + 1)
        All finite.
    beam : Ellipse
    x, y : float
        The place, from the middle pixel.
    core : float
        Pixels are fitted where the beam at the place is over this part of its peak.

    Returns
    -------
    tuple of float or None
        Peak, x and y from the middle pixel; None where the fit does not end.
    """
    sin, cos = np.sin(beam.angle), np.cos(beam.angle)
    unit, along, across = 4 * np.log(2), beam.major**-2, beam.minor**-2
    form = np.array(
        [
            unit * (sin**2 * along + cos**2 * across),
            unit * (cos**2 * along + sin**2 * across),
            unit * sin * cos * (across - along),
        ]
    )
    found = _fit(pixels, form, x, y, core)
    return None if np.isnan(found[0]) else found


@numba.njit(cache=True)
def _sums(
    pixels: NDArray[np.float64],
    form: NDArray[np.float64],
    inside: NDArray[np.bool_],
    numbers: NDArray[np.float64],
    normal: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> float:
    """Sum of squares that numbers (peak, x, y) leave; normal matrix and gradient into the arrays given."""
    half = pixels.shape[0] // 2
    normal[:] = 0.0
    gradient[:] = 0.0
    total = 0.0
    one = np.empty(3)
    for j in range(pixels.shape[0]):
        for i in range(pixels.shape[1]):
            if inside[j, i]:
                dx, dy = i - half - numbers[1], j - half - numbers[2]
                one[0] = np.exp(-(form[0] * dx * dx + form[1] * dy * dy + 2 * form[2] * dx * dy))
                one[1] = 2 * numbers[0] * one[0] * (form[0] * dx + form[2] * dy)
                one[2] = 2 * numbers[0] * one[0] * (form[1] * dy + form[2] * dx)
                rest = numbers[0] * one[0] - pixels[j, i]
                total += rest * rest
                for k in range(3):
                    gradient[k] += one[k] * rest
                    for m in range(3):
                        normal[k, m] += one[k] * one[m]
    return total


@numba.njit(cache=True)
def _fit(
    pixels: NDArray[np.float64], form: NDArray[np.float64], x: float, y: float, core: float
) -> tuple[float, float, float]:
    """Levenberg's and Marquardt's steps; NaN where they do not end."""
    half = pixels.shape[0] // 2
    inside = np.empty(pixels.shape, np.bool_)
    highest = 0.0
    for j in range(pixels.shape[0]):
        for i in range(pixels.shape[1]):
            dx, dy = i - half - x, j - half - y
            profile = np.exp(-(form[0] * dx * dx + form[1] * dy * dy + 2 * form[2] * dx * dy))
            inside[j, i] = profile > core
            if inside[j, i]:
                highest = max(highest, abs(pixels[j, i]))
    now, tried = np.array([highest if highest > 0 else 1.0, x, y]), np.empty(3)
    normal, gradient = np.empty((3, 3)), np.empty(3)
    next_normal, next_gradient, damped = np.empty((3, 3)), np.empty(3), np.empty((3, 3))
    left = _sums(pixels, form, inside, now, normal, gradient)
    damping = _DAMPING
    for _ in range(_STEPS):
        damped[:] = normal
        for k in range(3):
            damped[k, k] += damping * normal[k, k]
        step = _solved(damped, gradient)
        for k in range(3):
            tried[k] = now[k] - step[k]
        left_then = _sums(pixels, form, inside, tried, next_normal, next_gradient)
        if left_then <= left:
            small = abs(step[0]) <= _SMALL * abs(tried[0]) and max(abs(step[1]), abs(step[2])) <= _SMALL
            small |= left - left_then <= _LEAST_PART * left
            now[:], normal[:], gradient[:], left = tried, next_normal, next_gradient, left_then
            if small:
                return now[0], now[1], now[2]
            damping /= _TENFOLD
        else:
            damping *= _TENFOLD
            # What no step makes less is the least, to rounding.
            if damping > _MOST_DAMPING:
                return now[0], now[1], now[2]
    return np.nan, np.nan, np.nan


@numba.njit(cache=True)
def _solved(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solution of three equations, by Cramer's rule; NaN where there is none."""
    whole, found = _determinant(a), np.full(3, np.nan)
    for k in range(3):
        replaced = a.copy()
        replaced[:, k] = b
        if whole != 0:
            found[k] = _determinant(replaced) / whole
    return found


@numba.njit(cache=True)
def _determinant(a: NDArray[np.float64]) -> float:
    return (
        a[0, 0] * (a[1, 1] * a[2, 2] - a[1, 2] * a[2, 1])
        - a[0, 1] * (a[1, 0] * a[2, 2] - a[1, 2] * a[2, 0])
        + a[0, 2] * (a[1, 0] * a[2, 1] - a[1, 1] * a[2, 0])
    )
