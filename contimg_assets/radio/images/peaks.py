"""Peaks of an image over its local noise, the search compiled.

Belongs here: which pixels are peaks.  Does not belong here: whether they are sources (``source_finding.py``).
"""

from typing import TYPE_CHECKING

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from contimg_assets.radio.images.source_finding import ImagePlane

#: Peaks nearer than this (widths of the beam) are one.
_APART_BEAMS = 0.75


def find_peaks(
    plane: "ImagePlane", noise: NDArray[np.float32], n_sigma: float, *, negative: bool = False
) -> NDArray[np.int64]:
    """Pixels (x, y) of peaks over the local noise, highest first; within a beam, two are one.

    Parameters
    ----------
    plane : ImagePlane
    noise : ndarray, shape (ny, nx)
        Where it is not over zero (a constant image has none) there are no peaks.
    n_sigma : float
        Least height over the noise.
    negative : bool
        Those of the negative of the image instead.
    """
    sign = -1 if negative else 1
    ys, xs = _local_maxima(plane.pixels, noise, noise.dtype.type(n_sigma), plane.pixels.dtype.type(sign))
    order = np.argsort(-sign * plane.pixels[ys, xs], kind="stable")
    at = np.stack([xs, ys], axis=1)[order]
    if not len(at):
        return at
    sin, cos = np.sin(plane.position_angle_rad), np.cos(plane.position_angle_rad)
    scaled = np.stack(
        [
            (at[:, 1] * cos - at[:, 0] * sin) / plane.major_pixels,
            (at[:, 0] * cos + at[:, 1] * sin) / plane.minor_pixels,
        ],
        axis=1,
    )
    # Of those within a beam, the highest stays.
    kept = np.ones(len(at), bool)
    for i, near in enumerate(cKDTree(scaled).query_ball_point(scaled, _APART_BEAMS)):
        if kept[i]:
            kept[[j for j in near if j > i]] = False
    return at[kept]


@numba.njit(cache=True, nogil=True)
def _local_maxima(
    pixels: NDArray[np.floating], noise: NDArray[np.floating], n_sigma: np.floating, sign: np.floating
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of pixels over so many times the noise that none of their eight neighbours exceeds."""
    found = np.empty((2, 64), np.int64)
    n = 0
    for y in range(1, pixels.shape[0] - 1):
        for x in range(1, pixels.shape[1] - 1):
            value = sign * pixels[y, x]
            if not (value > n_sigma * noise[y, x] and noise[y, x] > 0):
                continue
            highest = True
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    # Beside a pixel that is no number there is no peak.
                    highest &= value >= sign * pixels[y + dy, x + dx]
            if highest:
                if n == found.shape[1]:
                    longer = np.empty((2, 2 * n), np.int64)
                    longer[:, :n] = found
                    found = longer
                found[0, n], found[1, n] = y, x
                n += 1
    return found[0, :n].copy(), found[1, :n].copy()
