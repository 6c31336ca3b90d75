"""Our own engine: Cotton–Schwab CLEAN, with all of w.

The minor cycle works on the list of bright pixels (``minor.py``); each major cycle
predicts what it found into the visibilities and grids what is left (``major_cycle.py``).
CLEAN looks only where a peak has stood out of the noise *measured around it*, and
goes deep there.

Belongs here: what is prepared for the cycles, and the images that come of them.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.components import points_image
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.restore import FWHM_TO_SIGMA, fit_beam, restore
from contimg_assets.radio.imaging.array_plane import Plane
from contimg_assets.radio.imaging.dish_offsets import DishOffsets
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.engine import EngineImages
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.major_cycle import Deconvolution, State
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.outlier_sources import OutlierSources
from contimg_assets.radio.imaging.plan import averaging
from contimg_assets.radio.imaging.scales import Scales
from contimg_assets.radio.imaging.smearing import tracking
from contimg_assets.radio.imaging.spectra import Spectra
from contimg_assets.radio.imaging.start_model import ApparentSources


def run_wgridder(
    drift: Drift,
    visibilities: NDArray[np.complex64],
    grid: ImageGrid,
    options: ImagingOptions,
    *,
    threads: int,
    start: ApparentSources | None = None,
    outliers: ApparentSources | None = None,
) -> EngineImages:
    """Image and deconvolve.

    Parameters
    ----------
    drift : Drift
        Geometry, weights, and how components change through the group.
    visibilities : ndarray, complex64, shape (n_visibilities,)
        Not changed.
    grid : ImageGrid
    options : ImagingOptions
    threads : int
    start : ApparentSources, optional
        The start model: its sources open the mask, and those that are points are in the model from the
        beginning.
    outliers : ApparentSources, optional
        Sources beyond the image, subtracted from the visibilities in every major cycle.

    Returns
    -------
    EngineImages
    """
    nothing = ApparentSources.none()
    gridder = Gridder(drift.data.uvw, drift.weights.values, grid, threads)
    deconvolution = _prepare(gridder, drift, options, nothing if outliers is None else outliers)
    state = deconvolution.run(deconvolution.begin(visibilities, nothing if start is None else start))
    return _images(deconvolution, state)


def _prepare(
    gridder: Gridder, drift: Drift, options: ImagingOptions, outliers: ApparentSources
) -> Deconvolution:
    """Dirty beams, restoring beam, and what is measured besides the image."""
    grid, weights = gridder.grid, drift.weights
    plane = Plane.fit(gridder.uvw, gridder.weights)
    reach = grid.n_pixels + plane.margin(grid)
    half = gridder.psf_half(reach + reach % 2, reach + reach % 2)
    sigmas = tuple(width / grid.cell_arcsec * FWHM_TO_SIGMA for width in options.scales_arcsec)
    spectra_sigma = np.inf if options.spectra_sigma is None else options.spectra_sigma
    noise = weights.expected_noise_jy
    return Deconvolution(
        gridder=gridder,
        drift=drift,
        options=options,
        plane=plane,
        beam=fit_beam(_whole(half, grid.n_pixels), grid.cell_arcsec),
        scales=Scales.of(gridder, sigmas, half),
        outlier_sources=OutlierSources(
            drift.data, weights.values, outliers, grid, tracking(drift.shape), noise
        ),
        spectra=Spectra(drift.data, weights.values, noise_jy=noise, least_jy=spectra_sigma * noise),
        dish_offsets=DishOffsets(drift, averaging(drift.shape, options) > 0),
    )


def _images(deconvolution: Deconvolution, state: State) -> EngineImages:
    """Images of the last state, and what it has besides them."""
    grid, beam, threads = deconvolution.grid, deconvolution.beam, deconvolution.gridder.threads
    outliers, spectra = deconvolution.outlier_sources, deconvolution.spectra
    l, m, _ = state.all_components
    return EngineImages(
        image=restore(state.model, state.points, state.residual, beam, grid, threads),
        residual=state.residual,
        model=state.model + points_image(state.points, grid),
        # Of the first scale, a point, with itself: the dirty beam.
        psf=_whole(deconvolution.scales.halves[0], grid.n_pixels),
        mask=state.mask,
        beam=beam,
        n_iterations=state.n_components,
        n_major_cycles=state.n_major_cycles,
        components=state.all_components,
        indices=spectra.indices(state.spectra, l, m, deconvolution.beam_rad),
        spectra=spectra.measured(state.spectra),
        slopes=None
        if deconvolution.options.spectra_sigma is None
        else spectra.left(state.residual_visibilities, deconvolution.gridder, l, m),
        outlier_sources=outliers.as_list(state.outliers),
        outlier_points=outliers.as_points(state.outliers),
        dish_offsets=deconvolution.dish_offsets.as_columns(state.offsets),
    )


def _whole(half: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Dirty beam of the image's size, peak at n // 2, from the half that the other mirrors."""
    north, edge = half.shape[0] // 2, n // 2
    right = half[north - edge : north + edge, :edge]
    # (y, x) → (−y, −x)
    left = half[north - edge + 1 : north + edge + 1, 1 : edge + 1][::-1, ::-1]
    return np.ascontiguousarray(np.concatenate([left, right], axis=1))
