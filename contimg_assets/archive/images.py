"""Images of the archive as astropy's ``CCDData``: pixels with unit, coordinates, header, mask and noise.

``CCDData`` and not an HDU with a WCS, because it keeps together what belongs together: arithmetic carries
units and the noise along, ``Cutout2D``, photutils and reproject take it, and ``write`` makes a FITS file.
Belongs here: reading files of a published image.  Does not belong here: which image
that is (``archive.py``).
"""

from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, Cutout2D, StdDevUncertainty
from astropy.nddata.utils import NoOverlapError
from numpy.typing import NDArray

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.planes import image_name, opened, plane_file

#: Images of a group, by the word in their file names.
PLANES = {
    "pbcor": "corrected for the primary beam: flux densities are right, the noise rises outwards",
    "image": "restored, not corrected for the primary beam: the noise is even",
    "pb": "power of the primary beam, averaged over the drift",
    "noise": "local noise of `image`",
    "residual": "what CLEAN left of `image`",
    "model": "CLEAN's model, Jy/pixel",
    "psf": "dirty beam",
    "mask": "where CLEAN was allowed to look",
}


def read_image(
    folder: Path, plane: str, centre: SkyCoord | None = None, size: u.Quantity | None = None
) -> CCDData:
    """Read an image of a folder, or a part of it; of the file no more than the part is read.

    Parameters
    ----------
    folder : Path
        Content of a product ``image``.
    plane : str
        One of ``PLANES``.
    centre : SkyCoord, optional
        Middle of the part.
    size : Quantity, optional
        Its width, an angle.

    Returns
    -------
    astropy.nddata.CCDData
        ``mask`` is set where ``pbcor`` is blank; ``uncertainty`` is the local noise, of ``image`` and
        ``pbcor``.

    Raises
    ------
    MissingInputError
        If there is no such image, or ``centre`` lies outside of it.
    """
    path = image_file(folder, plane)
    with opened(path) as hdu:
        header: fits.Header = hdu.header
        pixels = _part(hdu.data[0, 0], header, centre, size, path)
    wcs = pixels.wcs
    values = np.ascontiguousarray(pixels.data, dtype=np.float32)
    kept = header.copy()
    kept["CRPIX1"], kept["CRPIX2"] = (float(pixel) for pixel in wcs.wcs.crpix)
    # Two axes are left; the frequency stands in RESTFRQ too.
    for word in ("CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
        for axis in (3, 4):
            kept.remove(f"{word}{axis}", ignore_missing=True)
    unit = header.get("BUNIT") or ""
    return CCDData(
        values,
        unit=u.Unit(unit) if unit else u.dimensionless_unscaled,
        wcs=wcs,
        meta=kept,
        mask=~np.isfinite(values),
        uncertainty=_noise(folder, plane, centre, size),
    )


def image_file(folder: Path, plane: str) -> Path:
    """The FITS file of an image in a folder."""
    if plane not in PLANES:
        raise MissingInputError(f"found the image {plane!r}; expected one of {', '.join(PLANES)}")
    return plane_file(folder, image_name(folder), plane)


def _part(
    pixels: NDArray[Any], header: fits.Header, centre: SkyCoord | None, size: u.Quantity | None, path: Path
) -> Any:
    """The part of an image around a place, or all of it, with its coordinates."""
    wcs = celestial_wcs(header)
    if centre is None:
        ny, nx = pixels.shape
        return Cutout2D(pixels, ((nx - 1) / 2, (ny - 1) / 2), (ny, nx), wcs=wcs, copy=True)
    try:
        return Cutout2D(pixels, centre, size, wcs=wcs, mode="trim", copy=True)
    except (NoOverlapError, ValueError) as error:
        raise MissingInputError(f"{path}: {centre.to_string('hmsdms')} lies outside the image") from error


def _noise(
    folder: Path, plane: str, centre: SkyCoord | None, size: u.Quantity | None
) -> StdDevUncertainty | None:
    """Standard deviation of each pixel of the two images that have one."""
    if plane not in ("image", "pbcor"):
        return None
    noise = _plain(folder, "noise", centre, size)
    if plane == "image":
        return StdDevUncertainty(noise)
    power = _plain(folder, "pb", centre, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        return StdDevUncertainty(noise / power)


def _plain(folder: Path, plane: str, centre: SkyCoord | None, size: u.Quantity | None) -> NDArray[np.float32]:
    path = image_file(folder, plane)
    with opened(path) as hdu:
        part = _part(hdu.data[0, 0], hdu.header, centre, size, path)
    return np.ascontiguousarray(part.data, dtype=np.float32)
