"""What the sky adds to the noise by itself: sources too faint to be cleaned, each with its dirty beam.

Belongs here: how much that is for an image, from published source counts.  Does not belong here: noise that
is measured (``images/noise.py``), or limits.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from contimg_assets.radio.images.noise import block_means
from contimg_assets.radio.images.source_finding import ImagePlane

#: Hopkins et al. 2003, AJ 125, 465: log10(S^2.5 dN/dS [Jy^1.5/sr]) = Σ a_i log10(S/mJy)^i, 1.4 GHz, 0.05 mJy
#: to 1 Jy.
_COUNTS = (0.859, 0.508, 0.376, -0.049, -0.121, 0.057, -0.008)
_FAINTEST_JY, _BRIGHTEST_JY = 5e-5, 1.0
#: Sources over so many times the threshold of CLEAN are fitted in the visibilities, and leave nothing.
_FITTED = 10.0 / 3.0
#: Largest width at which the map is worked out, pixels: it is as smooth as the beam of a dish.
_COARSE = 256
#: Beyond this part of the beam sources add nothing.
_LEAST_POWER = 1e-3


def confusion_numbers(
    psf: ImagePlane,
    power: NDArray[np.float32],
    numbers: Mapping[str, float],
    threshold_sigma: float,
    rings: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """Noise over that of the data and of faint sources together.

    Parameters
    ----------
    psf : ImagePlane
        Dirty beam.
    power : ndarray
        Primary beam, same shape.
    numbers : Mapping
        With ``rms_mjy_beam``, ``expected_rms_mjy_beam`` and ``rms_ratio_*`` of the rings.
    threshold_sigma : float
        Down to which sources were cleaned.
    rings : Mapping
        Powers of the beam between which noise is stated, by name.
    """
    thermal, measured = numbers["expected_rms_mjy_beam"] / 1e3, numbers["rms_mjy_beam"] / 1e3
    cell = np.deg2rad(abs(float(psf.wcs.wcs.cdelt[1])))
    rms, block = confusion_rms(psf.pixels, power, cell, threshold_sigma * measured)
    beams = block_means(power, block)
    # The part of the image whose noise ``rms_mjy_beam`` is.
    rim = len(rms) // 10
    added = float(np.sqrt((rms[rim : len(rms) - rim, rim : len(rms) - rim] ** 2).mean()))
    stated = {
        "confusion_rms_mjy_beam": 1e3 * added,
        "noise_excess": float(measured / np.hypot(thermal, added)),
    }
    for name, (low, high) in rings.items():
        ring = rms[(beams >= low) & (beams < high)]
        if ring.size and f"rms_ratio_{name}" in numbers:
            allowed = np.hypot(1.0, np.sqrt((ring**2).mean()) / thermal)
            stated[f"noise_excess_{name}"] = float(numbers[f"rms_ratio_{name}"] / allowed)
    return stated


def confusion_rms(
    psf: NDArray[np.float32], power: NDArray[np.float32], cell_rad: float, faintest_cleaned_jy: float
) -> tuple[NDArray[np.float64], int]:
    """Root mean square of what sources leave that are too faint to be cleaned.

    Each of them adds its dirty beam, sidelobes and all: the variance is that of the sources' apparent flux
    densities, ∫ S² n(S) dS for a steradian, spread by the square of the dirty beam.  Of those that are
    cleaned the threshold is left, but for the bright ones, which are fitted in the visibilities.

    Parameters
    ----------
    psf, power : ndarray, shape (n, n)
        Dirty beam, its peak in the middle, and primary beam.
    cell_rad : float
        Width of a pixel.
    faintest_cleaned_jy : float
        Apparent flux density down to which sources are cleaned.

    Returns
    -------
    rms : ndarray
        Jy/beam, of blocks of pixels.
    block : int
        Pixels of a block's side; the rim that fills no block is left out.
    """
    n = power.shape[0]
    block = max(1, -(-n // _COARSE))
    beam = np.maximum(block_means(power, block), _LEAST_POWER)
    # Only where the dirty beam's middle falls matters, so that its blocks may lie half a pixel off.
    squares = block**2 * block_means(psf, block, True)
    sources = beam**2 * _second_moment(faintest_cleaned_jy / beam) * cell_rad**2
    size = fft.next_fast_len(2 * len(beam))
    spread = fft.irfft2(fft.rfft2(sources, (size, size)) * fft.rfft2(squares, (size, size)), (size, size))
    middle = (n // 2) // block
    variance = spread[middle : middle + len(beam), middle : middle + len(beam)]
    return np.sqrt(np.maximum(variance, 0.0)), block


@lru_cache(maxsize=1)
def _integrals() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of flux densities, ∫ S² n(S) dS up to each, Jy²/sr, and ∫ n(S) dS, 1/sr."""
    log_jy = np.linspace(np.log10(_FAINTEST_JY), np.log10(_BRIGHTEST_JY), 400)
    normalised = 10.0 ** np.polynomial.polynomial.polyval(log_jy + 3.0, _COUNTS)
    flux, step = 10.0**log_jy, np.log(10.0) * (log_jy[1] - log_jy[0])
    # n(S) dS = K S^-1.5 d(ln S).
    return log_jy, np.cumsum(normalised * flux**0.5) * step, np.cumsum(normalised * flux**-1.5) * step


def _second_moment(cleaned_jy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of what is left of sources, Jy²/sr: all of the fainter ones, so much of the brighter ones."""
    log_jy, squares, numbers = _integrals()
    up_to, fitted = np.log10(cleaned_jy), np.log10(cleaned_jy * _FITTED)
    between = np.interp(fitted, log_jy, numbers) - np.interp(up_to, log_jy, numbers)
    return np.interp(up_to, log_jy, squares, left=0.0) + cleaned_jy**2 * between
