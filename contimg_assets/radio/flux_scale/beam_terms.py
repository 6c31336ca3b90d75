"""What the primary beam is wrong by, as a smooth function of the place in it.

A drift array sees each source at several hour angles and at one declination.  So
what is measured is how the beam changes along hour angle, at each declination: the
functions here are zero at hour angle 0.  What the beam at hour angle 0 is wrong by is in
the flux densities of the sources, and no drift tells it.

Belongs here: the functions, and width and pointing that explain them.  Does not
belong here: the fit (``solve.py``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from contimg_assets.radio.beam import airy_power
from contimg_assets.radio.telescope import EARTH_ROTATION_RAD_S, GROUP_S

#: Powers of hour angle and of declination (in units of ``_UNIT_DEG``): the logarithm of an Airy beam that
#: is a few per cent too wide, or points beside, is these to 2e-4 down to a fifth of its peak.
_POWERS = (
    *((1, 0), (2, 0), (3, 0), (4, 0), (6, 0), (1, 1), (2, 1), (3, 1)),
    *((1, 2), (2, 2), (3, 2), (4, 2), (2, 4), (1, 4)),
)
#: Number of functions.
N_TERMS = len(_POWERS)
_UNIT_DEG = 2.0
#: Width and pointing are fitted on such a grid.
_GRID = 41
#: The beam is averaged over so many moments of the drift.
_MOMENTS = 5


def offsets(
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    axis_ra_deg: NDArray[np.float64],
    axis_dec_deg: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Direction cosines of places from the beam's axis, east (against hour angle) and north, deg."""
    ra, dec, at = np.deg2rad(ra_deg - axis_ra_deg), np.deg2rad(dec_deg), np.deg2rad(axis_dec_deg)
    east = np.cos(dec) * np.sin(ra)
    north = np.sin(dec) * np.cos(at) - np.cos(dec) * np.sin(at) * np.cos(ra)
    return np.rad2deg(east), np.rad2deg(north)


def terms(east_deg: NDArray[np.float64], north_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """The functions at places in the beam, shape (n, N_TERMS)."""
    h, d = east_deg / _UNIT_DEG, north_deg / _UNIT_DEG
    return np.stack([h**a * d**b for a, b in _POWERS], axis=-1)


def log_beam(
    east_deg: NDArray[np.float64],
    north_deg: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    which: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Sums of the functions, for millions of places.

    Parameters
    ----------
    east_deg, north_deg : ndarray, shape (n,)
    coefficients : ndarray, shape (n_sets, N_TERMS)
    which : ndarray of int, shape (n,)
        Set of coefficients of each place.
    """
    along, across = _powers(east_deg / _UNIT_DEG, 6), _powers(north_deg / _UNIT_DEG, 4)
    total = np.zeros(len(east_deg))
    for k, (a, b) in enumerate(_POWERS):
        total += coefficients[which, k] * along[a] * across[b]
    return total


def _powers(x: NDArray[np.float64], highest: int) -> list[NDArray[np.float64]]:
    """From the zeroth to the highest, by multiplication."""
    found = [np.ones_like(x)]
    for _ in range(highest):
        found.append(found[-1] * x)
    return found


@dataclass(frozen=True)
class BeamShape:
    """An Airy beam that explains the correction along hour angle."""

    width_ratio: float
    """Its width over the assumed one's."""
    east_arcmin: float
    """Where it points, east of the assumed axis (to earlier hour angles)."""
    residual: float
    """What it leaves of the correction, root mean square."""


def shape_of(
    coefficients: NDArray[np.float64], frequency_hz: float, reach_deg: float, declination_deg: float
) -> BeamShape:
    """Width and pointing along hour angle of the beam that a correction means.

    Parameters
    ----------
    coefficients : ndarray, shape (N_TERMS,)
        Logarithm of the true beam over the assumed one.
    frequency_hz : float
    reach_deg : float
        How far from the axis the correction was fitted.
    declination_deg : float
        Of the pointing: how fast the sky drifts.
    """
    drift = np.linspace(-0.5, 0.5, 2 * _MOMENTS + 1)[1::2, None] * np.rad2deg(EARTH_ROTATION_RAD_S) * GROUP_S
    drift = drift * np.cos(np.deg2rad(declination_deg))
    axis = np.linspace(-reach_deg, reach_deg, _GRID)
    h, d = (at.ravel() for at in np.meshgrid(axis, axis))
    inside = np.hypot(h, d) <= reach_deg
    h, d = h[inside], d[inside]
    found = terms(h, d) @ coefficients

    def along(width: float, east: float) -> NDArray[np.float64]:
        """Logarithm of the beam at each declination, from hour angle 0 on: the drift's average."""
        power = [
            airy_power(np.sin(np.deg2rad(np.hypot(x - drift - east, d) / width)), frequency_hz).mean(axis=0)
            for x in (h, np.zeros_like(h))
        ]
        return np.log(power[0] / power[1])

    assumed = along(1.0, 0.0)

    def left(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return along(parameters[0], parameters[1]) - assumed - found

    fit = least_squares(left, [1.0, 0.0])
    width, east = fit.x
    return BeamShape(float(width), float(60 * east), float(np.sqrt(np.mean(fit.fun**2))))
