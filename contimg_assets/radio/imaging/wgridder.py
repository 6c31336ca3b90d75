"""Our own engine: Cotton–Schwab CLEAN on a w-gridder.

The minor cycle works on the list of bright pixels (``minor.py``); each major
cycle predicts what it found into the visibilities and grids what is left, so
errors of the minor cycle do not stay, and their size, seen there, says how deep
the next may go.  CLEAN looks only where a peak has stood out of the noise
*measured around it*, and goes deep there.
"""

import logging
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.components import components, join, points_image
from contimg_assets.radio.images.grid import ARCSEC
from contimg_assets.radio.images.noise import noise_map, robust_rms
from contimg_assets.radio.images.restore import FWHM_TO_SIGMA, fit_beam, restore
from contimg_assets.radio.imaging.bright_points import fit_points, merge, take_bright_points
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.drift_prediction import SeenPredictor
from contimg_assets.radio.imaging.engine import EngineImages
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.minor import Plane, minor_cycle
from contimg_assets.radio.imaging.outlier_sources import OutsideSources
from contimg_assets.radio.imaging.scales import Scales
from contimg_assets.radio.imaging.spectra import Spectra
from contimg_assets.radio.imaging.start_model import Appearance

_LOG = logging.getLogger(__name__)
#: A peak this many times the noise opens the mask around it.
_MASK_SIGMA = 5.0
#: CLEAN is done when nothing stands out of the noise by this: hardly enough to open the mask.
_DONE_SIGMA = 6.0
#: The first minor cycle stops at this part of the peak …
_FIRST_DEPTH = 0.02
#: … and later ones at this many times the error that the last was seen to make, …
_DEPTH_OF_ERROR = 2.0
#: … within these bounds.
_DEPTHS = (0.01, 0.3)
#: Sources this many times the noise are fitted in the visibilities, if they are points.
_POINT_SIGMA = 50.0
#: A major cycle that raises the noise by this is taken back.
_WORSE = 1.02
#: Pixels that a minor cycle works on at most: its cost a component.
_LONGEST_LIST = 100_000
#: A major cycle that lowers the noise by less than the one and leaves the peak above
#: the other part of what it was is the last.
_LEAST_PROGRESS, _LEAST_FALL = 0.01, 0.5
#: Width of the part of the dirty beam to which the restoring beam is fitted.
_CORE_PIXELS = 512
#: Islands this near to a component are subtracted from at once.
_NEAR_BEAMS = 10.0
#: Accuracies of the gridder, and the error of an image, in units of its expected
#: noise, for which it is chosen between them; that of the dirty beam.
_ACCURACIES = (1e-5, 1e-2)
_BEAM_ACCURACY = 1e-3
_GRIDDING_ERROR = 0.3


