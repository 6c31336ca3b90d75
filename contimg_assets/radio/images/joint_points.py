"""Flux densities of an image's peaks, all together: what CLEAN has left of one source is not another.

CLEAN leaves some σ of *dirty* beam on each source that is too faint to be fitted in the visibilities, and the
dirty beam has a plateau: a σ or two a beam and more beside the source, where noise of 3σ then is a peak of
5σ.  So what CLEAN did about the peaks is undone (their components are put back into the residual as dirty
beams), and dirty beams at all peaks are fitted to it together.  A peak that is not high enough beside the
others is left out, the lowest first, and the others are fitted again without it.

Belongs here: peaks as points.  Does not belong here: where peaks are (``source_finding.py``), sizes
(``resolved_sources.py``), places that are known beforehand, and errors of what is measured there
(``photometry/fit.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.signal import fftconvolve
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

from contimg_assets.radio.images.gaussian_fits import Beam, Ellipse
from contimg_assets.radio.images.resolved_sources import Cleaned, Peak

#: Dirty beams are taken to this distance, in full widths: beyond are sidelobes of some per cent.
_REACH_BEAMS = 7.0
#: Pixels where the beam is over this part of its peak are fitted, as for one source alone.
_CORE = 0.5
#: Components within this of a peak (full widths) are of it.
_OWN_BEAMS = 1.0
#: Of brighter peaks CLEAN has left next to nothing, and the dirty beam is known to a per cent only: what was
#: taken of them stays taken.
_BRIGHT_SIGMA = 15.0


@dataclass(frozen=True)
class _Seen:
    """What a beam shows to the fit of a point at a distance from it: one if there is none."""

    values: NDArray[np.float64]
    """By distance in y and x, pixels, none in the middle."""

    @classmethod
    def of(cls, beam: NDArray[np.float64], ellipse: Ellipse) -> "_Seen":
        """Of a beam; the distances go so much less far as the core reaches."""
        core = _core(ellipse)
        weights = core / (core**2).sum()
        return cls(fftconvolve(beam, weights[::-1, ::-1], mode="valid"))

    def at(self, dx: NDArray[np.float64], dy: NDArray[np.float64]) -> NDArray[np.float64]:
        """At distances, nothing beyond what is known."""
        half = self.values.shape[0] // 2
        found = map_coordinates(self.values, [dy + half, dx + half], order=3, mode="constant")
        return np.asarray(found, np.float64)


def _core(ellipse: Ellipse, dx: float = 0.0, dy: float = 0.0) -> NDArray[np.float64]:
    """A beam's core on a square of pixels, beside its middle by a part of one."""
    half = int(np.ceil(ellipse.major))
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    profile = ellipse.profile(xx - dx, yy - dy)
    return np.where(profile > _CORE, profile, 0.0)


def joint_fluxes(
    peaks: Sequence[Peak], ellipse: Ellipse, cleaned: Cleaned, n_sigma: float
) -> NDArray[np.float64]:
    """Peaks' flux densities without what CLEAN has left of the others.

    Parameters
    ----------
    peaks : sequence of Peak
        As fitted in the restored image.
    ellipse : Ellipse
        The restoring beam.
    cleaned : Cleaned
    n_sigma : float
        Least signal-to-noise ratio.

    Returns
    -------
    ndarray, shape (n_peaks,)
        Jy/beam; NaN where the others leave less than the least.
    """
    if not peaks:
        return np.zeros(0)
    x, y, flux, noise = np.array([[p.x, p.y, p.flux_jy, p.noise_jy] for p in peaks]).T
    half = int(np.ceil(_REACH_BEAMS * ellipse.major))
    whole = half + int(np.ceil(ellipse.major))
    yy, xx = np.mgrid[-whole : whole + 1, -whole : whole + 1].astype(np.float64)
    dirty = _Seen.of(Beam(cleaned.psf, ellipse).middle(whole), ellipse)
    restored = _Seen.of(ellipse.profile(xx, yy), ellipse)
    tree = cKDTree(np.stack([x, y], axis=1))
    back, taken = _put_back(tree, flux >= _BRIGHT_SIGMA * noise, ellipse, cleaned, dirty, restored)
    left = np.array([_left(cleaned.residual, p, ellipse) for p in peaks])
    pairs = tree.query_pairs(half, output_type="ndarray")
    n, (i, j) = len(peaks), pairs.T
    near = dirty.at(x[i] - x[j], y[i] - y[j])
    own = np.full(n, float(dirty.values[half, half]))
    entries = np.concatenate([own, near, near])
    every = np.arange(n)
    places = np.concatenate([every, i, j]), np.concatenate([every, j, i])
    matrix = coo_array((entries, places), shape=(n, n)).tocsr()
    # What the fit of each alone has in it of residual and components gives way to its own part of them.
    return _without_the_low(matrix, left + back, flux - left - taken, n_sigma * noise, tree, half)


