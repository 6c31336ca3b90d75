"""Point sources in an image: found as peaks, measured by fitting the restoring beam."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.optimize import least_squares

from contimg_assets.radio.imaging.fits import celestial_wcs


@dataclass(frozen=True)
class Measured:
    """A point source as measured."""

    x: float
    """Zero-based pixel."""
    y: float
    ra_deg: float
    dec_deg: float
    flux_jy: float
    """Peak of the fit, which for a point source is its flux density."""


@dataclass(frozen=True)
class ImagePlane:
    """One image as pixels and coordinates."""

    pixels: NDArray[np.float64]
    wcs: WCS
    major_pixels: float
    minor_pixels: float
    position_angle_rad: float

    def sky(self, x: float, y: float) -> tuple[float, float]:
        """ICRS position of a pixel, deg."""
        ra, dec = self.wcs.all_pix2world(x, y, 0)
        return float(ra), float(dec)

    def pixel(self, ra_deg: float, dec_deg: float) -> tuple[float, float]:
        """Zero-based pixel of an ICRS position."""
        x, y = self.wcs.all_world2pix(ra_deg, dec_deg, 0)
        return float(x), float(y)


def read_plane(path: object) -> ImagePlane:
    """Read the first plane of a FITS image of ours."""
    with fits.open(path) as hdus:
        primary = hdus[0]
        header, pixels = primary.header, np.asarray(primary.data)[0, 0].astype(np.float64)
    cell = abs(header["CDELT2"])
    return ImagePlane(
        pixels,
        celestial_wcs(header),
        header["BMAJ"] / cell,
        header["BMIN"] / cell,
        float(np.deg2rad(header["BPA"])),
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
    half = int(np.ceil(plane.major_pixels))
    x0, y0 = round(x), round(y)
    ny, nx = plane.pixels.shape
    if not (half <= x0 < nx - half and half <= y0 < ny - half):
        return None
    cut = plane.pixels[y0 - half : y0 + half + 1, x0 - half : x0 + half + 1]
    if not np.isfinite(cut).all():
        return None
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    sin, cos = np.sin(plane.position_angle_rad), np.cos(plane.position_angle_rad)

    def shape_at(dx: float, dy: float) -> NDArray[np.float64]:
        # The position angle turns from north (+y) to east (−x).
        along = -(xx - dx) * sin + (yy - dy) * cos
        across = (xx - dx) * cos + (yy - dy) * sin
        return np.exp(
            -4 * np.log(2) * ((along / plane.major_pixels) ** 2 + (across / plane.minor_pixels) ** 2)
        )

    weight = shape_at(x - x0, y - y0) > 0.5

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (p[0] * shape_at(p[1], p[2]) - cut)[weight]

    scale = float(np.abs(cut).max())
    fit = least_squares(residual, [cut[half, half], x - x0, y - y0], x_scale=[scale, 1, 1])
    peak, dx, dy = fit.x
    if not fit.success or np.hypot(dx - (x - x0), dy - (y - y0)) > plane.major_pixels:
        return None
    ra, dec = plane.sky(x0 + dx, y0 + dy)
    return Measured(x0 + dx, y0 + dy, ra, dec, float(peak))


def find_points(flat: ImagePlane, corrected: ImagePlane, noise_jy: float, n_sigma: float) -> list[Measured]:
    """Peaks above a limit in the flat-noise image, measured in the corrected one.

    Parameters
    ----------
    flat : ImagePlane
        Before correction for the beam: its noise is the same everywhere.
    corrected : ImagePlane
    noise_jy : float
        Of ``flat``.
    n_sigma : float

    Returns
    -------
    list of Measured
        Brightest first.
    """
    # Within a beam, two peaks are one source.
    size = int(np.ceil(flat.major_pixels))
    peaks = (flat.pixels == maximum_filter(flat.pixels, size=size)) & (flat.pixels > n_sigma * noise_jy)
    found = []
    for y, x in np.argwhere(peaks):
        measured = fit_point(corrected, float(x), float(y))
        if measured is not None:
            found.append(measured)
    return sorted(found, key=lambda m: -m.flux_jy)
