"""Sources in an image: found as peaks over the local noise, measured by fitting Gaussians.

Flux densities come from the image of even noise, divided by the beam at the
source: the beam's slope across a source and the rising noise of the corrected
image would each bias a fit there.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.restore import FWHM_TO_SIGMA

#: Sources are listed above this many times the local noise.
SOURCE_SIGMA = 5.0
#: Peaks of pixels are looked into from this part of that on, and the fit decides: the highest pixel lies
#: beside the peak.  Asking for both cost a tenth of the sources of 5–6σ.
PEAK_PART = 0.9
#: Nothing is listed where the beam is below this.
LEAST_POWER = 0.1
#: Pixels nearer than this (in units of the beam's profile) are fitted.
_CORE = 0.5
#: Sizes are fitted from this signal-to-noise ratio on.
SIZE_SIGMA = 15.0
#: A source counts as resolved when its integrated flux density exceeds its peak by three
#: standard errors and by this part, which smearing and what CLEAN left can do to a point.
_RESOLVED_FLOOR = 0.10


@dataclass(frozen=True)
class Measured:
    """A source as fitted in one image, in that image's unit."""

    x: float
    """Zero-based pixel."""
    y: float
    ra_deg: float
    dec_deg: float
    flux_jy: float
    """Peak of the fitted restoring beam, which for a point source is its flux density."""


@dataclass(frozen=True)
class ImagePlane:
    """One image as pixels and coordinates."""

    pixels: NDArray[np.floating]
    wcs: WCS
    major_pixels: float
    minor_pixels: float
    position_angle_rad: float
    frequency_hz: float

    def sky(self, x: float, y: float) -> tuple[float, float]:
        """ICRS position of a pixel, deg."""
        ra, dec = self.wcs.all_pix2world(x, y, 0)
        return float(ra), float(dec)

    def pixel(self, ra_deg: float, dec_deg: float) -> tuple[float, float]:
        """Zero-based pixel of an ICRS position."""
        x, y = self.wcs.all_world2pix(ra_deg, dec_deg, 0)
        return float(x), float(y)


def read_plane(path: Path) -> ImagePlane:
    """Read the first plane of a FITS image of ours."""
    with fits.open(path) as hdus:
        primary = hdus[0]
        header, pixels = primary.header, np.asarray(primary.data)[0, 0].astype(np.float32)
    cell = abs(header["CDELT2"])
    return ImagePlane(
        pixels,
        celestial_wcs(header),
        header["BMAJ"] / cell,
        header["BMIN"] / cell,
        float(np.deg2rad(header["BPA"])),
        float(header["CRVAL3"]),
    )


def gaussian(
    xx: NDArray[np.float64], yy: NDArray[np.float64], major: float, minor: float, angle: float
) -> NDArray[np.float64]:
    """Unit Gaussian of given full widths; the angle turns from north (+y) to east (−x)."""
    sin, cos = np.sin(angle), np.cos(angle)
    along, across = yy * cos - xx * sin, xx * cos + yy * sin
    return np.exp(-4 * np.log(2) * ((along / major) ** 2 + (across / minor) ** 2))


@dataclass(frozen=True)
class _Cut:
    """The pixels around a place, and where they are relative to it."""

    pixels: NDArray[np.float64]
    xx: NDArray[np.float64]
    yy: NDArray[np.float64]
    x0: int
    y0: int


def _cut(plane: ImagePlane, x: float, y: float) -> _Cut | None:
    half = int(np.ceil(plane.major_pixels))
    x0, y0 = round(x), round(y)
    ny, nx = plane.pixels.shape
    if not (half <= x0 < nx - half and half <= y0 < ny - half):
        return None
    pixels = plane.pixels[y0 - half : y0 + half + 1, x0 - half : x0 + half + 1].astype(np.float64)
    if not np.isfinite(pixels).all():
        return None
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    return _Cut(pixels, xx, yy, x0, y0)


