"""Noise of an image, measured without being misled by its sources: one number, or a map."""

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from contimg_assets.radio.robust import MAD_TO_SIGMA, mad_sigma

#: Side of a box of the noise map in restoring beams: some hundred independent samples.
_BOX_BEAMS = 12.0
#: Most pixels along a box, and along an image, that are read: neighbours within a beam say the same.
_BOX_SAMPLES, _IMAGE_SAMPLES = 48, 1600


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
        In the image's unit; NaN if no pixel is finite.
    """
    ny, nx = pixels.shape
    dy, dx = int(ny * (1 - fraction) / 2), int(nx * (1 - fraction) / 2)
    step = max(1, max(ny, nx) // _IMAGE_SAMPLES)
    return mad_sigma(pixels[dy : ny - dy : step, dx : nx - dx : step])


def noise_map(residual: NDArray[np.float32], beam_major_pixels: float) -> NDArray[np.float32]:
    """Local noise of an image, from its residual.

    The median absolute deviation in boxes of a dozen beams, smoothed over 3 × 3
    boxes by their median and interpolated between their middles.

    Parameters
    ----------
    residual : ndarray, shape (ny, nx)
        What CLEAN left: no sources to mislead.
    beam_major_pixels : float
        Full width at half maximum of the restoring beam.

    Returns
    -------
    ndarray, shape (ny, nx), float32
        NaN throughout if no box is finite.
    """
    ny, nx = residual.shape
    box = int(min(max(_BOX_BEAMS * beam_major_pixels, 8), min(ny, nx)))
    rows, columns = ny // box, nx // box
    step = max(1, box // _BOX_SAMPLES)
    # Boxes cover the image but for less than one box, shared between the rims.
    y0, x0 = (ny - rows * box) // 2, (nx - columns * box) // 2
    inner = residual[y0 : y0 + rows * box, x0 : x0 + columns * box]
    boxes = inner.reshape(rows, box, columns, box)[:, ::step, :, ::step].transpose(0, 2, 1, 3)
    boxes = boxes.reshape(rows, columns, -1)
    centre = np.median(boxes, axis=2, keepdims=True)
    coarse = MAD_TO_SIGMA * np.median(np.abs(boxes - centre), axis=2)
    if not np.isfinite(coarse).any():
        return np.full((ny, nx), np.nan, np.float32)
    coarse = np.where(np.isfinite(coarse), coarse, np.nanmedian(coarse))
    coarse = median_filter(coarse, size=3, mode="nearest")
    return _between(coarse, (ny, nx), box, (y0, x0))


def _between(
    coarse: NDArray[np.float64], shape: tuple[int, int], box: int, origin: tuple[int, int]
) -> NDArray[np.float32]:
    """Linear interpolation between the boxes' middles, level outside of them."""
    weights = []
    for n, count, start in zip(shape, coarse.shape, origin, strict=True):
        at = np.clip((np.arange(n) - start - (box - 1) / 2) / box, 0, count - 1)
        low = np.minimum(at.astype(int), max(count - 2, 0))
        matrix = np.zeros((n, count), np.float32)
        matrix[np.arange(n), low] = 1 - (at - low)
        matrix[np.arange(n), np.minimum(low + 1, count - 1)] += at - low
        weights.append(matrix)
    return weights[0] @ coarse.astype(np.float32) @ weights[1].T


def shrunk(pixels: NDArray[np.float32], largest: int) -> NDArray[np.float32]:
    """An image of at most ``largest`` pixels a side, by averaging blocks (for pictures and spectra)."""
    factor = -(-max(pixels.shape) // largest)
    if factor == 1:
        return pixels
    return block_means(pixels, factor).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def block_means(pixels: NDArray[np.floating], block: int, squares: bool = False) -> NDArray[np.float64]:
    """Means over blocks of pixels, or of their squares; what fills no block is left out.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
    block : int
        Pixels of a block's side.
    squares : bool
    """
    rows, columns = pixels.shape[0] // block, pixels.shape[1] // block
    out = np.zeros((rows, columns))
    for y in range(rows * block):
        for k in range(columns):
            total = 0.0
            for x in range(k * block, (k + 1) * block):
                value = np.float64(pixels[y, x])
                total += value * value if squares else value
            out[y // block, k] += total
    return out / block**2
