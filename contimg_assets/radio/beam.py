"""The primary beam: Airy pattern of one dish, and what drifting makes of it.

Belongs here: power response towards a direction, at an instant or averaged over
a group.  Does not belong here: images (``imaging/beam_image.py`` samples this).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import c as SPEED_OF_LIGHT
from scipy.special import j1

from contimg_assets.radio import phasing, telescope


def airy_power(sin_theta: ArrayLike, frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Power response of a uniformly lit circular dish.

    ``(2 J1(x) / x)²`` with ``x = π D sin θ / λ`` (Born & Wolf, section 8.5.2);
    1 on axis, half at 0.5145 λ/D, first null at 1.2197 λ/D.

    Parameters
    ----------
    sin_theta : array_like
        Sine of the angle from the beam's axis.
    frequency_hz : array_like
        Broadcasts against ``sin_theta``.

    Returns
    -------
    ndarray
        Power response, 0…1.
    """
    x = np.pi * telescope.DISH_DIAMETER_M / SPEED_OF_LIGHT * np.asarray(frequency_hz) * np.abs(sin_theta)
    small = x < 1e-4
    safe = np.where(small, 1.0, x)
    # Series 1 − x²/4 below 1e-4, where the next term is under 1e-17.
    return np.where(small, 1.0 - x**2 / 4.0, (2.0 * j1(safe) / safe) ** 2)


def drifting_power(
    directions: NDArray[np.float64], declination_rad: float, frequency_hz: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Power response towards moving directions through the beam on the meridian.

    Parameters
    ----------
    directions : ndarray, shape (..., 3)
        Unit vectors in the meridian frame.
    declination_rad : float
        Apparent declination of the pointing.
    frequency_hz : ndarray, shape (n_frequencies,)

    Returns
    -------
    ndarray, shape (..., n_frequencies)
        Zero for directions behind the dish.
    """
    pointing = phasing.pointing_vector(declination_rad)
    # |s × p| keeps its precision near the axis, where 1 − (s·p)² does not.
    sine = np.linalg.norm(np.cross(directions, pointing), axis=-1)
    front = directions @ pointing > 0
    return np.where(front[..., None], airy_power(sine[..., None], frequency_hz), 0.0)


def half_power_radius(frequency_hz: float) -> float:
    """Angle from the axis at which the power response is one half, rad: 0.5145 λ/D."""
    return 0.5145 * SPEED_OF_LIGHT / frequency_hz / telescope.DISH_DIAMETER_M
