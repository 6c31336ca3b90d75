"""How the noise of neighbouring pixels goes together: the residual's own autocorrelation.

Noise of an image is correlated, and how depends on weights, flags and what CLEAN
left, not on the restoring beam alone.  An error that takes it for the beam's is
wrong by up to 15 % either way.  Belongs here: measuring it.  Does not belong here:
its size at a place, which the noise map tells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from contimg_assets.radio.errors import ImagingError

#: Side of the tiles that are transformed, and how many at most: 0.3 % of precision in a full-size image.
_TILE, _MOST_TILES = 512, 16
#: Beyond this many times the local noise it is no noise.
_CLIP = 4.0


@dataclass(frozen=True)
class NoiseCorrelation:
    """Covariance of an image's noise over the noise map: at no distance 1, or what the map is wrong by."""

    values: NDArray[np.float64]
    """By lag in y and x, odd in size, no lag in the middle."""

    def at(self, dx: NDArray[np.int64], dy: NDArray[np.int64]) -> NDArray[np.float64]:
        """Correlation of pixels so far apart; none beyond what was measured."""
        half = self.values.shape[0] // 2
        known = (np.abs(dx) <= half) & (np.abs(dy) <= half)
        return np.where(known, self.values[np.where(known, dy, 0) + half, np.where(known, dx, 0) + half], 0.0)

    def matrix(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """Correlation of all pairs of pixels of each row, shape (…, n, n)."""
        return self.at(x[..., :, None] - x[..., None, :], y[..., :, None] - y[..., None, :])


def measure_correlation(
    residual: NDArray[np.floating], noise: NDArray[np.floating], reach_pixels: int
) -> NoiseCorrelation:
    """Autocorrelation of a residual over its local noise.

    Parameters
    ----------
    residual, noise : ndarray, shape (ny, nx)
        Blank pixels count as nothing.
    reach_pixels : int
        Largest lag.

    Returns
    -------
    NoiseCorrelation

    Raises
    ------
    ImagingError
        If there is no noise: the residual is blank or constant.
    """
    ny, nx = residual.shape
    side = min(_TILE, ny, nx)
    reach = min(reach_pixels, side // 2)
    size = fft.next_fast_len(side + reach, real=True)
    lags = np.arange(-reach, reach + 1)
    window = np.ix_(lags, lags)
    # Pairs of pixels at each lag of a tile without blanks.
    whole = np.outer(side - np.abs(lags), side - np.abs(lags)).astype(np.float64)
    power, pairs = np.zeros((size, size // 2 + 1)), np.zeros_like(whole)
    for y, x in _tiles(ny, nx, side):
        cut = np.asarray(residual[y : y + side, x : x + side], np.float32)
        local = np.asarray(noise[y : y + side, x : x + side], np.float32)
        good = np.isfinite(cut) & (local > 0)
        scaled = np.where(good, np.clip(cut / np.where(good, local, 1.0), -_CLIP, _CLIP), np.float32(0))
        power += np.abs(fft.rfft2(scaled, s=(size, size))) ** 2
        if good.all():
            pairs += whole
        else:
            seen = np.abs(fft.rfft2(good.astype(np.float32), s=(size, size))) ** 2
            pairs += fft.irfft2(seen, s=(size, size))[window]
    mean = fft.irfft2(power, s=(size, size))[window] / np.maximum(pairs, 1.0)
    if not mean[reach, reach] > 0:
        raise ImagingError("the residual has no noise to measure the correlation of; expected some")
    # Not divided by its peak: that is the variance of noise over the map, which no map has to a per cent.
    return NoiseCorrelation(mean)


def _tiles(ny: int, nx: int, side: int) -> list[tuple[int, int]]:
    """Corners of tiles that cover the image's middle, the middle ones first."""
    rows, columns = ny // side, nx // side
    y0, x0 = (ny - rows * side) // 2, (nx - columns * side) // 2
    corners = [(y0 + side * j, x0 + side * i) for j in range(rows) for i in range(columns)]
    middle = ((ny - side) / 2, (nx - side) / 2)
    corners.sort(key=lambda at: (at[0] - middle[0]) ** 2 + (at[1] - middle[1]) ** 2)
    return corners[:_MOST_TILES]