def fit_point(plane: ImagePlane, x: float, y: float) -> Measured | None:
    """Fit the restoring beam to the pixels near a position.

    Position and peak are free, the shape is the restoring beam's.  There is no
    free background: what CLEAN left of a source lies around it as a pedestal
    of the dirty beam, which a background would take out of the source.

    Returns
    -------
    Measured or None
        None at the image's rim, beside blank pixels, or when the fit runs away.
    """
    cut = _cut(plane, x, y)
    if cut is None:
        return None
    beam = (plane.major_pixels, plane.minor_pixels, plane.position_angle_rad)
    start_x, start_y = x - cut.x0, y - cut.y0
    core = gaussian(cut.xx - start_x, cut.yy - start_y, *beam) > _CORE
    xx, yy, values = cut.xx[core], cut.yy[core], cut.pixels[core]

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return p[0] * gaussian(xx - p[1], yy - p[2], *beam) - values

    scale = float(np.abs(values).max()) or 1.0
    fit = least_squares(residual, [scale, start_x, start_y], x_scale=[scale, 1, 1], method="lm")
    peak, dx, dy = fit.x
    if not fit.success or np.hypot(dx - start_x, dy - start_y) > plane.major_pixels:
        return None
    ra, dec = plane.sky(cut.x0 + dx, cut.y0 + dy)
    return Measured(cut.x0 + dx, cut.y0 + dy, ra, dec, float(peak))


def fit_size(plane: ImagePlane, point: Measured) -> tuple[float, float, float, float] | None:
    """Peak, major and minor full width (pixels) and position angle (rad) of a free Gaussian.

    None when the fit does not end near the point with a positive Gaussian no
    smaller than half the beam.
    """
    cut = _cut(plane, point.x, point.y)
    if cut is None:
        return None
    start_x, start_y = point.x - cut.x0, point.y - cut.y0
    beam = (plane.major_pixels, plane.minor_pixels, plane.position_angle_rad)
    core = gaussian(cut.xx - start_x, cut.yy - start_y, *beam) > _CORE / 2
    xx, yy, values = cut.xx[core], cut.yy[core], cut.pixels[core]

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return p[0] * gaussian(xx - p[1], yy - p[2], p[3], p[4], p[5]) - values

    fit = least_squares(
        residual,
        [point.flux_jy, start_x, start_y, *beam],
        x_scale=[abs(point.flux_jy), 1, 1, beam[0], beam[1], 0.5],
        method="lm",
        max_nfev=200,
    )
    peak, dx, dy, major, minor, angle = fit.x
    major, minor = abs(major), abs(minor)
    if major < minor:
        major, minor, angle = minor, major, angle + np.pi / 2
    runaway = np.hypot(dx - start_x, dy - start_y) > plane.major_pixels / 2
    if not fit.success or runaway or peak <= 0 or minor < beam[1] / 2 or major > 4 * beam[0]:
        return None
    return float(peak), float(major), float(minor), float(angle)


@dataclass(frozen=True)
class Errors:
    """Standard errors of a fitted Gaussian (Condon 1997, PASP 109, 166, equations 20, 21 and 41)."""

    peak: float
    """Relative."""
    along: float
    """Of the position along the major axis, in the unit of the axes."""
    across: float
    major: float
    """Relative."""
    minor: float
    integrated: float
    """Relative."""


def condon_errors(
    signal_to_noise: float, major: float, minor: float, beam_major: float, beam_minor: float
) -> Errors:
    """Errors of a Gaussian fit in noise that has the beam's correlation.

    Parameters
    ----------
    signal_to_noise : float
        Peak over local noise.
    major, minor, beam_major, beam_minor : float
        Full widths of source and beam, one unit.
    """

    def rho2(alpha_major: float, alpha_minor: float) -> float:
        area = major * minor / (4 * beam_major * beam_minor)
        return float(
            area
            * (1 + (beam_major / major) ** 2) ** alpha_major
            * (1 + (beam_minor / minor) ** 2) ** alpha_minor
            * signal_to_noise**2
        )

    peak = np.sqrt(2 / rho2(1.5, 1.5))
    size_major, size_minor = np.sqrt(2 / rho2(2.5, 0.5)), np.sqrt(2 / rho2(0.5, 2.5))
    beams = beam_major * beam_minor / (major * minor)
    return Errors(
        float(peak),
        float(size_major * major * FWHM_TO_SIGMA),
        float(size_minor * minor * FWHM_TO_SIGMA),
        float(size_major),
        float(size_minor),
        float(np.sqrt(peak**2 + beams * (size_major**2 + size_minor**2))),
    )


