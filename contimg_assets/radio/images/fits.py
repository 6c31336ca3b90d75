"""Image products as FITS: data, world coordinates, and where they come from.

The keywords are those that CASA's ``exportfits`` and WSClean write, so that the tools made for theirs
(CARTA, aegean, PyBDSF, …) find what they look for.  Belongs here: header and pixels.  Does not belong
here: what calibrated the data (``provenance.py``), lists of sources (``source_files.py``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg_assets import __version__
from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.provenance import add_provenance
from contimg_assets.radio.measurement_set import GroupShape

#: What pixels are, in casacore's words (its ``ImageInfo``), which CASA and WSClean write as BTYPE.
Quantity = Literal["Intensity", "Beam", "Undefined"]
ORIGIN = f"contimg {__version__}"


@dataclass(frozen=True)
class RestoringBeam:
    """Gaussian that stands for the synthesised beam."""

    major_arcsec: float
    minor_arcsec: float
    position_angle_deg: float
    """From north through east."""

    def axes(
        self, east: NDArray[np.float64], north: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Parts of offsets along and across the major axis."""
        sine, cosine = self._turn
        return east * sine + north * cosine, north * sine - east * cosine

    def in_beams(self, l: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Offsets in l and m as multiples of the full widths, along and across, shape (n, 2)."""
        return np.stack(self.axes(l, m), axis=-1) / self._widths_rad

    def from_beams(self, places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The l and m of multiples of the full widths, shape (n, 2)."""
        sine, cosine = self._turn
        along, across = (places * self._widths_rad).T
        return along * sine - across * cosine, along * cosine + across * sine

    @property
    def _turn(self) -> tuple[float, float]:
        angle = np.deg2rad(self.position_angle_deg)
        return float(np.sin(angle)), float(np.cos(angle))

    @property
    def _widths_rad(self) -> NDArray[np.float64]:
        return np.deg2rad(np.array([self.major_arcsec, self.minor_arcsec]) / 3600)


def image_header(
    shape: GroupShape,
    grid: ImageGrid,
    beam: RestoringBeam,
    frequency_hz: float,
    bandwidth_hz: float,
    settings: dict[str, Any],
    numbers: dict[str, float],
    provenance: dict[str, Any] | None,
) -> fits.Header:
    """Header that all products of one image share.

    The pixel on the ICRS sky is the imaged pixel over the aberration scale:
    uvw follow the apparent place of the centre, so the image shows the apparent
    field, which aberration makes up to 1e-4 larger or smaller.

    Parameters
    ----------
    shape : GroupShape
    grid : ImageGrid
        As imaged.
    beam : RestoringBeam
    frequency_hz : float
        Weighted mean.
    bandwidth_hz : float
        From the lowest to the highest frequency that is in the image.
    settings : dict
        What the image was made with; goes into HISTORY.
    numbers : dict
        Keyword to value, for the header.
    provenance : dict, optional
        What calibrated the data (``set_id``, ``group``, ``calibrator``, ``tables``, …).

    Returns
    -------
    astropy.io.fits.Header
    """
    header = fits.Header()
    header["BUNIT"] = "Jy/beam"
    _add_coordinates(header, shape, grid, frequency_hz, bandwidth_hz)
    header["BMAJ"], header["BMIN"] = beam.major_arcsec / 3600.0, beam.minor_arcsec / 3600.0
    header["BPA"] = beam.position_angle_deg
    _add_observation(header, shape)
    header["ORIGIN"] = ORIGIN
    for key, value in numbers.items():
        header[key] = value
    add_provenance(header, provenance)
    for key, value in sorted(settings.items()):
        header.add_history(f"setting {key} = {value}")
    return header


def _scale(shape: GroupShape) -> float:
    """Apparent over ICRS size of a group's field: aberration."""
    return phasing.aberration_scale(float(shape.times_jd.mean()), *shape.centre)


def _add_coordinates(
    header: fits.Header, shape: GroupShape, grid: ImageGrid, frequency_hz: float, bandwidth_hz: float
) -> None:
    """Add the four axes of an image to its header."""
    ra, dec = shape.centre
    cell = grid.cell_arcsec / 3600.0 / _scale(shape)
    for axis, (kind, value, step, pixel, unit) in enumerate(
        [
            ("RA---SIN", np.rad2deg(ra), -cell, grid.centre + 1, "deg"),
            ("DEC--SIN", np.rad2deg(dec), cell, grid.centre + 1, "deg"),
            ("FREQ", frequency_hz, bandwidth_hz, 1, "Hz"),
            ("STOKES", 1.0, 1.0, 1, ""),
        ],
        start=1,
    ):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = kind, float(value)
        header[f"CDELT{axis}"], header[f"CRPIX{axis}"] = float(step), float(pixel)
        header[f"CUNIT{axis}"] = unit
    header["RADESYS"] = "ICRS"
    header["SPECSYS"] = "TOPOCENT"
    # Of no line: what CASA writes for continuum, so that a tool that shows velocities has a zero for them.
    header["RESTFRQ"] = (float(frequency_hz), "Hz, continuum: the reference frequency")


def _add_observation(header: fits.Header, shape: GroupShape) -> None:
    """Add where, when and with what a group was observed."""
    half = shape.integration_s / 2 / 86400.0
    start = Time(shape.times_jd[0] - half, format="jd", scale="utc")
    end = Time(shape.times_jd[-1] + half, format="jd", scale="utc")
    header["OBJECT"] = phasing.centre_name(*shape.centre)
    header["TELESCOP"] = telescope.TELESCOPE_NAME
    header["INSTRUME"] = telescope.TELESCOPE_NAME
    header["TIMESYS"] = "UTC"
    header["DATE-OBS"], header["DATE-END"] = start.isot, end.isot
    header["MJD-OBS"], header["MJD-END"] = start.mjd, end.mjd
    header["EXPTIME"] = (float(shape.n_times * shape.integration_s), "s")
    header["OBSGEO-X"], header["OBSGEO-Y"], header["OBSGEO-Z"] = telescope.site_ecef().tolist()
    header["POINTDEC"] = (
        float(np.rad2deg(shape.declination_rad)),
        "deg, apparent declination of the pointing",
    )
    header["ABERSCAL"] = (_scale(shape), "apparent / ICRS size of the field")


def celestial_wcs(header: fits.Header) -> WCS:
    """Celestial coordinates of one of our images.

    The observatory's place is left out: wcslib would only announce, for every
    image, that it also works out the geodetic form.
    """
    own = header.copy()
    for key in ("OBSGEO-X", "OBSGEO-Y", "OBSGEO-Z"):
        own.remove(key, ignore_missing=True)
    return WCS(own).celestial


def stamp(header: fits.Header) -> None:
    """Write into a primary header by what and when its file was written, and how long strings go on."""
    header["ORIGIN"] = ORIGIN
    header["DATE"] = (Time.now().utc.strftime("%Y-%m-%dT%H:%M:%S"), "UTC, when this file was written")
    # Strings of more than 68 characters go on over CONTINUE cards.
    header["LONGSTRN"] = ("OGIP 1.0", "The OGIP long string convention may be used")


def plane_words(header: fits.Header, unit: str, quantity: Quantity) -> fits.Header:
    """Header of one plane of an image, from that which all share."""
    own = header.copy()
    own["BUNIT"], own["BTYPE"] = unit, quantity
    stamp(own)
    return own


def write_image(
    path: Path,
    pixels: NDArray[np.float32] | NDArray[np.bool_],
    header: fits.Header,
    unit: str = "Jy/beam",
    quantity: Quantity = "Intensity",
) -> None:
    """Write pixels [north, −east] as a four-axis FITS image with checksums; a mask as bytes."""
    own = plane_words(header, unit, quantity)
    # In the file's order of bytes: astropy would turn the caller's pixels round, and back, while others read
    # them.
    ordered = pixels.astype(np.uint8 if pixels.dtype == bool else ">f4")
    fits.PrimaryHDU(ordered[None, None], own).writeto(path, checksum=True)
