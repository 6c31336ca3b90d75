"""Noise around bright sources: the part of their sidelobes that errors of calibration leave.

A wrong gain puts a bright source's sidelobes where the dirty beam has them, with
either sign and with an amplitude that no image tells beforehand.  CLEAN takes
them for sources, so the residual does not show them.  But nothing on the sky is
negative: the negative peaks of an image are what it has of artefacts, and tell
how large the positive ones are (as in Serra, Jurek & Flöer 2012, PASA 29, 296,
for line sources).
"""

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from contimg_assets.radio.images.peaks import find_peaks
from contimg_assets.radio.images.source_finding import ImagePlane

#: Sources over this many times the noise have sidelobes that matter: calibration is good to a few hundredths.
_BRIGHT_SIGMA = 100.0
#: The part of negative peaks that the sidelobes' noise has to account for: the rest are noise.
_ACCOUNTED = 0.95
#: Where sidelobes are below this many times the noise, the few hundredths of them that calibration may
#: leave are hidden by it, and a negative peak is noise.
_TELLING = 30.0
#: Nearer to a bright source than this part of its main lobe is the source itself.
_CORE = 0.75


def bright_peaks(plane: ImagePlane, noise: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pixels (x, y) of sources whose sidelobes matter."""
    return find_peaks(plane, noise, _BRIGHT_SIGMA)


def negative_peaks(
    plane: ImagePlane,
    noise: NDArray[np.float32],
    power: NDArray[np.float32],
    n_sigma: float,
    least_power: float,
) -> NDArray[np.int64]:
    """Pixels (x, y) of detections in the negative of an image, where a source could have been detected.

    Within a beam of a bright source none could, for its own wing.  It is there that CLEAN, which has
    components in the middle of pixels only, leaves a negative ring.

    Parameters
    ----------
    plane : ImagePlane
        Before correction for the beam.
    noise, power : ndarray
        Local noise and the beam, same shape.
    n_sigma, least_power : float
        As for the source list.
    """
    found = find_peaks(plane, noise, n_sigma, negative=True)
    found = found[power[found[:, 1], found[:, 0]] >= least_power]
    for place in bright_peaks(plane, noise):
        found = found[np.hypot(*(found - place).T) > plane.major_pixels]
    return found


def add_sidelobes(
    plane: ImagePlane,
    noise: NDArray[np.float32],
    psf: NDArray[np.float32],
    power: NDArray[np.float32],
    n_sigma: float,
    least_power: float,
) -> NDArray[np.float32]:
    """Local noise with what the sidelobes of bright sources add to it.

    The noise of the residual and a part of the envelope of the dirty beams around
    all bright sources, in quadrature.  The part is the one at which 95 % of the
    negative peaks are no detections.

    Parameters
    ----------
    plane : ImagePlane
        Before correction for the beam.
    noise : ndarray, shape (ny, nx)
        Measured in the residual.
    psf : ndarray, shape (ny, nx)
        Dirty beam, peak 1 at (ny // 2, nx // 2).  Beyond its edge, sidelobes are those at the edge.
    power : ndarray, shape (ny, nx)
    n_sigma, least_power : float
        As for the source list.
    """
    bright = bright_peaks(plane, noise)
    negative = negative_peaks(plane, noise, power, n_sigma, least_power)
    if not len(bright) or not len(negative):
        return noise
    step = max(1, int(plane.minor_pixels))
    envelope = _envelope(psf, step, plane.major_pixels)
    heights = plane.pixels[bright[:, 1], bright[:, 0]]
    total = _around(envelope, bright // step, heights, np.array(psf.shape) // 2 // step)
    x, y = negative.T
    level, sidelobes = noise[y, x], total[y // step, x // step]
    telling = sidelobes > _TELLING * level
    if not telling.any():
        return noise
    level, depth, sidelobes = level[telling], -plane.pixels[y, x][telling], sidelobes[telling]
    parts = np.sqrt(np.maximum((depth / n_sigma) ** 2 - level**2, 0.0)) / sidelobes
    part = float(np.quantile(parts, _ACCOUNTED, method="lower"))
    return _in_quadrature(noise, total, step, part)


@numba.njit(cache=True, nogil=True)
def _around(
    envelope: NDArray[np.float32],
    places: NDArray[np.int64],
    heights: NDArray[np.floating],
    middle: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Root of the sum of squares of envelopes around places (x, y), both in blocks."""
    n_rows, n_columns = envelope.shape
    total = np.zeros(envelope.shape, np.float32)
    for row in range(n_rows):
        for k in range(len(places)):
            # Beyond its edge the envelope is what it is there.
            line = envelope[min(max(row + middle[0] - places[k, 1], 0), n_rows - 1)]
            first = middle[1] - places[k, 0]
            low, high = max(-first, 0), min(n_columns - first, n_columns)
            for column in range(low, high):
                total[row, column] += (heights[k] * line[column + first]) ** 2
            for column in range(low):
                total[row, column] += (heights[k] * line[0]) ** 2
            for column in range(high, n_columns):
                total[row, column] += (heights[k] * line[n_columns - 1]) ** 2
    return np.sqrt(total)


@numba.njit(cache=True, nogil=True)
def _in_quadrature(
    noise: NDArray[np.float32], sidelobes: NDArray[np.float32], step: int, part: float
) -> NDArray[np.float32]:
    """Noise and a part of the sidelobes, which are known by blocks of ``step`` pixels."""
    both = np.empty_like(noise)
    for y in range(noise.shape[0]):
        line = sidelobes[y // step]
        for block in range(len(line)):
            square = (part * np.float64(line[block])) ** 2
            for x in range(block * step, min((block + 1) * step, noise.shape[1])):
                both[y, x] = np.sqrt(np.float64(noise[y, x]) ** 2 + square)
    return both


def _envelope(psf: NDArray[np.float32], step: int, main_lobe: float) -> NDArray[np.float32]:
    """Largest sidelobe around each block of ``step`` pixels.

    Zero in the core, which is the source itself.  Between it and the edge of the main lobe (radius in pixels)
    what errors of calibration leave cannot be told from the beam's wing; it is no less than just beyond.
    """
    ny, nx = psf.shape
    rows, columns = -(-ny // step), -(-nx // step)
    blocks = maximum_filter(_highest(psf, step, rows, columns), size=3)
    yy, xx = np.ogrid[:rows, :columns]
    radius = np.hypot(yy - ny // 2 // step, xx - nx // 2 // step) * step
    inside, edge = radius <= main_lobe + step, main_lobe + 3 * step
    blocks[inside] = np.max(blocks[~inside & (radius <= edge)], initial=0.0)
    blocks[radius <= _CORE * main_lobe] = 0.0
    return blocks


@numba.njit(cache=True, nogil=True)
def _highest(pixels: NDArray[np.float32], step: int, rows: int, columns: int) -> NDArray[np.float32]:
    """Largest absolute value of each block of ``step`` pixels; those at the far rim may be smaller."""
    highest = np.zeros((rows, columns), np.float32)
    for y in range(pixels.shape[0]):
        for column in range(columns):
            for x in range(column * step, min((column + 1) * step, pixels.shape[1])):
                if abs(pixels[y, x]) > highest[y // step, column]:
                    highest[y // step, column] = abs(pixels[y, x])
    return highest
