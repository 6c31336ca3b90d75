"""WSClean, the system's program, as an imaging engine."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.files import clone_tree
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.engine import EngineImages, restored, scale_pixels
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.processes import bound

#: Its own defaults want a mask from what stands out, and go deep there, as ours does.
_MASK_SIGMA = 5.0


def run_wsclean(
    ms: Path,
    work: Path,
    grid: ImageGrid,
    options: ImagingOptions,
    *,
    column: str,
    threads: int,
    start: NDArray[np.float32] | None,
    centre: tuple[float, float],
    frequency_hz: float,
) -> EngineImages:
    """Image and deconvolve Stokes I with WSClean's w-gridder.

    Parameters
    ----------
    ms : Path
        Autocorrelations flagged.
    work : Path
        Folder for WSClean's images; the caller removes it.
    grid : ImageGrid
    options : ImagingOptions
    column : {"data", "corrected"}
    threads : int
    start : ndarray, optional
        Model image to start with, Jy/pixel.  WSClean wants its visibilities in the Measurement Set:
        it gets a clone in ``work``.
    centre : tuple
        ICRS phase centre, rad.
    frequency_hz : float
        Of the image.

    Returns
    -------
    EngineImages

    Raises
    ------
    ImagingError
        If WSClean is not installed or makes no image.
    """
    program = shutil.which("wsclean")
    if program is None:
        raise ImagingError("found no program wsclean; expected it on the path (Debian package wsclean)")
    # It runs in the work folder.
    ms, work = ms.resolve(), work.resolve()
    shared = [program, "-j", str(threads), "-use-wgridder", "-name", str(work / "image"), "-pol", "I"]
    data = ms
    if start is not None:
        data = work / "seeded.ms"
        clone_tree(ms, data)
        _write_model(work / "image-model.fits", start, grid, centre, frequency_hz)
        _run([*shared, "-predict", str(data)], ms, work, work / "image-model.fits")
        shared += ["-continue"]
    command = [*shared, *_arguments(grid, options, column, work), str(data)]
    _run(command, ms, work, work / "image-image.fits")
    if data != ms:
        shutil.rmtree(data)
    header = fits.getheader(work / "image-image.fits")
    model, residual, psf = (_pixels(work / f"image-{kind}.fits") for kind in ("model", "residual", "psf"))
    image, beam = restored(model, residual, psf, grid, threads)
    return EngineImages(
        image=image,
        residual=residual,
        model=model,
        psf=psf,
        # Its own mask is where it has found components before it went deep.
        mask=model != 0,
        beam=beam,
        n_iterations=int(header["WSCNITER"]),
        n_major_cycles=int(header["WSCMAJOR"]),
    )


def _arguments(grid: ImageGrid, options: ImagingOptions, column: str, work: Path) -> list[str]:
    """What WSClean is told of the image and of CLEAN; thresholds are multiples of its measured noise."""
    shortest, longest = options.shortest_wavelengths, options.longest_wavelengths
    scheme = [options.weighting, *([str(options.robust)] if options.weighting == "briggs" else [])]
    # Without limits it keeps all.
    limits = [*(["-minuv-l", str(shortest)] if shortest > 0 else [])]
    limits += ["-maxuv-l", str(longest)] if np.isfinite(longest) else []
    widths = ",".join(str(scale) for scale in scale_pixels(options.scales_arcsec, grid.cell_arcsec))
    limits += ["-multiscale", "-multiscale-scales", widths] if len(options.scales_arcsec) > 1 else []
    sigma, size = options.threshold_sigma, str(grid.n_pixels)
    return [
        *("-data-column", "CORRECTED_DATA" if column == "corrected" else "DATA"),
        *("-no-update-model-required", "-temp-dir", str(work)),
        *("-size", size, size, "-scale", f"{grid.cell_arcsec}asec", "-weight", *scheme),
        *(*limits, "-niter", str(options.iterations), "-gain", str(options.gain), "-mgain", "0.8"),
        *("-auto-mask", str(max(_MASK_SIGMA, sigma)), "-auto-threshold", str(sigma)),
    ]


def _run(command: list[str], ms: Path, work: Path, made: Path) -> None:
    """Run WSClean; ImagingError if it does not end well with the file that it should make."""
    done = subprocess.run(bound(command), cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not made.exists():
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise ImagingError(f"{ms}: wsclean ended with {done.returncode}: {' / '.join(lines[-3:])}")


def _write_model(
    path: Path, model: NDArray[np.float32], grid: ImageGrid, centre: tuple[float, float], frequency: float
) -> None:
    """A model image as WSClean leaves one: pixels as imaged, not scaled by aberration."""
    header = fits.Header()
    ra, dec = np.rad2deg(centre)
    cell, middle = grid.cell_arcsec / 3600, grid.centre + 1
    for axis, (kind, value, step, pixel) in enumerate(
        [
            ("RA---SIN", ra, -cell, middle),
            ("DEC--SIN", dec, cell, middle),
            ("FREQ", frequency, 1.0, 1),
            ("STOKES", 1.0, 1.0, 1),
        ],
        start=1,
    ):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = kind, value
        header[f"CDELT{axis}"], header[f"CRPIX{axis}"] = step, pixel
        header[f"CUNIT{axis}"] = ("deg", "deg", "Hz", "")[axis - 1]
    header["BUNIT"] = "JY/PIXEL"
    fits.PrimaryHDU(model[None, None], header).writeto(path)


def _pixels(path: Path) -> NDArray[np.float32]:
    return np.ascontiguousarray(fits.getdata(path)[0, 0], dtype=np.float32)
