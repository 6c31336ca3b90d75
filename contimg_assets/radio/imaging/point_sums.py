"""Points, subtracted from the visibilities, and what is left towards each: one pass, compiled.

Belongs here: the pass, and what of it hangs on the baselines.  Does not belong here: how points change by
what is left (``bright_points.py``, ``known_points.py``).
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Baselines:
    """What a pass has to know of a group's baselines."""

    starts: NDArray[np.int64]
    """First slot of each, and the end."""
    is_long: NDArray[np.bool_]
    """Those that have the longer half of the weight."""
    kinds: NDArray[np.int64]
    """Those of as many slots, which have the same frequencies, are of one kind."""
    examples: NDArray[np.int64]
    """A baseline of each kind."""


#: Shares are no smaller in a kernel: it steps from one to the next by their ratio.
_LEAST_SHARE = 1e-6


@numba.njit(cache=True)
def _steps(
    starts: NDArray[np.int64],
    examples: NDArray[np.int64],
    lower: NDArray[np.int32],
    fraction: NDArray[np.float32],
    shares: NDArray[np.float32],
    levels: NDArray[np.float32],
    ratios: NDArray[np.float32],
) -> None:
    """Share of each point at a bin's first slot, and its ratio from slot to slot there; of each kind."""
    for kind in range(len(examples)):
        first, end = starts[examples[kind]], starts[examples[kind] + 1]
        while first < end:
            low, following = lower[first], first + 1
            while following < end and lower[following] == low:
                following += 1
            last = min(following, end - 1)
            power = np.float32(1.0 / max(last - first, 1))
            for k in range(shares.shape[1]):
                here = shares[low, k] + fraction[first] * (shares[low + 1, k] - shares[low, k])
                after = lower[last]
                there = shares[after, k] + fraction[last] * (shares[after + 1, k] - shares[after, k])
                here, there = max(here, _LEAST_SHARE), max(there, _LEAST_SHARE)
                levels[kind, low, k] = here
                ratios[kind, low, k] = (there / here) ** power
            first = following


@numba.njit(cache=True, inline="always")
def _multiply(
    real: NDArray[np.float32],
    imag: NDArray[np.float32],
    by: NDArray[np.float32],
    to_real: NDArray[np.float32],
    to_imag: NDArray[np.float32],
) -> None:
    for k in range(len(by)):
        to_real[k] = real[k] * by[k]
        to_imag[k] = imag[k] * by[k]


@numba.njit(cache=True, inline="always")
def _brightness(
    bright: NDArray[np.float32], real: NDArray[np.float32], imag: NDArray[np.float32]
) -> tuple[np.float32, np.float32]:
    """Real and imaginary part of the visibility that all points make."""
    model_real, model_imag = np.float32(0), np.float32(0)
    for k in range(len(bright)):
        model_real += bright[k] * real[k]
        model_imag += bright[k] * imag[k]
    return model_real, model_imag


@numba.njit(cache=True)
def _add_baseline(
    sums: NDArray[np.float64],
    work: NDArray[np.float32],
    loss: NDArray[np.float32],
    uvw: NDArray[np.float64],
    positions: NDArray[np.float64],
    side: int,
) -> None:
    """Add what a baseline of one side has to the sums of its integration."""
    along, across, square = work[3], work[4], work[5]
    for k in range(len(positions)):
        down = positions[k, 2] + 1.0
        by_l = 2 * np.pi * (uvw[0] - uvw[2] * positions[k, 0] / down)
        by_m = 2 * np.pi * (uvw[1] - uvw[2] * positions[k, 1] / down)
        energy = loss[k] * loss[k] * square[k]
        sums[side, k] += loss[k] * along[k]
        sums[2 + side, k] += energy
        sums[4, k] += loss[k] * across[k] * by_l
        sums[5, k] += loss[k] * across[k] * by_m
        sums[6, k] += energy * by_l * by_l
        sums[7, k] += energy * by_l * by_m
        sums[8, k] += energy * by_m * by_m


