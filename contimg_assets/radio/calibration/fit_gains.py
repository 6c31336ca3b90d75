"""Gains of antennas from visibilities over their model: least squares, compiled.

Each column (a channel or an interval) and feed by itself, the gains g that make Σ w |V_ij − g_i g_j*|²
least, where V are the averaged visibilities over the model: alternating least squares with every other
step halved (StEFCal; Salvini and Wijnholds 2014, A&A 571, A97).

Belongs here: the fit.  Does not belong here: what is fitted (``solve.py``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

#: Gains change by less than this part in the last two steps.  Noise is 10⁻² of a gain.
_TOLERANCE = 1e-6
#: More steps than this have only channels in which hardly any antenna is left.
_MOST_STEPS = 500
#: Columns whose sums are turned at once: as many as lie side by side in a line of memory.
_BLOCK = 8


@dataclass(frozen=True)
class Gains:
    """Solutions; arrays of shape (n_antennas_telescope, n_columns, 2 feeds)."""

    values: NDArray[np.complex128]
    """Zero where there is no solution."""
    errors: NDArray[np.float64]
    """Standard errors of the complex gains, from the scatter of the visibilities about them."""

    @property
    def snr(self) -> NDArray[np.float64]:
        """Signal-to-noise ratios; zero where there is no solution."""
        return np.divide(
            np.abs(self.values), self.errors, where=self.errors > 0, out=np.zeros_like(self.errors)
        )


def fit_gains(
    product: NDArray[np.complex64],
    model: NDArray[np.float32],
    antenna_1: NDArray[np.int32],
    antenna_2: NDArray[np.int32],
    reference: int,
    *,
    n_antennas: int,
    minimum_baselines: int,
    phases_only: bool = False,
) -> Gains:
    """Gains of all columns and feeds.

    Parameters
    ----------
    product : ndarray, complex64, shape (n_baselines, n_columns, n_feeds)
        Σ V M*: visibilities over their model, times the weights.
    model : ndarray, float32, same shape
        Σ|M|²: weights.  Zero: not used.
    antenna_1, antenna_2 : ndarray of int32, shape (n_baselines,)
    reference : int
        Antenna whose gain has no phase; in columns without it, phases go on from the nearest that has it.
    n_antennas : int
        Of the telescope.
    minimum_baselines : int
        An antenna with fewer has no gain.
    phases_only : bool
        Amplitudes are 1.
    """
    antennas, ends = np.unique(np.concatenate([antenna_1, antenna_2]), return_inverse=True)
    one, two = ends.reshape(2, -1)
    place = int(np.searchsorted(antennas, reference)) if reference in antennas else -1
    shape = (len(antennas), *product.shape[1:])
    values, errors = np.zeros(shape, np.complex128), np.zeros(shape)
    _solve(product, model, one, two, place, minimum_baselines, phases_only, values, errors)
    for p in range(shape[2]):
        _join_phases(values[:, :, p], place)
    out = Gains(np.zeros((n_antennas, *shape[1:]), np.complex128), np.zeros((n_antennas, *shape[1:])))
    out.values[antennas], out.errors[antennas] = values, errors
    return out


@numba.njit(cache=True, parallel=True)
def _solve(
    product: NDArray[np.complex64],
    model: NDArray[np.float32],
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    reference: int,
    minimum_baselines: int,
    phases_only: bool,
    gains: NDArray[np.complex128],
    errors: NDArray[np.float64],
) -> None:
    n, n_columns, n_feeds = gains.shape
    for block in numba.prange(-(-n_columns // _BLOCK)):
        first = block * _BLOCK
        size = min(_BLOCK, n_columns - first)
        # Real and imaginary part of the weighted visibilities, and the weights.
        sums = np.zeros((size, n_feeds, 3, n, n))
        for b in range(len(one)):
            i, j = one[b], two[b]
            if i == j:
                continue
            for f in range(size):
                for p in range(n_feeds):
                    weight = model[b, first + f, p]
                    if weight > 0:
                        v = product[b, first + f, p]
                        sums[f, p, 0, i, j] += v.real
                        sums[f, p, 0, j, i] += v.real
                        sums[f, p, 1, i, j] += v.imag
                        sums[f, p, 1, j, i] -= v.imag
                        sums[f, p, 2, i, j] += weight
                        sums[f, p, 2, j, i] += weight
        for f in range(size):
            for p in range(n_feeds):
                real, imag, weight = sums[f, p, 0], sums[f, p, 1], sums[f, p, 2]
                _leave_out(real, imag, weight, minimum_baselines)
                x = _start(real, imag, weight, reference, phases_only)
                if not _iterate(real, imag, weight, phases_only, x):
                    continue
                error = _errors(real, imag, weight, x)
                turn = 1 + 0j
                if reference >= 0 and abs(x[reference]) > 0:
                    turn = x[reference].conjugate() / abs(x[reference])
                for i in range(n):
                    gains[i, first + f, p], errors[i, first + f, p] = x[i] * turn, error[i]


@numba.njit(cache=True)
def _leave_out(
    real: NDArray[np.float64], imag: NDArray[np.float64], weight: NDArray[np.float64], minimum_baselines: int
) -> None:
    """Take antennas with too few baselines out, until all that are left have enough."""
    changed = True
    while changed:
        changed = False
        for i in range(len(weight)):
            number = np.count_nonzero(weight[i])
            if 0 < number < minimum_baselines:
                for array in (real, imag, weight):
                    array[i], array[:, i] = 0, 0
                changed = True


@numba.njit(cache=True)
def _start(
    real: NDArray[np.float64],
    imag: NDArray[np.float64],
    weight: NDArray[np.float64],
    reference: int,
    phases_only: bool,
) -> NDArray[np.complex128]:
    """All of the mean amplitude, with the phase of the baseline to the reference antenna."""
    n, total, amplitude = len(weight), 0.0, 0.0
    for i in range(n):
        for j in range(n):
            total += weight[i, j]
            amplitude += np.hypot(real[i, j], imag[i, j])
    x = np.zeros(n, np.complex128)
    if total == 0:
        return x
    size = 1.0 if phases_only else np.sqrt(amplitude / total)
    for i in range(n):
        if np.any(weight[i] > 0):
            v = 0j if reference < 0 else complex(real[i, reference], imag[i, reference])
            x[i] = size * (v / abs(v) if abs(v) > 0 else 1 + 0j)
    return x


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _row(
    real: NDArray[np.float64],
    imag: NDArray[np.float64],
    weight: NDArray[np.float64],
    x_real: NDArray[np.float64],
    x_imag: NDArray[np.float64],
    square: NDArray[np.float64],
) -> tuple[float, float, float]:
    """One antenna's Σ w V_ij g_j and Σ w |g_j|²."""
    top_real, top_imag, bottom = 0.0, 0.0, 0.0
    for j in range(len(square)):
        top_real += real[j] * x_real[j] - imag[j] * x_imag[j]
        top_imag += real[j] * x_imag[j] + imag[j] * x_real[j]
        bottom += weight[j] * square[j]
    return top_real, top_imag, bottom


