"""The planes of an image by tile compression, and what that loses.

A plane of noise takes as many bytes as its noise has bits above the step of its quantisation.  The step is a
part of the image's noise (:data:`PARTS`); pixels then differ by at most half a step, at random
(subtractive dither), so that the noise grows by 1 + (1/8)²/24 = 1.0007 and no flux density is shifted.
Masks and models lose nothing.  Planes that few people open are written so at once
(``imaging/planes.py``); the others stay whole until the image is old, when of the dirty beam too only
the middle stays.  A plane that was whole is read back and compared with what it was before the whole
one may go.

Belongs here: writing a plane compressed, compressing a folder of an image, and the proof.  Does not belong
here: when that happens (``station/retention_rules.py``), or reading (``planes.py``).
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.images.fits import Quantity, plane_words, stamp
from contimg_assets.radio.images.obscore import OBSCORE
from contimg_assets.radio.images.planes import COMPRESSED, WHOLE, image_name, middle_of, opened, plane_file
from contimg_assets.radio.robust import mad_sigma

#: Steps of planes that are quantised, as parts of the noise of the residual, and whether with dither: what is
#: smooth needs none.
PARTS: dict[str, tuple[float, bool]] = {
    "image": (1 / 8, True),
    "residual": (1 / 8, True),
    "pbcor": (1 / 8, True),
    "noise": (1 / 64, False),
}
#: Steps of the beams, peak 1.  Of the primary beam: 0.05 % at the lowest power at which sources are taken.
#: Of the dirty beam: half of it is 0.1 σ beside a source of 10 000 σ.
STEPS = {"pb": 1e-4, "psf": 2e-5}
#: Planes that lose nothing.
LOSSLESS = ("mask", "model")
#: What is said of the compression, in the folder; and the hashes of the files.
REPORT, SUMS = "compressed.json", "SHA256SUMS"
#: Sides of tiles, pixels: of planes that are mostly looked at in parts, about sources, and of the others.  A
#: tile takes time beside that of its pixels.
_CUT, _TILE, _LARGE_TILE = ("image", "residual", "pbcor", "pb"), 100, 300
#: Rounding of a step in single precision, as a part of the largest value.
_ROUNDING = 4e-7


@dataclass(frozen=True)
class Loss:
    """What became of one plane."""

    plane: str
    step: float
    """Of its quantisation, in its unit; 0: nothing is lost.  No pixel is off by more than half of it."""
    sigma: float
    """Noise of the residual, Jy/beam, by which the step was chosen."""
    bytes_after: int
    bytes_before: int | None = None
    """Of the whole plane's file; None, like all that follows: there never was one."""
    sha256: str | None = None
    """Of the file of the whole plane, as it was published."""
    largest_error: float | None = None
    """Largest difference of a pixel to the whole plane, in its unit, as measured."""
    rms_error: float | None = None


def write_compressed(
    folder: Path,
    name: str,
    plane: str,
    pixels: NDArray[np.float32] | NDArray[np.bool_],
    header: fits.Header,
    noise: float,
    unit: str = "Jy/beam",
    quantity: Quantity = "Intensity",
) -> tuple[Path, Loss]:
    """Write a plane of a new image compressed.

    Parameters
    ----------
    folder : Path
        Where ``<name>.<plane>.fits.fz`` is made.
    name, plane : str
    pixels : ndarray, shape (ny, nx)
        [north, −east]; a mask as booleans.
    header : Header
        That all planes of the image share.
    noise : float
        Of the residual, Jy/beam.
    unit, quantity : str
        Of the pixels.
    """
    own = plane_words(header, unit, quantity)
    values: NDArray[np.float32] | NDArray[np.uint8] = (
        pixels.astype(np.uint8) if pixels.dtype == bool else pixels.astype(np.float32, copy=False)
    )
    path = folder / f"{name}.{plane}{COMPRESSED}"
    step, dither = _step(plane, noise)
    _write(path, values[None, None], own, _tile(plane), step, dither=dither)
    return path, Loss(plane, step, noise, path.stat().st_size)


def write_losses(folder: Path, noise: float, losses: Iterable[Loss]) -> None:
    """Say beside an image's planes what compressing them has lost."""
    report = {"sigma_jy_beam": noise, "planes": [asdict(loss) for loss in losses]}
    (folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")


def add_losses(folder: Path, noise: float, losses: Iterable[Loss]) -> None:
    """Say so after what was said of other planes before."""
    write_losses(folder, noise, [*_losses(folder), *losses])


def compress_image(folder: Path, out: Path) -> list[Loss]:
    """Make a folder with the compressed planes of an image, and all else of it.

    Parameters
    ----------
    folder : Path
        Content of a product ``image``: whole, or with some planes compressed as it was made.
    out : Path
        The folder to make.

    Returns
    -------
    list of Loss
        Of each plane; also in the file ``compressed.json``.

    Raises
    ------
    MissingInputError
        If the folder holds no image.
    ImagingError
        If a compressed plane does not read back as promised; then the whole one must stay.
    """
    name = image_name(folder)
    out.mkdir()
    noise = _noise(plane_file(folder, name, "residual"))
    before = {loss.plane: loss for loss in _losses(folder)}
    losses: list[Loss] = []
    for path in sorted(folder.iterdir(), key=lambda each: (each.name == OBSCORE, each.name)):
        file = path.name.removeprefix(f"{name}.")
        plane = file.removesuffix(COMPRESSED).removesuffix(WHOLE)
        if path.name in (SUMS, REPORT):
            continue
        if path.name == OBSCORE:
            _write_obscore(path, out / path.name)
        elif plane == file or plane not in (*PARTS, *LOSSLESS, *STEPS):
            shutil.copyfile(path, out / path.name)
        elif file.endswith(WHOLE) or plane == "psf":
            losses.append(_compress(path, out / f"{name}.{plane}{COMPRESSED}", plane, noise))
        else:
            shutil.copyfile(path, out / path.name)
            losses.extend([before[plane]] if plane in before else [])
    write_losses(out, noise, losses)
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / SUMS).write_text("".join(lines), encoding="utf-8")
    return losses