def _put_back(
    tree: cKDTree,
    is_bright: NDArray[np.bool_],
    ellipse: Ellipse,
    cleaned: Cleaned,
    dirty: _Seen,
    restored: _Seen,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the peaks' fits see of their components as dirty beams, and as restoring beams."""
    rows, columns = np.nonzero(cleaned.model)
    ys, xs = rows.astype(np.float64), columns.astype(np.float64)
    values = cleaned.model[rows, columns].astype(np.float64)
    sin, cos = np.sin(ellipse.angle), np.cos(ellipse.angle)

    def in_beams(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([(y * cos - x * sin) / ellipse.major, (x * cos + y * sin) / ellipse.minor], axis=-1)

    away, nearest = cKDTree(in_beams(*tree.data.T)).query(in_beams(xs, ys))
    of_faint = (away <= _OWN_BEAMS) & ~is_bright[nearest]
    xs, ys, values = xs[of_faint], ys[of_faint], values[of_faint]
    reach = dirty.values.shape[0] // 2
    about = cKDTree(np.stack([xs, ys], axis=1)).query_ball_point(tree.data, reach) if len(xs) else []
    peak = np.repeat(np.arange(len(about)), [len(some) for some in about])
    which = np.array([k for some in about for k in some], np.int64)
    dx, dy = tree.data[peak, 0] - xs[which], tree.data[peak, 1] - ys[which]

    def seen(beam: _Seen) -> NDArray[np.float64]:
        shown = values[which] * beam.at(dx, dy)
        return np.bincount(peak, shown, tree.n).astype(np.float64)

    return seen(dirty), seen(restored)


def _left(residual: NDArray[np.floating], peak: Peak, ellipse: Ellipse) -> float:
    """What a point's fit at a peak sees of the residual."""
    core = _core(ellipse, peak.x - round(peak.x), peak.y - round(peak.y))
    half, (ny, nx) = core.shape[0] // 2, residual.shape
    x0, y0 = round(peak.x) - half, round(peak.y) - half
    # The pixels that a place was found on are good; those about the place itself may go beyond.
    rows, columns = (slice(max(low, 0), low + core.shape[0]) for low in (y0, x0))
    pixels = residual[rows, columns].astype(np.float64)
    core = core[rows.start - y0 : ny - y0, columns.start - x0 : nx - x0]
    good = np.isfinite(pixels)
    return float((core * pixels)[good].sum() / (core[good] ** 2).sum())


def _without_the_low(
    matrix: "coo_array",
    seen: NDArray[np.float64],
    beside: NDArray[np.float64],
    least: NDArray[np.float64],
    tree: cKDTree,
    reach: float,
) -> NDArray[np.float64]:
    """Solve for all peaks, leave out the lowest of those below the least about, and solve again.

    Parameters
    ----------
    matrix : sparse array, shape (n, n)
        What the fit of each peak sees of the dirty beam of each.
    seen : ndarray, shape (n,)
        What it sees of all that is to be explained.
    beside : ndarray, shape (n,)
        What is to be added to each one's part of that.
    least : ndarray, shape (n,)
    tree : cKDTree
        Of the places.
    reach : float
        Peaks farther apart do not see one another.
    """
    kept = np.ones(len(seen), bool)
    while kept.any():
        which = np.flatnonzero(kept)
        part = np.atleast_1d(spsolve(matrix[which][:, which].tocsc(), seen[which]))
        flux = np.full(len(seen), np.nan)
        flux[which] = beside[which] + part
        low = which[flux[which] < least[which]]
        if not len(low):
            return flux
        gone: set[int] = set()
        for k in low[np.argsort(flux[low] / least[low], kind="stable")]:
            # One that has just lost a lower neighbour is looked at again.
            if gone.isdisjoint(tree.query_ball_point(tree.data[k], reach)):
                gone.add(int(k))
        kept[list(gone)] = False
    return np.full(len(seen), np.nan)
