"""Spectra of measured sources within the band, from what CLEAN says of its components.

A component was subtracted with a spectral index, and the residual's derivative by the
logarithm of frequency at its place says how far that was from the truth
(``radio/imaging/spectra.py``).  Both together are the derivative of what is there: flux density
times spectral index.  Belongs here: which components are whose, and the sum.  Does not belong
here: measuring derivatives.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.photometry.dirty_beam import DirtyBeam
from contimg_assets.radio.photometry.fit import Fits, Points, owners


@dataclass(frozen=True)
class ComponentSpectra:
    """Of an image's components."""

    index: NDArray[np.float64]
    """Spectral indices with which they were subtracted."""
    left_jy: NDArray[np.float64]
    """The residual's derivative at each, Jy per unit of the logarithm of frequency."""
    noise_jy: float
    """Of such a derivative, in the image as a whole."""


@dataclass(frozen=True)
class Slopes:
    """Derivatives of places' flux densities by the logarithm of frequency, Jy; NaN where there is none."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]


def slopes_of(
    places: Points,
    fits: Fits,
    components: Points,
    spectra: ComponentSpectra | None,
    beam: DirtyBeam,
    noise_jy: float,
    *,
    least_sigma: float,
) -> Slopes:
    """Derivatives of the places that are bright enough and have components of their own.

    Parameters
    ----------
    places : Points
    fits : Fits
        Of the places.
    components : Points
    spectra : ComponentSpectra or None
        None: the image has none.
    beam : DirtyBeam
    noise_jy : float
        Of the image as a whole, Jy/beam.
    least_sigma : float
        Fainter places have none.
    """
    n = len(places)
    none = Slopes(np.full(n, np.nan), np.full(n, np.nan))
    with np.errstate(invalid="ignore"):
        wanted = np.flatnonzero((fits.flux > least_sigma * fits.error) & ~fits.merged)
    if spectra is None or not len(components) or not len(wanted):
        return none
    scaled = beam.in_beams(places.x[wanted], places.y[wanted])
    whose = owners(scaled, beam.in_beams(components.x, components.y))
    use = (whose >= 0) & (components.flux > 0) & np.isfinite(spectra.left_jy)

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(whose[use], values[use], len(wanted)), np.float64)

    flux = summed(components.flux)
    has = flux > 0
    # What is left is of the whole source, at each of its components: their mean, and not their sum.
    left = summed(components.flux * spectra.left_jy)[has] / flux[has]
    none.value[wanted[has]] = summed(components.flux * spectra.index)[has] + left
    none.error[wanted[has]] = spectra.noise_jy * fits.noise[wanted[has]] / noise_jy
    return none
