"""Visibilities phased to a source outside of the image and averaged there, and a small dirty image of them.

Once visibilities are phased to a position, what lies near it turns so slowly with time and frequency that a
baseline's slots can be averaged: in bins of the band that follow the source's spectrum, or in a few that are
enough to see whether there is anything.

Belongs here: the averages, what is made of them, and subtracting a model in their cells.  Does not belong
here: what is measured, and when (``outlier_sources.py``).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import ducc0
import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.engine import part_of_band
from contimg_assets.radio.imaging.phasors import (
    bandwidth_smearing,
    baseline_starts,
    phasor,
    time_smearing,
    turns_towards,
)
from contimg_assets.radio.imaging.smearing import slot_widths_hz
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.robust import mad_sigma

#: Width of the small image, and how far from its middle a peak is looked for, in beams.
_PATCH_BEAMS, _SEARCH_BEAMS = 8.0, 1.5
#: Parts of a group's time for it: at the small image's edge the longest baseline turns by 0.04 within one.
_PATCH_TIMES = 4


@numba.njit(cache=True, inline="always")
def _start(
    uvw: NDArray[np.float64],
    middle: NDArray[np.float64],
    position: NDArray[np.float64],
    width: float,
    turning: NDArray[np.float64],
) -> tuple[complex, complex, float]:
    """Phasor at a cell's first slot, its step from slot to slot, and what averaging keeps in the cell."""
    turns = turns_towards(uvw, position)
    kept = bandwidth_smearing(turns, width) * time_smearing(middle, position, turning)
    # A slot is as wide as the step to the next.
    return phasor(turns), phasor(turns * width), kept