@numba.njit(cache=True)
def _iterate(
    real: NDArray[np.float64],
    imag: NDArray[np.float64],
    weight: NDArray[np.float64],
    phases_only: bool,
    x: NDArray[np.complex128],
) -> bool:
    """Alternating least squares, in place; whether it has come to an end with any solution."""
    n = len(x)
    y = np.zeros_like(x)
    for step in range(_MOST_STEPS):
        x_real, x_imag = x.real.copy(), x.imag.copy()
        square = x_real**2 + x_imag**2
        for i in range(n):
            top_real, top_imag, bottom = _row(real[i], imag[i], weight[i], x_real, x_imag, square)
            top = complex(top_real, top_imag)
            if phases_only:
                bottom = abs(top)
            y[i] = top / bottom if bottom > 0 else 0j
        if step % 2 == 0:
            x[:] = y
            continue
        change, size = 0.0, 0.0
        for i in range(n):
            middle = (x[i] + y[i]) / 2
            if phases_only and abs(middle) > 0:
                middle /= abs(middle)
            change += abs(middle - x[i]) ** 2
            size += abs(middle) ** 2
            x[i] = middle
        if change <= _TOLERANCE**2 * size:
            return size > 0
    return False


@numba.njit(cache=True)
def _errors(
    real: NDArray[np.float64],
    imag: NDArray[np.float64],
    weight: NDArray[np.float64],
    x: NDArray[np.complex128],
) -> NDArray[np.float64]:
    """Errors of the gains, from what is left of the visibilities."""
    n, left, n_baselines, n_solved = len(x), 0.0, 0, 0
    power = np.zeros(n)
    for i in range(n):
        n_solved += x[i] != 0
        for j in range(n):
            if weight[i, j] > 0:
                power[i] += weight[i, j] * (x[j].real ** 2 + x[j].imag ** 2)
                if j > i:
                    v = complex(real[i, j], imag[i, j]) / weight[i, j]
                    difference = v - x[i] * x[j].conjugate()
                    left += weight[i, j] * (difference.real**2 + difference.imag**2)
                    n_baselines += 1
    variance = left / max(n_baselines - n_solved, 1)
    errors = np.zeros(n)
    for i in range(n):
        if power[i] > 0:
            errors[i] = np.sqrt(variance / power[i])
    return errors


def _join_phases(gains: NDArray[np.complex128], reference: int) -> None:
    """Turn columns without the reference antenna to the nearest that has it, (n_antennas, n_columns)."""
    there = np.flatnonzero(gains[reference] if reference >= 0 else 0)
    if not len(there):
        return
    for f in np.flatnonzero(gains.any(axis=0) & (gains[reference] == 0)):
        near = there[np.argmin(np.abs(there - f))]
        together = np.sum(gains[:, near] * gains[:, f].conj())
        if together != 0:
            gains[:, f] *= together / abs(together)
