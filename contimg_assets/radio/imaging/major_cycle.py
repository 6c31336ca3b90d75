"""Major cycles of Cotton–Schwab CLEAN, each from one state of the deconvolution to the next.

A major cycle looks for peaks, lets the minor cycle take them to some depth, subtracts
what was found from the residual visibilities, and grids what is left.  So errors of the
minor cycle do not stay, and their size, seen there, says how deep the next may go.
A state is a value: a cycle is taken back by keeping the state before it.

Belongs here: what a state is, and the steps of a cycle.  Does not belong here: the minor
cycle itself (``minor.py``), how sources are predicted, fitted or measured.
docs/imaging.md explains the loop and its constants.
"""

import logging
from dataclasses import dataclass, replace
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.components import Points, components, join, points_image
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.grid import ARCSEC, ImageGrid
from contimg_assets.radio.images.noise import noise_map, robust_rms
from contimg_assets.radio.imaging.array_plane import Plane
from contimg_assets.radio.imaging.bright_points import FittedPoints, fit_bright_points, fit_points, merge
from contimg_assets.radio.imaging.dish_offsets import DishOffsets, OffsetModel
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.drift_prediction import DriftPredictor
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.minor import MinorCycle, minor_cycle
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.outlier_sources import OutlierModel, OutlierSources
from contimg_assets.radio.imaging.scales import Scales
from contimg_assets.radio.imaging.spectra import Spectra, SpectraModel
from contimg_assets.radio.imaging.start_model import ApparentSources

_LOG = logging.getLogger(__name__)
#: A peak this many times the noise opens the mask around it.
_MASK_SIGMA = 5.0
#: Where CLEAN starts from known sources, no sidelobes of bright ones are there to open it, but what errors of
#: gains leave of them is: near sources this many times the noise, within so many beams (major axis), a
#: lower peak does.
_ARTEFACT_SIGMA, _ARTEFACT_BEAMS, _ARTEFACT_MASK_SIGMA = 300.0, 25.0, 3.5
#: CLEAN is done when nothing stands out of the noise by this: hardly enough to open the mask.
_DONE_SIGMA = 6.0
#: The first minor cycle stops at this part of the peak …
_FIRST_DEPTH = 0.02
#: … and later ones at this many times the error that the last was seen to make, …
_DEPTH_OF_ERROR = 2.0
#: … within these bounds.
_DEPTHS = (0.01, 0.3)
#: Sources this many times the noise are fitted in the visibilities, if they are points: components on pixels
#: take half a σ too little of each, and more in a crowd.
_POINT_SIGMA = 10.0
#: The noise may be over the expected one by this, and no sidelobes be in it.
_NOISY = 1.1
#: A major cycle that raises the noise by this is taken back.
_WORSE = 1.02
#: Pixels that a minor cycle works on at most: its cost a component.
_LONGEST_LIST = 100_000
#: A major cycle that lowers the noise by less than the one and leaves the peak above
#: the other part of what it was is the last.
_LEAST_PROGRESS, _LEAST_FALL = 0.01, 0.5
#: Islands this near to a component are subtracted from at once.
_NEAR_BEAMS = 14.0
#: Error of an image by prediction, in units of its expected noise.
_PREDICTION_ERROR = 0.3


@dataclass(frozen=True)
class State:
    """The deconvolution between two major cycles."""

    residual_visibilities: NDArray[np.complex64]
    """Data less all that is in the model, shape (n_visibilities,)."""
    residual: NDArray[np.float32]
    """Their dirty image, Jy/beam, shape (n_pixels, n_pixels)."""
    model: NDArray[np.float32]
    """Components on pixels, Jy/pixel."""
    components: Points
    """The same as a list."""
    points: Points
    """Bright points between pixels, fitted in the visibilities."""
    outliers: OutlierModel
    spectra: SpectraModel
    offsets: OffsetModel
    mask: NDArray[np.bool_]
    """Where CLEAN may look."""
    near_bright: NDArray[np.bool_] | None = None
    """Near bright sources that CLEAN started from; None: it started from none."""
    n_components: int = 0
    n_major_cycles: int = 0
    depth: float = _FIRST_DEPTH
    """Part of the peak at which the next minor cycle stops."""
    noise: float = float("inf")
    """Noise that the last cycle began with, Jy/beam; infinite where that tells nothing."""
    peak: float = float("inf")
    """Highest peak that the last cycle began with, Jy/beam."""

    @property
    def all_components(self) -> Points:
        """Components on pixels and points between them."""
        return join(self.components, self.points)


