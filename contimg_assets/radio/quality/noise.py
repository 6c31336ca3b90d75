"""Noise of an image, measured without being misled by its sources."""

import numpy as np
from numpy.typing import NDArray

#: σ of a normal distribution over its median absolute deviation.
_MAD_TO_SIGMA = 1.4826


def robust_rms(pixels: NDArray[np.float32], fraction: float = 0.8) -> float:
    """Noise from the median absolute deviation over the middle of an image.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
    fraction : float
        Part of the width that counts: the rim has aliased noise.

    Returns
    -------
    float
        In the image's unit.
    """
    ny, nx = pixels.shape
    dy, dx = int(ny * (1 - fraction) / 2), int(nx * (1 - fraction) / 2)
    middle = pixels[dy : ny - dy, dx : nx - dx]
    middle = middle[np.isfinite(middle)]
    return float(_MAD_TO_SIGMA * np.median(np.abs(middle - np.median(middle))))