@numba.njit(cache=True, fastmath=True)
def _measure_integration(
    values: NDArray[np.complex64],
    residuals: NDArray[np.complex64],
    weights: NDArray[np.float32],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    is_long: NDArray[np.bool_],
    kinds: NDArray[np.int64],
    levels: NDArray[np.float32],
    ratios: NDArray[np.float32],
    shares: NDArray[np.float32],
    lower: NDArray[np.int32],
    fraction: NDArray[np.float32],
    turning: NDArray[np.float64],
    positions: NDArray[np.float64],
    flux: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """One integration of :func:`_measure`.

    A phasor is kept times its share, and steps with it.  Each loop over the points changes few arrays: of
    many, the compiler cannot tell that they do not overlap, and takes points one by one.
    """
    n_positions = len(positions)
    state, work = np.empty((5, n_positions), np.float32), np.empty((6, n_positions), np.float32)
    real, imag, turn_real, turn_imag, loss = state[0], state[1], state[2], state[3], state[4]
    by_real, by_imag, bright = work[0], work[1], work[2]
    along, across, square = work[3], work[4], work[5]
    for b in range(len(starts) - 1):
        first, end = starts[b], starts[b + 1]
        kind, low, middle = kinds[b], lower[first], uvw[(first + end) // 2]
        start_phasors(uvw[first], frequencies[first:end], positions, state)
        for k in range(n_positions):
            loss[k] *= time_smearing(middle, positions[k], turning)
        for k in range(n_positions):
            bright[k] = loss[k] * flux[k]
        _multiply(real, imag, levels[kind, low], real, imag)
        _multiply(turn_real, turn_imag, ratios[kind, low], by_real, by_imag)
        model_real, model_imag = _brightness(bright, real, imag)
        work[3:] = 0
        w0, w1, w2 = np.float32(0), np.float32(0), np.float32(0)
        for i in range(first, end):
            weight, part = weights[i], fraction[i]
            rest_real, rest_imag = values[i].real - model_real, values[i].imag - model_imag
            residuals[i] = complex(rest_real, rest_imag)
            w0, w1, w2 = w0 + weight, w1 + weight * part, w2 + weight * part * part
            rest_real, rest_imag = weight * rest_real, weight * rest_imag
            for k in range(n_positions):
                along[k] += rest_real * real[k] + rest_imag * imag[k]
                across[k] += rest_imag * real[k] - rest_real * imag[k]
            advance_phasors(real, imag, by_real, by_imag)
            model_real, model_imag = _brightness(bright, real, imag)
            if i + 1 == end or lower[i + 1] != low:
                # Of a bin, the share's square times the weight at once.
                below, above = shares[low], shares[low + 1]
                for k in range(n_positions):
                    rise = above[k] - below[k]
                    square[k] += w0 * below[k] * below[k] + (2 * w1 * below[k] + w2 * rise) * rise
                w0, w1, w2 = np.float32(0), np.float32(0), np.float32(0)
                if i + 1 < end:
                    low = lower[i + 1]
                    _multiply(turn_real, turn_imag, ratios[kind, low], by_real, by_imag)
        _add_baseline(sums, work, loss, middle, positions, 1 if is_long[b] else 0)


@numba.njit(cache=True, parallel=True)
def _measure(
    values: NDArray[np.complex64],
    residuals: NDArray[np.complex64],
    weights: NDArray[np.float32],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    is_long: NDArray[np.bool_],
    kinds: NDArray[np.int64],
    examples: NDArray[np.int64],
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
    n = len(frequencies)
    for t in numba.prange(len(sums)):
        levels = np.empty((len(examples), shares.shape[1], len(positions)), np.float32)
        ratios = np.empty_like(levels)
        _steps(starts, examples, lower, fraction, shares[t], levels, ratios)
        own = slice(t * n, (t + 1) * n)
        _measure_integration(
            values[own],
            residuals[own],
            weights[own],
            uvw[own],
            frequencies,
            starts,
            is_long,
            kinds,
            levels,
            ratios,
            shares[t],
            lower,
            fraction,
            turning[t],
            positions,
            flux,
            sums[t],
        )


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
    data = drift.data
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
        baselines.starts,
        baselines.is_long,
        baselines.kinds,
        baselines.examples,
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
    is_long = np.empty(len(lengths), bool)
    is_long[order] = cumulative > cumulative[-1] / 2
    _, examples, kinds = np.unique(np.diff(starts), return_index=True, return_inverse=True)
    return Baselines(starts, is_long, kinds.reshape(-1), examples)
