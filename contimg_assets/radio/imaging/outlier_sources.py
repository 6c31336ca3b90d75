"""Outlier sources, which lie outside of the image: subtracted as the visibilities show them.

In the beam's sidelobes nobody knows how bright a source appears, or how that
changes through a group and over the band.  So both are measured: visibilities
phased to a source's catalogue position and averaged tell in a small dirty image
where it is, and its flux density in cells of time and frequency, as fine as its
signal allows.  Every major cycle measures what the last has left.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import ducc0
import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio.images.components import offsets_from_centre
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.engine import OutlierPoints, part_of_band
from contimg_assets.radio.imaging.phasors import (
    bandwidth_smearing,
    baseline_starts,
    phasor,
    time_smearing,
    turns_towards,
)
from contimg_assets.radio.imaging.smearing import slot_widths_hz
from contimg_assets.radio.imaging.start_model import ApparentSources
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.robust import mad_sigma

#: Bins of the band in which visibilities are averaged once they are phased to a source.
_BAND_BINS = 16
#: Width of the small image, and how far from its catalogue position a source is looked for, in beams.
_PATCH_BEAMS, _SEARCH_BEAMS = 8.0, 1.5
#: A peak of the patch this many times its noise is a point of the source; one that falls below
#: the other goes again.
_FOUND_SIGMA, _KEPT_SIGMA = 6.0, 5.0
#: Each cell of time and frequency has a point with this signal-to-noise ratio.
_CELL_SIGMA = 3.0
#: Points of a source found at most in one major cycle, and in all.
_NEW_POINTS, _MOST_POINTS = 3, 12


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


@dataclass(frozen=True)
class OutlierPoint:
    """A point of an outlier source, as it was subtracted."""

    offset: tuple[float, float]
    """In l and m from the source's catalogue position."""
    amplitude: NDArray[np.float64]
    """Jy, shape (n_times, _BAND_BINS)."""


#: Points of each source, in the order of the sources: a value, of which an earlier one may be kept.
OutlierModel = tuple[tuple[OutlierPoint, ...], ...]


@dataclass(frozen=True)
class _Averages:
    """Visibilities phased to one source and averaged in bins of the band."""

    sums: NDArray[np.complex128]
    """Weighted sums, shape (n_times, n_cells)."""
    totals: NDArray[np.float64]
    """Sums of weights."""
    uv: NDArray[np.float64]
    """Wavelengths, shape (n_times, n_cells, 2)."""

    def less(self, model: NDArray[np.complex128]) -> "_Averages":
        """Without a model's visibilities."""
        return replace(self, sums=self.sums - model * self.totals)

    def phasors(self, offset: tuple[float, float]) -> NDArray[np.complex128]:
        """Of a point at an offset from the source."""
        return np.exp(2j * np.pi * (self.uv @ offset))


