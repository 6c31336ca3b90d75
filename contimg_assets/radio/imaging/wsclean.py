"""WSClean, the system's program, as an imaging engine."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.imaging.engine import EngineImages
from contimg_assets.radio.imaging.fits import RestoringBeam

#: Its own defaults want a mask from what stands out, and go deep there, as ours does.
_MASK_SIGMA = 5.0


def run_wsclean(
    ms: Path,
    work: Path,
    *,
    column: str,
    n_pixels: int,
    cell_arcsec: float,
    weighting: str,
    robust: float,
    uv_range: tuple[float, float],
    iterations: int,
    gain: float,
    threshold_sigma: float,
    threads: int,
) -> EngineImages:
    """Image and deconvolve Stokes I with WSClean's w-gridder.

    Parameters
    ----------
    ms : Path
        Autocorrelations flagged.
    work : Path
        Folder for WSClean's images; the caller removes it.
    column : {"data", "corrected"}
    n_pixels, cell_arcsec : int, float
    weighting, robust, uv_range, iterations, gain
        See ``ImagingSettings``.
    threshold_sigma : float
        CLEAN stops at this multiple of the residual's measured noise.
    threads : int

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
    scheme = [weighting, str(robust)] if weighting == "briggs" else [weighting]
    shortest, longest = uv_range
    # Without limits it keeps all.
    limits = [*(["-minuv-l", str(shortest)] if shortest > 0 else [])]
    limits += ["-maxuv-l", str(longest)] if np.isfinite(longest) else []
    done = subprocess.run(
        [
            *(program, "-j", str(threads), "-use-wgridder", "-name", str(work / "image")),
            *("-data-column", "CORRECTED_DATA" if column == "corrected" else "DATA"),
            *("-no-update-model-required", "-temp-dir", str(work), "-pol", "I"),
            *("-size", str(n_pixels), str(n_pixels), "-scale", f"{cell_arcsec}asec", "-weight", *scheme),
            *(*limits, "-niter", str(iterations), "-gain", str(gain), "-mgain", "0.8"),
            *("-auto-mask", str(max(_MASK_SIGMA, threshold_sigma)), "-auto-threshold", str(threshold_sigma)),
            str(ms),
        ],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not (work / "image-image.fits").exists():
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise ImagingError(f"{ms}: wsclean ended with {done.returncode}: {' / '.join(lines[-3:])}")
    header = fits.getheader(work / "image-image.fits")
    return EngineImages(
        image=_pixels(work / "image-image.fits"),
        residual=_pixels(work / "image-residual.fits"),
        model=_pixels(work / "image-model.fits"),
        psf=_pixels(work / "image-psf.fits"),
        beam=RestoringBeam(3600 * header["BMAJ"], 3600 * header["BMIN"], header["BPA"]),
        n_iterations=int(header["WSCNITER"]),
        n_major_cycles=int(header["WSCMAJOR"]),
    )


def _pixels(path: Path) -> NDArray[np.float32]:
    return np.ascontiguousarray(fits.getdata(path)[0, 0], dtype=np.float32)
