"""What is neither source nor noise in an image: stripes, bowls, rings, a beam out of shape."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from contimg_assets.radio.images.source_finding import Found, ImagePlane, fit_point, gaussian
from contimg_assets.radio.robust import mad_sigma

#: Middle of the image whose spectrum is taken, pixels.
_SPECTRUM = 2048
#: Cells of the (u, v) plane with less than this part of the highest weight hold no data.
_LEAST_WEIGHT = 0.02
#: Power of a cell over the median, past which it is a stripe: noise reaches it with a
#: probability of 2^-20, once in a million cells.
_STRIPE = 20.0
#: Bins of equally many cells by weight, at most, and cells of one, at least.
_BINS, _BIN = 32, 200
#: Spacings that see structure of half a degree (the Sun), wavelengths; fewer cells than these tell nothing.
_SHORT_WAVELENGTHS, _FEWEST_CELLS = 100.0, 12
#: Bright sources around which artefacts are looked for, and their least signal-to-noise ratio.
_N_BRIGHT, _BRIGHT_SIGMA = 10, 50.0


@dataclass(frozen=True)
class Cells:
    """Cells of the (u, v) plane that hold data, shape (n_cells,)."""

    power: NDArray[np.float32]
    """Of the residual, divided by the weight."""
    weight: NDArray[np.float32]
    spacing: NDArray[np.float64]
    """Cycles per pixel."""


def white_cells(residual: NDArray[np.float32], psf: NDArray[np.float32]) -> Cells | None:
    """The residual's spectrum divided by that of the dirty beam (the weights); None without a residual.

    Parameters
    ----------
    residual, psf : ndarray, shape (n, n)
    """
    n = min(_SPECTRUM, *residual.shape)
    n -= n % 2
    middle = slice(residual.shape[0] // 2 - n // 2, residual.shape[0] // 2 + n // 2)
    taper = np.hanning(n).astype(np.float32)
    window = taper[:, None] * taper[None, :]
    cut = residual[middle, middle]
    if not np.isfinite(cut).all() or np.ptp(cut) == 0:
        return None
    power = np.abs(fft.rfft2(cut * window)) ** 2
    weight = np.abs(fft.rfft2(psf[middle, middle] * window))
    used = weight > _LEAST_WEIGHT * weight.max()
    spacing = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None, :])
    return Cells(power[used] / weight[used], weight[used], spacing[used])


def stripe_fraction(cells: Cells | None) -> float:
    """Part of the residual's power that sits in single cells of the (u, v) plane.

    A bad baseline, channel or integration, or a source outside the field, puts
    power into few cells, which is stripes in the image.  Each cell is held against the median of those of
    like weight: Briggs weighting gives cells with few data more noise for their weight than others.

    Parameters
    ----------
    cells : Cells or None
        From :func:`white_cells`.

    Returns
    -------
    float
        0 for noise, 1 for stripes and nothing else; NaN for an image that is blank or constant.
    """
    if cells is None:
        return float("nan")
    relative = np.empty_like(cells.power)
    for part in np.array_split(np.argsort(cells.weight), max(1, min(_BINS, len(cells.weight) // _BIN))):
        relative[part] = cells.power[part] / np.median(cells.power[part])
    hot = relative > _STRIPE
    return float(relative[hot].sum() / relative.sum())


def short_spacing_excess(cells: Cells | None, cell_rad: float) -> float | None:
    """Power of the residual on spacings that see half a degree, over that on the others: 1 for noise.

    The Sun in the dishes' sidelobes, emission that CLEAN cannot hold, and interference that all dishes hear
    alike are there and nowhere else.

    Parameters
    ----------
    cells : Cells or None
        From :func:`white_cells`.
    cell_rad : float
        Width of a pixel.

    Returns
    -------
    float or None
        None where the image has too few cells of such spacings.
    """
    if cells is None:
        return None
    near = cells.spacing / cell_rad < _SHORT_WAVELENGTHS
    if near.sum() < _FEWEST_CELLS or (~near).sum() < _FEWEST_CELLS:
        return None
    return float(np.median(cells.power[near]) / np.median(cells.power[~near]))


@dataclass(frozen=True)
class Around:
    """Artefacts around bright sources, over the local noise of a mean (1 is what noise does)."""

    bowl_sigma: float
    """Median over bright sources of minus the mean residual within 1–3 beams."""
    ring_sigma: float
    """Largest mean of a ring around the brightest source, out to 10 beams."""
    local_dynamic_range: float
    """Brightest source over the residual's robust rms within 10 beams of it."""


def around_bright(residual: NDArray[np.float32], plane: ImagePlane, sources: list[Found]) -> Around | None:
    """Look at the residual around the brightest sources; None if none is bright enough."""
    bright = sorted(
        (s for s in sources if s.signal_to_noise >= _BRIGHT_SIGMA), key=lambda s: -s.point.flux_jy
    )[:_N_BRIGHT]
    reach = int(np.ceil(10 * plane.major_pixels))
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    sin, cos = np.sin(plane.position_angle_rad), np.cos(plane.position_angle_rad)
    radius = np.hypot((yy * cos - xx * sin) / plane.major_pixels, (xx * cos + yy * sin) / plane.minor_pixels)
    # Independent samples: a pixel is this part of a beam.
    per_beam = 4 * np.log(2) / (np.pi * plane.major_pixels * plane.minor_pixels)
    bowls, rings, ranges = [], [], []
    for source in bright:
        x, y = round(source.point.x), round(source.point.y)
        ny, nx = residual.shape
        if not (reach <= x < nx - reach and reach <= y < ny - reach):
            continue
        cut = residual[y - reach : y + reach + 1, x - reach : x + reach + 1]
        for inner, outer in [(1.0, 3.0), *((r, r + 1.0) for r in range(1, 10))]:
            chosen = (radius >= inner) & (radius < outer)
            mean = float(cut[chosen].mean()) * np.sqrt(chosen.sum() * per_beam) / source.noise_jy
            if outer - inner == 2:
                bowls.append(-mean)
            elif not ranges:
                rings.append(abs(mean))
        ranges.append(source.point.flux_jy / max(mad_sigma(cut[radius < 10]), 1e-30))
    if not ranges:
        return None
    return Around(float(np.median(bowls)), float(max(rings)), float(ranges[0]))


@dataclass(frozen=True)
class BeamShape:
    """How good a Gaussian the dirty beam's core is."""

    misfit: float
    """Largest difference of dirty and restoring beam where the latter is above a half."""
    sidelobe: float
    """Largest absolute value of the dirty beam from 2 beams outwards."""
    flux_error: float
    """What the source list measures on the dirty beam itself, from 1: the part of what CLEAN leaves of every
    source that it loses, or counts twice.  NaN where it cannot be measured."""


def beam_shape(psf: NDArray[np.float32], plane: ImagePlane) -> BeamShape:
    """Hold the dirty beam against the restoring beam."""
    half = min(psf.shape[0] // 2 - 1, int(np.ceil(20 * plane.major_pixels)))
    middle = psf.shape[0] // 2
    cut = psf[middle - half : middle + half + 1, middle - half : middle + half + 1]
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    model = gaussian(xx, yy, plane.major_pixels, plane.minor_pixels, plane.position_angle_rad)
    core, outside = model > 0.5, model < 0.5 ** (4.0**2)
    point = fit_point(replace(plane, pixels=cut), half, half)
    return BeamShape(
        float(np.abs(cut - model)[core].max()),
        float(np.abs(cut[outside]).max()),
        abs(point.flux_jy - 1.0) if point is not None else float("nan"),
    )
