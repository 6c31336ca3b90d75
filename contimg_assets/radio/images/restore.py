"""The restoring beam, and the model seen through it."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import label, map_coordinates
from scipy.optimize import least_squares

from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.components import Points
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.grid import ImageGrid

#: Standard deviation of a Gaussian over its full width at half maximum.
FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
#: The Gaussian is fitted to the dirty beam's core above this level, found within this many pixels.  CLEAN
#: leaves some σ of *dirty* beam on every source, which the source list measures by the Gaussian: one that
#: takes in the plateau about the core (46″ × 18″, not 33″ × 17″, if fitted above 0.35) sees 0.88 of it.
_CORE, _CORE_PIXELS = 0.6, 512
#: A core of fewer pixels is none; one of fewer than the other is interpolated in steps of a part of a pixel,
#: within so many pixels.
_FEWEST, _FEW, _FINER, _NEAR = 3, 30, 4, 16
#: Rows of a transform that are worked on at once.
_STRIP = 256
#: A restored point goes this many beams (major axis) far: 1e-11 of its peak.
_REACH = 3.0


def fit_beam(psf: NDArray[np.float32], cell_arcsec: float) -> RestoringBeam:
    """Gaussian that fits the core of the dirty beam.

    Parameters
    ----------
    psf : ndarray, shape (n, n)
        Peak 1 at n // 2; only its middle is read.
    cell_arcsec : float

    Returns
    -------
    RestoringBeam

    Raises
    ------
    ImagingError
        If the core is not that of a beam.
    """
    edge = max(psf.shape[0] // 2 - _CORE_PIXELS // 2, 0)
    psf = psf[edge : psf.shape[0] - edge, edge : psf.shape[1] - edge]
    centre = psf.shape[0] // 2
    values, dy, dx = _core(psf, centre, 1)
    if len(values) < _FEWEST:
        raise ImagingError(
            f"the dirty beam's core has {len(values)} pixels; expected {_FEWEST} or more: "
            "the cell is too large"
        )
    if len(values) < _FEW:
        # Which pixels are above the level would decide.
        near = psf[centre - _NEAR : centre + _NEAR + 1, centre - _NEAR : centre + _NEAR + 1]
        steps = np.arange(2 * _NEAR * _FINER + 1) / _FINER
        finer = map_coordinates(near.astype(float), np.meshgrid(steps, steps, indexing="ij"), order=5)
        values, dy, dx = _core(finer, _NEAR * _FINER, _FINER)

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-(p[0] * dx**2 + p[1] * dx * dy + p[2] * dy**2)) - values

    start = 4 * np.log(2) / (np.ptp(dx) + 1) / (np.ptp(dy) + 1)
    a, b, c = least_squares(residual, [start, 0.0, start]).x
    curvature, directions = np.linalg.eigh(np.array([[a, b / 2], [b / 2, c]]))
    if curvature[0] <= 0:
        raise ImagingError("the dirty beam has no Gaussian core; expected one")
    widths = np.sqrt(4 * np.log(2) / curvature)
    # Smallest curvature: major axis, from north (+y) towards east (−x).
    angle = np.rad2deg(np.arctan2(-directions[0, 0], directions[1, 0]))
    return RestoringBeam(
        float(widths[0] * cell_arcsec), float(widths[1] * cell_arcsec), float((angle + 90) % 180 - 90)
    )


def _core(
    psf: NDArray[np.floating], centre: int, finer: int
) -> tuple[NDArray[np.floating], NDArray[np.float64], NDArray[np.float64]]:
    """Values above the level around the peak, and where they are in pixels, of so many steps each."""
    regions, _ = label(psf > _CORE)
    y, x = np.nonzero(regions == regions[centre, centre])
    return psf[y, x], (y - centre) / finer, (x - centre) / finer


def restore(
    model: NDArray[np.float32],
    points: Points,
    residual: NDArray[np.float32],
    beam: RestoringBeam,
    grid: ImageGrid,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Model and points between pixels convolved with the restoring beam, plus the residual, Jy/beam."""
    n, cell_arcsec = grid.n_pixels, grid.cell_arcsec
    u = fft.fftfreq(n)[None, : n // 2 + 1] / cell_arcsec
    factor = np.pi**2 / (4 * np.log(2))
    area = np.pi * beam.major_arcsec * beam.minor_arcsec / (4 * np.log(2)) / cell_arcsec**2
    seen = fft.rfft2(model, workers=threads)
    # Strip by strip, in place: in double precision the whole would be the imaging's peak of memory.
    for rows in np.array_split(np.arange(n), -(-n // _STRIP)):
        along, across = beam.axes(-u, fft.fftfreq(n)[rows, None] / cell_arcsec)
        squares = (along * beam.major_arcsec) ** 2 + (across * beam.minor_arcsec) ** 2
        seen[rows] *= (area * np.exp(-factor * squares)).astype(np.float32)
    restored = fft.irfft2(seen, s=model.shape, workers=threads, overwrite_x=True)
    restored += residual
    reach = int(np.ceil(_REACH * beam.major_arcsec / cell_arcsec))
    for l, m, flux in zip(*points, strict=True):
        x, y = grid.pixels(l, m)
        xs = np.arange(max(round(x) - reach, 0), min(round(x) + reach + 1, n))
        ys = np.arange(max(round(y) - reach, 0), min(round(y) + reach + 1, n))
        offsets = beam.in_beams(-(xs - x)[None, :] * grid.cell_rad, (ys - y)[:, None] * grid.cell_rad)
        squares = np.sum(offsets**2, axis=-1)
        restored[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] += flux * np.exp(-4 * np.log(2) * squares)
    return restored.astype(np.float32, copy=False)
