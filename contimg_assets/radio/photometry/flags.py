"""What is to be known of a measurement, as bits of one number.

Belongs here: the bits and when they are set.  Does not belong here: the fit.
"""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.photometry.fit import Fits

#: A limit below this many times the error.
LIMIT_SIGMA = 3.0
#: Neighbours are told of where they raise the error by this.
_BLENDED = 1.1
#: Where the local noise is over this many times the image's, something has raised it.
_RAISED = 1.5
#: χ² that noise has once in a million times, in its standard errors; and an offset.
_ODD_SIGMA = 5.0


class Flag(IntFlag):
    """Bits of the column ``flags``."""

    EDGE = 1
    """Too near the image's edge: not measured."""
    BLANK = 2
    """Beside blank pixels: not measured."""
    LOW_BEAM = 4
    """The beam is below the limit of the settings."""
    BLENDED = 8
    """A neighbour raises the error by a tenth or more."""
    MERGED = 16
    """Another known source is within a third of the beam: the flux density is that of both."""
    ARTEFACTS = 32
    """The local noise is half as high again as the image's: sidelobes of a bright source, or the rim."""
    LIMIT = 64
    """Below three standard errors: an upper limit."""
    MOVED = 128
    """The position with the position free is off by five standard errors."""
    POOR_FIT = 256
    """χ² is larger than noise makes it once in a million times: extended, or an artefact."""


def names_of(flags: int) -> list[str]:
    """The bits that are set, in words: ``poor fit``."""
    return [str(flag.name).lower().replace("_", " ") for flag in Flag if flag & flags]


def flags_of(
    fits: Fits,
    power: NDArray[np.float64],
    *,
    least_power: float,
    noise_jy: float,
    systematic_pixels: float,
) -> NDArray[np.int32]:
    """The bits of all measurements, shape (n,).

    Parameters
    ----------
    fits : Fits
    power : ndarray, shape (n,)
        The beam at the places.
    least_power : float
        Least beam.
    noise_jy : float
        Of the image as a whole, Jy/beam.
    systematic_pixels : float
        Error of positions beside that of the fit.
    """
    with np.errstate(invalid="ignore"):
        errors = (np.hypot(fits.dx_error, systematic_pixels), np.hypot(fits.dy_error, systematic_pixels))
        moved = np.hypot(fits.dx / errors[0], fits.dy / errors[1]) > _ODD_SIGMA
        cases = (
            (Flag.EDGE, fits.edge),
            (Flag.BLANK, fits.blank),
            (Flag.LOW_BEAM, ~(power >= least_power)),
            (Flag.BLENDED, fits.error > _BLENDED * fits.alone_error),
            (Flag.MERGED, fits.merged),
            (Flag.ARTEFACTS, fits.noise > _RAISED * noise_jy),
            (Flag.LIMIT, fits.flux < LIMIT_SIGMA * fits.error),
            (Flag.MOVED, moved),
            (Flag.POOR_FIT, fits.chi2 > 1 + _ODD_SIGMA * fits.chi2_error),
        )
    found = np.zeros(len(power), np.int32)
    for flag, where in cases:
        found |= np.where(where, flag.value, 0).astype(np.int32)
    return found
