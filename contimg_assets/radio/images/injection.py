"""What would have been found: known sources put in, and looked for.

Sources at random places within the beam, at fixed multiples of the local noise,
looked for as the finder looks in the image itself.  Put into the finished image as
CLEAN would have left them (restoring beam, and the last few σ as dirty beam), they
test noise, artefacts, confusion, the finder, and how alike the two beams are.  Put
into the visibilities of a second image (``imaging/injection.py``, by a setting) they
test CLEAN as well, at the price of that image.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift, spline_filter

from contimg_assets.radio.images.peaks import find_peaks
from contimg_assets.radio.images.source_finding import (
    PEAK_PART,
    Found,
    ImagePlane,
    fit_point,
    gaussian,
)

#: Multiples of the local noise.
LEVELS = (5.0, 6.0, 7.0, 10.0, 20.0, 50.0)
#: Flux densities are compared from this level on: of fainter ones, those are found that noise has raised.
_COMPLETE_SIGMA = 7.0
#: Sources of each level.
_EACH = 80
#: From each other and from real sources, in beams: so each tests its own place.
_APART_BEAMS = 4.0
#: Degree of the splines by which a dirty beam is moved by a part of a pixel.
_SPLINE = 5
_SEED = 20260101


@dataclass(frozen=True)
class Recovery:
    """What became of the injected sources."""

    levels: tuple[float, ...]
    completeness: tuple[float, ...]
    """Found, of each level."""
    flux_ratio: float
    """Median of measured over injected, at 10σ and more."""
    flux_bias_sigma: float
    """Median of measured less injected over the local noise, at 7σ and more."""
    offset_beams: float
    """Median distance at 10σ and more, in beams (major axis)."""
    n_injected: int


def inject_and_recover(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    known: list[Found],
    n_sigma: float,
    least_power: float,
    psf: NDArray[np.float32],
    left_sigma: float,
) -> Recovery:
    """Put sources into an image and look for them.

    Parameters
    ----------
    plane : ImagePlane
        Before correction for the beam.
    power, noise : ndarray
        The beam and the local noise, same shape.
    known : list of Found
        Sources that are there already: nothing is put on top of them.
    n_sigma : float
        As for the source list.
    least_power : float
        Sources are put where the beam is above this.
    psf : ndarray
        Dirty beam, same shape, peak 1 in the middle.
    left_sigma : float
        What CLEAN leaves of a source, times the noise.
    """
    places, levels = choose_places(plane, power, noise, known, least_power)
    filled = plane.pixels.copy()
    half = int(np.ceil(2 * plane.major_pixels))
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    dirty = spline_filter(_middle(psf, half + 1), _SPLINE, mode="constant")
    for (x, y), level in zip(places, levels, strict=True):
        x0, y0 = round(x), round(y)
        left = min(left_sigma, level)
        shape = (level - left) * gaussian(
            xx - (x - x0), yy - (y - y0), plane.major_pixels, plane.minor_pixels, plane.position_angle_rad
        ) + left * shift(dirty, (y - y0, x - x0), order=_SPLINE, prefilter=False)[1:-1, 1:-1]
        filled[y0 - half : y0 + half + 1, x0 - half : x0 + half + 1] += noise[y0, x0] * shape
    return recover(replace(plane, pixels=filled), noise, places, levels, n_sigma)


def _middle(psf: NDArray[np.float32], half: int) -> NDArray[np.float64]:
    """The pixels about the middle of a dirty beam, shape (2 half + 1, 2 half + 1)."""
    y, x = (n // 2 for n in psf.shape)
    return psf[y - half : y + half + 1, x - half : x + half + 1].astype(np.float64)


def recover(
    plane: ImagePlane,
    noise: NDArray[np.float32],
    places: NDArray[np.float64],
    levels: NDArray[np.float64],
    n_sigma: float,
) -> Recovery:
    """Look for injected sources.

    Parameters
    ----------
    plane : ImagePlane
        With them.
    noise : ndarray
        Local noise, same shape.
    places : ndarray, shape (n, 2)
        Pixels x, y.
    levels : ndarray, shape (n,)
        Multiples of the local noise that were injected.
    n_sigma : float
        As for the source list.
    """
    ratio, offset = np.full(len(places), np.nan), np.full(len(places), np.nan)
    bias = np.full(len(places), np.nan)
    peaks = find_peaks(plane, noise, PEAK_PART * n_sigma).astype(float)
    for i, ((x, y), level) in enumerate(zip(places, levels, strict=True)):
        distance = np.hypot(*(peaks - (x, y)).T) if len(peaks) else np.array([np.inf])
        if distance.min() > plane.major_pixels / 2:
            continue
        point = fit_point(plane, *peaks[int(distance.argmin())])
        local = float(noise[round(y), round(x)])
        if point is not None and point.flux_jy >= n_sigma * local:
            ratio[i] = point.flux_jy / (level * local)
            bias[i] = point.flux_jy / local - level
            offset[i] = np.hypot(point.x - x, point.y - y) / plane.major_pixels
    found = np.isfinite(ratio)
    bright = found & (levels >= 10)
    complete = found & (levels >= _COMPLETE_SIGMA)
    return Recovery(
        LEVELS,
        tuple(float(found[levels == level].mean()) if (levels == level).any() else 0.0 for level in LEVELS),
        float(np.median(ratio[bright])) if bright.any() else float("nan"),
        float(np.median(bias[complete])) if complete.any() else float("nan"),
        float(np.median(offset[bright])) if bright.any() else float("nan"),
        len(places),
    )


def choose_places(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    known: list[Found],
    least_power: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random places (x, y) in the beam, apart from each other and from known sources, and their levels."""
    rng = np.random.default_rng(_SEED)
    margin = int(np.ceil(3 * plane.major_pixels))
    apart = _APART_BEAMS * plane.major_pixels
    ny, nx = plane.pixels.shape
    wanted, n_known = _EACH * len(LEVELS), len(known)
    taken = np.empty((n_known + wanted, 2))
    taken[:n_known] = np.array([(f.point.x, f.point.y) for f in known]).reshape(-1, 2)
    n_taken = n_known
    inside = np.argwhere(power[::8, ::8] >= least_power) * 8
    if not len(inside) or min(nx, ny) <= 2 * margin:
        return np.zeros((0, 2)), np.zeros(0)
    for y, x in inside[rng.permutation(len(inside))[: 40 * wanted]]:
        place = np.array([x, y]) + rng.uniform(-4, 4, 2)
        if not (margin < place[0] < nx - margin and margin < place[1] < ny - margin):
            continue
        if not noise[round(place[1]), round(place[0])] > 0:
            continue
        if np.hypot(*(taken[:n_taken] - place).T).min(initial=np.inf) < apart:
            continue
        taken[n_taken] = place
        n_taken += 1
        if n_taken == len(taken):
            break
    places = taken[n_known:n_taken]
    return places, np.resize(LEVELS, len(places))
