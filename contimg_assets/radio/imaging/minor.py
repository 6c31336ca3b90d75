"""The minor cycle: Clark's, at some scales, with a dirty beam that bends over the field.

At one instant the array lies in a plane, so its w is a·u + b·v and a source at
(l, m) has the phase of one at (l + a(n−1), m + b(n−1)) on an array without w.
In those *sheared* coordinates the dirty beam is the same over the whole field
(Cornwell & Perley 1992, ASP Conf. Ser. 6, 243); in the image's own it is not,
and far sidelobes would be taken away beside their place.  Over five minutes the
plane turns by a degree only: what that leaves, the next major cycle sees.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.array_plane import Plane
from contimg_assets.radio.imaging.scales import Scales

#: A round of a minor cycle in which the peak grows by this is given up: it is made again with all islands
#: near one another, or the cycle ends before it.
_RUNAWAY = 1.5
#: The brightest islands that one works on; which are near which is a table of their number squared.
_MOST_ISLANDS = 3000


@dataclass(frozen=True)
class MinorCycle:
    """What a minor cycle found and what it left."""

    model: NDArray[np.float32]
    """Components, Jy/pixel, shape (n, n)."""
    n_components: int
    ys: NDArray[np.int64]
    """Rows of the pixels worked on."""
    xs: NDArray[np.int64]
    flux: NDArray[np.float32]
    """What it believes is left there, Jy/beam, seen as points."""


@numba.njit(cache=True, inline="always")
def _response(psf: NDArray[np.float32], step: float, dy: float, dx: float) -> float:
    """The dirty beam between pixels, bilinearly."""
    if dx < 0:
        dy, dx = -dy, -dx
    y, dx = dy / step + psf.shape[0] // 2, dx / step
    i, j = int(y), int(dx)
    fy, fx = y - i, dx - j
    upper = psf[i, j] + fx * (psf[i, j + 1] - psf[i, j])
    lower = psf[i + 1, j] + fx * (psf[i + 1, j + 1] - psf[i + 1, j])
    return upper + fy * (lower - upper)


@numba.njit(cache=True)
def _peak(flux: NDArray[np.float32], floor: NDArray[np.float32], start: int, end: int) -> int:
    """The pixel furthest from zero among those above their floor, or −1."""
    best, largest = -1, np.float32(0.0)
    for k in range(start, end):
        height = abs(flux[k])
        if height > largest and height > floor[k]:
            best, largest = k, height
    return best


@numba.njit(cache=True)
def _clean_near(
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    flux: NDArray[np.float32],
    floor: NDArray[np.float32],
    psfs: tuple[NDArray[np.float32], ...],
    steps: NDArray[np.int64],
    scale: NDArray[np.int64],
    island: NDArray[np.int64],
    starts: NDArray[np.int64],
    near: NDArray[np.bool_],
    gain: float,
    stop: float,
    limit: float,
    iterations: int,
    taken: NDArray[np.float32],
) -> int:
    """CLEAN down to ``stop``, subtracting components from the islands near them, or up to ``limit``."""
    n_islands, n_scales = len(starts) - 1, scale.max() + 1
    peaks = np.array([_peak(flux, floor, starts[i], starts[i + 1]) for i in range(n_islands)])
    for step in range(iterations):
        best = -1
        for k in peaks:
            if k >= 0 and (best < 0 or abs(flux[k]) > abs(flux[best])):
                best = k
        if best < 0 or abs(flux[best]) <= stop or abs(flux[best]) > limit:
            return step
        amount = gain * flux[best]
        taken[best] += amount
        for i in range(n_islands):
            if near[island[best], i]:
                for k in range(starts[i], starts[i + 1]):
                    pair = scale[best] * n_scales + scale[k]
                    flux[k] -= amount * _response(
                        psfs[pair], int(steps[pair]), rows[k] - rows[best], columns[k] - columns[best]
                    )
                peaks[i] = _peak(flux, floor, starts[i], starts[i + 1])
    return iterations


@numba.njit(cache=True, parallel=True)
def _subtract_far(
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    flux: NDArray[np.float32],
    psfs: tuple[NDArray[np.float32], ...],
    steps: NDArray[np.int64],
    scale: NDArray[np.int64],
    island: NDArray[np.int64],
    near: NDArray[np.bool_],
    taken: NDArray[np.float32],
    parts: int,
) -> None:
    """Subtract components from the islands that are not near them."""
    n_scales = scale.max() + 1
    components = np.flatnonzero(taken)
    for part in numba.prange(parts):
        for c in components:
            for k in range(part * len(flux) // parts, (part + 1) * len(flux) // parts):
                if not near[island[c], island[k]]:
                    pair = scale[c] * n_scales + scale[k]
                    flux[k] -= taken[c] * _response(
                        psfs[pair], int(steps[pair]), rows[k] - rows[c], columns[k] - columns[c]
                    )


def minor_cycle(
    active: NDArray[np.bool_],
    smoothed: list[NDArray[np.float32]],
    floor: NDArray[np.float32],
    scales: Scales,
    plane: Plane,
    grid: ImageGrid,
    *,
    near_pixels: float,
    gain: float,
    stop: float,
    iterations: int,
    threads: int,
) -> MinorCycle:
    """CLEAN some pixels of an image.

    Pixels that touch form islands.  A component is subtracted at once from the
    islands near it and, with all others taken meanwhile, from the far ones each
    time the peak has halved: the far ones see sidelobes only.

    Parameters
    ----------
    active : ndarray of bool, shape (n, n)
        Pixels to work on.
    smoothed : list of ndarray, shape (n, n)
        The residual at each scale, Jy/beam.
    floor : ndarray, shape (n, n)
        A pixel below it is left alone, Jy/beam.
    scales : Scales
        With the dirty beams, which reach as far as any two pixels are apart: cut off, they
        would no longer be positive definite, and CLEAN could run away.
    plane : Plane
    grid : ImageGrid
    near_pixels : float
        Islands this near are subtracted from at once.
    gain : float
    stop : float
        The peak at which to end, Jy/beam.
    iterations : int
        Most components.
    threads : int

    Returns
    -------
    MinorCycle
    """
    ys, xs, firsts, island = _islands(active, smoothed)
    # Each pixel once at every scale, those of an island together.
    n_scales, n_pixels = len(smoothed), len(ys)
    order = np.argsort(np.tile(island, n_scales), kind="stable")
    place, scale = order % n_pixels, order // n_pixels
    near = _near(ys, xs, np.append(firsts, n_pixels), near_pixels)
    rows, columns = (f[place] for f in plane.shear(ys, xs, grid))
    flux = np.stack([image[ys, xs] for image in smoothed]).reshape(-1)[order]
    low, island = floor[ys, xs][place], island[place]
    taken, sums, used = np.zeros_like(flux), np.zeros_like(flux), 0
    starts = n_scales * np.append(firsts, n_pixels)
    peak = _height(flux, low)
    limit = _RUNAWAY * peak
    shared = scales.halves, scales.steps, scale, island
    while stop < peak and used < iterations:
        taken[:], before = 0, flux.copy()
        target, most = max(stop, peak / 2), iterations - used
        n = _clean_near(rows, columns, flux, low, *shared, starts, near, gain, target, limit, most, taken)
        _subtract_far(rows, columns, flux, *shared, near, taken, threads)
        peak = _height(flux, low)
        if not peak < limit:
            flux, peak = before, _height(before, low)
            if near.all():
                break
            # Far islands that saw a component too late made it grow: from now on all see it at once.
            near[:] = True
            continue
        sums += taken
        used += n
    model = np.zeros_like(floor)
    for s in range(n_scales):
        own = np.flatnonzero((scale == s) & (sums != 0))
        scales.add_components(model, s, ys[place[own]], xs[place[own]], sums[own])
    left = np.empty(n_pixels, np.float32)
    left[place[scale == 0]] = flux[scale == 0]
    return MinorCycle(model, used, ys, xs, left)


def _islands(
    active: NDArray[np.bool_], smoothed: list[NDArray[np.float32]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of pixels, island after island; the first of each island, and each pixel's island."""
    labels, n_islands = label(active, np.ones((3, 3)))
    ys, xs = np.nonzero(active)
    if n_islands > _MOST_ISLANDS:
        heights = np.zeros(n_islands + 1, np.float32)
        for image in smoothed:
            np.maximum.at(heights, labels[ys, xs], np.abs(image[ys, xs]))
        keep = np.isin(labels[ys, xs], np.argsort(heights, kind="stable")[-_MOST_ISLANDS:])
        ys, xs = ys[keep], xs[keep]
    order = np.argsort(labels[ys, xs], kind="stable")
    ys, xs = ys[order], xs[order]
    _, firsts, island = np.unique(labels[ys, xs], return_index=True, return_inverse=True)
    return ys, xs, firsts, island


def _height(flux: NDArray[np.float32], floor: NDArray[np.float32]) -> float:
    """The largest distance from zero among pixels above their floor."""
    heights = np.abs(flux)
    return float(np.max(np.where(heights > floor, heights, 0), initial=0.0))


def _near(
    ys: NDArray[np.int64], xs: NDArray[np.int64], starts: NDArray[np.int64], reach: float
) -> NDArray[np.bool_]:
    """Which islands' bounding boxes come nearer than ``reach`` to which, shape (n, n)."""
    gap = np.zeros((len(starts) - 1,) * 2, np.float32)
    for places in (ys, xs):
        low, high = (f.reduceat(places, starts[:-1]) for f in (np.minimum, np.maximum))
        apart = np.maximum(low[:, None] - high, low - high[:, None])
        gap = np.maximum(gap, apart)
    return gap < reach
