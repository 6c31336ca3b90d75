"""Bright sources that are points, measured in the visibilities.

A minor cycle errs by some per cent of what it takes: its components stand on
pixels, and its dirty beam is that of a source which neither drifts nor has a
position off the array's plane.  A point has but a position and a flux density, and the
visibilities tell them to the noise.  So of a bright point nothing is left for the
next cycle, which begins with what is fainter.

Belongs here: which components make a bright source, and the fit of points.
Does not belong here: their spectra (``spectra.py``), outlier sources (``outlier_sources.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg_assets.radio.images.components import Points, join
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.point_sums import MOST_POINTS, Baselines, baselines_of, subtract_points

#: Passes over the visibilities at most; the fit has settled when no point changes by this many
#: times the noise.
_MOST_PASSES, _SETTLED_SIGMA = 6, 1.0
#: While others go on, one that changes by less than this many times the noise is left where it is.
_STILL_SIGMA = 0.2
#: One that is to settle changes by less than this part of what it has changed by in the pass before.
_SETTLING = 0.7
#: One that still changes by this part of its flux density and this many times the noise is no point.
_UNSETTLED, _UNSETTLED_SIGMA = 0.02, 5.0
#: Components that a source may be divided into, all alike.
_MOST_PARTS = 10
#: A source is one if at least this part of what is left of it has been found.
_LEAST_FOUND = 0.25
#: A source is no point if long and short baselines differ by this part of its flux density
#: and this many times their error.
_RESOLVED, _RESOLVED_SIGMA = 0.05, 6.0
#: Nor is one to be trusted that would move by this many beams, …
_FARTHEST_BEAMS = 0.5
#: … or is fainter by this factor than it was thought to be; one that varies may well be brighter.
_MOST_FALL = 2.0
#: While it is fitted, no flux density falls below this part of what it began with: what has none has no
#: position.
_LOWEST = 1e-3


#: A source's components, its flux density and its position.
Gathered = tuple[NDArray[np.bool_], float, NDArray[np.float64]]


def gather(positions: NDArray[np.float64], flux: NDArray[np.float32], least_jy: float) -> Iterator[Gathered]:
    """Sum components to sources: those near the brightest are its own, then the next of what is left.

    Parameters
    ----------
    positions : ndarray, shape (n, 2)
        In units of what is near.
    flux : ndarray, shape (n,)
        Jy.
    least_jy : float
        Fainter sources are left out, and none is looked for where the brightest component left is too faint
        a part of one.

    Yields
    ------
    own : ndarray of bool, shape (n,)
        The source's components.
    total : float
        Its flux density, Jy.
    position : ndarray, shape (2,)
        Mean position of what is positive, by flux density.
    """
    free = np.ones(len(flux), bool)
    while free.any():
        brightest = np.flatnonzero(free)[np.argmax(flux[free])]
        if flux[brightest] < least_jy / _MOST_PARTS:
            return
        own = free & (np.hypot(*(positions - positions[brightest]).T) <= 1.0)
        free &= ~own
        total = float(flux[own].sum(dtype=np.float64))
        if total > 0 and total >= least_jy:
            # Negative ones would take the mean out of the source.
            heights = np.maximum(flux[own], 0)
            yield own, total, heights @ positions[own] / heights.sum(dtype=np.float64)


@dataclass(frozen=True)
class FittedPoints:
    """What a fit found and what it left."""

    residuals: NDArray[np.complex64]
    """Visibilities less the points, shape (n_visibilities,)."""
    points: Points
    is_point: NDArray[np.bool_]
    """Which of the candidates are points, shape (n_candidates,); the points are those."""


def fit_points(
    visibilities: NDArray[np.complex64],
    drift: Drift,
    candidates: Points,
    beam: RestoringBeam,
    grid: ImageGrid,
) -> FittedPoints:
    """Fit positions and mean flux densities of points, all together, and subtract them.

    Each has its own normal equations; what points do to one another goes within a few
    passes (Jacobi's iteration).  Candidates that are not points are fitted along with the
    others, so that their sidelobes are not in those, and put back into the visibilities.

    Parameters
    ----------
    visibilities : ndarray, complex64, shape (n_visibilities,)
        Not changed.
    drift : Drift
        Geometry, weights, and how components change through the group.
    candidates : Points
        About where they are, and their mean apparent flux densities.
    beam : RestoringBeam
        The restoring beam.
    grid : ImageGrid
        Points lie within its edge.

    Returns
    -------
    FittedPoints
    """
    l, m, flux = candidates
    used = np.zeros(len(l), bool)
    used[np.argsort(-flux)[:MOST_POINTS]] = True
    used &= flux > 0
    if not used.any():
        return FittedPoints(visibilities, join(), used)
    begin = np.stack([l, m, flux])[:, used].astype(np.float64)
    residuals = np.empty_like(visibilities)
    baselines = baselines_of(drift)
    now, is_point = _fit(visibilities, residuals, drift, baselines, begin, beam)
    is_point &= grid.contains(now[0], now[1])
    is_point &= now[2] >= begin[2] / _MOST_FALL
    if not is_point.any():
        residuals = visibilities
    elif not is_point.all():
        rejected = now[:, ~is_point]
        rejected[2] *= -1
        subtract_points(residuals, residuals, drift, baselines, rejected)
    points = now[:, is_point]
    kept = used.copy()
    kept[used] = is_point
    return FittedPoints(residuals, (points[0], points[1], points[2].astype(np.float32)), kept)


def merge(points: Points, beam: RestoringBeam) -> Points:
    """Points that share a beam, as one."""
    return _as_points(list(gather(beam.in_beams(points[0], points[1]), points[2], 0.0)), beam)


def _as_points(sources: Sequence[Gathered], beam: RestoringBeam) -> Points:
    """Sources whose positions are in beams."""
    l, m = beam.from_beams(np.array([position for *_, position in sources]).reshape(-1, 2))
    return l, m, np.array([total for _, total, _ in sources], np.float32)


def fit_bright_points(
    visibilities: NDArray[np.complex64],
    drift: Drift,
    found: Points,
    known: Points,
    beam: RestoringBeam,
    grid: ImageGrid,
    faintest_jy: float,
    left_jy: float,
    *,
    may_wait: bool,
) -> tuple[FittedPoints, NDArray[np.bool_]]:
    """Fit the points among what a minor cycle found.

    Parameters
    ----------
    visibilities : ndarray, complex64, shape (n_visibilities,)
        From which nothing of it is subtracted yet; not changed.
    drift : Drift
    found : Points
        Components.
    known : Points
        The model before: what is found where there is something already is not all of a source.
    beam : RestoringBeam
        The restoring beam.
    grid : ImageGrid
    faintest_jy : float
        Fainter sources are left as they are.
    left_jy : float
        What the minor cycle has left of every source.
    may_wait : bool
        If points were found, what is no brighter than what is left of all is left to be found again: begun
        with components on pixels, it would never be fitted.

    Returns
    -------
    fitted : FittedPoints
    rest : ndarray of bool, shape (n_components,)
        Components to subtract as they are: those that belong to none of the points, unless they wait.
    """
    positions = beam.in_beams(found[0], found[1])
    least_jy = max(faintest_jy - left_jy, _LEAST_FOUND * left_jy)
    sources = [
        (own, total + left_jy, position) for own, total, position in gather(positions, found[2], least_jy)
    ]
    if sources and len(known[0]):
        tree = cKDTree(beam.in_beams(known[0], known[1]))
        new = tree.query(np.array([position for *_, position in sources]))[0] > 1.0
        sources = [source for source, is_new in zip(sources, new, strict=True) if is_new]
    fitted = fit_points(visibilities, drift, _as_points(sources, beam), beam, grid)
    rest = np.ones(len(found[0]), bool)
    for (own, *_), is_point in zip(sources, fitted.is_point, strict=True):
        rest &= ~(own & is_point)
    if may_wait and fitted.is_point.any() and rest.any():
        rest[rest] = _in_squares(positions[rest], found[2][rest]) >= left_jy / 2
    return fitted, rest


def _in_squares(positions: NDArray[np.float64], flux: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum of flux densities in each one's square of one beam; a source may lie in four of them."""
    _, square = np.unique(np.floor(positions).astype(np.int64), axis=0, return_inverse=True)
    square = square.reshape(-1)
    return np.abs(np.bincount(square, flux))[square]


def _fit(
    visibilities: NDArray[np.complex64],
    residuals: NDArray[np.complex64],
    drift: Drift,
    baselines: Baselines,
    begin: NDArray[np.float64],
    beam: RestoringBeam,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fit points, shape (3, n), and subtract them from the visibilities into ``residuals``.

    Returned are their l, m and flux densities, and which are points as far as the fit tells: settled,
    near to where they began, and alike on long and short baselines.
    """
    noise, points, n = drift.weights.expected_noise_jy, begin.copy(), begin.shape[1]
    measured, before, active = np.zeros((9, n)), begin.copy(), np.ones(n, bool)
    last = np.full(n, np.inf)
    for k in range(_MOST_PASSES):
        if 2 * np.count_nonzero(active) > n:
            measured[:] = subtract_points(visibilities, residuals, drift, baselines, points)
        else:
            # Of few, what has changed is cheaper than all again.
            less = before[:, active] * [[1.0], [1.0], [-1.0]]
            both = np.concatenate([points[:, active], less], axis=1)
            sums = subtract_points(residuals, residuals, drift, baselines, both)
            measured[:, active] = sums[:, : np.count_nonzero(active)]
        step = _Step.of(measured, points)
        offset = points[:2] + step.shift - begin[:2]
        far = np.hypot(*beam.in_beams(*offset).T) / _FARTHEST_BEAMS
        unsettled = step.moving >= _SETTLED_SIGMA * noise
        if k > 1:
            # By now the others are where they are; what is no point need not settle, and what does not settle
            # is none.
            unsettled &= (far < 1.0) & (points[2] >= begin[2] / _MOST_FALL) & (step.moving < _SETTLING * last)
        if not unsettled.any() or k == _MOST_PASSES - 1:
            break
        active = unsettled | ((step.moving < last) & (step.moving >= _STILL_SIGMA * noise))
        before, last = points.copy(), step.moving
        position = begin[:2] + offset / np.maximum(far, 1.0)
        flux = np.maximum(points[2] + step.change, _LOWEST * begin[2])
        points[:, active] = np.stack([*position, flux])[:, active]
    is_point = far < 1.0
    is_point &= step.moving < np.maximum(_UNSETTLED * points[2], _UNSETTLED_SIGMA * noise)
    return points, is_point & _alike(measured, points[2], noise)


@dataclass(frozen=True)
class _Step:
    """What the sums of a pass say that points should change by; each has its own normal equations."""

    change: NDArray[np.float64]
    """Of the flux density, Jy, shape (n,)."""
    shift: NDArray[np.float64]
    """Of l and m, shape (2, n)."""
    moving: NDArray[np.float64]
    """The larger of both as a change of flux density, Jy, shape (n,)."""

    @classmethod
    def of(cls, measured: NDArray[np.float64], points: NDArray[np.float64]) -> "_Step":
        short, long, short_total, long_total, by_l, by_m, ll, lm, mm = measured
        flux, total = points[2], short_total + long_total
        normal = np.stack([ll, lm, lm, mm], axis=-1).reshape(-1, 2, 2)
        across = np.stack([by_l, by_m], axis=-1)[..., None]
        # Baselines of one direction tell no position across it.
        shift = (np.linalg.pinv(normal, hermitian=True) @ across)[..., 0] / flux[:, None]
        change = (short + long) / total
        moved = flux * np.sqrt(np.einsum("ki,kij,kj->k", shift, normal, shift) / total)
        return cls(change, shift.T, np.maximum(np.abs(change), moved))


def _alike(measured: NDArray[np.float64], flux: NDArray[np.float64], noise: float) -> NDArray[np.bool_]:
    """Which points have one flux density on long and short baselines."""
    short, long, short_total, long_total = measured[:4]
    # Baselines of one length tell nothing of a size.
    alike = (short_total > 0) & (long_total > 0)
    which = np.flatnonzero(alike)
    difference = np.abs(long[which] / long_total[which] - short[which] / short_total[which])
    error = noise * np.sqrt(
        (short_total + long_total)[which] * (1 / long_total[which] + 1 / short_total[which])
    )
    alike[which] = difference < np.maximum(_RESOLVED * flux[which], _RESOLVED_SIGMA * error)
    return alike