@dataclass(frozen=True)
class OutlierSources:
    """The outlier sources of one group, and how they are measured."""

    data: StokesI
    weights: NDArray[np.float32]
    """Imaging weights, shape (n_visibilities,)."""
    sources: ApparentSources
    """Where the catalogue has them."""
    grid: ImageGrid
    turning: NDArray[np.float64]
    """How sources turn while an integration lasts (``smearing.tracking``)."""

    @cached_property
    def _band(self) -> tuple[float, float]:
        return float(self.data.frequencies_hz.min()), float(self.data.frequencies_hz.max())

    @cached_property
    def _bin_of_slot(self) -> NDArray[np.int64]:
        return part_of_band(self._band, _BAND_BINS, self.data.frequencies_hz)

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        """First slot of each cell, the channels of a baseline that share a bin, and the end."""
        of_bins = 1 + np.flatnonzero(np.diff(self._bin_of_slot))
        return np.union1d(baseline_starts(self.data.frequencies_hz), of_bins)

    @cached_property
    def _bins(self) -> NDArray[np.int64]:
        """Bin of the band of each cell."""
        return self._bin_of_slot[self._firsts[:-1]]

    @cached_property
    def _widths(self) -> NDArray[np.float64]:
        """Width of each slot relative to its frequency."""
        return slot_widths_hz(self.data.frequencies_hz) / self.data.frequencies_hz

    @cached_property
    def _uvw(self) -> NDArray[np.float64]:
        """Mean of each cell, wavelengths, shape (n_times, n_cells, 3)."""
        uvw = np.add.reduceat(self.data.uvw.reshape(self.data.n_times, -1, 3), self._firsts[:-1], axis=1)
        return uvw / np.diff(self._firsts)[:, None]

    def none(self) -> OutlierModel:
        """The model in which nothing of any source was found yet."""
        return ((),) * len(self.sources)

    def subtract(
        self, residuals: NDArray[np.complex64], known: OutlierModel, beam_rad: float
    ) -> OutlierModel:
        """Measure the sources in residual visibilities, and subtract there what is new.

        Parameters
        ----------
        residuals : ndarray, complex64, shape (n_visibilities,)
            Data less the model so far; changed in place.
        known : OutlierModel
            What of the sources is in the model so far.
        beam_rad : float
            Major axis of the restoring beam.

        Returns
        -------
        OutlierModel
            What is in the model now.
        """
        return tuple(self._subtract_source(residuals, s, points, beam_rad) for s, points in enumerate(known))

    def _subtract_source(
        self, residuals: NDArray[np.complex64], s: int, known: tuple[OutlierPoint, ...], beam_rad: float
    ) -> tuple[OutlierPoint, ...]:
        """Improve the known points of one source, look for new ones, and subtract what has changed."""
        (position,) = offsets_from_centre(self.sources.l[[s]], self.sources.m[[s]])
        averages = self._average(residuals, position)
        model = np.zeros_like(averages.sums)
        points: list[OutlierPoint] = []
        noise = self._patch(averages, beam_rad)[3] if known else 0.0
        for point in known:
            mean, phasors = float(np.mean(point.amplitude)), averages.phasors(point.offset)
            change = self._amplitude(averages.less(model), phasors, abs(mean) / noise)
            if abs(mean + float(np.mean(change))) < _KEPT_SIGMA * noise:
                change = -point.amplitude
            else:
                points.append(replace(point, amplitude=point.amplitude + change))
            model += change[:, self._bins] * phasors
        for _ in range(_NEW_POINTS):
            l, m, peak, noise = self._patch(averages.less(model), beam_rad)
            if not abs(peak) > _FOUND_SIGMA * noise or len(points) == _MOST_POINTS:
                break
            phasors = averages.phasors((l, m))
            amplitude = self._amplitude(averages.less(model), phasors, abs(peak) / noise)
            points.append(OutlierPoint((l, m), amplitude))
            model += amplitude[:, self._bins] * phasors
        if model.any():
            _subtract(residuals, self.data.uvw, position, self.turning, self._widths, self._firsts, model)
        return tuple(points)

    def _average(self, residuals: NDArray[np.complex64], position: NDArray[np.float64]) -> _Averages:
        """Visibilities phased to a position (l, m, n − 1) and averaged there."""
        sums = np.zeros((self.data.n_times, len(self._bins)), np.complex128)
        totals = np.zeros(sums.shape)
        slots = (self.turning, self._widths, self._firsts)
        _collect(residuals, self.weights, self.data.uvw, position, *slots, sums, totals)
        # Around the position w is a part of u and v.
        slope = position[:2] / np.sqrt(1.0 - position[0] * position[0] - position[1] * position[1])
        return _Averages(sums, totals, self._uvw[..., :2] - self._uvw[..., 2:] * slope)

    def _patch(self, averages: _Averages, beam: float) -> tuple[float, float, float, float]:
        """Offset (l, m) and height of the peak near a source in a small dirty image, and the noise around."""
        sums, totals, uv = averages.sums, averages.totals, averages.uv
        n = 2 * int(np.ceil(_PATCH_BEAMS * beam / self.grid.cell_rad / 2))
        grid = replace(self.grid, n_pixels=n)
        weights = totals.reshape(-1)
        used = weights > 0
        image = ducc0.wgridder.vis2dirty(
            uvw=np.column_stack([uv.reshape(-1, 2)[used], np.zeros(np.count_nonzero(used))]),
            freq=np.array([SPEED_OF_LIGHT]),
            vis=sums.reshape(-1, 1)[used].astype(np.complex64),
            npix_x=n,
            npix_y=n,
            pixsize_x=grid.cell_rad,
            pixsize_y=grid.cell_rad,
            epsilon=1e-4,
            do_wgridding=False,
            flip_v=True,
            divide_by_n=False,
        ).T / np.float32(weights.sum())
        l_columns, m_rows = grid.axes()
        near = np.hypot(l_columns, m_rows[:, None]) <= _SEARCH_BEAMS * beam
        row, column = np.unravel_index(np.argmax(np.where(near, np.abs(image), 0)), image.shape)

        def between(before: float, at: float, after: float) -> float:
            curvature = before - 2 * at + after
            return float(np.clip((before - after) / (2 * curvature), -0.5, 0.5)) if curvature else 0.0

        east = between(*image[row, column - 1 : column + 2])
        north = between(*image[row - 1 : row + 2, column])
        l, m = grid.directions(float(column + east), float(row + north))
        return l, m, float(image[row, column]), mad_sigma(image)

    def _amplitude(
        self, averages: _Averages, phasors: NDArray[np.complex128], signal_to_noise: float
    ) -> NDArray[np.float64]:
        """Flux density of a point in cells that have signal enough, Jy, shape (n_times, _BAND_BINS)."""
        sums, totals = averages.sums, averages.totals
        n_times = len(sums)
        at = np.arange(n_times)[:, None] * _BAND_BINS + self._bins
        size = n_times * _BAND_BINS
        flux = np.bincount(at.reshape(-1), np.real(sums * np.conj(phasors)).reshape(-1), size)
        total = np.bincount(at.reshape(-1), totals.reshape(-1), size)
        # As many cells of either axis as the signal allows.
        share = min(1.0, signal_to_noise / _CELL_SIGMA / np.sqrt(size))
        groups = [np.arange(k) * max(1, int(k * share)) // k for k in (n_times, _BAND_BINS)]
        cell = (groups[0][:, None] * _BAND_BINS + groups[1]).reshape(-1)
        flux, total = np.bincount(cell, flux, size), np.bincount(cell, total, size)
        return np.divide(flux, total, out=np.zeros(size), where=total > 0)[cell].reshape(n_times, _BAND_BINS)

    def as_list(self, model: OutlierModel) -> tuple[dict[str, Any], ...]:
        """Name of each source and what was subtracted of it, mean over the group, Jy."""
        return tuple(
            {
                "name": name,
                "taken_jy": float(sum(point.amplitude.mean() for point in points)),
                "n_points": len(points),
            }
            for name, points in zip(self.sources.names, model, strict=True)
        )

    def as_points(self, model: OutlierModel) -> OutlierPoints | None:
        """All points that were subtracted, where they are; None if there are none."""
        points = [(s, point) for s, own in enumerate(model) for point in own]
        if not points:
            return None
        return OutlierPoints(
            tuple(self.sources.names[s] for s, _ in points),
            np.array([self.sources.l[s] + point.offset[0] for s, point in points]),
            np.array([self.sources.m[s] + point.offset[1] for s, point in points]),
            np.array([point.amplitude for _, point in points]),
            self._band,
        )
