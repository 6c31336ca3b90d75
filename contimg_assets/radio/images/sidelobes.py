"""Noise around bright sources: the part of their sidelobes that errors of calibration leave.

A wrong gain puts a bright source's sidelobes where the dirty beam has them, with
either sign and with an amplitude that no image tells beforehand.  CLEAN takes
them for sources, so the residual does not show them.  But nothing on the sky is
negative: the negative peaks of an image are what it has of artefacts, and tell
how large the positive ones are (as in Serra, Jurek & Flöer 2012, PASA 29, 296,
for line sources).
"""

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
    total = np.zeros(envelope.shape, np.float32)
    middle = np.array(psf.shape) // 2 // step
    for x, y in bright:
        rows, columns = (
            np.clip(np.arange(n) + m - at // step, 0, n - 1)
            for n, m, at in zip(total.shape, middle, (y, x), strict=True)
        )
        total += (plane.pixels[y, x] * envelope[np.ix_(rows, columns)]) ** 2
    np.sqrt(total, out=total)
    x, y = negative.T
    level, sidelobes = noise[y, x], total[y // step, x // step]
    telling = sidelobes > _TELLING * level
    if not telling.any():
        return noise
    level, depth, sidelobes = level[telling], -plane.pixels[y, x][telling], sidelobes[telling]
    parts = np.sqrt(np.maximum((depth / n_sigma) ** 2 - level**2, 0.0)) / sidelobes
    part = float(np.quantile(parts, _ACCOUNTED, method="lower"))
    ny, nx = noise.shape
    full = np.repeat(np.repeat(total, step, axis=0), step, axis=1)[:ny, :nx]
    return np.hypot(noise, np.float32(part) * full, out=full)


def _envelope(psf: NDArray[np.float32], step: int, main_lobe: float) -> NDArray[np.float32]:
    """Largest sidelobe around each block of ``step`` pixels; zero in the main lobe (radius in pixels)."""
    ny, nx = psf.shape
    rows, columns = -(-ny // step), -(-nx // step)
    padded = np.zeros((rows * step, columns * step), np.float32)
    np.abs(psf, out=padded[:ny, :nx])
    blocks = maximum_filter(padded.reshape(rows, step, columns, step).max(axis=(1, 3)), size=3)
    yy, xx = np.ogrid[:rows, :columns]
    blocks[np.hypot(yy - ny // 2 // step, xx - nx // 2 // step) * step <= main_lobe + step] = 0.0
    return blocks
