"""The bandpass of a calibrator scan: a complex gain of each antenna, feed and channel.

Each channel and feed by itself, the gains g that make Σ w |V_ij − g_i g_j*|² least, where V are the
averaged visibilities over the model: alternating least squares with every other step halved
(StEFCal; Salvini and Wijnholds 2014, A&A 571, A97).  What comes of it is a table of CASA's type
B Jones, which CASA's tasks and ours apply.

Belongs here: solving and writing that table.  Does not belong here: delays and gains (``solve.py``), and
what a table does to data (``caltables/jones.py``).
"""

from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.jones import delay_factors
from contimg_assets.radio.caltables.solutions import read_table

#: Gains change by less than this part in the last two steps.  Noise is 10⁻² of a gain.
_TOLERANCE = 1e-6
#: More steps than this have only channels in which hardly any antenna is left.
_MOST_STEPS = 500


@dataclass(frozen=True)
class Bandpass:
    """Solutions; arrays of shape (n_antennas, n_channels, n_polarisations)."""

    gains: NDArray[np.complex128]
    """Zero where there is no solution."""
    errors: NDArray[np.float64]
    """Standard errors of the gains' amplitudes, from the scatter of the visibilities about them."""

    @property
    def snr(self) -> NDArray[np.float64]:
        """Signal-to-noise ratios; zero where there is no solution."""
        return np.divide(
            np.abs(self.gains), self.errors, where=self.errors > 0, out=np.zeros_like(self.errors)
        )


def solve_bandpass(
    averaged: Path,
    delays: Path,
    out: Path,
    *,
    reference: str,
    minimum_snr: float,
    minimum_baselines: int,
    minimum_uv_m: float = 0.0,
) -> None:
    """Solve for the bandpass with the delays applied, and write it as CASA does.

    Parameters
    ----------
    averaged : Path
        Measurement Set of the scan over its model (:func:`scan.write_averaged`); all of its rows count.
    delays : Path
        Table of type K Jones, one solution for each antenna.
    out : Path
        Table to write.
    reference : str
        Name of the antenna that has no phase.
    minimum_snr : float
        Solutions below this are flagged.
    minimum_baselines : int
        An antenna with fewer baselines to others that take part has no solution.
    minimum_uv_m : float
        Shorter projected baselines are not used, m.
    """
    from casacore.tables import table

    known = read_table(delays)
    with table(f"{averaged}::SPECTRAL_WINDOW", ack=False) as window:
        frequencies_hz = window.getcell("CHAN_FREQ", 0)
    with table(f"{delays}::SPECTRAL_WINDOW", ack=False) as window:
        middle_hz = float(window.getcell("CHAN_FREQ", 0)[0])
    with table(f"{averaged}::ANTENNA", ack=False) as antennas:
        names = antennas.getcol("NAME")
    with table(str(averaged), ack=False) as main:
        data, weights, flags = (main.getcol(name) for name in ("DATA", "WEIGHT_SPECTRUM", "FLAG"))
        one, two, uvw = (main.getcol(name) for name in ("ANTENNA1", "ANTENNA2", "UVW"))
    hands = [0, data.shape[-1] - 1]
    used = np.where(flags[..., hands], 0, weights[..., hands])
    used[np.hypot(uvw[:, 0], uvw[:, 1]) <= minimum_uv_m] = 0
    # Antennas without a delay take no part, as if the delays had been applied.
    lost = np.ones((len(names), 2), bool)
    lost[: len(known.flags)] = known.flags[:, 0]
    used[lost[one][:, None, :].repeat(used.shape[1], axis=1) | lost[two][:, None, :]] = 0
    found = fit_gains(
        data[..., hands],
        used,
        one,
        two,
        names.index(reference),
        n_antennas=len(names),
        minimum_baselines=minimum_baselines,
    )
    factors = np.ones((len(names), len(frequencies_hz), 2), np.complex128)
    factors[: len(known.values)] = delay_factors(known.values[:, 0].real, frequencies_hz - middle_hz)
    _write(delays, averaged, out, Bandpass(found.gains / factors, found.errors), minimum_snr, reference)