@dataclass(frozen=True)
class Found:
    """A source of the list."""

    point: Measured
    """As fitted in the image of even noise."""
    noise_jy: float
    """Local, Jy/beam."""
    power: float
    """Of the beam."""
    errors: Errors
    ra_error_arcsec: float
    dec_error_arcsec: float
    integrated_jy: float
    """Before division by the beam; the peak where no size was fitted."""
    major_pixels: float
    """Fitted full widths; NaN where no size was fitted."""
    minor_pixels: float
    angle_rad: float
    resolved: bool

    @property
    def signal_to_noise(self) -> float:
        """Peak over local noise."""
        return self.point.flux_jy / self.noise_jy

    @property
    def flux_jy(self) -> float:
        """Flux density on the sky: integrated if resolved, else the peak; corrected for the beam."""
        return (self.integrated_jy if self.resolved else self.point.flux_jy) / self.power

    @property
    def flux_error_jy(self) -> float:
        """Of ``flux_jy``."""
        return self.flux_jy * (self.errors.integrated if self.resolved else self.errors.peak)


def find_peaks(plane: ImagePlane, noise: NDArray[np.float32], n_sigma: float) -> NDArray[np.int64]:
    """Pixels (x, y) of peaks over the local noise, highest first; within a beam, two are one."""
    with np.errstate(invalid="ignore"):
        # A constant image has no noise, and no sources.
        ys, xs = np.nonzero((plane.pixels > n_sigma * noise) & (noise > 0))
    values = plane.pixels[ys, xs]
    order = np.argsort(-values, kind="stable")
    at = np.stack([xs, ys], axis=1)[order]
    if not len(at):
        return at
    # A peak is higher than its neighbours; of those within half a beam, the highest stays.
    inside = ((at > 0) & (at < np.array(plane.pixels.shape[::-1]) - 1)).all(axis=1)
    at = at[inside]
    around = np.stack(
        [plane.pixels[at[:, 1] + dy, at[:, 0] + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dx or dy]
    )
    at = at[(plane.pixels[at[:, 1], at[:, 0]] >= around).all(axis=0)]
    sin, cos = np.sin(plane.position_angle_rad), np.cos(plane.position_angle_rad)
    scaled = np.stack(
        [
            (at[:, 1] * cos - at[:, 0] * sin) / plane.major_pixels,
            (at[:, 0] * cos + at[:, 1] * sin) / plane.minor_pixels,
        ],
        axis=1,
    )
    kept = np.ones(len(at), bool)
    if not len(at):
        return at
    for i, near in enumerate(cKDTree(scaled).query_ball_point(scaled, 0.75)):
        if kept[i]:
            kept[[j for j in near if j > i]] = False
    return at[kept]


def find_sources(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    n_sigma: float,
    *,
    least_power: float,
    sizes: bool = True,
) -> list[Found]:
    """Sources whose fitted peak exceeds the local noise.

    Parameters
    ----------
    plane : ImagePlane
        Before correction for the beam.
    power : ndarray
        The beam, same shape.
    noise : ndarray
        Local noise, same shape.
    n_sigma : float
        Least signal-to-noise ratio.
    least_power : float
        Nothing is listed where the beam is below this.
    sizes : bool
        Also fit sizes, from ``SIZE_SIGMA`` on.

    Returns
    -------
    list of Found
        Brightest on the sky first.
    """
    cell_arcsec = 3600 * float(np.abs(plane.wcs.wcs.cdelt[1]))
    beam = (plane.major_pixels, plane.minor_pixels)
    found = []
    for x, y in find_peaks(plane, noise, PEAK_PART * n_sigma):
        local, response = float(noise[y, x]), float(power[y, x])
        if not (response >= least_power and local > 0):
            continue
        point = fit_point(plane, float(x), float(y))
        if point is None or not point.flux_jy >= n_sigma * local:
            continue
        # A fit that has left the pixels it was made on has gone up the wing of a neighbour.
        if gaussian(point.x - x, point.y - y, *beam, plane.position_angle_rad) < _CORE:
            continue
        snr = point.flux_jy / local
        size = fit_size(plane, point) if sizes and snr >= SIZE_SIGMA else None
        peak, major, minor, angle = size or (point.flux_jy, *beam, plane.position_angle_rad)
        errors = condon_errors(snr, major, minor, *beam)
        integrated = peak * major * minor / (beam[0] * beam[1])
        margin = max(3 * np.hypot(errors.major, errors.minor), _RESOLVED_FLOOR)
        sin, cos = np.sin(angle), np.cos(angle)
        found.append(
            Found(
                point,
                local,
                response,
                errors,
                cell_arcsec * float(np.hypot(errors.along * sin, errors.across * cos)),
                cell_arcsec * float(np.hypot(errors.along * cos, errors.across * sin)),
                integrated,
                major if size else float("nan"),
                minor if size else float("nan"),
                angle if size else float("nan"),
                bool(size) and integrated > point.flux_jy * (1 + margin),
            )
        )
    return sorted(found, key=lambda f: -f.flux_jy)
