"""Sources outside of the image, taken away as they are seen.

In the beam's sidelobes nobody knows how bright a source appears, or how that
changes through a group and over the band.  So both are measured: visibilities
turned to a source's catalogue place and averaged there tell in a small dirty image
where it is, and its flux density in cells of time and frequency, as fine as its
signal allows.  Every major cycle measures what the last has left.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import ducc0
import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.engine import OutsidePoints, part_of_band
from contimg_assets.radio.imaging.phasors import averaging_loss, phasor, turns_towards
from contimg_assets.radio.imaging.start_model import Appearance
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.robust import mad_sigma

#: Bins of the band in which visibilities are averaged once they are turned to a source.
_BAND_BINS = 16
#: Width of the small image, and how far from its catalogue place a source is looked for, in beams.
_PATCH_BEAMS, _SEARCH_BEAMS = 8.0, 1.5
#: A peak of the patch this many times its noise is a point of the source; one that falls below
#: the other goes again.
_FOUND_SIGMA, _KEPT_SIGMA = 6.0, 5.0
#: Each cell of time and frequency has a point with this signal-to-noise ratio.
_CELL_SIGMA = 3.0
#: Points of a source found at most in one major cycle, and in all.
_NEW_POINTS, _MOST_POINTS = 3, 12


@numba.njit(cache=True, parallel=True)
def _collect(
    values: NDArray[np.complex64],
    weights: NDArray[np.float32],
    uvw: NDArray[np.float64],
    place: NDArray[np.float64],
    widths: NDArray[np.float64],
    cells: NDArray[np.int64],
    sums: NDArray[np.complex128],
    totals: NDArray[np.float64],
) -> None:
    n = len(cells)
    for t in numba.prange(len(sums)):
        for i in range(n):
            r = t * n + i
            if weights[r] > 0:
                turns = turns_towards(uvw[r], place)
                left = averaging_loss(turns, widths[i])
                sums[t, cells[i]] += weights[r] * left * values[r] * np.conj(phasor(turns))
                totals[t, cells[i]] += weights[r] * left * left


@numba.njit(cache=True, parallel=True)
def _subtract(
    values: NDArray[np.complex64],
    uvw: NDArray[np.float64],
    place: NDArray[np.float64],
    widths: NDArray[np.float64],
    cells: NDArray[np.int64],
    model: NDArray[np.complex128],
) -> None:
    n = len(cells)
    for t in numba.prange(len(model)):
        for i in range(n):
            turns = turns_towards(uvw[t * n + i], place)
            values[t * n + i] -= model[t, cells[i]] * phasor(turns) * averaging_loss(turns, widths[i])


@dataclass
class _Point:
    offset: tuple[float, float]
    """In l and m from the catalogue place."""
    amplitude: NDArray[np.float64]
    """Jy, shape (n_times, _BAND_BINS)."""


@dataclass
class OutsideSources:
    """The sources of one group, and what has been taken of them."""

    data: StokesI
    weights: NDArray[np.float32]
    """Imaging weights, shape (n_visibilities,)."""
    seen: Appearance
    """Where the catalogue has them."""
    grid: ImageGrid
    points: dict[int, list[_Point]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frequencies = self.data.frequencies_hz
        self._band = float(frequencies.min()), float(frequencies.max())
        bins = part_of_band(self._band, _BAND_BINS, frequencies)
        # A baseline's channels follow one another; from one to the next the bin changes.
        first = np.flatnonzero(np.append(True, np.diff(bins) != 0))
        self._bins = bins[first]
        self._cells = np.cumsum(np.append(False, np.diff(bins) != 0))
        steps = np.abs(np.diff(frequencies))
        self._widths = np.minimum(np.append(steps, np.inf), np.append(np.inf, steps)) / frequencies
        uvw = np.add.reduceat(self.data.uvw.reshape(self.data.n_times, -1, 3), first, axis=1)
        self._uvw = uvw / np.diff(np.append(first, len(bins)))[:, None]

    def take_from(self, left: NDArray[np.complex64], beam_rad: float) -> None:
        """Measure the sources in what is left of the data, and take them away there.

        Parameters
        ----------
        left : ndarray, complex64, shape (n_visibilities,)
            Data less the model so far; changed.
        beam_rad : float
            Major axis of the restoring beam.
        """
        for s in range(len(self.seen)):
            l, m = self.seen.l[s], self.seen.m[s]
            n = np.sqrt(1.0 - l * l - m * m)
            place = np.array([l, m, n - 1.0])
            sums = np.zeros((self.data.n_times, len(self._bins)), np.complex128)
            totals = np.zeros(sums.shape)
            _collect(left, self.weights, self.data.uvw, place, self._widths, self._cells, sums, totals)
            # Around the place w is a part of u and v.
            uv = self._uvw[..., :2] - self._uvw[..., 2:] * (place[:2] / n)
            points = self.points.setdefault(s, [])
            model = np.zeros_like(sums)
            noise = self._patch(sums, totals, uv, beam_rad)[3]
            for point in list(points):
                mean, phasors = float(np.mean(point.amplitude)), np.exp(2j * np.pi * (uv @ point.offset))
                change = self._amplitude(sums - model * totals, totals, phasors, abs(mean) / noise)
                if abs(mean + float(np.mean(change))) < _KEPT_SIGMA * noise:
                    change = -point.amplitude
                    points.remove(point)
                point.amplitude += change
                model += change[:, self._bins] * phasors
            for _ in range(_NEW_POINTS):
                *offset, peak, noise = self._patch(sums - model * totals, totals, uv, beam_rad)
                if not abs(peak) > _FOUND_SIGMA * noise or len(points) == _MOST_POINTS:
                    break
                phasors = np.exp(2j * np.pi * (uv @ offset))
                amplitude = self._amplitude(sums - model * totals, totals, phasors, abs(peak) / noise)
                points.append(_Point((offset[0], offset[1]), amplitude))
                model += amplitude[:, self._bins] * phasors
            if model.any():
                _subtract(left, self.data.uvw, place, self._widths, self._cells, model)

    def remember(self) -> Callable[[], None]:
        """What takes back all that comes after."""
        known = deepcopy(self.points)

        def take_back() -> None:
            self.points = known

        return take_back

    def _patch(
        self, sums: NDArray[np.complex128], totals: NDArray[np.float64], uv: NDArray[np.float64], beam: float
    ) -> tuple[float, float, float, float]:
        """Offset (l, m) and height of the peak near a place in its dirty image, and the noise around."""
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
        self,
        sums: NDArray[np.complex128],
        totals: NDArray[np.float64],
        phasors: NDArray[np.complex128],
        signal_to_noise: float,
    ) -> NDArray[np.float64]:
        """Flux density of a point in cells that have signal enough, Jy, shape (n_times, _BAND_BINS)."""
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

    def as_list(self) -> tuple[dict[str, Any], ...]:
        """Name of each source and what was taken of it, mean over the group, Jy."""
        return tuple(
            {
                "name": name,
                "taken_jy": float(sum(point.amplitude.mean() for point in self.points.get(s, []))),
                "n_points": len(self.points.get(s, [])),
            }
            for s, name in enumerate(self.seen.names)
        )

    def as_points(self) -> OutsidePoints | None:
        """All points that were taken, where they are; None if there are none."""
        points = [(s, point) for s, own in self.points.items() for point in own]
        if not points:
            return None
        return OutsidePoints(
            tuple(self.seen.names[s] for s, _ in points),
            np.array([self.seen.l[s] + point.offset[0] for s, point in points]),
            np.array([self.seen.m[s] + point.offset[1] for s, point in points]),
            np.array([point.amplitude for _, point in points]),
            self._band,
        )
