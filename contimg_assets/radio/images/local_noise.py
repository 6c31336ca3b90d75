"""The local noise of an image: what its residual shows, and what is left of sidelobes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.images.compression import add_losses, write_compressed
from contimg_assets.radio.images.fits import write_image
from contimg_assets.radio.images.noise import noise_map, robust_rms
from contimg_assets.radio.images.planes import COMPRESSED, plane_file
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
        With ``<name>.image.fits``; ``<name>.noise.fits`` is added, compressed if the residual is.
    name : str
        Stem of the products' names.
    planes : mapping
        At least those of ``NOISE_PLANES``.
    """
    residual, psf, power = (planes[kind].pixels for kind in NOISE_PLANES[1:])
    noise = local_noise(planes["image"], residual, psf, power)
    header = fits.getheader(folder / f"{name}.image.fits")
    for key in ("CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    if plane_file(folder, name, "residual").name.endswith(COMPRESSED):
        add_losses(folder, [write_compressed(folder, name, "noise", noise, header, robust_rms(residual))])
    else:
        write_image(folder / f"{name}.noise.fits", noise, header)
    return noise
