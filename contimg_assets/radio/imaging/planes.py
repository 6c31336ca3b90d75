"""The planes of an image: at hand once it is made, and as files.

Belongs here: which planes there are, and which of them are written compressed.  Does not belong here: how
(``images/fits.py``, ``images/compression.py``), or what is made from them (``quality/products.py``).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from contimg_assets.radio.images.compression import write_compressed, write_losses
from contimg_assets.radio.images.fits import Quantity, write_image
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.images.source_finding import ImagePlane, plane_of
from contimg_assets.radio.imaging.engine import EngineImages

#: Planes that people and their scripts open: whole until the image is old.
OPENED = ("image", "pbcor", "pb", "residual")


@dataclass(frozen=True)
class Made:
    """An image that was made."""

    numbers: dict[str, Any]
    """About it."""
    planes: dict[str, ImagePlane]
    """``image``, ``residual``, ``psf``, ``pb`` and ``model``, as they were before they were written."""


def planes_of(result: EngineImages, power: NDArray[np.float32], header: Header) -> dict[str, ImagePlane]:
    """The planes from which all else is made; ``power`` is the primary beam."""
    pixels = {
        "image": result.image,
        "residual": result.residual,
        "psf": result.psf,
        "pb": power,
        "model": result.model,
    }
    return {kind: plane_of(values, header) for kind, values in pixels.items()}


def write_planes(
    out: Path,
    name: str,
    planes: Mapping[str, ImagePlane],
    mask: NDArray[np.bool_],
    header: Header,
    *,
    compressed: bool,
) -> None:
    """Write the planes as FITS files.

    Parameters
    ----------
    out, name
        Folder and stem of the files.
    planes : mapping
        Of :func:`planes_of`; the one that is corrected for the beam, blank where that is below the cutoff, is
        made of them.
    mask : ndarray of bool
        Where CLEAN looked.
    header : Header
        That all share.
    compressed : bool
        Those that are not :data:`OPENED`.
    """
    image, power = planes["image"].pixels, planes["pb"].pixels
    corrected = np.full(image.shape, np.nan, np.float32)
    np.divide(image, power, out=corrected, where=power >= header["PBCUT"])
    files: tuple[tuple[str, NDArray[Any], str, Quantity], ...] = (
        ("pbcor", corrected, "Jy/beam", "Intensity"),
        ("residual", planes["residual"].pixels, "Jy/beam", "Intensity"),
        ("image", image, "Jy/beam", "Intensity"),
        ("psf", planes["psf"].pixels, "", "Beam"),
        ("pb", power, "", "Beam"),
        ("model", planes["model"].pixels, "Jy/pixel", "Intensity"),
        ("mask", mask, "", "Undefined"),
    )
    # Two at a time: swapping bytes and checksums, or compressing, take as long as writing.
    noise = robust_rms(planes["residual"].pixels) if compressed else 0.0
    with ThreadPoolExecutor(2) as pool:
        whole, small = [], []
        for kind, pixels, unit, quantity in files:
            if compressed and kind not in OPENED:
                packed = pool.submit(write_compressed, out, name, kind, pixels, header, noise, unit, quantity)
                small.append(packed)
            else:
                path = out / f"{name}.{kind}.fits"
                whole.append(pool.submit(write_image, path, pixels, header, unit, quantity))
        for done in whole:
            done.result()
        losses = [done.result() for done in small]
    if compressed:
        write_losses(out, noise, losses)
