"""The planes of an image: at hand once it is made, and as files.

Belongs here: which planes there are.  Does not belong here: how they are written
(``images/plane_writer.py``), or what is made from them (``quality/products.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from contimg_assets.radio.images.plane_writer import PlaneWriter
from contimg_assets.radio.images.source_finding import ImagePlane, plane_of
from contimg_assets.radio.imaging.engine import EngineImages


@dataclass(frozen=True)
class Made:
    """An image that was made."""

    numbers: dict[str, Any]
    """About it."""
    planes: dict[str, ImagePlane]
    """``image``, ``residual``, ``psf``, ``pb`` and ``model``, as they were before they were written."""
    writer: PlaneWriter
    """Of their files, which may be on their way."""


def planes_of(result: EngineImages, power: NDArray[np.float32], header: Header) -> dict[str, ImagePlane]:
    """The planes from which all else is made; ``power`` is the primary beam."""
    pixels = {
        "image": result.image,
        "residual": result.residual,
        "psf": result.psf,
        "pb": power,
        "model": result.model,
    }
    return {kind: plane_of(values, header) for kind, values in pixels.items()}


def write_planes(writer: PlaneWriter, planes: Mapping[str, ImagePlane], mask: NDArray[np.bool_]) -> None:
    """Begin to write the planes as FITS files.

    Parameters
    ----------
    writer : PlaneWriter
    planes : mapping
        Of :func:`planes_of`; the one that is corrected for the beam, blank where that is below the cutoff, is
        made of them.
    mask : ndarray of bool
        Where CLEAN looked.
    """
    image, power = planes["image"].pixels, planes["pb"].pixels
    corrected = np.full(image.shape, np.nan, np.float32)
    np.divide(image, power, out=corrected, where=power >= writer.header["PBCUT"])
    writer.write("pbcor", corrected)
    writer.write("residual", planes["residual"].pixels)
    writer.write("image", image)
    writer.write("psf", planes["psf"].pixels, "", "Beam")
    writer.write("pb", power, "", "Beam")
    writer.write("model", planes["model"].pixels, "Jy/pixel")
    writer.write("mask", mask, "", "Undefined")
