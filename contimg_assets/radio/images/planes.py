"""Planes of a published image as files: whole, or compressed by tiles once the image is old.

A compressed plane is called ``<name>.<plane>.fits.fz`` and holds its pixels in the first extension
(astropy's ``CompImageHDU``), with the header of the whole file.  Belongs here: finding a plane and opening
it either way.  Does not belong here: compressing (``compression.py``), or what pixels mean.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.errors import MissingInputError

WHOLE, COMPRESSED = ".fits", ".fits.fz"
#: Half the width of the middle of the dirty beam that an old image keeps, pixels: photometry needs 7 beams.
PSF_HALF = 256


def find_plane(folder: Path, name: str, plane: str) -> Path | None:
    """The file of a plane, whole if there is one, else compressed; None if there is neither."""
    for suffix in (WHOLE, COMPRESSED):
        path = folder / f"{name}.{plane}{suffix}"
        if path.is_file():
            return path
    return None


def plane_file(folder: Path, name: str, plane: str) -> Path:
    """The same.

    Raises
    ------
    MissingInputError
        If there is neither.
    """
    found = find_plane(folder, name, plane)
    if found is None:
        raise MissingInputError(f"{folder / name}.{plane}{WHOLE} is not there; image the group again")
    return found


def image_name(folder: Path) -> str:
    """What the names of all planes of a folder's image begin with.

    Raises
    ------
    MissingInputError
        If the folder holds no image or more than one.
    """
    names = {path.name.partition(".image.fits")[0] for path in folder.glob("*.image.fits*")}
    if len(names) != 1:
        raise MissingInputError(f"{folder}: found {len(names)} files *.image.fits; expected one image")
    return names.pop()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The HDU of a plane's file that has the pixels; ``section`` of it reads no more than is asked for.

    Yields
    ------
    astropy.io.fits.PrimaryHDU or CompImageHDU
    """
    with fits.open(path, memmap=True) as hdus:
        compressed = hdus[0].header["NAXIS"] == 0 and len(hdus) > 1
        yield hdus[1 if compressed else 0]


def plane_header(path: Path) -> fits.Header:
    """Header of a plane, as it was before it was compressed."""
    with opened(path) as hdu:
        return hdu.header


def middle(hdu: Any) -> NDArray[np.floating]:
    """The middle of a dirty beam's plane, its peak at ``n // 2``: all but its far sidelobes.

    Parameters
    ----------
    hdu : PrimaryHDU or CompImageHDU
        From :func:`opened`.
    """
    y, x = middle_of(hdu.shape)
    return np.array(hdu.section[0, 0, y, x])


def middle_of(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of that middle, of a plane whose last axes are y and x."""
    ny, nx = shape[-2:]
    half = min(PSF_HALF, ny // 2, nx // 2)
    y, x = ny // 2 - half, nx // 2 - half
    return slice(y, y + 2 * half), slice(x, x + 2 * half)
