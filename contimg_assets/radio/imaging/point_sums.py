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
from contimg_assets.radio.imaging.phasors import baseline_starts, start_phasors, time_smearing
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


#: Points of one pass at most.
MOST_POINTS = 256
#: What a pass keeps of each point lies in rows of one array, a constant distance from one another: so the
#: compiler knows that they do not overlap, and takes several points at a time.  No multiple of a page's part,
#: or rows would be in each other's way in the cache.
_WIDTH = MOST_POINTS + 16
#: Rows: phasor times share, its step from slot to slot, along and across the phase what is left, flux density
#: times loss, the share's square.
_REAL, _IMAG, _BY_REAL, _BY_IMAG, _ALONG, _ACROSS, _BRIGHT, _SQUARE = (np.uintp(k * _WIDTH) for k in range(8))
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
def _set_steps(rows: NDArray[np.float32], state: NDArray[np.float32], ratios: NDArray[np.float32]) -> None:
    """Steps from slot to slot in a bin: what the phase turns by, times the ratio of shares."""
    for i in range(len(ratios)):
        k = np.uintp(i)
        rows[_BY_REAL + k] = state[2, i] * ratios[i]
        rows[_BY_IMAG + k] = state[3, i] * ratios[i]


@numba.njit(cache=True, inline="always")
def _begin(
    rows: NDArray[np.float32],
    state: NDArray[np.float32],
    flux: NDArray[np.float32],
    levels: NDArray[np.float32],
) -> tuple[np.float32, np.float32]:
    """Rows at a baseline's first slot, and the visibility that all points make there."""
    model_real, model_imag = np.float32(0), np.float32(0)
    for i in range(len(flux)):
        k = np.uintp(i)
        real, imag, bright = state[0, i] * levels[i], state[1, i] * levels[i], state[4, i] * flux[i]
        rows[_REAL + k] = real
        rows[_IMAG + k] = imag
        rows[_ALONG + k] = 0
        rows[_ACROSS + k] = 0
        rows[_BRIGHT + k] = bright
        rows[_SQUARE + k] = 0
        model_real += bright * real
        model_imag += bright * imag
    return model_real, model_imag


@numba.njit(cache=True, inline="always")
def _advance(
    rows: NDArray[np.float32], n: int, rest_real: np.float32, rest_imag: np.float32
) -> tuple[np.float32, np.float32]:
    """Sum what is left in a slot, go to the next, and tell the visibility that all points make there."""
    model_real, model_imag = np.float32(0), np.float32(0)
    for i in range(n):
        k = np.uintp(i)
        real, imag = rows[_REAL + k], rows[_IMAG + k]
        rows[_ALONG + k] += rest_real * real + rest_imag * imag
        rows[_ACROSS + k] += rest_imag * real - rest_real * imag
        by_real, by_imag = rows[_BY_REAL + k], rows[_BY_IMAG + k]
        next_real = real * by_real - imag * by_imag
        next_imag = real * by_imag + imag * by_real
        rows[_REAL + k] = next_real
        rows[_IMAG + k] = next_imag
        model_real += rows[_BRIGHT + k] * next_real
        model_imag += rows[_BRIGHT + k] * next_imag
    return model_real, model_imag


@numba.njit(cache=True)
def _add_baseline(
    sums: NDArray[np.float64],
    rows: NDArray[np.float32],
    loss: NDArray[np.float32],
    uvw: NDArray[np.float64],
    positions: NDArray[np.float64],
    side: int,
) -> None:
    """Add what a baseline of one side has to the sums of its integration."""
    along, across, square = rows[_ALONG:_BRIGHT], rows[_ACROSS:_BRIGHT], rows[_SQUARE:]
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
    """One integration of :func:`_measure`; a phasor is kept times its share, and steps with it."""
    n_positions = len(positions)
    state, rows = np.empty((5, n_positions), np.float32), np.zeros(8 * _WIDTH, np.float32)
    loss = state[4]
    for b in range(len(starts) - 1):
        first, end = starts[b], starts[b + 1]
        kind, low, middle = kinds[b], lower[first], uvw[(first + end) // 2]
        start_phasors(uvw[first], frequencies[first:end], positions, state)
        for k in range(n_positions):
            loss[k] *= time_smearing(middle, positions[k], turning)
        _set_steps(rows, state, ratios[kind, low])
        model_real, model_imag = _begin(rows, state, flux, levels[kind, low])
        w0, w1, w2 = np.float32(0), np.float32(0), np.float32(0)
        for i in range(first, end):
            weight, part = weights[i], fraction[i]
            rest_real, rest_imag = values[i].real - model_real, values[i].imag - model_imag
            residuals[i] = complex(rest_real, rest_imag)
            w0, w1, w2 = w0 + weight, w1 + weight * part, w2 + weight * part * part
            model_real, model_imag = _advance(rows, n_positions, weight * rest_real, weight * rest_imag)
            if i + 1 == end or lower[i + 1] != low:
                # Of a bin, the share's square times the weight at once.
                below, above = shares[low], shares[low + 1]
                for k in range(n_positions):
                    rise = above[k] - below[k]
                    square = w0 * below[k] * below[k] + (2 * w1 * below[k] + w2 * rise) * rise
                    rows[_SQUARE + np.uintp(k)] += square
                w0, w1, w2 = np.float32(0), np.float32(0), np.float32(0)
                if i + 1 < end:
                    low = lower[i + 1]
                    _set_steps(rows, state, ratios[kind, low])
        _add_baseline(sums, rows, loss, middle, positions, 1 if is_long[b] else 0)


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
    points : ndarray, shape (3, n), n ≤ MOST_POINTS
        Direction cosines l and m, and mean apparent flux densities, Jy.

    Returns
    -------
    ndarray, shape (9, n)
        Template × what is left on short and on long baselines, and template² likewise; slope × what is left,
        across the phase, for l and m; slope² for ll, lm, mm.
    """
    l, m, flux = points
    if len(l) > MOST_POINTS:
        raise ValueError(f"found {len(l)} points; expected at most {MOST_POINTS} in one pass")
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
