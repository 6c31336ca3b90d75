"""Outlier sources, which lie outside of the image: subtracted as the visibilities show them.

In the beam's sidelobes nobody knows how bright a source appears, or how that
changes through a group and over the band.  So both are measured: visibilities
phased to a source's catalogue position and averaged tell in a small dirty image
where it is, and its flux density in cells of time and frequency, as fine as its
signal allows.  Every major cycle measures what the last has left; a source that is
not there is looked for until nothing could hide it.

Belongs here: what is measured of a source, and when.  Does not belong here: averages of visibilities
(``phased_averages.py``).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.components import offsets_from_centre
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.engine import OutlierPoints
from contimg_assets.radio.imaging.phased_averages import Averages, Cells
from contimg_assets.radio.imaging.start_model import ApparentSources
from contimg_assets.radio.imaging.visibilities import StokesI

#: Bins of the band in which visibilities are averaged once they are phased to a source, and for a first look.
_BAND_BINS, _LOOK_BINS = 16, 4
#: A peak of the patch this many times its noise is a point of the source; one that falls below
#: the other goes again.
_FOUND_SIGMA, _KEPT_SIGMA = 6.0, 5.0
#: A first look that shows this much is followed by a close one.
_SEEN_SIGMA = 5.0
#: Where the noise of the patch, which is good to a tenth, is over the expected one by no more than the first,
#: so that sidelobes hide little, and no peak is as high as the other, the source is not looked for again.
_NOISY, _ABSENT_SIGMA = 1.35, 4.0
#: Each cell of time and frequency has a point with this signal-to-noise ratio.
_CELL_SIGMA = 3.0
#: Points of a source found at most in one major cycle, and in all.
_NEW_POINTS, _MOST_POINTS = 3, 12


@dataclass(frozen=True)
class OutlierPoint:
    """A point of an outlier source, as it was subtracted."""

    offset: tuple[float, float]
    """In l and m from the source's catalogue position."""
    amplitude: NDArray[np.float64]
    """Jy, shape (n_times, _BAND_BINS)."""


@dataclass(frozen=True)
class Outlier:
    """What is known of one outlier source."""

    points: tuple[OutlierPoint, ...] = ()
    is_absent: bool = False
    """Nothing of it can come to light any more."""


#: In the order of the sources: a value, of which an earlier one may be kept.
OutlierModel = tuple[Outlier, ...]


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
    expected_noise_jy: float
    """Of an image of these weights, Jy/beam."""

    @cached_property
    def _cells(self) -> Cells:
        return Cells.of(self.data, self.weights, self.turning, _BAND_BINS)

    @cached_property
    def _wide_cells(self) -> Cells:
        return Cells.of(self.data, self.weights, self.turning, _LOOK_BINS)

    def none(self) -> OutlierModel:
        """The model in which nothing of any source was found yet."""
        return (Outlier(),) * len(self.sources)

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
        return tuple(self._subtract_source(residuals, s, one, beam_rad) for s, one in enumerate(known))

    def _subtract_source(
        self, residuals: NDArray[np.complex64], s: int, known: Outlier, beam_rad: float
    ) -> Outlier:
        """Improve the known points of one source, look for new ones, and subtract what has changed."""
        if known.is_absent:
            return known
        (position,) = offsets_from_centre(self.sources.l[[s]], self.sources.m[[s]])
        if not known.points:
            seen = self._wide_cells.average(residuals, position).peak(self.grid, beam_rad)
            if abs(seen.height) < _SEEN_SIGMA * seen.noise:
                is_quiet = seen.noise < _NOISY * self.expected_noise_jy
                is_absent = is_quiet and abs(seen.height) < _ABSENT_SIGMA * self.expected_noise_jy
                return replace(known, is_absent=is_absent)
        averages = self._cells.average(residuals, position)
        points, model = self._measure(averages, known.points, beam_rad)
        if model.any():
            self._cells.subtract(residuals, position, model)
        return Outlier(points)

    def _measure(
        self, averages: Averages, known: tuple[OutlierPoint, ...], beam_rad: float
    ) -> tuple[tuple[OutlierPoint, ...], NDArray[np.complex128]]:
        """Points of one source, known ones improved, and visibilities of what is new, phased to it.

        From the averages both are subtracted.
        """
        model = np.zeros_like(averages.sums)
        points: list[OutlierPoint] = []
        noise = averages.peak(self.grid, beam_rad).noise if known else 0.0
        for point in known:
            mean = float(np.mean(point.amplitude))
            change = self._amplitude(averages, point.offset, abs(mean) / noise)
            if abs(mean + float(np.mean(change))) < _KEPT_SIGMA * noise:
                change = -point.amplitude
            else:
                points.append(replace(point, amplitude=point.amplitude + change))
            averages.subtract_point(point.offset, change, model)
        for _ in range(_NEW_POINTS):
            peak = averages.peak(self.grid, beam_rad)
            if not abs(peak.height) > _FOUND_SIGMA * peak.noise or len(points) == _MOST_POINTS:
                break
            amplitude = self._amplitude(averages, peak.offset, abs(peak.height) / peak.noise)
            points.append(OutlierPoint(peak.offset, amplitude))
            averages.subtract_point(peak.offset, amplitude, model)
        return tuple(points), model

    def _amplitude(
        self, averages: Averages, offset: tuple[float, float], signal_to_noise: float
    ) -> NDArray[np.float64]:
        """Flux density of a point in cells that have signal enough, Jy, shape (n_times, _BAND_BINS)."""
        flux, total = (each.reshape(-1) for each in averages.by_bin(offset, _BAND_BINS))
        n_times, size = len(averages.sums), len(flux)
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
                "taken_jy": float(sum(point.amplitude.mean() for point in one.points)),
                "n_points": len(one.points),
            }
            for name, one in zip(self.sources.names, model, strict=True)
        )

    def as_points(self, model: OutlierModel) -> OutlierPoints | None:
        """All points that were subtracted, where they are; None if there are none."""
        points = [(s, point) for s, one in enumerate(model) for point in one.points]
        if not points:
            return None
        return OutlierPoints(
            tuple(self.sources.names[s] for s, _ in points),
            np.array([self.sources.l[s] + point.offset[0] for s, point in points]),
            np.array([self.sources.m[s] + point.offset[1] for s, point in points]),
            np.array([point.amplitude for _, point in points]),
            self.data.band_hz,
        )