@dataclass(frozen=True)
class Search:
    """Where a minor cycle may take components from, and what stands there."""

    smoothed: list[NDArray[np.float32]]
    """The residual at each scale, Jy/beam."""
    is_above: list[NDArray[np.bool_]]
    """Pixels in the mask that are above the threshold, at each scale."""
    threshold: NDArray[np.float32]
    """Jy/beam."""
    noise: float
    peak: float

    def active(self, stop: float) -> tuple[NDArray[np.bool_], float]:
        """Pixels for a minor cycle, and where it has to stop for there not to be too many.

        A pixel below the stop cannot become the peak but through sidelobes of what is
        taken; the next major cycle sees those.
        """
        heights = np.zeros_like(self.smoothed[0])
        for is_above, image in zip(self.is_above, self.smoothed, strict=True):
            np.maximum(heights, np.abs(image), out=heights, where=is_above)
        active = heights > 0.8 * stop
        if np.count_nonzero(active) > _LONGEST_LIST:
            stop = float(np.partition(heights[active], -_LONGEST_LIST)[-_LONGEST_LIST])
            active &= heights >= stop
        return active, stop


@dataclass(frozen=True)
class Deconvolution:
    """What all major cycles of one image share."""

    gridder: Gridder
    drift: Drift
    options: ImagingOptions
    plane: Plane
    beam: RestoringBeam
    scales: Scales
    """With the dirty beams."""
    outlier_sources: OutlierSources
    spectra: Spectra
    dish_offsets: DishOffsets

    @property
    def grid(self) -> ImageGrid:
        """Pixels of the image."""
        return self.gridder.grid

    @property
    def expected_noise_jy(self) -> float:
        """Thermal noise of the image, Jy/beam."""
        return self.drift.weights.expected_noise_jy

    @property
    def beam_rad(self) -> float:
        """Major axis of the restoring beam."""
        return self.beam.major_arcsec * ARCSEC

    @property
    def _beam_pixels(self) -> float:
        return self.beam.major_arcsec / self.grid.cell_arcsec

    @property
    def _mask_reach(self) -> int:
        """Pixels by which the mask is opened around a peak."""
        return max(1, round(self._beam_pixels / 2))

    @property
    def _visibility_error(self) -> float:
        """Error that a predicted visibility may have, Jy."""
        return _PREDICTION_ERROR * self.expected_noise_jy

    @cached_property
    def _predictor(self) -> DriftPredictor:
        return DriftPredictor.of(self.gridder, self.drift)

    def begin(self, visibilities: NDArray[np.complex64], start: ApparentSources) -> State:
        """The state before the first major cycle: what is known beforehand is subtracted.

        Parameters
        ----------
        visibilities : ndarray, complex64, shape (n_visibilities,)
            Not changed.
        start : ApparentSources
            The start model.
        """
        n = self.grid.n_pixels
        mask = np.zeros((n, n), bool)
        residuals, points = visibilities, join()
        if len(start):
            _open_around(mask, points_image(start.points, self.grid) != 0, self._mask_reach)
            merged = merge(start.points, self.beam)
            fitted = fit_points(visibilities, self.drift, merged, self.beam, self.grid)
            residuals, points = fitted.residuals, fitted.points
            _LOG.info("%d of %d sources of the start model are points", len(points[0]), len(start))
        if residuals is visibilities and len(self.outlier_sources.sources):
            residuals = visibilities.copy()
        outliers = self.outlier_sources.subtract(residuals, self.outlier_sources.none(), self.beam_rad)
        spectra = SpectraModel()
        offsets = OffsetModel()
        if len(points[0]):
            faintest = float(points[2].min())
            spectra = self.spectra.subtract(residuals, spectra, points, self.beam_rad, faintest)
            offsets = self.dish_offsets.subtract(residuals, offsets, points)
        return State(
            residual_visibilities=residuals,
            residual=self.gridder.dirty(residuals),
            model=np.zeros((n, n), np.float32),
            components=join(),
            points=points,
            outliers=outliers,
            spectra=spectra,
            offsets=offsets,
            mask=mask,
            near_bright=self._near_bright(points) if len(points[0]) else None,
        )

    def _near_bright(self, points: Points) -> NDArray[np.bool_]:
        """Pixels near the brightest of some points."""
        l, m, flux = points
        near = np.zeros((self.grid.n_pixels,) * 2, bool)
        reach = round(_ARTEFACT_BEAMS * self._beam_pixels)
        rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
        disk = rows**2 + columns**2 <= reach**2
        for k in np.flatnonzero(flux >= _ARTEFACT_SIGMA * self.expected_noise_jy):
            x, y = (round(float(v)) for v in self.grid.pixels(l[k], m[k]))
            top, left = max(y - reach, 0), max(x - reach, 0)
            part = near[top : y + reach + 1, left : x + reach + 1]
            part |= disk[top - y + reach :, left - x + reach :][: part.shape[0], : part.shape[1]]
        return near

    def run(self, state: State) -> State:
        """Major cycles, until nothing stands out of the noise or another changes nothing."""
        while (
            state.n_major_cycles < self.options.major_cycles and state.n_components < self.options.iterations
        ):
            state, search = self.search(state)
            # A peak that another cycle has not lowered is not one that CLEAN can take away.
            settled = (
                search.noise > (1 - _LEAST_PROGRESS) * state.noise and search.peak > _LEAST_FALL * state.peak
            )
            # Noise over the expected one may have sidelobes in it, and these be what peaks.
            done = search.peak < _DONE_SIGMA * min(search.noise, _NOISY * self.expected_noise_jy)
            if done or settled:
                break
            found, stop = self.minor_cycle(state, search)
            if not found.n_components:
                break
            state = replace(state, noise=search.noise, peak=search.peak)
            # Prediction needs the room.
            del search
            after = self.major_cycle(state, found, stop)
            if robust_rms(after.residual) > _WORSE * robust_rms(state.residual):
                _LOG.warning("major cycle %d raised the noise: it is taken back", after.n_major_cycles)
                break
            state = after
        return state

    def search(self, state: State) -> tuple[State, Search]:
        """Open the mask around the residual's peaks, and look for what is to be taken there."""
        expected = self.expected_noise_jy
        noise = max(robust_rms(state.residual), expected)
        local = np.maximum(noise_map(state.residual, self._beam_pixels), np.float32(expected))
        smoothed = self.scales.smoothed(state.residual, self.gridder.threads)
        mask = state.mask.copy()
        near = np.zeros((0, 0), np.bool_) if state.near_bright is None else state.near_bright
        for image in smoothed:
            _open_at_peaks(mask, image, local, near, self._mask_reach)
        threshold = np.multiply(local, self.options.threshold_sigma, out=local, dtype=np.float32)
        is_above = [np.empty(mask.shape, np.bool_) for _ in smoothed]
        peak = max(
            _look_above(image, threshold, mask, above)
            for image, above in zip(smoothed, is_above, strict=True)
        )
        _LOG.info(
            "major cycle %d: noise %.3g, peak %.4g Jy/beam, %d components, next to %.2g of the peak",
            *(state.n_major_cycles, noise, peak, state.n_components, state.depth),
        )
        return replace(state, mask=mask), Search(smoothed, is_above, threshold, noise, peak)

    def minor_cycle(self, state: State, search: Search) -> tuple[MinorCycle, float]:
        """Components of the residual image, and the height at which the search for them stopped, Jy/beam."""
        active, stop = search.active(state.depth * search.peak)
        found = minor_cycle(
            active,
            search.smoothed,
            search.threshold,
            self.scales,
            self.plane,
            self.grid,
            near_pixels=_NEAR_BEAMS * self._beam_pixels,
            gain=self.options.gain,
            stop=stop,
            iterations=self.options.iterations - state.n_components,
            threads=self.gridder.threads,
        )
        return found, stop

    def major_cycle(self, state: State, found: MinorCycle, stop: float) -> State:
        """The state after what a minor cycle found is in the model.

        Parameters
        ----------
        state : State
            Not changed.
        found : MinorCycle
            Its model image becomes that of the next state.
        stop : float
            What the minor cycle has left of every source, Jy/beam.
        """
        n_major_cycles, n_components = state.n_major_cycles + 1, state.n_components + found.n_components
        may_wait = n_major_cycles < self.options.major_cycles and n_components < self.options.iterations
        fitted, rest = self._fit_points(state, found, stop, may_wait=may_wait)
        points = join(state.points, fitted.points)
        residuals = fitted.residuals
        if len(rest[0]):
            residuals = self._predictor.subtract(residuals, *rest, self._visibility_error)
        elif residuals is state.residual_visibilities:
            residuals = residuals.copy()
        outliers = self.outlier_sources.subtract(residuals, state.outliers, self.beam_rad)
        model = found.model
        model += state.model
        on_pixels = components(model, self.grid)
        spectra = self.spectra.subtract(
            residuals, state.spectra, join(on_pixels, points), self.beam_rad, stop
        )
        offsets = self.dish_offsets.subtract(residuals, state.offsets, points)
        residual = self.gridder.dirty(residuals)
        # Where all waits, another cycle finds it, whatever this one changes.
        waits = not len(rest[0])
        return State(
            residual_visibilities=residuals,
            residual=residual,
            model=model,
            components=on_pixels,
            points=points,
            outliers=outliers,
            spectra=spectra,
            offsets=offsets,
            mask=state.mask,
            near_bright=state.near_bright,
            n_components=n_components,
            n_major_cycles=n_major_cycles,
            depth=self._depth(state, found, residual, n_new_points=len(fitted.points[0])),
            noise=float("inf") if waits else state.noise,
            peak=float("inf") if waits else state.peak,
        )

    def _fit_points(
        self, state: State, found: MinorCycle, stop: float, *, may_wait: bool
    ) -> tuple[FittedPoints, Points]:
        """Fit the bright points among what a minor cycle found, and leave the rest in its model image."""
        l, m, flux = components(found.model, self.grid)
        fitted, is_rest = fit_bright_points(
            state.residual_visibilities,
            self.drift,
            found=(l, m, flux),
            known=state.all_components,
            beam=self.beam,
            grid=self.grid,
            faintest_jy=_POINT_SIGMA * self.expected_noise_jy,
            left_jy=stop,
            may_wait=may_wait,
        )
        found.model[found.model != 0] *= is_rest
        return fitted, (l[is_rest], m[is_rest], flux[is_rest])

    def _depth(
        self, state: State, found: MinorCycle, residual: NDArray[np.float32], n_new_points: int
    ) -> float:
        """How deep the next minor cycle may go, by the errors that this one is seen to have made."""
        if n_new_points:
            # Nothing of those is left for its errors to be seen.
            return _FIRST_DEPTH
        errors = np.abs(residual[found.ys, found.xs] - found.flux)
        error = float(np.quantile(errors, 0.999)) / state.peak
        return float(np.clip(_DEPTH_OF_ERROR * error, *_DEPTHS))


