"""Sources in an image: found as peaks over the local noise, measured by fitting Gaussians.

Flux densities come from the image of even noise, divided by the beam at the
source: the beam's slope across a source and the rising noise of the corrected
image would each bias a fit there.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.gaussian_fits import Ellipse, condon_errors, gaussian
from contimg_assets.radio.images.joint_points import joint_fluxes
from contimg_assets.radio.images.peaks import find_peaks
from contimg_assets.radio.images.planes import opened, plane_file
from contimg_assets.radio.images.point_fits import fit_pixels
from contimg_assets.radio.images.resolved_sources import Cleaned, Peak, ResolvedSources, Size

#: Sources are listed above this many times the local noise.
SOURCE_SIGMA = 5.0
#: Peaks of pixels are looked into from this part of that on, and the fit decides: the highest pixel lies
#: beside the peak.  Asking for both cost a tenth of the sources of 5–6σ.
PEAK_PART = 0.9
#: Nothing is listed where the beam is below this.
LEAST_POWER = 0.1
#: Pixels nearer than this (in units of the beam's profile) are fitted.
_CORE = 0.5
#: A source counts as resolved when its integrated flux density exceeds its peak by three standard errors and
#: by this part, which smearing can do to a point.  A tenth cost bright sources a third of the beam wide 6 %.
_RESOLVED_FLOOR = 0.05


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
    with opened(path) as hdu:
        return plane_of(np.asarray(hdu.data)[0, 0].astype(np.float32), hdu.header)


def plane_of(pixels: NDArray[np.floating], header: Header) -> ImagePlane:
    """A plane of an image from its pixels, shape (ny, nx), and the header of the image."""
    cell = abs(header["CDELT2"])
    return ImagePlane(
        pixels,
        celestial_wcs(header),
        header["BMAJ"] / cell,
        header["BMIN"] / cell,
        float(np.deg2rad(header["BPA"])),
        float(header["CRVAL3"]),
    )


def read_planes(folder: Path, name: str, kinds: Sequence[str]) -> dict[str, ImagePlane]:
    """Read planes of an image, whole or compressed, two at a time.

    Raises
    ------
    MissingInputError
        If one is not there.
    """
    with ThreadPoolExecutor(2) as pool:
        return dict(
            zip(kinds, pool.map(lambda kind: read_plane(plane_file(folder, name, kind)), kinds), strict=True)
        )


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
    x0, y0 = round(x), round(y)
    half, (ny, nx) = int(np.ceil(plane.major_pixels)), plane.pixels.shape
    if not (half <= x0 < nx - half and half <= y0 < ny - half):
        return None
    pixels = plane.pixels[y0 - half : y0 + half + 1, x0 - half : x0 + half + 1].astype(np.float64)
    if not np.isfinite(pixels).all():
        return None
    beam = Ellipse(plane.major_pixels, plane.minor_pixels, plane.position_angle_rad)
    fitted = fit_pixels(pixels, beam, x - x0, y - y0, _CORE)
    if fitted is None or np.hypot(fitted[1] - (x - x0), fitted[2] - (y - y0)) > plane.major_pixels:
        return None
    peak, dx, dy = fitted
    ra, dec = plane.sky(x0 + dx, y0 + dy)
    return Measured(x0 + dx, y0 + dy, ra, dec, peak)


@dataclass(frozen=True)
class Found:
    """A source of the list."""

    point: Measured
    """As fitted in the image of even noise."""
    noise_jy: float
    """Local, Jy/beam."""
    power: float
    """Of the beam."""
    flux_error: float
    """Standard error of the flux density, as a part of it."""
    ra_error_arcsec: float
    dec_error_arcsec: float
    apparent_jy: float
    """Flux density before division by the beam: integrated if resolved, else the peak."""
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
        """Flux density on the sky: corrected for the beam."""
        return self.apparent_jy / self.power

    @property
    def flux_error_jy(self) -> float:
        """Of ``flux_jy``."""
        return self.flux_jy * self.flux_error


def find_sources(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    n_sigma: float,
    *,
    least_power: float,
    sizes: bool = True,
    cleaned: Cleaned | None = None,
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
        Also fit sizes; several peaks of one resolved source are one then.
    cleaned : Cleaned, optional
        What CLEAN made of the image: so that what it left of one source is not in another, and for the
        sizes and flux densities of resolved sources.

    Returns
    -------
    list of Found
        Brightest on the sky first.
    """
    beam = Ellipse(plane.major_pixels, plane.minor_pixels, plane.position_angle_rad)
    points = _points(plane, power, noise, n_sigma if cleaned is None else PEAK_PART * n_sigma, least_power)
    if cleaned is not None:
        joint = joint_fluxes(_peaks(points), beam, cleaned, n_sigma)
        points = [
            (replace(point, flux_jy=float(flux)), local, response)
            for (point, local, response), flux in zip(points, joint, strict=True)
            if np.isfinite(flux)
        ]
    peaks = _peaks(points)
    resolved = ResolvedSources(plane.pixels, beam, peaks, cleaned)
    measured: dict[int, Size] = {}
    absorbed: set[int] = set()
    for k in sorted(range(len(points)), key=lambda k: -peaks[k].flux_jy) if sizes else ():
        size = resolved.measure(k, n_sigma) if resolved.may_be_resolved(k) else None
        if size is not None:
            measured[k] = size
            absorbed |= set(size.absorbed)
    found = [
        _source(plane, beam, *point, measured.get(k)) for k, point in enumerate(points) if k not in absorbed
    ]
    return sorted(found, key=lambda f: -f.flux_jy)


