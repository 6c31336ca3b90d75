"""The local noise of an image: what its residual shows, and what is left of sidelobes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.images.fits import write_image
from contimg_assets.radio.images.noise import noise_map
from contimg_assets.radio.images.sidelobes import add_sidelobes
from contimg_assets.radio.images.source_finding import LEAST_POWER, SOURCE_SIGMA, ImagePlane


def local_noise(
    plane: ImagePlane,
    residual: NDArray[np.float32],
    psf: NDArray[np.float32],
    power: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Noise around each pixel of an image.

    Parameters
    ----------
    plane : ImagePlane
        Before correction for the beam.
    residual, psf, power : ndarray, shape (ny, nx)
        What CLEAN left, the dirty beam, the primary beam.

    Returns
    -------
    ndarray, shape (ny, nx)
        Standard deviation, in the image's unit.
    """
    noise = noise_map(residual, plane.major_pixels)
    return add_sidelobes(plane, noise, psf, power, SOURCE_SIGMA, LEAST_POWER)


#: Planes from which the noise is told.
NOISE_PLANES = ("image", "residual", "psf", "pb")


def write_noise(folder: Path, name: str, planes: Mapping[str, ImagePlane]) -> NDArray[np.float32]:
    """Write the noise map beside the images that it is made of, and return it.

    Parameters
    ----------
    folder : Path
        With ``<name>.image.fits``; ``<name>.noise.fits`` is added.
    name : str
        Stem of the products' names.
    planes : mapping
        At least those of ``NOISE_PLANES``.
    """
    plane, *others = (planes[kind] for kind in NOISE_PLANES)
    noise = local_noise(plane, *(other.pixels for other in others))
    header = fits.getheader(folder / f"{name}.image.fits")
    for key in ("CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    write_image(folder / f"{name}.noise.fits", noise, header)
    return noise