@numba.njit(cache=True, inline="always")
def _open_square(mask: NDArray[np.bool_], y: int, x: int, reach: int) -> None:
    mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True


@numba.njit(cache=True)
def _open_around(mask: NDArray[np.bool_], places: NDArray[np.bool_], reach: int) -> None:
    """Open the squares of a mask around some pixels."""
    ny, nx = places.shape
    for y in range(ny):
        for x in range(nx):
            if places[y, x]:
                _open_square(mask, y, x, reach)


@numba.njit(cache=True, parallel=True)
def _open_at_peaks(
    mask: NDArray[np.bool_],
    image: NDArray[np.float32],
    local: NDArray[np.float32],
    near_bright: NDArray[np.bool_],
    reach: int,
) -> None:
    """Open the squares of a mask around what stands out of the local noise.

    ``near_bright`` is empty where there is none.  Squares of two rows may be opened at once: either says the
    same.
    """
    ny, nx = image.shape
    is_lower = len(near_bright) > 0
    for y in numba.prange(ny):
        for x in range(nx):
            sigma = _ARTEFACT_MASK_SIGMA if is_lower and near_bright[y, x] else _MASK_SIGMA
            if image[y, x] > np.float32(sigma) * local[y, x]:
                _open_square(mask, y, x, reach)


@numba.njit(cache=True, parallel=True)
def _look_above(
    image: NDArray[np.float32],
    threshold: NDArray[np.float32],
    mask: NDArray[np.bool_],
    is_above: NDArray[np.bool_],
) -> float:
    """Which pixels of a mask are above the threshold, and how far from zero the farthest of them is."""
    ny, nx = image.shape
    peaks = np.zeros(ny, np.float32)
    for y in numba.prange(ny):
        for x in range(nx):
            height = abs(image[y, x])
            is_above[y, x] = mask[y, x] and height > threshold[y, x]
            if is_above[y, x]:
                peaks[y] = max(peaks[y], height)
    return peaks.max()