@numba.njit(cache=True, parallel=True)
def _collect(
    values: NDArray[np.complex64],
    weights: NDArray[np.float32],
    uvw: NDArray[np.float64],
    position: NDArray[np.float64],
    turning: NDArray[np.float64],
    widths: NDArray[np.float64],
    firsts: NDArray[np.int64],
    sums: NDArray[np.complex128],
    totals: NDArray[np.float64],
) -> None:
    n = len(widths)
    for t in numba.prange(len(sums)):
        at = t * n
        for c in range(len(firsts) - 1):
            first, end = firsts[c], firsts[c + 1]
            middle = uvw[at + (first + end) // 2]
            now, by, kept = _start(uvw[at + first], middle, position, float(widths[first]), turning[t])
            total, weight = 0j, 0.0
            for i in range(at + first, at + end):
                total += weights[i] * values[i] * np.conj(now)
                weight += weights[i]
                now *= by
            sums[t, c] = kept * total
            totals[t, c] = kept * kept * weight


@numba.njit(cache=True, parallel=True)
def _subtract(
    values: NDArray[np.complex64],
    uvw: NDArray[np.float64],
    position: NDArray[np.float64],
    turning: NDArray[np.float64],
    widths: NDArray[np.float64],
    firsts: NDArray[np.int64],
    model: NDArray[np.complex128],
) -> None:
    n = len(widths)
    for t in numba.prange(len(model)):
        at = t * n
        for c in range(len(firsts) - 1):
            first, end = firsts[c], firsts[c + 1]
            middle = uvw[at + (first + end) // 2]
            now, by, kept = _start(uvw[at + first], middle, position, float(widths[first]), turning[t])
            now *= model[t, c] * kept
            for i in range(at + first, at + end):
                values[i] -= now
                now *= by


@numba.njit(cache=True, parallel=True)
def _add_point(
    sums: NDArray[np.complex128],
    totals: NDArray[np.float64],
    uv: NDArray[np.float64],
    offset: tuple[float, float],
    amplitude: NDArray[np.float64],
    bins: NDArray[np.int64],
    model: NDArray[np.complex128],
) -> None:
    for t in numba.prange(len(sums)):
        for c in range(sums.shape[1]):
            point = amplitude[t, bins[c]] * phasor(uv[t, c, 0] * offset[0] + uv[t, c, 1] * offset[1])
            model[t, c] += point
            sums[t, c] -= point * totals[t, c]


@numba.njit(cache=True, parallel=True)
def _by_bin(
    sums: NDArray[np.complex128],
    totals: NDArray[np.float64],
    uv: NDArray[np.float64],
    offset: tuple[float, float],
    bins: NDArray[np.int64],
    flux: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> None:
    for t in numba.prange(len(sums)):
        for c in range(sums.shape[1]):
            towards = phasor(uv[t, c, 0] * offset[0] + uv[t, c, 1] * offset[1])
            flux[t, bins[c]] += (sums[t, c] * np.conj(towards)).real
            weight[t, bins[c]] += totals[t, c]


@dataclass(frozen=True)
class Peak:
    """What stands out of a small dirty image."""

    offset: tuple[float, float]
    """In l and m from its middle."""
    height: float
    """Jy/beam; negative where the deepest hole is deeper than the highest peak is high."""
    noise: float
    """Of the whole small image, Jy/beam."""


@dataclass(frozen=True)
class Averages:
    """Visibilities phased to one source and averaged in cells; points are subtracted from them in place."""

    sums: NDArray[np.complex128]
    """Weighted sums, shape (n_times, n_cells)."""
    totals: NDArray[np.float64]
    """Sums of weights."""
    uv: NDArray[np.float64]
    """Wavelengths, shape (n_times, n_cells, 2)."""
    bins: NDArray[np.int64]
    """Bin of the band of each cell."""

    def subtract_point(
        self, offset: tuple[float, float], amplitude: NDArray[np.float64], model: NDArray[np.complex128]
    ) -> None:
        """Subtract a point from the sums, in place, and add its visibilities to a model of their shape.

        Parameters
        ----------
        offset : tuple of float
            In l and m from the source.
        amplitude : ndarray, shape (n_times, n_bins)
            Jy.
        model : ndarray, complex128
        """
        _add_point(self.sums, self.totals, self.uv, offset, amplitude, self.bins, model)

    def by_bin(
        self, offset: tuple[float, float], n_bins: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted sums of what the visibilities show at an offset from the source, and of weights.

        Both have the shape (n_times, n_bins).
        """
        flux, weight = np.zeros((2, len(self.sums), n_bins))
        _by_bin(self.sums, self.totals, self.uv, offset, self.bins, flux, weight)
        return flux, weight

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        """First integration of each part of the time."""
        n_times = len(self.totals)
        n_parts = min(_PATCH_TIMES, n_times)
        return np.arange(n_parts) * n_times // n_parts

    @cached_property
    def _parts(self) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Cells of parts of the time together: which have data, their weights, and their mean (u, v, 0)."""
        totals = np.add.reduceat(self.totals, self._firsts, axis=0)
        uv = np.add.reduceat(self.uv * self.totals[..., None], self._firsts, axis=0)
        used = totals > 0
        weights = totals[used]
        return used, weights, np.column_stack([uv[used] / weights[:, None], np.zeros(len(weights))])

    def peak(self, whole: ImageGrid, beam_rad: float) -> Peak:
        """The peak near the source in a small dirty image.

        Parameters
        ----------
        whole : ImageGrid
            Of the image, whose cells the small one has.
        beam_rad : float
            Major axis of the restoring beam.
        """
        n = 2 * int(np.ceil(_PATCH_BEAMS * beam_rad / whole.cell_rad / 2))
        grid = replace(whole, n_pixels=n)
        image = self._patch(grid)
        l_columns, m_rows = grid.axes()
        near = np.hypot(l_columns, m_rows[:, None]) <= _SEARCH_BEAMS * beam_rad
        row, column = np.unravel_index(np.argmax(np.where(near, np.abs(image), 0)), image.shape)

        def between(before: float, at: float, after: float) -> float:
            curvature = before - 2 * at + after
            return float(np.clip((before - after) / (2 * curvature), -0.5, 0.5)) if curvature else 0.0

        east = between(*image[row, column - 1 : column + 2])
        north = between(*image[row - 1 : row + 2, column])
        l, m = grid.directions(float(column + east), float(row + north))
        return Peak((l, m), float(image[row, column]), mad_sigma(image))

    def _patch(self, grid: ImageGrid) -> NDArray[np.float32]:
        """Dirty image of the averages, of parts of the time together."""
        used, weights, uvw = self._parts
        sums = np.add.reduceat(self.sums, self._firsts, axis=0)
        return ducc0.wgridder.vis2dirty(
            uvw=uvw,
            freq=np.array([SPEED_OF_LIGHT]),
            vis=sums[used].reshape(-1, 1).astype(np.complex64),
            npix_x=grid.n_pixels,
            npix_y=grid.n_pixels,
            pixsize_x=grid.cell_rad,
            pixsize_y=grid.cell_rad,
            epsilon=1e-4,
            do_wgridding=False,
            flip_v=True,
            divide_by_n=False,
        ).T / np.float32(weights.sum())


@dataclass(frozen=True)
class Cells:
    """The cells of one group: which of a baseline's slots are averaged."""

    data: StokesI
    weights: NDArray[np.float32]
    """Imaging weights, shape (n_visibilities,)."""
    turning: NDArray[np.float64]
    """How sources turn while an integration lasts (``smearing.tracking``)."""
    widths: NDArray[np.float64]
    """Width of each slot relative to its frequency."""
    firsts: NDArray[np.int64]
    """First slot of each cell, the channels of a baseline that share a bin of the band, and the end."""
    bins: NDArray[np.int64]
    """Bin of the band of each cell."""
    uvw: NDArray[np.float64]
    """Mean of each cell, wavelengths, shape (n_times, n_cells, 3)."""

    @classmethod
    def of(
        cls, data: StokesI, weights: NDArray[np.float32], turning: NDArray[np.float64], n_bins: int
    ) -> "Cells":
        """Cells of so many bins of the band."""
        of_slots = part_of_band(data.band_hz, n_bins, data.frequencies_hz)
        firsts = np.union1d(baseline_starts(data.frequencies_hz), 1 + np.flatnonzero(np.diff(of_slots)))
        uvw = np.add.reduceat(data.uvw.reshape(data.n_times, -1, 3), firsts[:-1], axis=1)
        uvw /= np.diff(firsts)[:, None]
        widths = slot_widths_hz(data.frequencies_hz) / data.frequencies_hz
        return cls(data, weights, turning, widths, firsts, of_slots[firsts[:-1]], uvw)

    def average(self, residuals: NDArray[np.complex64], position: NDArray[np.float64]) -> Averages:
        """Visibilities phased to a position (l, m, n − 1) and averaged there."""
        sums = np.zeros((self.data.n_times, len(self.bins)), np.complex128)
        totals = np.zeros(sums.shape)
        slots = (self.turning, self.widths, self.firsts)
        _collect(residuals, self.weights, self.data.uvw, position, *slots, sums, totals)
        # Around the position w is a part of u and v.
        slope = position[:2] / np.sqrt(1.0 - position[0] * position[0] - position[1] * position[1])
        uv = self.uvw[..., :2] - self.uvw[..., 2:] * slope
        return Averages(sums, totals, uv, self.bins)

    def subtract(
        self,
        residuals: NDArray[np.complex64],
        position: NDArray[np.float64],
        model: NDArray[np.complex128],
    ) -> None:
        """Subtract a model that is phased to a position, shape (n_times, n_cells), in place."""
        _subtract(residuals, self.data.uvw, position, self.turning, self.widths, self.firsts, model)
