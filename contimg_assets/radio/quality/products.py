"""What completes an image's folder: noise map, source list, thumbnail, metadata, checksums.

Belongs here: everything that is made from the engine's images and published with
them, so that the folder speaks for itself wherever it is copied.  Does not
belong here: comparisons with catalogues, which can be made again at any time
(``image.py``), or verdicts, which are given once the image is published.
"""

import json
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.images.fits import RestoringBeam, stamp
from contimg_assets.radio.images.local_noise import local_noise
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.images.obscore import OBSCORE, obscore
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.plane_writer import WRITERS, PlaneWriter
from contimg_assets.radio.images.planes import COMPRESSED, plane_file, plane_header
from contimg_assets.radio.images.resolved_sources import Cleaned
from contimg_assets.radio.images.source_files import write_source_files
from contimg_assets.radio.images.source_finding import (
    LEAST_POWER,
    SOURCE_SIGMA,
    find_sources,
    read_planes,
)
from contimg_assets.radio.images.source_table import SOURCES, source_table
from contimg_assets.radio.imaging.planes import Made
from contimg_assets.radio.plots.image import plot_image

THUMBNAIL, CHECKSUMS = "thumbnail.png", "SHA256SUMS"
#: Planes from which the other products are made.
PLANES = ("image", "residual", "psf", "pb", "model")


def basic_numbers(pixels: np.ndarray, residual: np.ndarray, summary: dict[str, Any]) -> dict[str, float]:
    """Numbers that any image has, be it empty or blank.

    Parameters
    ----------
    pixels, residual : ndarray
        Image before correction for the beam, and what CLEAN left.
    summary : dict
        Of the imaging stage.

    Returns
    -------
    dict
        With NaN or infinity where the image gives no better: both are judged as bad.
    """
    rms = robust_rms(residual)
    finite = np.isfinite(pixels)
    expected = float(summary["expected_rms_mjy_beam"])
    # What is not blank need not be copied to look at what is finite.
    some = pixels if finite.all() else pixels[finite]
    peak = float(some.max()) if some.size else float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "finite_fraction": float(finite.mean()),
            "rms_mjy_beam": 1e3 * rms,
            "expected_rms_mjy_beam": expected,
            "rms_ratio": 1e3 * rms / expected,
            # A noise far below what is possible is no noise: an empty or constant image.
            "rms_deficit": float(np.divide(expected, 1e3 * rms)),
            "peak_jy_beam": peak,
            "dynamic_range": float(np.divide(peak, rms)) if rms > 0 else float("nan"),
            "flag_fraction": float(summary["flag_fraction"]),
            "beam_major_arcsec": float(summary["beam_major_arcsec"]),
            "beam_minor_arcsec": float(summary["beam_minor_arcsec"]),
        }


def complete_products(
    folder: Path, name: str, archive: ArchiveOptions, made: Made | None = None
) -> dict[str, Any]:
    """Add to an image's folder what is made from its images.

    Parameters
    ----------
    folder : Path
        Not published yet, with ``summary.json`` and the engine's FITS files.
    name : str
        Stem of the products' names.
    archive : ArchiveOptions
        How the image is named and found.
    made : Made, optional
        The image, whose planes are at hand and may be on their way into files; otherwise they are read.

    Returns
    -------
    dict
        ``n_sources`` of the list.
    """
    with ThreadPoolExecutor(WRITERS) as pool:
        made = made or _read(folder, name, pool)
        n_sources = _add_products(folder, name, made)
        hashes = made.writer.finish()
        known = obscore(plane_file(folder, name, "pbcor"), name, archive)
        (folder / OBSCORE).write_text(json.dumps(known, indent=1))
        for path in sorted(set(folder.glob(f"{name}.*.fits*")) - hashes.keys()):
            _complete(path)
        files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != CHECKSUMS)
        others = [path for path in files if path not in hashes]
        hashes |= dict(zip(others, pool.map(file_sha256, others), strict=True))
    (folder / CHECKSUMS).write_text("".join(f"{hashes[path]}  {path.name}\n" for path in files))
    return {"n_sources": n_sources}


def _read(folder: Path, name: str, pool: Executor) -> Made:
    """An image that was made before; its noise map is written compressed if its dirty beam was."""
    planes = read_planes(folder, name, PLANES)
    header = plane_header(plane_file(folder, name, "image"))
    for key in ("CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    is_compressed = plane_file(folder, name, "psf").name.endswith(COMPRESSED)
    noise = robust_rms(planes["residual"].pixels) if is_compressed else None
    return Made({}, planes, PlaneWriter(folder, name, header, noise, pool))


def _add_products(folder: Path, name: str, made: Made) -> int:
    """Noise map, source list and picture; the number of sources."""
    header, planes = made.writer.header, made.planes
    plane, power, psf = planes["image"], planes["pb"].pixels, planes["psf"].pixels
    residual, model = planes["residual"].pixels, planes["model"].pixels
    summary = json.loads((folder / "summary.json").read_text())
    local = local_noise(plane, residual, psf, power)
    made.writer.write("noise", local)
    cleaned = Cleaned(residual, model, psf)
    sources = find_sources(plane, power, local, SOURCE_SIGMA, least_power=LEAST_POWER, cleaned=cleaned)
    meta = {key: header[key] for key in ("OBJECT", "DATE-OBS", "TELESCOP", "CALSET") if key in header}
    cell = abs(header["CDELT2"]) * 3600
    table = source_table(sources, cell, summary, meta | {"FREQ": header["CRVAL3"], "SIGMA": SOURCE_SIGMA})
    table.write(folder / f"{name}.{SOURCES}", overwrite=True)
    restoring = RestoringBeam(3600 * header["BMAJ"], 3600 * header["BMIN"], header["BPA"])
    write_source_files(table, folder, name, restoring)
    numbers = basic_numbers(plane.pixels, residual, summary)
    plot_image(folder / THUMBNAIL, plane.pixels, header, numbers["rms_mjy_beam"] / 1e3)
    return len(sources)


def _complete(path: Path) -> None:
    """Let a FITS file say when it was written, and vouch for its content; images do, tables do not yet."""
    if path.name.endswith(COMPRESSED):
        # Complete as it was written.
        return
    with fits.open(path, mode="update") as hdus:
        if "DATE" not in hdus[0].header:
            stamp(hdus[0].header)
        for hdu in hdus:
            if "CHECKSUM" not in hdu.header:
                hdu.add_checksum()