def fit_gains(
    data: NDArray[np.complex64],
    weights: NDArray[np.float32],
    antenna_1: NDArray[np.int32],
    antenna_2: NDArray[np.int32],
    reference: int,
    *,
    n_antennas: int,
    minimum_baselines: int,
) -> Bandpass:
    """Gains of all channels and feeds.

    Parameters
    ----------
    data : ndarray, complex64, shape (n_rows, n_channels, n_polarisations)
        Visibilities over their model.
    weights : ndarray, float32, same shape
        Zero: not used.
    antenna_1, antenna_2 : ndarray of int32, shape (n_rows,)
    reference : int
        Antenna whose gain has no phase; in channels without it, phases go on from the nearest channel that
        has it.
    n_antennas : int
        Of the telescope.
    minimum_baselines : int
        An antenna with fewer has no gain.
    """
    shape = (n_antennas, *data.shape[1:])
    gains, errors = np.zeros(shape, np.complex128), np.zeros(shape)
    _solve(data, weights, antenna_1, antenna_2, reference, minimum_baselines, gains, errors)
    for p in range(shape[2]):
        _join_phases(gains[:, :, p], reference)
    return Bandpass(gains, errors)


@numba.njit(cache=True, parallel=True)
def _solve(
    data: NDArray[np.complex64],
    weights: NDArray[np.float32],
    antenna_1: NDArray[np.int32],
    antenna_2: NDArray[np.int32],
    reference: int,
    minimum_baselines: int,
    gains: NDArray[np.complex128],
    errors: NDArray[np.float64],
) -> None:
    n, n_channels, n_pols = gains.shape
    for k in numba.prange(n_channels * n_pols):
        f, p = k // n_pols, k % n_pols
        weighted, weight = np.zeros((n, n), np.complex128), np.zeros((n, n))
        for b in range(len(antenna_1)):
            w = weights[b, f, p]
            i, j = antenna_1[b], antenna_2[b]
            if w > 0 and i != j:
                v = np.complex128(data[b, f, p])
                weighted[i, j] += w * v
                weighted[j, i] += w * v.conjugate()
                weight[i, j] += w
                weight[j, i] += w
        _leave_out(weight, minimum_baselines)
        x = _start(weighted, weight, reference)
        if not _iterate(weighted, weight, x):
            continue
        error = _errors(weighted, weight, x)
        turn = x[reference].conjugate() / abs(x[reference]) if abs(x[reference]) > 0 else 1 + 0j
        for i in range(n):
            gains[i, f, p], errors[i, f, p] = x[i] * turn, error[i]


@numba.njit(cache=True)
def _leave_out(weight: NDArray[np.float64], minimum_baselines: int) -> None:
    """Take antennas with too few baselines out, until all that are left have enough."""
    changed = True
    while changed:
        changed = False
        for i in range(len(weight)):
            number = np.count_nonzero(weight[i])
            if 0 < number < minimum_baselines:
                weight[i], weight[:, i] = 0, 0
                changed = True


@numba.njit(cache=True)
def _start(
    weighted: NDArray[np.complex128], weight: NDArray[np.float64], reference: int
) -> NDArray[np.complex128]:
    """All of the mean amplitude, with the phase of the baseline to the reference antenna."""
    n, total, amplitude = len(weight), 0.0, 0.0
    for i in range(n):
        for j in range(n):
            if weight[i, j] > 0:
                total += weight[i, j]
                amplitude += abs(weighted[i, j])
    x = np.zeros(n, np.complex128)
    if total == 0:
        return x
    for i in range(n):
        if np.any(weight[i] > 0):
            v = weighted[i, reference] if weight[i, reference] > 0 else 0j
            x[i] = np.sqrt(amplitude / total) * (v / abs(v) if abs(v) > 0 else 1 + 0j)
    return x


