"""CASA's tclean with w-projection as an imaging engine."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import casa
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.engine import EngineImages, restored, scale_pixels
from contimg_assets.radio.imaging.options import ImagingOptions

#: Wavelengths; beyond any baseline.
_LONGEST = 1e9


def run_tclean(
    ms: Path,
    work: Path,
    grid: ImageGrid,
    options: ImagingOptions,
    *,
    column: str,
    threshold_jy: float,
    start: NDArray[np.float32] | None,
) -> EngineImages:
    """Image and deconvolve Stokes I.

    Parameters
    ----------
    ms : Path
        Autocorrelations flagged.
    work : Path
        Folder for CASA's images; the caller removes it.
    grid : ImageGrid
    options : ImagingOptions
    column : {"data", "corrected"}
    threshold_jy : float
        CLEAN stops at this residual, Jy/beam, or at ``threshold_sigma`` times the residual's measured noise,
        whichever is higher.
    start : ndarray, optional
        Model image to start with, Jy/pixel.

    Returns
    -------
    EngineImages

    Raises
    ------
    ImagingError
        If CASA makes no image.
    """
    casa.load_tools()
    from casatasks import tclean

    ms, work = ms.resolve(), work.resolve()
    name = work / "image"
    shared = _shared(ms, name, grid, options, column)
    seeded: dict[str, Any] = {}
    # Its images on the way lie in the current folder, whatever that is.
    with contextlib.chdir(work):
        if start is not None:
            # The dirty beam comes first, and lends its coordinates to the model.
            tclean(**shared, niter=0, calcres=False, restoration=False)
            _write_like(name.with_suffix(".psf"), work / "start.model", start)
            seeded = {"startmodel": [str(work / "start.model")], "calcpsf": False}
        report: Any = tclean(
            **shared,
            **seeded,
            niter=options.iterations,
            gain=options.gain,
            threshold=f"{threshold_jy}Jy",
            nsigma=options.threshold_sigma,
            restoration=False,
            interactive=False,
            savemodel="none",
        )
    return _images(ms, name, report, grid)


def _shared(ms: Path, name: Path, grid: ImageGrid, options: ImagingOptions, column: str) -> dict[str, Any]:
    """Arguments that all calls of tclean for one image have."""
    shortest, longest = options.shortest_wavelengths, options.longest_wavelengths
    # CASA reads a single length as the shortest.
    limited = (shortest, longest) != (0.0, np.inf)
    scales = scale_pixels(options.scales_arcsec, grid.cell_arcsec)
    return {
        "vis": str(ms),
        "imagename": str(name),
        "datacolumn": column,
        "imsize": [grid.n_pixels, grid.n_pixels],
        # It grids with frequencies turned into LSRK, whatever ``outframe`` is: u, v and w scaled by this.
        "cell": f"{grid.cell_arcsec / lsrk_factor(ms)!r}arcsec",
        "uvrange": f"{shortest}~{min(longest, _LONGEST)}lambda" if limited else "",
        "stokes": "I",
        "specmode": "mfs",
        "gridder": "wproject",
        "wprojplanes": options.w_planes,
        # Beyond any response: the drifting beam is ours to apply, not CASA's.
        "pblimit": -1e-6,
        "pbcor": False,
        **({"deconvolver": "multiscale", "scales": scales} if len(scales) > 1 else {"deconvolver": "hogbom"}),
        "weighting": options.weighting,
        "robust": options.robust,
    }


def _images(ms: Path, name: Path, report: dict[str, Any], grid: ImageGrid) -> EngineImages:
    """What tclean has made under a name."""
    if not name.with_suffix(".residual").exists():
        raise ImagingError(f"{ms}: tclean made no image")
    model, residual, psf = (_read(name.with_suffix(f".{kind}")) for kind in ("model", "residual", "psf"))
    image, beam = restored(model, residual, psf, grid)
    searched = name.with_suffix(".mask")
    return EngineImages(
        image=image,
        residual=residual,
        model=model,
        psf=psf,
        # Without a mask of the user's, tclean makes one of ones as soon as it looks for a component.
        mask=_read(searched) > 0 if searched.exists() else np.zeros(image.shape, bool),
        beam=beam,
        n_iterations=int(report.get("iterdone", 0)),
        n_major_cycles=int(report.get("nmajordone", 0)),
    )


def lsrk_factor(ms: Path) -> float:
    """Frequency in the local standard of rest over that at the telescope, in the middle of a group.

    It differs from 1 by up to 1.7e-4, of which tclean makes a scale of the image, 0.6″ a degree.
    """
    casa.load_tools()
    from casatools import measures, table

    tool, frame = table(), measures()
    values: dict[str, Any] = {}
    for name, column in (("", "TIME"), ("ANTENNA", "POSITION"), ("FIELD", "PHASE_DIR")):
        tool.open(str(ms / name))
        values[column] = np.asarray(tool.getcol(column), dtype=np.float64)
        tool.close()
    middle = float(values["TIME"].min() + values["TIME"].max()) / 2 / 86400
    frame.doframe(frame.epoch("utc", f"{middle!r}d"))
    frame.doframe(frame.position("itrf", *(f"{x!r}m" for x in values["POSITION"][:, 0].tolist())))
    frame.doframe(frame.direction("icrs", *(f"{x!r}rad" for x in values["PHASE_DIR"][:, 0, 0].tolist())))
    shown: Any = frame.measure(frame.frequency("topo", "1GHz"), "lsrk")
    return float(shown["m0"]["value"]) / 1e9


def _read(path: Path) -> NDArray[np.float32]:
    from casatools import image

    tool = image()
    tool.open(str(path))
    try:
        pixels = np.asarray(tool.getchunk(), dtype=np.float32)[:, :, 0, 0].T
    finally:
        tool.close()
    return np.ascontiguousarray(pixels)


def _write_like(template: Path, path: Path, pixels: NDArray[np.float32]) -> None:
    """A copy of one of CASA's images with other pixels, Jy/pixel."""
    from casatools import image

    shutil.copytree(template, path)
    tool = image()
    tool.open(str(path))
    try:
        tool.putchunk(pixels.T[:, :, None, None])
        tool.setbrightnessunit("Jy/pixel")
    finally:
        tool.close()
