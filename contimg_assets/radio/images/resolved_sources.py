"""Which peaks of an image are one resolved source, and how large and bright that is.

A source wider than the beam has several peaks, which noise and CLEAN make; a double has two.  Both are
tried, one Gaussian and points beside one, and what leaves less of the pixels, in view of its numbers, is it.

What CLEAN took of a resolved source is points in the restoring beam, in stripes if it is wide; what it left
is in the dirty beam, whose plateau adds up under it.  So the fit is not made in the restored image: the
source's own components are put back into the residual by the dirty beam, which undoes CLEAN, and Gaussians
are fitted through the dirty beam.

Belongs here: sources that may be resolved.  Does not belong here: finding peaks (``source_finding.py``),
fits to an array (``gaussian_fits.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import label
from scipy.spatial import cKDTree

from contimg_assets.radio.images.gaussian_fits import Beam, Cut, Ellipse, Source, fit_size

#: Sizes are fitted from this signal-to-noise ratio on, and of fainter ones where the flux density about the
#: peak exceeds that of a point by so many times its noise.
SIZE_SIGMA, _EXCESS_SIGMA = 15.0, 4.0
#: Pixels are fitted where a source is over this part of its peak.
_LEVEL = 0.25
#: Half widths of what is looked at, in beams: the next where a source goes beyond one.
_HALF_BEAMS = (2.0, 4.0, 8.0)
#: Peaks may be one source if the pixels between do not fall below this part of the higher one, or if its
#: Gaussian is over the level there.
_JOINED, _WING_LEVEL = 0.3, 1e-3
#: Sources this much larger than the beam have others' peaks under them.
_WIDER = 1.3
#: Peaks this near (beams) are fitted together if they are not.
_BESIDE_BEAMS = 2.0
_ROUNDS = 5
#: Most peaks that are fitted as points beside a source.
_MOST_POINTS = 4
#: The sum is taken where a Gaussian is over this: to its full widths.
_APERTURE = 1 / 16


@dataclass(frozen=True)
class Cleaned:
    """What CLEAN made of an image; all of shape (ny, nx)."""

    residual: NDArray[np.floating]
    """Jy per dirty beam."""
    model: NDArray[np.floating]
    """Jy/pixel."""
    psf: NDArray[np.floating]
    """Dirty beam, peak 1 at (ny // 2, nx // 2)."""


@dataclass(frozen=True)
class Peak:
    """A peak as a point: the restoring beam there."""

    x: float
    y: float
    flux_jy: float
    noise_jy: float


@dataclass(frozen=True)
class Size:
    """What a peak's source is."""

    source: Source
    seen: Ellipse
    """Through the restoring beam."""
    beyond_jy: float
    """Flux density about the Gaussian that it does not hold, beyond noise."""
    absorbed: tuple[int, ...]
    """Other peaks that are this source."""


class ResolvedSources:
    """Measures sizes, brightest first: what has been measured is taken away from about the next.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Jy/beam.
    beam : Ellipse
        The restoring beam.
    peaks : sequence of Peak
        All of the image.
    cleaned : Cleaned, optional
        None: the image holds restoring beams alone.
    """

    def __init__(
        self, image: NDArray[np.floating], beam: Ellipse, peaks: Sequence[Peak], cleaned: Cleaned | None
    ) -> None:
        self.image, self.peaks, self.cleaned = image, peaks, cleaned
        half = int(np.ceil(3 * beam.major))
        yy, xx = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
        self.beam = Beam(cleaned.psf if cleaned else beam.profile(xx, yy), beam)
        self._models = [Source(p.flux_jy, p.x, p.y) for p in peaks]
        self._scaled = self._in_beams(*np.array([[p.x, p.y] for p in peaks]).reshape(-1, 2).T)
        self._tree = cKDTree(self._scaled)
        self._is_taken = np.zeros(len(peaks), bool)
        self._is_measured = np.zeros(len(peaks), bool)
        self._spread, self._plateau = self._aperture()

    def _in_beams(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels as multiples of the beam's full widths, shape (n, 2)."""
        beam = self.beam.ellipse
        sin, cos = np.sin(beam.angle), np.cos(beam.angle)
        return np.stack([(y * cos - x * sin) / beam.major, (x * cos + y * sin) / beam.minor], axis=-1)

    def _aperture(self) -> tuple[float, float]:
        """Noise of the sum about a point over a pixel's; what the dirty beam has there over the restoring."""
        beam = self.beam.ellipse
        half = int(np.ceil(2 * beam.major))
        yy, xx = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
        own, dirty = beam.profile(xx, yy), self.beam.middle(half)
        inside = (own > _APERTURE).astype(float)
        n = 2 * len(inside)
        pairs = fft.irfft2(np.abs(fft.rfft2(inside, s=(n, n))) ** 2, s=(n, n))
        pairs = np.roll(pairs, (half, half), axis=(0, 1))[: len(inside), : len(inside)]
        spread = np.sqrt(max(float((pairs * dirty).sum()), 0.0)) / beam.area
        return float(spread), float((inside * (dirty - own)).sum() / beam.area)

    def may_be_resolved(self, index: int) -> bool:
        """Whether a size is worth fitting."""
        peak, beam = self.peaks[index], self.beam.ellipse
        if self._is_taken[index]:
            return False
        if peak.flux_jy >= SIZE_SIGMA * peak.noise_jy:
            return True
        cut = Cut.of(self.image, peak.x, peak.y, int(np.ceil(1.2 * beam.major)))
        if cut is None:
            return False
        near = set(self._tree.query_ball_point(self._scaled[index], _BESIDE_BEAMS))
        pixels = cut.pixels - self._restored(cut, near)
        own = beam.profile(cut.xx - peak.x, cut.yy - peak.y)
        excess = float((pixels - peak.flux_jy * own)[own > _APERTURE].sum()) / beam.area
        if self.cleaned is not None:
            excess -= max(float(self.cleaned.residual[round(peak.y), round(peak.x)]), 0.0) * self._plateau
        return excess > _EXCESS_SIGMA * self._spread * peak.noise_jy

    def measure(self, index: int, n_sigma: float) -> Size | None:
        """Size of the source of a peak, and the peaks that are no others.

        Parameters
        ----------
        index : int
        n_sigma : float
            A peak that is still that high once the source is taken out is another.
        """
        joined = self._joined(index)
        for beams in _HALF_BEAMS:
            half = int(np.ceil(beams * self.beam.ellipse.major))
            cut = Cut.of(self.image, self.peaks[index].x, self.peaks[index].y, half)
            if cut is None:
                return None
            near = self._near(index, self._scaled[index], _BESIDE_BEAMS)
            about = self._inside(cut, joined)
            one = self._as_one(index, cut, about) if about else set()
            # One that is wider than the cut may be one yet.
            if one is None and beams < _HALF_BEAMS[-1]:
                continue
            fitted = self._fit(index, cut, near, one or set())
            if fitted is None:
                continue
            # What CLEAN left in stripes has peaks far down the wings.
            under = self._under(index, fitted[0], _WING_LEVEL) if not one else set()
            if under != self._inside(cut, under) and beams < _HALF_BEAMS[-1]:
                continue
            under = self._inside(cut, under)
            if under:
                one = self._as_one(index, cut, under)
                if one is None and beams < _HALF_BEAMS[-1]:
                    continue
                fitted = (self._fit(index, cut, near, one) if one else None) or fitted
            return self._size(index, cut, one or set(), *fitted, n_sigma)
        return None

    def _fit(
        self, index: int, cut: Cut, near: set[int], one: set[int]
    ) -> tuple[Source, NDArray[np.float64]] | None:
        """Fit a source with a size, of all peaks of ``one`` or beside points near it; what that leaves."""
        own = replace(cut, pixels=self._undone(cut, {index} | (one or near)))
        brightest = sorted(near, key=lambda k: -self.peaks[k].flux_jy)[:_MOST_POINTS]
        points = [] if one else [self._models[k] for k in brightest]
        fitted = fit_size(self.beam, own, self._models[index], points, _LEVEL)
        return None if fitted is None else fitted[:2]

    def _size(
        self, index: int, cut: Cut, one: set[int], source: Source, rest: NDArray[np.float64], n_sigma: float
    ) -> Size:
        """Keep what was measured, and take the peaks that are it."""
        beam = self.beam.ellipse
        seen = source.seen(beam)
        assert seen is not None
        self._models[index], self._is_measured[index] = source, True
        heights = {}
        for k in one:
            x, y = self.peaks[k].x, self.peaks[k].y
            heights[k] = float(
                rest[(np.abs(cut.xx - x) <= 1.5) & (np.abs(cut.yy - y) <= 1.5)].max(initial=-np.inf)
            )
        absorbed = [k for k in one if heights[k] < n_sigma * self.peaks[k].noise_jy]
        self._is_taken[absorbed] = True
        for k in one - set(absorbed):
            self._models[k] = replace(self._models[k], flux=max(heights[k], 0.0))
        inside = seen.profile(cut.xx - source.x, cut.yy - source.y) > _APERTURE
        beyond = abs(float(rest[inside].sum())) / beam.area
        noise = self.peaks[index].noise_jy * self._spread * np.sqrt(max(seen.area / beam.area, 1.0))
        return Size(source, seen, max(0.0, beyond - 2 * noise), tuple(absorbed))

    def _under(self, index: int, source: Source, level: float) -> set[int]:
        """Peaks not measured yet where a source is over a part of its peak."""
        beam = self.beam.ellipse
        seen = source.seen(beam)
        assert seen is not None
        if seen.area < _WIDER * beam.area:
            return set()
        place = self._in_beams(np.array(source.x), np.array(source.y))
        found = set()
        for k in self._near(index, place, 1.5 * seen.major / beam.minor):
            away = (np.array(v) for v in (self.peaks[k].x - source.x, self.peaks[k].y - source.y))
            if float(seen.profile(*away)) > level:
                found.add(k)
        return found

    def _inside(self, cut: Cut, peaks: set[int]) -> set[int]:
        """Those of some peaks that a cut holds: of others it does not tell what a source leaves of them."""
        half = cut.xx.shape[0] // 2
        x0, y0 = cut.xx[half, half], cut.yy[half, half]
        return {k for k in peaks if max(abs(self.peaks[k].x - x0), abs(self.peaks[k].y - y0)) <= half}

    def _near(self, index: int, place: NDArray[np.float64], beams: float) -> set[int]:
        """Peaks about a place that are not measured yet, without one."""
        found = self._tree.query_ball_point(place, beams)
        return {k for k in found if k != index and not self._is_taken[k] and not self._is_measured[k]}

    def _joined(self, index: int) -> set[int]:
        """Peaks that are on one height with a peak: the pixels between do not fall below a part of it."""
        about = self._near(index, self._scaled[index], _HALF_BEAMS[1])
        half = int(np.ceil(_HALF_BEAMS[1] * self.beam.ellipse.major))
        peak = self.peaks[index]
        cut = Cut.of(self.image, peak.x, peak.y, half) if about else None
        if cut is None:
            return set()
        pixels = self._undone(cut, about | {index})
        islands, _ = label(pixels > _JOINED * pixels[half - 1 : half + 2, half - 1 : half + 2].max())
        x0, y0 = int(cut.xx[0, 0]), int(cut.yy[0, 0])
        places = {k: (round(self.peaks[k].y) - y0, round(self.peaks[k].x) - x0) for k in (index, *about)}
        inside = {k: place for k, place in places.items() if max(place) <= 2 * half and min(place) >= 0}
        return {
            k for k, place in inside.items() if k != index and islands[place] == islands[inside[index]] > 0
        }

    def _undone(self, cut: Cut, kept: set[int]) -> NDArray[np.float64]:
        """Pixels with what some peaks are through the beam, without the sources of all others."""
        if self.cleaned is None:
            return cut.pixels - self._restored(cut, kept)
        flux = self.cleaned.model[cut.where].astype(np.float64)
        ys, xs = np.nonzero(flux)
        if len(ys):
            corner = cut.xx[0, 0], cut.yy[0, 0]
            away, nearest = self._tree.query(self._in_beams(xs + corner[0], ys + corner[1]))
            mine = np.isin(nearest, list(kept)) | (self._is_taken[nearest] & (away < _BESIDE_BEAMS))
            flux[ys[~mine], xs[~mine]] = 0.0
        return self.cleaned.residual[cut.where] + self.beam.convolved(cut, flux)

    def _restored(self, cut: Cut, kept: set[int]) -> NDArray[np.float64]:
        """The sources of all peaks but some, through the restoring beam."""
        total, beam = np.zeros_like(cut.pixels), self.beam.ellipse
        middle = self._in_beams(cut.xx.mean(), cut.yy.mean())
        reach = 0.75 * cut.xx.shape[0] / beam.minor
        for k in self._tree.query_ball_point(middle, reach):
            if k in kept or self._is_taken[k]:
                continue
            source = self._models[k]
            seen = source.seen(beam) or beam
            total += source.flux * beam.area / seen.area * seen.profile(cut.xx - source.x, cut.yy - source.y)
        return total

    def _as_one(self, index: int, cut: Cut, near: set[int]) -> set[int] | None:
        """The peaks beside one that are one source with it, none if they are not; None if no fit tells."""
        fitted, own = None, cut
        for _ in range(_ROUNDS):
            own = replace(cut, pixels=self._undone(cut, near | {index}))
            fitted = fit_size(self.beam, own, self._models[index], (), _LEVEL)
            if fitted is None:
                return None
            now = self._inside(cut, self._under(index, fitted[0], _WING_LEVEL))
            if now <= near:
                break
            near = near | now
        assert fitted is not None
        return near if self._is_one(own, index, near, fitted) else set()

    def _is_one(
        self,
        own: Cut,
        index: int,
        near: set[int],
        fitted: tuple[Source, NDArray[np.float64], NDArray[np.bool_]],
    ) -> bool:
        """Whether a Gaussian leaves less than one with points beside it, in view of their numbers."""
        source, _, inside = fitted
        for k in (index, *near):
            x, y = self.peaks[k].x, self.peaks[k].y
            inside = inside | (self.beam.ellipse.profile(own.xx - x, own.yy - y) > _LEVEL)
        one = self.beam.fit(own, [source], inside)
        brightest = sorted(near, key=lambda k: -self.peaks[k].flux_jy)[:_MOST_POINTS]
        points = [self._models[k] for k in (index, *brightest)]
        both = self.beam.fit(own, [replace(points[0], size=(0.0, 0.0, 0.0)), *points[1:]], inside)
        if one is None or both is None:
            return both is None
        unit = self.peaks[index].noise_jy ** 2 * self.beam.ellipse.area
        each = np.log(max(inside.sum() / self.beam.ellipse.area, 2.0))
        left = [float((rest[inside] ** 2).sum()) / unit for _, rest in (one, both)]
        return left[0] < left[1] + 3 * len(brightest) * each