def _losses(folder: Path) -> list[Loss]:
    """What was said of the planes that were compressed as they were made."""
    path = folder / REPORT
    if not path.is_file():
        return []
    return [Loss(**each) for each in json.loads(path.read_text(encoding="utf-8"))["planes"]]


def _write_obscore(path: Path, out: Path) -> None:
    """Metadata of the image, with the name of the compressed file."""
    known = json.loads(path.read_text(encoding="utf-8"))
    address = str(known["access_url"])
    if COMPRESSED not in address:
        known["access_url"] = address.replace(f".pbcor{WHOLE}", f".pbcor{COMPRESSED}")
    image = out.with_name(f"{known['obs_id']}.pbcor{COMPRESSED}")
    if image.is_file():
        known["access_estsize"] = image.stat().st_size // 1024
    out.write_text(json.dumps(known, indent=1), encoding="utf-8")


def _noise(residual: Path) -> float:
    with opened(residual) as hdu:
        pixels = np.asarray(hdu.data, np.float32)
    found = mad_sigma(pixels)
    if not found > 0:
        raise ImagingError(f"{residual}: found a noise of {found}; expected more than 0 to quantise by")
    return found


def _compress(path: Path, out: Path, plane: str, noise: float) -> Loss:
    with opened(path) as hdu:
        pixels, header = np.asarray(hdu.data), hdu.header.copy()
    step, dither = _step(plane, noise)
    if plane == "psf":
        # As it is in the file: what is small may lose nothing.
        pixels, header = _middle(pixels, header)
        step, dither = 0.0, False
    for word in ("CHECKSUM", "DATASUM"):
        header.remove(word, ignore_missing=True)
    sha256 = file_sha256(path)
    header.add_history(f"whole file SHA-256 {sha256}")
    _write(out, pixels, header, _tile(plane), step, dither=dither)
    largest, rms = _error(path, out, pixels, step)
    sizes = out.stat().st_size, path.stat().st_size
    return Loss(plane, step, noise, *sizes, sha256, largest, rms)


def _write(
    path: Path,
    pixels: NDArray[np.floating] | NDArray[np.uint8],
    header: fits.Header,
    tile: int,
    step: float,
    *,
    dither: bool,
) -> None:
    header.add_history(f"compressed by tiles, {f'step {step:.4g}' if step else 'nothing lost'}")
    made = fits.CompImageHDU(
        pixels,
        header,
        compression_type="RICE_1" if step else "GZIP_2",
        tile_shape=(1, 1, tile, tile),
        # A negative level is the step itself, not a part of the noise of each tile.
        quantize_level=-step,
        quantize_method=1 if dither else -1,
        dither_seed=1,
    )
    primary = fits.PrimaryHDU()
    stamp(primary.header)
    fits.HDUList([primary, made]).writeto(path, checksum=True)


def _tile(plane: str) -> int:
    return _TILE if plane in _CUT else _LARGE_TILE


def _step(plane: str, noise: float) -> tuple[float, bool]:
    if plane in PARTS:
        part, dither = PARTS[plane]
        # A blank or constant image has no noise, and takes no room.
        return (part * noise, dither) if noise > 0 else (0.0, False)
    return STEPS.get(plane, 0.0), False


def _middle(pixels: NDArray[np.floating], header: fits.Header) -> tuple[NDArray[np.floating], fits.Header]:
    """The middle of the dirty beam, its peak at ``n // 2`` as before."""
    y, x = middle_of(pixels.shape)
    header["CRPIX1"], header["CRPIX2"] = header["CRPIX1"] - x.start, header["CRPIX2"] - y.start
    return np.ascontiguousarray(pixels[..., y, x]), header


def _error(path: Path, out: Path, pixels: NDArray[np.floating], step: float) -> tuple[float, float]:
    """Largest and rms difference of what was written to what was to be.

    Raises
    ------
    ImagingError
        If it is larger than half a step, or other pixels are blank.
    """
    with opened(out) as hdu:
        again = np.asarray(hdu.data)
    blank = ~np.isfinite(pixels)
    if again.shape != pixels.shape or not np.array_equal(blank, ~np.isfinite(again)):
        raise ImagingError(f"{path}: compressed, other pixels are blank than before")
    kept = ~blank
    difference = np.abs(again[kept].astype(np.float64) - pixels[kept].astype(np.float64))
    largest = float(difference.max(initial=0.0))
    allowed = step / 2 + (_ROUNDING * float(np.abs(pixels[kept]).max(initial=0.0)) if step else 0.0)
    if largest > allowed:
        raise ImagingError(
            f"{path}: compressed, a pixel is {largest:.3g} off; expected {allowed:.3g} at most"
        )
    rms = float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0
    return largest, rms
