"""From visibilities to pixels, in our conventions.

Pixels are those of ``images/grid.py``; a point source of 1 Jy has the visibility
exp(2πi (ul + vm + w(n−1))).  The way back: ``predict.py``.

The array lies nearly in a plane, so most of w is a·u + b·v, and a source at (l, m) is where one at
(l', m') = (l + a(n−1), m + b(n−1)) would be on an array without w (``array_plane.py``).  On
pixels of l' and m' a dirty image is a Fourier sum of two dimensions (``ducc0``'s type 1) for each
term of a short series in what the plane leaves of w; a resampling of their sum gives l and m.
A w-gridder spends five planes on every visibility instead.
"""

from dataclasses import dataclass
from functools import cached_property

import ducc0
import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.array_plane import Plane
from contimg_assets.radio.imaging.resampling import (
    OVERSAMPLING,
    TAPS,
    kernel_table,
    kernel_transform,
    resample_sheared,
    resample_straight,
    sheared_depth,
)

#: Accuracy that is asked of the Fourier sums: what comes out is ten times as good.
_SUM_ACCURACY = 3e-4
#: Samples of a term's factors over the largest phase of w', rad, and at least: linear in between, to 1e-6.
_SAMPLES, _LEAST_SAMPLES = 700, 256
#: An image is at least as wide as this many cells of the (u, v) plane.
_LEAST_CELLS = 20
#: Visibilities that stand for all where it is asked how w' are distributed, at least.
_COUNTED = 200_000


@numba.njit(cache=True, inline="always")
def _over_kernel(
    weight: np.float32, u: float, v: float, inverse_kernel: NDArray[np.float32], scale: float
) -> np.float32:
    """A weight over the resampling's transform; ``scale`` is the table's places a wavelength."""
    of_u, of_v = inverse_kernel[int(abs(u) * scale + 0.5)], inverse_kernel[int(abs(v) * scale + 0.5)]
    return weight * of_u * of_v


@numba.njit(cache=True, parallel=True, fastmath=True)
def _geometry(
    uvw: NDArray[np.float64],
    weights: NDArray[np.float32],
    a: float,
    b: float,
    inverse_kernel: NDArray[np.float32],
    furthest: float,
    factors: NDArray[np.float32],
    rest: NDArray[np.float32],
) -> None:
    """Weights over the resampling's transform, and w' = w − a·u − b·v, of each visibility."""
    scale = (len(inverse_kernel) - 1) / furthest
    for i in numba.prange(len(rest)):
        u, v, w = uvw[i]
        factors[i] = _over_kernel(weights[i], u, v, inverse_kernel, scale)
        rest[i] = w - a * u - b * v


@numba.njit(cache=True, parallel=True, fastmath=True)
def _weighted(
    visibilities: NDArray[np.complex64],
    factors: NDArray[np.float32],
    rest: NDArray[np.float32],
    largest: float,
    samples: NDArray[np.complex64],
    out: NDArray[np.complex64],
) -> None:
    """Visibilities times their weights and a term's factor, which hangs on w'."""
    middle = np.float32((len(samples) - 1) / 2)
    scale = np.float32(middle / largest * (1 - 1e-6))
    for i in numba.prange(len(out)):
        at = middle + scale * rest[i]
        low = int(at)
        factor = samples[low] + (at - low) * (samples[low + 1] - samples[low])
        out[i] = factors[i] * factor * visibilities[i]


@numba.njit(cache=True, parallel=True, fastmath=True)
def _add_term(
    total: NDArray[np.float32],
    term: NDArray[np.complex64],
    depths: NDArray[np.float32],
    samples: NDArray[np.complex64],
) -> None:
    """Add a term times its factor, which hangs on how deep a pixel lies, from 0 (centre) to 1 (corner)."""
    scale = np.float32(len(samples) - 1) * np.float32(1 - 1e-6)
    for i in numba.prange(len(total)):
        for j in range(total.shape[1]):
            at = depths[i, j] * scale
            low = int(at)
            factor = samples[low] + (at - low) * (samples[low + 1] - samples[low])
            total[i, j] += factor.real * term[i, j].real - factor.imag * term[i, j].imag


@numba.njit(cache=True, parallel=True, fastmath=True)
def _shifted(
    uvw: NDArray[np.float64],
    weights: NDArray[np.float32],
    inverse_kernel: NDArray[np.float32],
    furthest: float,
    l: float,
    out: NDArray[np.complex64],
) -> None:
    """Weights over the resampling's transform, phased to a place at m = 0 on an array without w."""
    scale = (len(inverse_kernel) - 1) / furthest
    for i in numba.prange(len(out)):
        u, v = uvw[i, 0], uvw[i, 1]
        weight, turns = _over_kernel(weights[i], u, v, inverse_kernel, scale), u * l
        angle = 2 * np.pi * (turns - np.floor(turns))
        out[i] = complex(weight * np.cos(angle), -weight * np.sin(angle))


