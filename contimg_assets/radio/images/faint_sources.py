"""Flux densities of faint sources against a survey: what each loses, not the scale, which bright ones tell.

What CLEAN leaves, a restoring beam that is too wide and a bias of CLEAN's take a part of the *noise*
from every source, whatever its flux density: half a per cent at 50σ, 5 % at 7σ.  So sources are chosen
by what the survey expects of them, not by what noise has made of them, and measured at its places,
found or not.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.source_finding import ImagePlane, fit_point
from contimg_assets.radio.robust import mad_sigma

#: Edges of the bins of expected signal-to-noise ratio.
BINS = (7.0, 10.0, 30.0, 50.0, float("inf"))
#: Sources between the first two tell the bias, those over the last the scale that it is told from; as many of
#: either are needed.
_FAINT, _BRIGHT, _LEAST = (7.0, 30.0), 30.0, 10


def faint_numbers(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    places: NDArray[np.float64],
    expected_jy: NDArray[np.float64],
) -> dict[str, float]:
    """Flux ratios by signal-to-noise ratio, and the bias of faint sources.

    Parameters
    ----------
    plane : ImagePlane
        Before correction for the beam.
    power, noise : ndarray
        The beam and the local noise, same shape.
    places : ndarray, shape (n, 2)
        Zero-based pixels x and y of sources that stand alone.
    expected_jy : ndarray, shape (n,)
        Flux densities on the sky.

    Returns
    -------
    dict
        What too few sources tell is left out.
    """
    rows = np.rint(places[:, ::-1]).astype(int).reshape(-1, 2).T
    response, local = power[tuple(rows)], noise[tuple(rows)]
    snr = expected_jy * response / local
    chosen = np.flatnonzero(snr >= BINS[0])
    points = [fit_point(plane, *places[k]) for k in chosen]
    fitted = np.array([point is not None for point in points], bool)
    chosen = chosen[fitted]
    measured = np.array([point.flux_jy for point in points if point is not None])
    snr, ratio = snr[chosen], measured / (expected_jy * response)[chosen]
    numbers: dict[str, float] = {}
    for low, high in itertools.pairwise(BINS):
        inside = ratio[(snr >= low) & (snr < high)]
        if len(inside) >= _LEAST:
            name = f"{low:.0f}_{high:.0f}sigma" if np.isfinite(high) else f"over_{low:.0f}sigma"
            numbers[f"flux_ratio_{name}"] = float(np.median(inside))
    bright, faint = ratio[snr >= _BRIGHT], (snr >= _FAINT[0]) & (snr < _FAINT[1])
    if len(bright) < _LEAST or faint.sum() < _LEAST:
        return numbers
    scale = float(np.median(bright))
    lost = (ratio[faint] / scale - 1.0) * snr[faint]
    bias = float(np.median(lost))
    error = float(1.2533 * np.hypot(mad_sigma(lost) / np.sqrt(faint.sum()), _of_scale(bright, snr[faint])))
    return numbers | {
        "faint_flux_bias_sigma": bias,
        "faint_flux_bias_error_sigma": error,
        # A number that is not known better than this is no reason for a warning.
        "faint_flux_excess_sigma": max(0.0, abs(bias) - 2.0 * error),
    }


def _of_scale(bright: NDArray[np.float64], snr: NDArray[np.float64]) -> float:
    """What the scale's own error does to the bias, σ."""
    return mad_sigma(bright) / np.sqrt(len(bright)) * float(np.median(snr))
