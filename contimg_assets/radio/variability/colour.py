"""Spectral indices of light curves, within the band: a mean, and whether it is another during an event.

Plasma bends low frequencies more, so that an extreme scattering event has a colour; what is wrong with a
group or a beam has none.  Belongs here: formulas.  Does not belong here: measuring
slopes (``radio/photometry/colour.py``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Index:
    """A mean spectral index; NaN where nothing tells it."""

    value: float
    error: float


@dataclass(frozen=True)
class Colour:
    """Spectral index of a source outside of an event, and what it changes by in it."""

    outside: Index
    change: Index


def spectral_index(
    flux: NDArray[np.float64], slope: NDArray[np.float64], error: NDArray[np.float64]
) -> Index:
    """The index of which slopes are best explained, slope = index × flux.

    Parameters
    ----------
    flux, slope, error : ndarray, shape (n,)
        Flux densities, flux density times spectral index, and the latter's errors, of one unit; without a
        slope: NaN.
    """
    known = np.isfinite(slope) & (error > 0) & (flux > 0)
    weight = (flux[known] / error[known]) ** 2
    if not len(weight):
        return Index(float("nan"), float("nan"))
    ratio = slope[known] / flux[known]
    return Index(float(np.average(ratio, weights=weight)), float(weight.sum() ** -0.5))


def colour_of(
    mjd: NDArray[np.float64],
    flux: NDArray[np.float64],
    slope: NDArray[np.float64],
    error: NDArray[np.float64],
    begin_mjd: float,
    length_days: float,
) -> Colour:
    """Colour of a source with an event.

    Parameters
    ----------
    mjd, flux, slope, error : ndarray, shape (n,)
        As of :func:`spectral_index`.
    begin_mjd, length_days : float
        Of the event.
    """
    inside = (mjd >= begin_mjd) & (mjd < begin_mjd + length_days)
    within, outside = (spectral_index(flux[use], slope[use], error[use]) for use in (inside, ~inside))
    change = Index(within.value - outside.value, float(np.hypot(within.error, outside.error)))
    return Colour(outside, change)
