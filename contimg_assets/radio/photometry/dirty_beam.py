"""The dirty beam between pixels: what a point source looks like in an image before CLEAN.

The image's dirty beam is band-limited and sampled finely enough, so a quintic
spline gives it and its slope at any distance.  Belongs here: its values.  Does not
belong here: what is fitted with it (``fit.py``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from contimg_assets.radio.images.source_finding import gaussian

#: Degree of the spline; how far it reaches to the left of a place.
_DEGREE, _BEFORE = 5, 2
#: The beam is known this far out, in full widths of its major axis: the places that are fitted together,
#: their pixels, and their components are nearer to one another.
_REACH_BEAMS = 7.0


@numba.njit(cache=True)
def _weights(t: float, value: NDArray[np.float64], slope: NDArray[np.float64]) -> None:
    """Weights of the six coefficients around a place, ``t`` behind the third, and their derivatives."""
    value[:] = 0.0
    value[0] = 1.0
    for degree in range(1, _DEGREE + 1):
        if degree == _DEGREE:
            for j in range(_DEGREE, -1, -1):
                slope[j] = (value[j - 1] if j > 0 else 0.0) - (value[j] if j < _DEGREE else 0.0)
        for j in range(degree, -1, -1):
            before = value[j - 1] if j > 0 else 0.0
            own = value[j] if j < degree else 0.0
            value[j] = ((t + degree - j) * before + (1 + j - t) * own) / degree


@numba.njit(cache=True)
def _one(
    coefficients: NDArray[np.float64],
    x: float,
    y: float,
    wx: NDArray[np.float64],
    wy: NDArray[np.float64],
    sx: NDArray[np.float64],
    sy: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Value and slopes along x and y at an offset from the peak; zero beyond what is known."""
    half = coefficients.shape[0] // 2
    column, row = int(np.floor(x)), int(np.floor(y))
    left, low = column + half - _BEFORE, row + half - _BEFORE
    n = coefficients.shape[0]
    if left < 0 or low < 0 or left + _DEGREE >= n or low + _DEGREE >= n:
        return 0.0, 0.0, 0.0
    _weights(x - column, wx, sx)
    _weights(y - row, wy, sy)
    value, along_x, along_y = 0.0, 0.0, 0.0
    for i in range(_DEGREE + 1):
        here, here_slope = 0.0, 0.0
        for j in range(_DEGREE + 1):
            c = coefficients[low + i, left + j]
            here += wx[j] * c
            here_slope += sx[j] * c
        value += wy[i] * here
        along_x += wy[i] * here_slope
        along_y += sy[i] * here
    return value, along_x, along_y


@numba.njit(cache=True)
def _many(
    coefficients: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    wx, wy, sx, sy = np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    for i in range(len(x)):
        out[0, i], out[1, i], out[2, i] = _one(coefficients, x[i], y[i], wx, wy, sx, sy)


@numba.njit(cache=True)
def _add_points(
    coefficients: NDArray[np.float64],
    pixels_x: NDArray[np.int64],
    pixels_y: NDArray[np.int64],
    first: NDArray[np.int64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    flux: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    wx, wy, sx, sy = np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    for group in range(pixels_x.shape[0]):
        for k in range(first[group], first[group + 1]):
            for i in range(pixels_x.shape[1]):
                dx, dy = pixels_x[group, i] - x[k], pixels_y[group, i] - y[k]
                out[group, i] += flux[k] * _one(coefficients, dx, dy, wx, wy, sx, sy)[0]


@dataclass(frozen=True)
class DirtyBeam:
    """The dirty beam's core and near sidelobes, and the restoring beam as the measure of distances."""

    coefficients: NDArray[np.float64]
    """Of the spline, odd in size, the peak in the middle."""
    major_pixels: float
    """Full widths at half maximum of the restoring beam."""
    minor_pixels: float
    angle_rad: float
    """From north (+y) towards east (−x)."""

    @classmethod
    def of(
        cls, psf: NDArray[np.floating], major_pixels: float, minor_pixels: float, angle_rad: float
    ) -> "DirtyBeam":
        """From the product: peak 1 in the middle, at ``n // 2``."""
        ny, nx = psf.shape
        half = min(int(np.ceil(_REACH_BEAMS * major_pixels)), (ny - 1) // 2, (nx - 1) // 2)
        core = np.asarray(
            psf[ny // 2 - half : ny // 2 + half + 1, nx // 2 - half : nx // 2 + half + 1], np.float64
        )
        return cls(spline_filter(core, order=_DEGREE, mode="mirror"), major_pixels, minor_pixels, angle_rad)

    def at(self, dx: NDArray[np.floating], dy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Response at offsets (pixels) from a source, of the offsets' shape."""
        return self.with_slopes(dx, dy)[0]

    def with_slopes(self, dx: NDArray[np.floating], dy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Response at offsets, and its derivatives by them, shape (3, …)."""
        x, y = np.broadcast_arrays(dx, dy)
        out = np.empty((3, x.size))
        _many(self.coefficients, x.ravel().astype(np.float64), y.ravel().astype(np.float64), out)
        return out.reshape(3, *x.shape)

    def add_points(
        self,
        pixels_x: NDArray[np.int64],
        pixels_y: NDArray[np.int64],
        first: NDArray[np.int64],
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        flux: NDArray[np.float64],
        values: NDArray[np.float64],
    ) -> None:
        """Add to pixels' values what points of the same row show there.

        Parameters
        ----------
        pixels_x, pixels_y, values : ndarray, shape (n, n_pixels)
        first : ndarray, shape (n + 1,)
            Where each row's points begin.
        x, y, flux : ndarray, shape (n_points,)
        """
        _add_points(self.coefficients, pixels_x, pixels_y, first, x, y, flux, values)

    def gaussian(self, dx: NDArray[np.float64], dy: NDArray[np.float64]) -> NDArray[np.float64]:
        """The restoring beam at offsets."""
        return gaussian(dx, dy, self.major_pixels, self.minor_pixels, self.angle_rad)

    def in_beams(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels as multiples of the restoring beam's full widths, along and across, shape (n, 2)."""
        sine, cosine = np.sin(self.angle_rad), np.cos(self.angle_rad)
        along, across = y * cosine - x * sine, x * cosine + y * sine
        return np.stack([along / self.major_pixels, across / self.minor_pixels], axis=-1)

    def stencil(self, level: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Offsets x and y of pixels where a source's restoring beam is over a level, and it there."""
        half = int(np.ceil(self.major_pixels * 1.5))
        dy, dx = np.mgrid[-half : half + 1, -half : half + 1]
        shape = self.gaussian(dx.astype(np.float64), dy.astype(np.float64))
        inside = shape > level
        return dx[inside], dy[inside], shape[inside]
