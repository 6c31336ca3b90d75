"""Points, subtracted from the visibilities, and what is left towards each: one pass, compiled.

Belongs here: the pass, and what of it hangs on the baselines.  Does not belong here: how points change by
what is left (``bright_points.py``, ``known_points.py``).
"""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.components import offsets_from_centre
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.phasors import (
    advance_phasors,
    baseline_starts,
    start_phasors,
    time_smearing,
)
from contimg_assets.radio.imaging.smearing import tracking

#: First slot of each baseline, and the end; and which baselines are long.
Baselines = tuple[NDArray[np.int64], NDArray[np.bool_]]


@numba.njit(cache=True, parallel=True, fastmath=True)
def _measure(
    values: NDArray[np.complex64],
    residuals: NDArray[np.complex64],
    weights: NDArray[np.float32],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    is_long: NDArray[np.bool_],
    shares: NDArray[np.float32],
    lower: NDArray[np.int32],
    fraction: NDArray[np.float32],
    turning: NDArray[np.float64],
    positions: NDArray[np.float64],
    flux: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Subtract points from the visibilities, and sum what is left towards each, by integration.

    The rows of ``sums``: template × what is left, and template², on short and then on long baselines;
    slope × what is left, across the phase, for l and m; slope² for ll, lm, mm.
    """
    n, n_positions = len(frequencies), len(positions)
    for t in numba.prange(len(sums)):
        state = np.empty((5, n_positions), np.float32)
        real, imag, by_real, by_imag, loss = state
        work = np.empty((4, n_positions), np.float32)
        share, along, across, square = work
        for b in range(len(starts) - 1):
            first, end = starts[b], starts[b + 1]
            start_phasors(uvw[t * n + first], frequencies[first:end], positions, state)
            for k in range(n_positions):
                loss[k] *= time_smearing(uvw[t * n + (first + end) // 2], positions[k], turning[t])
            along[:] = 0
            across[:] = 0
            square[:] = 0
            for i in range(first, end):
                weight, rest = weights[t * n + i], values[t * n + i]
                low, part = lower[i], fraction[i]
                model_real, model_imag = np.float32(0), np.float32(0)
                for k in range(n_positions):
                    now = shares[t, low, k] + part * (shares[t, low + 1, k] - shares[t, low, k])
                    share[k] = now
                    now *= loss[k] * flux[k]
                    model_real += now * real[k]
                    model_imag += now * imag[k]
                rest_real, rest_imag = rest.real - model_real, rest.imag - model_imag
                residuals[t * n + i] = complex(rest_real, rest_imag)
                for k in range(n_positions):
                    weighted = weight * share[k]
                    along[k] += weighted * (rest_real * real[k] + rest_imag * imag[k])
                    across[k] += weighted * (rest_imag * real[k] - rest_real * imag[k])
                    square[k] += weighted * share[k]
                advance_phasors(real, imag, by_real, by_imag)
            u, v, w = uvw[t * n + (first + end) // 2]
            side = 1 if is_long[b] else 0
            for k in range(n_positions):
                down = positions[k, 2] + 1.0
                by_l = 2 * np.pi * (u - w * positions[k, 0] / down)
                by_m = 2 * np.pi * (v - w * positions[k, 1] / down)
                energy = loss[k] * loss[k] * square[k]
                sums[t, side, k] += loss[k] * along[k]
                sums[t, 2 + side, k] += energy
                sums[t, 4, k] += loss[k] * across[k] * by_l
                sums[t, 5, k] += loss[k] * across[k] * by_m
                sums[t, 6, k] += energy * by_l * by_l
                sums[t, 7, k] += energy * by_l * by_m
                sums[t, 8, k] += energy * by_m * by_m


def subtract_points(
    visibilities: NDArray[np.complex64],
    residuals: NDArray[np.complex64],
    drift: Drift,
    baselines: Baselines,
    points: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Subtract points from visibilities, and sum what is left towards each.

    Parameters
    ----------
    visibilities : ndarray, complex64, shape (n_visibilities,)
    residuals : ndarray
        Where what is left is written; may be the same.
    drift : Drift
    baselines : Baselines
        Of :func:`baselines_of`.
    points : ndarray, shape (3, n)
        Direction cosines l and m, and mean apparent flux densities, Jy.

    Returns
    -------
    ndarray, shape (9, n)
        Template × what is left on short and on long baselines, and template² likewise; slope × what is left,
        across the phase, for l and m; slope² for ll, lm, mm.
    """
    l, m, flux = points
    data, (starts, is_long) = drift.data, baselines
    # Flux densities are those of the image, from which averaging has taken its part.
    relative = drift.relative_response(l, m) / drift.smearing(l, m)[:, None, None]
    shares = np.ascontiguousarray(relative.transpose(1, 2, 0), dtype=np.float32)
    sums = np.zeros((data.n_times, 9, len(l)))
    _measure(
        visibilities,
        residuals,
        drift.weights.values,
        data.uvw,
        data.frequencies_hz,
        starts,
        is_long,
        shares,
        *drift.bins,
        tracking(drift.shape),
        offsets_from_centre(l, m),
        flux.astype(np.float32),
        sums,
    )
    return sums.sum(axis=0)


def baselines_of(drift: Drift) -> Baselines:
    """Where each baseline begins, and which are the longer ones that have half of the weight."""
    starts = baseline_starts(drift.data.frequencies_hz)
    weights = drift.weights.values.reshape(drift.data.n_times, -1).sum(axis=0, dtype=np.float64)
    of_baseline = np.add.reduceat(weights, starts[:-1])
    middle = drift.data.uvw.reshape(drift.data.n_times, -1, 3)[drift.data.n_times // 2]
    lengths = np.linalg.norm(middle[starts[:-1], :2], axis=1)
    order = np.argsort(lengths)
    cumulative = np.cumsum(of_baseline[order])
    result = np.empty(len(lengths), bool)
    result[order] = cumulative > cumulative[-1] / 2
    return starts, result
