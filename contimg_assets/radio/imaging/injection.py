"""Injection into visibilities: a second image, of the data with known sources added.

Belongs here: what that image is made of.  Does not belong here: where sources
are put and how they are looked for (``images/injection.py``).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.injection import LEVELS, choose_places, recover
from contimg_assets.radio.images.source_finding import LEAST_POWER, SOURCE_SIGMA, ImagePlane, find_sources
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.drift_prediction import DriftPredictor
from contimg_assets.radio.imaging.engine import EngineImages
from contimg_assets.radio.imaging.gridder import Gridder

#: Error of the injected visibilities over the faintest source.
_ERROR = 1e-3
#: So much may what CLEAN leaves of the injected sources add to the variance of the noise: more of them are
#: another field, in which CLEAN takes more from each.  480 in a tiny field with 92 of its own doubled the
#: noise, and lost 1.0σ each where 12 to 48 lose 0.25σ.
_ADDED_VARIANCE = 0.05


def inject_into_visibilities(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    psf: NDArray[np.float32],
    left_sigma: float,
    gridder: Gridder,
    drift: Drift,
    image_with: Callable[[NDArray[np.complex64]], EngineImages],
) -> dict[str, float]:
    """Completeness and flux densities of sources that went through CLEAN.

    Parameters
    ----------
    plane : ImagePlane
        The image without them, before correction for the beam.
    power, noise : ndarray
        The beam and the local noise, same shape.
    psf : ndarray
        Dirty beam, same shape.
    left_sigma : float
        What CLEAN leaves of a source, times the noise.
    gridder : Gridder
        Image geometry and weights.
    drift : Drift
        Injected sources change through the group as real ones do.
    image_with : callable
        Makes the same image with visibilities added to the data.

    Returns
    -------
    dict
        Part found at each level, median flux ratio at 10σ and more, median difference over the
        noise at 7σ and more (below 1 and 0 by what CLEAN takes), and of how many sources.
        Empty where no place is free.
    """
    known = find_sources(plane, power, noise, SOURCE_SIGMA, least_power=LEAST_POWER, sizes=False)
    places, levels = choose_places(plane, power, noise, known, 2 * LEAST_POWER)
    if not len(places):
        return {}
    most = _most_sources(psf, left_sigma)
    places, levels = places[:most], levels[:most]
    at = np.rint(places).astype(int)
    flux = (levels * noise[at[:, 1], at[:, 0]]).astype(np.float32)
    l, m = gridder.grid.directions(*places.T)
    predictor = DriftPredictor.of(gridder, drift)
    nothing = np.zeros(len(gridder.uvw), np.complex64)
    added = predictor.subtract(nothing, l, m, -flux, _ERROR * float(flux.min()))
    recovery = recover(replace(plane, pixels=image_with(added).image), noise, places, levels, SOURCE_SIGMA)
    numbers = {
        f"cleaned_completeness_{level:.0f}sigma": part
        for level, part in zip(recovery.levels, recovery.completeness, strict=True)
    }
    return numbers | {
        "cleaned_flux_ratio": recovery.flux_ratio,
        "cleaned_flux_bias_sigma": recovery.flux_bias_sigma,
        "cleaned_n_injected": float(recovery.n_injected),
    }


def _most_sources(psf: NDArray[np.float32], left_sigma: float) -> int:
    """How many sources leave a field as crowded as it was; at least one of each level."""
    # Each adds the square of what is left of it, anywhere, times the mean square of the dirty beam.
    each = left_sigma**2 * float(np.mean(psf**2, dtype=np.float64))
    return max(len(LEVELS), int(_ADDED_VARIANCE / each))