def run_wgridder(
    gridder: Gridder,
    visibilities: NDArray[np.complex64],
    drift: Drift | None,
    *,
    iterations: int,
    gain: float,
    threshold_sigma: float,
    expected_noise_jy: float,
    major_cycles: int,
    scales_arcsec: tuple[float, ...] = (0.0,),
    start: Appearance | None = None,
    outside: OutsideSources | None = None,
    spectra: Spectra | None = None,
) -> EngineImages:
    """Image and deconvolve.

    Parameters
    ----------
    gridder : Gridder
        Image geometry and weights.
    visibilities : ndarray, shape (n_visibilities,)
    drift : Drift, optional
        How components change through the group; None: not at all.
    iterations : int
        Most CLEAN components.
    gain : float
        Loop gain.
    threshold_sigma : float
        CLEAN stops at this multiple of the residual's noise, measured around each
        pixel, or of the expected noise, whichever is higher.
    expected_noise_jy : float
    major_cycles : int
        Most major cycles.
    scales_arcsec : tuple of float
        Full widths at half maximum of components; the first is zero, a point.
    start : Appearance, optional
        Sources to start with: they open the mask, and those that are points are in the model from the
        beginning. Needs a drift.
    outside : OutsideSources, optional
        Sources beyond the image, taken from the visibilities in every major cycle.
    spectra : Spectra, optional
        Spectra of bright sources within it, likewise.

    Returns
    -------
    EngineImages
    """
    grid = gridder.grid
    n, cell_arcsec = grid.n_pixels, grid.cell_arcsec
    plane = Plane.fit(gridder.uvw, gridder.weights)
    predictor = SeenPredictor.of(gridder, drift)
    reach = n + plane.margin(grid)
    half = replace(gridder, accuracy=_BEAM_ACCURACY).psf_half(reach + reach % 2, reach + reach % 2)
    beam = fit_beam(_whole(half, min(n, _CORE_PIXELS)), cell_arcsec)
    sigmas = tuple(width / cell_arcsec * FWHM_TO_SIGMA for width in scales_arcsec)
    scales = Scales.of(replace(gridder, accuracy=_BEAM_ACCURACY), sigmas, half)
    beam_rad = beam.major_arcsec * ARCSEC
    model = np.zeros((n, n), np.float32)
    # Components on pixels, and points between them.
    pixels, points = join(), join()
    left = visibilities
    mask = np.zeros((n, n), bool)
    grow = max(1, round(beam.major_arcsec / cell_arcsec / 2))
    if start:
        if drift is None:
            raise ValueError("found a start without a drift; expected both")
        _open_around(mask, points_image(start.points, grid) != 0, grow)
        fitted = fit_points(left, drift, merge(start.points, beam), beam, grid)
        left, points = fitted.left, fitted.points
        _LOG.info("%d of %d sources of the catalogue are points of the start", len(points[0]), len(start))
    if outside:
        left = left.copy() if left is visibilities else left
        outside.take_from(left, beam_rad)
    if spectra and len(points[0]):
        spectra.take_from(left, points, beam_rad, float(points[2].min()))
    residual = replace(gridder, accuracy=_ACCURACIES[1]).dirty(left)

    used, cycles, depth = 0, 0, _FIRST_DEPTH
    last_noise, last_peak = np.inf, np.inf
    while cycles < major_cycles and used < iterations:
        noise = max(robust_rms(residual), expected_noise_jy)
        local = np.maximum(
            noise_map(residual, beam.major_arcsec / cell_arcsec), np.float32(expected_noise_jy)
        )
        views = scales.views(residual, gridder.threads)
        for view in views:
            _open_around(mask, view > _MASK_SIGMA * local, grow)
        low = np.multiply(local, threshold_sigma, out=local, dtype=np.float32)
        above = [mask & (np.abs(view) > low) for view in views]
        peak = max(
            (float(np.abs(v[a]).max()) for v, a in zip(views, above, strict=True) if a.any()), default=0.0
        )
        _LOG.info(
            "major cycle %d: noise %.3g, peak %.4g Jy/beam, %d components, next to %.2g of the peak",
            *(cycles, noise, peak, used, depth),
        )
        # A peak that another cycle has not lowered is not one that CLEAN can take away.
        settled = noise > (1 - _LEAST_PROGRESS) * last_noise and peak > _LEAST_FALL * last_peak
        if peak < _DONE_SIGMA * noise or settled:
            break
        last_noise, last_peak = noise, peak
        active, stop = _active(above, views, depth * peak)
        minor = minor_cycle(
            active,
            views,
            low,
            scales,
            plane,
            grid,
            near_pixels=_NEAR_BEAMS * beam.major_arcsec / cell_arcsec,
            gain=gain,
            stop=stop,
            iterations=iterations - used,
            threads=gridder.threads,
        )
        # Prediction needs the room.
        del views, above, active
        used += minor.n_components
        cycles += 1
        error = _GRIDDING_ERROR * expected_noise_jy
        undo = [part.remember() for part in (outside, spectra) if part]
        added, after_left, after_points = minor.model, left, points
        found = components(added, grid)
        if drift:
            fitted, rest = take_bright_points(
                *(left, drift, found, join(pixels, points), beam, grid),
                _POINT_SIGMA * expected_noise_jy,
                stop,
                may_wait=cycles < major_cycles and used < iterations,
            )
            after_left, after_points = fitted.left, join(points, fitted.points)
            added[added != 0] *= rest
            found = found[0][rest], found[1][rest], found[2][rest]
            if not len(found[0]):
                # Another cycle finds what waits for it, whatever this one changes.
                last_noise, last_peak = np.inf, np.inf
        if len(found[0]):
            after_left = predictor.subtract(after_left, *found, error)
        if outside:
            outside.take_from(after_left, beam_rad)
        added += model
        after_pixels = components(added, grid)
        if spectra:
            spectra.take_from(after_left, join(after_pixels, after_points), beam_rad, stop)
        after = replace(gridder, accuracy=float(np.clip(error / stop, *_ACCURACIES))).dirty(after_left)
        if robust_rms(after) > _WORSE * robust_rms(residual):
            _LOG.warning("major cycle %d raised the noise: it is taken back", cycles)
            for take_back in undo:
                take_back()
            break
        wrong = float(np.quantile(np.abs(after[minor.ys, minor.xs] - minor.flux), 0.999)) / peak
        depth = float(np.clip(_DEPTH_OF_ERROR * wrong, *_DEPTHS))
        if len(after_points[0]) > len(points[0]):
            # Nothing of those is left for its errors to be seen.
            depth = _FIRST_DEPTH
        model, pixels, points = added, after_pixels, after_points
        left, residual = after_left, after
    all_components = join(pixels, points)
    return EngineImages(
        image=restore(model, points, residual, beam, grid, gridder.threads),
        residual=residual,
        model=model + points_image(points, grid),
        psf=_whole(half, n),
        mask=mask,
        beam=beam,
        n_iterations=used,
        n_major_cycles=cycles,
        components=all_components,
        indices=spectra.indices(*all_components[:2], beam_rad) if spectra else None,
        spectra=spectra.measured() if spectra else (),
        outside=outside.as_list() if outside else (),
        outside_points=outside.as_points() if outside else None,
    )


@numba.njit(cache=True)
def _open_around(mask: NDArray[np.bool_], peaks: NDArray[np.bool_], reach: int) -> None:
    """Open the squares of a mask around some pixels."""
    ny, nx = peaks.shape
    for y in range(ny):
        for x in range(nx):
            if peaks[y, x]:
                mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True


def _active(
    above: list[NDArray[np.bool_]], views: list[NDArray[np.float32]], stop: float
) -> tuple[NDArray[np.bool_], float]:
    """Pixels for a minor cycle, and where it has to stop for there not to be too many.

    A pixel below the stop cannot become the peak but through sidelobes of what is
    taken; the next major cycle sees those.
    """
    heights = np.zeros_like(views[0])
    for is_above, view in zip(above, views, strict=True):
        np.maximum(heights, np.abs(view), out=heights, where=is_above)
    active = heights > 0.8 * stop
    if np.count_nonzero(active) > _LONGEST_LIST:
        stop = float(np.partition(heights[active], -_LONGEST_LIST)[-_LONGEST_LIST])
        active &= heights >= stop
    return active, stop


def _whole(half: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Dirty beam of the image's size, peak at n // 2, from the half that the other mirrors."""
    north, edge = half.shape[0] // 2, n // 2
    right = half[north - edge : north + edge, :edge]
    # (y, x) → (−y, −x)
    left = half[north - edge + 1 : north + edge + 1, 1 : edge + 1][::-1, ::-1]
    return np.ascontiguousarray(np.concatenate([left, right], axis=1))