@dataclass(frozen=True)
class Gridder:
    """One geometry: where visibilities lie, what they weigh, the image that they make."""

    uvw: NDArray[np.float64]
    """Wavelengths, shape (n_visibilities, 3)."""
    weights: NDArray[np.float32]
    """Shape (n_visibilities,), zero where flagged."""
    grid: ImageGrid
    threads: int

    def dirty(self, visibilities: NDArray[np.complex64], accuracy: float = 1e-2) -> NDArray[np.float32]:
        """Dirty image of weighted visibilities, Jy/beam, shape (n_pixels, n_pixels).

        Parameters
        ----------
        visibilities : ndarray, complex64, shape (n_visibilities,)
        accuracy : float
            Largest error, root mean square over the image, relative to what is gridded: of residuals, to what
            is left in them, which the next major cycle sees.  1e-4 is to be had, where the array nearly is a
            plane.
        """
        return self._image(visibilities, accuracy, self.total)

    def slopes(
        self, visibilities: NDArray[np.complex64], logs: NDArray[np.float32], accuracy: float
    ) -> NDArray[np.float32]:
        """Dirty image of what the visibilities change by over the band, shape (n_pixels, n_pixels).

        Parameters
        ----------
        visibilities : ndarray, complex64, shape (n_visibilities,)
        logs : ndarray, float32, shape (n_visibilities,)
            Logarithm of frequency, less its weighted mean.
        accuracy : float
            As of ``dirty``.

        Returns
        -------
        ndarray
            Jy per unit of the logarithm: at a source, its flux density times its spectral index.
        """
        total = float(np.dot(self.weights * logs, logs.astype(np.float64)))
        return self._image(visibilities * logs, accuracy, total)

    def _image(
        self, visibilities: NDArray[np.complex64], accuracy: float, total: float
    ) -> NDArray[np.float32]:
        sheared, image = self._sheared, np.empty((self.grid.n_pixels,) * 2, np.float32)
        coarse = sheared.image(visibilities, accuracy)
        coarse *= np.float32(1.0 / total)
        plane, cells = sheared.plane, (self.grid.cell_rad, sheared.cell)
        resample_sheared(coarse, kernel_table(), *cells, plane.a, plane.b, image)
        return image

    @cached_property
    def _sheared(self) -> "_Sheared":
        return _Sheared.of(self)

    def psf_half(self, n_north: int, n_west: int) -> NDArray[np.float32]:
        """Dirty beam without its w term, the half that the other mirrors, peak 1.

        Parameters
        ----------
        n_north, n_west : int
            Even.  Pixels from −n_north to n_north − 1 (rows) and from 0 to
            n_west − 1 (columns) are made.

        Returns
        -------
        ndarray, float32, shape (2 n_north, n_west)
        """
        step = self.grid.cell_rad / self.coarse_cell
        rows, columns = (2 * int(np.ceil(n * step / 2)) + 2 * TAPS for n in (2 * n_north, n_west))
        # Columns rise as l falls; the first ones lie before the middle, for the kernel.
        sums = _plan(self.uvw, (self.coarse_cell, -self.coarse_cell), (rows, columns), self.threads)
        shifted = np.empty(len(self.uvw), np.complex64)
        middle = -(columns // 2 - TAPS) * self.coarse_cell
        _shifted(self.uvw, self.weights, *self.inverse_kernel, middle, shifted)
        coarse = sums.nu2u(forward=True, points=shifted).real / np.float32(self.total)
        half = np.empty((2 * n_north, n_west), np.float32)
        of_rows = rows // 2 + step * np.arange(-n_north, n_north, dtype=np.float64)
        of_columns = TAPS + step * np.arange(n_west, dtype=np.float64)
        resample_straight(coarse, kernel_table(), of_rows, of_columns, half)
        return half

    @property
    def coarse_cell(self) -> float:
        """Pixels that sample what the visibilities make, and are resampled, as a direction cosine."""
        return 1.0 / (2 * OVERSAMPLING * self._furthest)

    @cached_property
    def _furthest(self) -> float:
        """Largest |u| or |v|, wavelengths, or what keeps neighbours of the outermost pixels near them."""
        least = _LEAST_CELLS / (self.grid.n_pixels * self.grid.cell_rad)
        return max(float(np.abs(self.uvw[:, :2]).max()), least)

    @cached_property
    def inverse_kernel(self) -> tuple[NDArray[np.float32], float]:
        """One over the resampling's transform, from u or v of zero to the furthest, and that."""
        frequencies = np.linspace(0, self._furthest, 1 << 16) * self.coarse_cell
        return (1.0 / kernel_transform(frequencies)).astype(np.float32), self._furthest

    @property
    def total(self) -> float:
        """Sum of weights: the dirty beam's peak before it is set to one."""
        return float(self.weights.sum(dtype=np.float64))


def _plan(
    uvw: NDArray[np.float64], cells: tuple[float, float], shape: tuple[int, int], threads: int
) -> ducc0.nufft.plan:
    """Fourier sums over visibilities on pixels [m, l] of a size."""
    turns = np.empty((len(uvw), 2), np.float32)
    np.multiply(uvw[:, 1::-1], 2 * np.pi * np.array(cells), out=turns, casting="same_kind")
    return ducc0.nufft.plan(nu2u=True, coord=turns, grid_shape=shape, epsilon=_SUM_ACCURACY, nthreads=threads)


@dataclass(frozen=True)
class _Sheared:
    """Dirty images on pixels of m' and l', with all that does not hang on the visibilities."""

    plane: Plane
    cell: float
    """Of l' and m'."""
    sums: ducc0.nufft.plan
    factors: NDArray[np.float32]
    """Weight of each visibility, over what resampling makes of it."""
    rest: NDArray[np.float32]
    """w' = w − a·u − b·v of each visibility, wavelengths."""
    depths: NDArray[np.float32]
    """1 − n of each pixel over the largest."""
    deepest: float
    """The largest."""

    @classmethod
    def of(cls, gridder: Gridder) -> "_Sheared":
        uvw, grid = gridder.uvw, gridder.grid
        plane = Plane.fit(uvw, gridder.weights)
        width = (grid.n_pixels + plane.margin(grid)) * grid.cell_rad
        cell = gridder.coarse_cell
        n = 2 * int(np.ceil(width / cell / 2)) + 2 * TAPS
        corner = 2.0 * (n / 2 * cell) ** 2
        deepest = corner / (1.0 + np.sqrt(1.0 - corner))
        factors, rest = np.empty((2, len(uvw)), np.float32)
        _geometry(uvw, gridder.weights, plane.a, plane.b, *gridder.inverse_kernel, factors, rest)
        sums = _plan(uvw, (cell, cell), (n, n), gridder.threads)
        return cls(plane, cell, sums, factors, rest, _depths(n, cell, plane.a, plane.b, deepest), deepest)

    def image(self, visibilities: NDArray[np.complex64], accuracy: float) -> NDArray[np.float32]:
        """Sum over weighted visibilities, shape (n, n), [m', l']."""
        total, weighted = np.zeros(self.depths.shape, np.float32), np.empty_like(visibilities)
        for of_visibility, of_pixel in zip(*self._series(accuracy), strict=True):
            _weighted(visibilities, self.factors, self.rest, self._largest, of_visibility, weighted)
            _add_term(total, self.sums.nu2u(forward=True, points=weighted), self.depths, of_pixel)
        return total

    @cached_property
    def _largest(self) -> float:
        """|w'| at most, wavelengths."""
        return float(np.abs(self.rest).max()) or 1.0

    def _series(self, accuracy: float) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Few products of a function of w' and one of depth that make exp(2πi w'(1 − n)).

        By singular values, with each w' as often as it is there: no series of as many terms leaves less.
        Samples from the largest w' below zero to that above, and from the image's centre to its corner.
        """
        largest = self._largest
        phase = 2 * np.pi * largest * self.deepest
        n, m = int(64 + 8 * phase), max(_LEAST_SAMPLES, int(_SAMPLES * phase))
        edges = np.linspace(-largest, largest, n + 1)
        x, y = (edges[1:] + edges[:-1]) / 2 / largest, (np.arange(n) + 0.5) / n
        some = slice(None, None, max(1, len(self.rest) // _COUNTED))
        shares = np.histogram(self.rest[some], edges, weights=self.factors[some])[0]
        roots = np.sqrt(shares / shares.sum() / n)[:, None]
        of_x, sizes, of_y = np.linalg.svd(roots * np.exp(1j * phase * np.outer(x, y)))
        # Of what would be left after the first 0, 1, … terms.
        left = np.sqrt(np.append(np.cumsum(sizes[::-1] ** 2)[::-1], 0.0))
        terms = slice(int(np.argmax(left <= accuracy)))
        of_visibility = of_y[terms].conj() @ np.exp(1j * phase * np.outer(y, np.linspace(-1, 1, m)))
        of_pixel = (of_x[:, terms] / sizes[terms]).conj().T @ (
            roots * np.exp(1j * phase * np.outer(x, np.linspace(0, 1, m)))
        )
        return of_visibility.astype(np.complex64), of_pixel.astype(np.complex64)


@numba.njit(cache=True, parallel=True)
def _depths(n: int, cell: float, a: float, b: float, deepest: float) -> NDArray[np.float32]:
    """1 − n over its largest of sheared pixels [m', l']."""
    depths = np.empty((n, n), np.float32)
    for i in numba.prange(n):
        for j in range(n):
            l, m = (j - n // 2) * cell, (i - n // 2) * cell
            depth = -sheared_depth(l, m, a, b)
            depths[i, j] = min(depth / deepest, 1.0)
    return depths