@numba.njit(cache=True)
def _iterate(
    weighted: NDArray[np.complex128], weight: NDArray[np.float64], x: NDArray[np.complex128]
) -> bool:
    """Alternating least squares, in place; whether it has come to an end with any solution."""
    n = len(x)
    y = np.zeros_like(x)
    for step in range(_MOST_STEPS):
        for i in range(n):
            numerator, denominator = 0j, 0.0
            for j in range(n):
                if weight[i, j] > 0:
                    numerator += weighted[i, j] * x[j]
                    denominator += weight[i, j] * (x[j].real ** 2 + x[j].imag ** 2)
            y[i] = numerator / denominator if denominator > 0 else 0j
        if step % 2 == 0:
            x[:] = y
            continue
        change, size = 0.0, 0.0
        for i in range(n):
            middle = (x[i] + y[i]) / 2
            change += abs(middle - x[i]) ** 2
            size += abs(middle) ** 2
            x[i] = middle
        if change <= _TOLERANCE**2 * size:
            return size > 0
    return False


@numba.njit(cache=True)
def _errors(
    weighted: NDArray[np.complex128], weight: NDArray[np.float64], x: NDArray[np.complex128]
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
                    difference = weighted[i, j] / weight[i, j] - x[i] * x[j].conjugate()
                    left += weight[i, j] * (difference.real**2 + difference.imag**2)
                    n_baselines += 1
    variance = left / max(n_baselines - n_solved, 1)
    errors = np.zeros(n)
    for i in range(n):
        if power[i] > 0:
            errors[i] = np.sqrt(variance / power[i])
    return errors


def _join_phases(gains: NDArray[np.complex128], reference: int) -> None:
    """Turn channels without the reference antenna to the nearest that has it, (n_antennas, n_channels)."""
    there = np.flatnonzero(gains[reference])
    if not len(there):
        return
    for f in np.flatnonzero(gains.any(axis=0) & (gains[reference] == 0)):
        near = there[np.argmin(np.abs(there - f))]
        together = np.sum(gains[:, near] * gains[:, f].conj())
        if together != 0:
            gains[:, f] *= together / abs(together)


def _write(
    delays: Path, averaged: Path, out: Path, found: Bandpass, minimum_snr: float, reference: str
) -> None:
    """A table of type B Jones with the rows and subtables of the delays', but for the channels."""
    from casacore.tables import makearrcoldesc, maketabdesc, table

    with table(str(delays), ack=False) as source:
        source.copy(str(out), deep=True).close()
    with table(f"{averaged}::SPECTRAL_WINDOW", ack=False) as window:
        channels = {
            name: window.getcell(name, 0) for name in window.colnames() if window.iscelldefined(name, 0)
        }
    with table(f"{out}::SPECTRAL_WINDOW", readonly=False, ack=False) as window:
        for name, value in channels.items():
            window.putcell(name, 0, value)
    snr = found.snr
    bad = ~(snr >= minimum_snr)
    with table(f"{out}::ANTENNA", ack=False) as antennas:
        number = antennas.getcol("NAME").index(reference)
    with table(str(out), readonly=False, ack=False) as rows:
        rows.removecols(["FPARAM"])
        column = makearrcoldesc("CPARAM", 0j, ndim=-1, valuetype="complex")
        rows.addcols(maketabdesc(column), {"TYPE": "StandardStMan", "NAME": "Bandpass", "SPEC": {}})
        antenna = rows.getcol("ANTENNA1")
        rows.putcol("CPARAM", np.where(bad, 1, found.gains)[antenna].astype(np.complex64))
        rows.putcol("FLAG", bad[antenna])
        rows.putcol("SNR", snr[antenna].astype(np.float32))
        rows.putcol("PARAMERR", found.errors[antenna].astype(np.float32))
        rows.putcol("ANTENNA2", np.full(len(antenna), number, np.int32))
        rows.putkeywords({"ParType": "Complex", "VisCal": "B Jones"})
        rows.putinfo({"type": "Calibration", "subType": "B Jones", "readme": ""})