def _peaks(points: Sequence[tuple[Measured, float, float]]) -> list[Peak]:
    return [Peak(point.x, point.y, point.flux_jy, local) for point, local, _ in points]


def _points(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    n_sigma: float,
    least_power: float,
) -> list[tuple[Measured, float, float]]:
    """Peaks fitted as points that are over so many times the local noise, with that and the beam."""
    beam = (plane.major_pixels, plane.minor_pixels, plane.position_angle_rad)
    points = []
    for x, y in find_peaks(plane, noise, PEAK_PART * n_sigma):
        local, response = float(noise[y, x]), float(power[y, x])
        if not (response >= least_power and local > 0):
            continue
        point = fit_point(plane, float(x), float(y))
        if point is None or not point.flux_jy >= n_sigma * local:
            continue
        # A fit that has left the pixels it was made on has gone up the wing of a neighbour.
        if gaussian(np.array(point.x - x), np.array(point.y - y), *beam) < _CORE:
            continue
        points.append((point, local, response))
    return points


def _source(
    plane: ImagePlane, beam: Ellipse, point: Measured, local: float, response: float, size: Size | None
) -> Found:
    """A source of the list from its fits."""
    cell_arcsec = 3600 * float(np.abs(plane.wcs.wcs.cdelt[1]))
    shape, integrated = (size.seen, size.source.flux) if size else (beam, point.flux_jy)
    peak = integrated * beam.area / shape.area
    errors = condon_errors(peak / local, shape.major, shape.minor, beam.major, beam.minor)
    margin = max(3 * np.hypot(errors.major, errors.minor), _RESOLVED_FLOOR)
    is_resolved = size is not None and integrated > point.flux_jy * (1 + margin)
    if size is not None and is_resolved:
        errors = replace(errors, integrated=float(np.hypot(errors.integrated, size.beyond_jy / integrated)))
        ra, dec = plane.sky(size.source.x, size.source.y)
        point = replace(point, x=size.source.x, y=size.source.y, ra_deg=ra, dec_deg=dec)
    sin, cos = np.sin(shape.angle), np.cos(shape.angle)
    return Found(
        point,
        local,
        response,
        errors.integrated if is_resolved else errors.peak,
        cell_arcsec * float(np.hypot(errors.along * sin, errors.across * cos)),
        cell_arcsec * float(np.hypot(errors.along * cos, errors.across * sin)),
        integrated if is_resolved else point.flux_jy,
        shape.major if size else float("nan"),
        shape.minor if size else float("nan"),
        shape.angle if size else float("nan"),
        is_resolved,
    )
