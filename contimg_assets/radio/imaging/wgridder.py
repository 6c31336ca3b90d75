"""Our own engine: Cotton–Schwab CLEAN on a w-gridder.

Clark's minor cycle works on the list of bright pixels with the whole dirty
beam; each major cycle predicts the model into the visibilities and grids what
is left, so errors of the minor cycle do not stay.  CLEAN looks only where a
peak has stood out of the *measured* noise, and goes deep there.
"""

import logging
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from contimg_assets.radio.imaging.engine import EngineImages
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.restore import fit_beam, restore
from contimg_assets.radio.quality.noise import robust_rms

_LOG = logging.getLogger(__name__)
#: A peak this many times the noise opens the mask around it.
_MASK_SIGMA = 5.0
#: A minor cycle stops at this part of the peak (or at the dirty beam's worst
#: sidelobe, if that is higher).
_MINOR_DEPTH = 0.15
_MAX_MAJOR_CYCLES = 15
#: A minor cycle in which the peak grows by this is given up, …
_RUNAWAY = 1.5
#: … and a major cycle that raises the noise by this is taken back.
_WORSE = 1.02
#: Pixels that a minor cycle works on at most: its cost a component.
_LONGEST_LIST = 50_000
#: When nothing stands out any more, a major cycle that lowers the noise by less
#: than this is the last.
_LEAST_PROGRESS = 0.01


@numba.njit(cache=True)
def minor_cycle(
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    flux: NDArray[np.float32],
    psf: NDArray[np.float32],
    gain: float,
    stop: float,
    iterations: int,
    model: NDArray[np.float32],
) -> int:
    """CLEAN a list of pixels down to ``stop``; adds to ``model``, returns the steps taken.

    ``psf`` reaches as far as any two pixels are apart: cut off, it would no
    longer be positive definite, and CLEAN could run away.
    """
    centre = psf.shape[0] // 2
    best = np.argmax(np.abs(flux))
    runaway = _RUNAWAY * abs(flux[best])
    for step in range(iterations):
        if abs(flux[best]) <= stop or abs(flux[best]) > runaway:
            return step
        amount = gain * flux[best]
        y0, x0 = ys[best], xs[best]
        model[y0, x0] += amount
        largest = np.float32(-1.0)
        # Subtracting and looking for the next peak is one pass over the list.
        for k in range(len(flux)):
            flux[k] -= amount * psf[ys[k] - y0 + centre, xs[k] - x0 + centre]
            if abs(flux[k]) > largest:
                largest, best = abs(flux[k]), k
    return iterations


def worst_sidelobe(psf: NDArray[np.float32], beam_pixels: float) -> float:
    """Largest absolute value of the dirty beam outside its core."""
    centre = psf.shape[0] // 2
    y, x = np.ogrid[: psf.shape[0], : psf.shape[1]]
    outside = (y - centre) ** 2 + (x - centre) ** 2 > (1.5 * beam_pixels) ** 2
    return float(np.abs(psf[outside]).max())


def run_wgridder(
    gridder: Gridder,
    *,
    iterations: int,
    gain: float,
    threshold_sigma: float,
    expected_noise_jy: float,
) -> EngineImages:
    """Image and deconvolve.

    Parameters
    ----------
    gridder : Gridder
        Data, weights and image geometry.
    iterations : int
        Most CLEAN components.
    gain : float
        Loop gain.
    threshold_sigma : float
        CLEAN stops at this multiple of the residual's measured noise, or of
        the expected noise, whichever is higher.
    expected_noise_jy : float

    Returns
    -------
    EngineImages
    """
    cell_arcsec = float(np.rad2deg(gridder.cell_rad) * 3600.0)
    wide_psf = replace(gridder, n_pixels=2 * gridder.n_pixels).psf()
    quarter = gridder.n_pixels // 2
    psf = np.ascontiguousarray(wide_psf[quarter:-quarter, quarter:-quarter])
    beam = fit_beam(psf, cell_arcsec)
    sidelobe = worst_sidelobe(psf, beam.major_arcsec / cell_arcsec)
    model = np.zeros_like(psf)
    residual = gridder.dirty(gridder.data.values)
    mask = np.zeros(psf.shape, bool)
    reach = np.ones((3, 3), bool)
    grow = max(1, round(beam.major_arcsec / cell_arcsec / 2))
    used, cycles, last_noise = 0, 0, np.inf
    while cycles < _MAX_MAJOR_CYCLES and used < iterations:
        noise = max(robust_rms(residual), expected_noise_jy)
        threshold = threshold_sigma * noise
        mask |= binary_dilation(residual > _MASK_SIGMA * noise, reach, iterations=grow)
        if not mask.any():
            break
        peak = float(np.abs(residual[mask]).max())
        _LOG.info("major cycle %d: noise %.3g, peak %.4g Jy/beam, %d components", cycles, noise, peak, used)
        settled = noise > (1 - _LEAST_PROGRESS) * last_noise
        if peak <= threshold or (settled and peak < _MASK_SIGMA * noise):
            break
        last_noise = noise
        stop = max(threshold, peak * max(_MINOR_DEPTH, min(1.2 * sidelobe, 0.7)))
        # Pixels below the stop cannot become the peak but through sidelobes of what is
        # taken; the next major cycle sees those.
        active = mask & (np.abs(residual) > 0.8 * stop)
        ys, xs = np.nonzero(active)
        if len(ys) > _LONGEST_LIST:
            brightest = np.abs(residual[active])
            least = float(np.partition(brightest, -_LONGEST_LIST)[-_LONGEST_LIST])
            stop = max(stop, least)
            active &= np.abs(residual) >= least
            ys, xs = np.nonzero(active)
        before = model.copy()
        used += minor_cycle(ys, xs, residual[active], wide_psf, gain, stop, iterations - used, model)
        cycles += 1
        after = gridder.dirty(gridder.data.values - gridder.predict(model))
        if robust_rms(after) > _WORSE * robust_rms(residual):
            _LOG.warning("major cycle %d raised the noise: it is taken back", cycles)
            model = before
            break
        residual = after
    return EngineImages(
        image=restore(model, residual, beam, cell_arcsec),
        residual=residual,
        model=model,
        psf=psf,
        beam=beam,
        n_iterations=used,
        n_major_cycles=cycles,
    )
