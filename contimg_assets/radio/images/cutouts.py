"""A part of an image at a place on the sky, as numbers and as a picture.

Belongs here: reading a section of a FITS file, and grey levels.  Does not belong here: which file
(``station/``).  Only what is shown is read from the disk.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.planes import opened

ARCMIN_PER_DEG = 60.0
#: Parts of the pixels that are shown black and white, unless limits are given.
_BLACK, _WHITE = 0.01, 0.995


@dataclass(frozen=True)
class Cutout:
    """A part of an image."""

    pixels: NDArray[np.float32]
    """[north, −east]; not a number outside of the image."""
    unit: str
    ra_deg: float
    """Of its middle, ICRS."""
    dec_deg: float
    cell_arcsec: float


def cut(path: Path, ra_deg: float | None, dec_deg: float | None, arcmin: float, most_pixels: int) -> Cutout:
    """Cut a square out of an image.

    Parameters
    ----------
    path : Path
    ra_deg, dec_deg : float or None
        Its middle, ICRS; None: the image's.
    arcmin : float
        Its width.
    most_pixels : int
        If it would be wider, every second (third, …) pixel is taken.

    Raises
    ------
    MissingInputError
        If the image is not there, or does not reach to the place.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: found no image")
    with opened(path) as hdu:
        header = hdu.header
        wcs = celestial_wcs(header)
        height, width = hdu.shape[-2:]
        if ra_deg is None or dec_deg is None:
            x, y = (width - 1) / 2, (height - 1) / 2
        else:
            x, y = (float(v) for v in wcs.all_world2pix(ra_deg, dec_deg, 0))
        cell_deg = abs(float(header["CDELT2"]))
        half = max(1, round(arcmin / ARCMIN_PER_DEG / cell_deg / 2))
        if not (np.isfinite([x, y]).all() and -half < x < width + half and -half < y < height + half):
            raise MissingInputError(f"{path.name} does not reach to RA {ra_deg}, Dec {dec_deg} deg")
        step = -(-(2 * half + 1) // most_pixels)
        first_x, first_y = round(x) - half, round(y) - half
        section = _section(hdu, first_x, first_y, 2 * half + 1)[::step, ::step]
    ra, dec = (float(v) for v in wcs.all_pix2world(x, y, 0))
    return Cutout(section, str(header.get("BUNIT", "")), ra, dec, cell_deg * 3600 * step)


def _section(hdu: Any, first_x: int, first_y: int, size: int) -> NDArray[np.float32]:
    """A square of an image, with nothing where it reaches beyond."""
    out = np.full((size, size), np.nan, np.float32)
    height, width = hdu.shape[-2:]
    x0, x1 = max(first_x, 0), min(first_x + size, width)
    y0, y1 = max(first_y, 0), min(first_y + size, height)
    if x0 < x1 and y0 < y1:
        # Of a compressed plane only the tiles that are shown are read.
        out[y0 - first_y : y1 - first_y, x0 - first_x : x1 - first_x] = hdu.section[0, 0, y0:y1, x0:x1]
    return out


def png(found: Cutout, low: float | None, high: float | None) -> tuple[bytes, float, float]:
    """A picture in grey, north up and east left, and the values that are black and white.

    Parameters
    ----------
    found : Cutout
    low, high : float or None
        Values that are black and white; None: by the pixels.
    """
    good = found.pixels[np.isfinite(found.pixels)]
    values = np.quantile(good, [_BLACK, _WHITE]) if good.size else np.array([0.0, 1.0])
    black = float(values[0]) if low is None else low
    white = float(values[1]) if high is None else high
    span = white - black if white > black else 1.0
    levels = np.clip((np.nan_to_num(found.pixels, nan=black) - black) / span, 0.0, 1.0)
    grey = (255 * levels).astype(np.uint8)[::-1]
    content = BytesIO()
    Image.fromarray(grey).save(content, "PNG")
    return content.getvalue(), black, white
