"""The local noise of an image: what its residual shows, and what is left of sidelobes."""

import numpy as np
from numpy.typing import NDArray

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
