"""The planes of an old image by tile compression, and what that loses.

A plane of noise takes as many bytes as its noise has bits above the step of its quantisation.  The step is a
part of the image's noise (:data:`PARTS`); pixels then differ by at most half a step, at random
(subtractive dither), so that the noise grows by 1 + (1/8)²/24 = 1.0007 and no flux density is shifted.
Masks, models and the middle of the dirty beam lose nothing.  Every plane is read back and compared with
what it was before the whole one may go.

Belongs here: compressing a folder of an image, and the proof.  Does not belong here: when that happens
(``station/retention_rules.py``), or reading (``planes.py``).
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.images.obscore import OBSCORE
from contimg_assets.radio.images.planes import COMPRESSED, WHOLE, image_name, opened
from contimg_assets.radio.robust import mad_sigma

#: Steps of planes that are quantised, as parts of the noise of the residual, and whether with dither: what is
#: smooth needs none.
PARTS: dict[str, tuple[float, bool]] = {
    "image": (1 / 8, True),
    "residual": (1 / 8, True),
    "pbcor": (1 / 8, True),
    "noise": (1 / 64, False),
}
#: Step of the power of the primary beam: 0.05 % at the lowest power at which sources are taken.
POWER_STEP = 1e-4
#: Planes that lose nothing.
LOSSLESS = ("mask", "model")
#: Half the width of the middle of the dirty beam that stays, pixels: photometry needs 7 beams.
PSF_HALF = 256
#: What is said of the compression, in the folder; and the hashes of the files.
REPORT, SUMS = "compressed.json", "SHA256SUMS"
_TILE = (1, 1, 100, 100)
#: Rounding of a step in single precision, as a part of the largest value.
_ROUNDING = 4e-7


@dataclass(frozen=True)
class Loss:
    """What became of one plane."""

    plane: str
    step: float
    """Of its quantisation, in its unit; 0: nothing is lost."""
    largest_error: float
    """Largest difference of a pixel to the whole plane, in its unit, as measured."""
    rms_error: float
    sigma: float
    """Noise of the residual, Jy/beam, by which the step was chosen."""
    sha256: str
    """Of the file of the whole plane, as it was published."""
    bytes_before: int
    bytes_after: int


def compress_image(folder: Path, out: Path) -> list[Loss]:
    """Make a folder with the compressed planes of an image, and all else of it.

    Parameters
    ----------
    folder : Path
        Content of a product ``image``, whole.
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
    noise = _noise(folder / f"{name}.residual{WHOLE}")
    losses: list[Loss] = []
    for path in sorted(folder.iterdir(), key=lambda each: (each.name == OBSCORE, each.name)):
        plane = path.name.removeprefix(f"{name}.").removesuffix(WHOLE)
        if path.name == SUMS:
            continue
        if plane in PARTS or plane in (*LOSSLESS, "pb", "psf"):
            losses.append(_compress(path, out / f"{name}.{plane}{COMPRESSED}", plane, noise))
        elif path.name == OBSCORE:
            _write_obscore(path, out / path.name)
        else:
            shutil.copyfile(path, out / path.name)
    report = {"sigma_jy_beam": noise, "planes": [asdict(loss) for loss in losses]}
    (out / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / SUMS).write_text("".join(lines), encoding="utf-8")
    return losses


def _write_obscore(path: Path, out: Path) -> None:
    """Metadata of the image, with the name of the compressed file."""
    known = json.loads(path.read_text(encoding="utf-8"))
    known["access_url"] = str(known["access_url"]).replace(f".pbcor{WHOLE}", f".pbcor{COMPRESSED}")
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
    if plane == "psf":
        pixels, header = _middle(pixels, header)
    step, dither = _step(plane, noise)
    for word in ("CHECKSUM", "DATASUM"):
        header.remove(word, ignore_missing=True)
    told = f"step {step:.4g}" if step else "nothing lost"
    header.add_history(f"compressed by tiles, {told}; whole file SHA-256 {file_sha256(path)}")
    made = fits.CompImageHDU(
        pixels,
        header,
        compression_type="RICE_1" if step else "GZIP_2",
        tile_shape=_TILE,
        # A negative level is the step itself, not a part of the noise of each tile.
        quantize_level=-step,
        quantize_method=1 if dither else -1,
        dither_seed=1,
    )
    fits.HDUList([fits.PrimaryHDU(), made]).writeto(out, checksum=True)
    error = _error(path, out, pixels, step)
    sizes = path.stat().st_size, out.stat().st_size
    return Loss(plane, step, *error, noise, file_sha256(path), *sizes)


def _step(plane: str, noise: float) -> tuple[float, bool]:
    if plane in PARTS:
        part, dither = PARTS[plane]
        return part * noise, dither
    return (POWER_STEP, False) if plane == "pb" else (0.0, False)


def _middle(pixels: NDArray[np.floating], header: fits.Header) -> tuple[NDArray[np.floating], fits.Header]:
    """The middle of the dirty beam, its peak at ``n // 2`` as before."""
    ny, nx = pixels.shape[-2:]
    half = min(PSF_HALF, ny // 2, nx // 2)
    y, x = ny // 2 - half, nx // 2 - half
    header["CRPIX1"], header["CRPIX2"] = header["CRPIX1"] - x, header["CRPIX2"] - y
    return np.ascontiguousarray(pixels[..., y : y + 2 * half, x : x + 2 * half]), header


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


def losses_of(folder: Path) -> dict[str, float]:
    """Largest error of each plane of a compressed image, in its unit."""
    content = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return {each["plane"]: float(each["largest_error"]) for each in content["planes"]}
